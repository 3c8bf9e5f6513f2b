//! The map: the communication graph, with namespaces as areas. A large cluster is shown by namespace first; one
//! namespace can be opened.

mod draw;
mod end;
mod filter;
mod folding;
mod kind;
mod node;
mod scene;
#[cfg(test)]
mod tests;

pub use end::{End, end_of};
pub use filter::Filter;

use super::html::{Frame, NavEntry};
use super::risks;
use super::view::View;
use maud::{Markup, html};
use scene::MapScene;
use std::collections::{BTreeMap, BTreeSet};

/// The legend: class of the entry, and its text.
const LEGEND: [(&str, &str); 8] = [
    ("learned", "learned"),
    ("implied", "implied"),
    ("new", "new: first seen in the last 24 h"),
    ("risky", "risky: not learned, or to the metadata service"),
    (
        "blocked",
        "violating: blocked by the policies in force, or by those that are proposed",
    ),
    (
        "weak",
        "known vulnerability that the internet reaches, over so many connections",
    ),
    ("host", "on the host network: policies do not hold there"),
    (
        "folded",
        "a namespace has the marks of its workloads and edges",
    ),
];

/// The page.
pub fn page(frame: &Frame, view: &View, query: &BTreeMap<String, String>) -> String {
    let filter = Filter::parse(query);
    let scene = MapScene::build(view, &filter);
    let body = html! {
        (form(view, &filter))
        (risks::first(frame, view))
        p #summary { (scene.summary) } "\n"
        @if let Some(source) = view.given.graph_source.words() {
            p #source.dim { (source) } "\n"
        }
        p #plugin.dim { "Network plugin: " (view.given.inventory.network_plugin) } "\n"
        @if scene.nodes.is_empty() {
            p { "Nothing to show." } "\n"
        } @else {
            (buttons())
            div #map tabindex="0" role="region"
                aria-label="Map: drag or arrow keys pan, + and − zoom, 0 resets" {
                "\n" (draw::draw(frame, &scene))
            }
            "\n"
        }
        ul.legend {
            @for (class, meaning) in LEGEND {
                li class=(class) { (meaning) }
            }
        }
        "\n"
    };
    frame.page(NavEntry::Map, "Map", &body)
}

/// The buttons work only with the script, which shows them.
fn buttons() -> Markup {
    html! {
        p #zoom hidden {
            button type="button" aria-label="Zoom in" data-key="+" { "+" } " "
            button type="button" aria-label="Zoom out" data-key="-" { "−" } " "
            button type="button" data-key="0" { "Reset" }
        }
        "\n"
    }
}

fn form(view: &View, filter: &Filter) -> Markup {
    let workloads = view.given.inventory.workloads.keys();
    let namespaces: BTreeSet<&str> = workloads.map(|id| id.namespace.as_str()).collect();
    let namespace = filter.namespace.as_deref().unwrap_or_default();
    let verdict = filter.verdict.as_deref().unwrap_or_default();
    let verdicts = [
        ("", "all"),
        ("learned", "learned"),
        ("new", "new"),
        ("risky", "risky"),
        ("blocked", "violating"),
    ];
    let option = |value: &str, label: &str, chosen: &str| {
        html! { option value=(value) selected[value == chosen] { (label) } }
    };
    html! {
        form.filter #filter {
            "\n"
            label {
                "Namespace "
                select name="namespace" {
                    (option("", "all", namespace))
                    @for name in namespaces { (option(name, name, namespace)) }
                }
            }
            " "
            label {
                "Port "
                input name="port" size="5" inputmode="numeric"
                    value=(filter.port.map(|port| port.to_string()).unwrap_or_default());
            }
            " "
            label {
                "Edges "
                select name="verdict" {
                    @for (value, label) in verdicts { (option(value, label, verdict)) }
                }
            }
            " "
            label {
                "Seen in the last "
                input name="hours" size="3" inputmode="numeric"
                    value=(filter.hours.map(|hours| hours.to_string()).unwrap_or_default());
                " h"
            }
            " "
            label {
                input type="checkbox" name="inside" value="1" checked[filter.inside];
                " without outside"
            }
            " "
            button { "Show" }
            " "
            label { "Search " input #search type="search" autocomplete="off"; }
            "\n"
        }
        "\n"
    }
}
