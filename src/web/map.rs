//! The map: the communication graph, namespaces as areas, laid out here. A large cluster is shown by namespace
//! first; one namespace can be opened.

mod scene;
#[cfg(test)]
mod tests;

pub use scene::{End, end_of};

use super::html::{Frame, Place, part, text};
use super::risks;
use super::view::{View, workload_path};
use crate::report::graph::svg::path_data;
use crate::report::layout::{Layout, Rect, force, layered};
use scene::{Link, Scene};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// They do nothing without the script, which shows them.
const BUTTONS: &str = "<p id=\"zoom\" hidden><button type=\"button\" aria-label=\"Zoom in\" data-key=\"+\">+</button> \
     <button type=\"button\" aria-label=\"Zoom out\" data-key=\"-\">−</button> \
     <button type=\"button\" data-key=\"0\">Reset</button></p>\n";

const LEGEND: &str = "<ul class=\"legend\"><li class=\"learned\">learned</li><li class=\"implied\">implied</li>\
     <li class=\"new\">new: first seen in the last 24 h</li><li class=\"risky\">risky: not learned, or to the \
     metadata service</li><li class=\"blocked\">violating: blocked by the policies in force, or by those that are proposed</li>\
     <li class=\"weak\">known vulnerability that the internet reaches, over so many connections</li>\
     <li class=\"host\">on the host network: policies do not hold there</li>\
     <li class=\"folded\">a namespace has the marks of what is in it</li></ul>\n";

/// What is left out of the map, as the form of the page says it.
#[derive(Debug, Default)]
pub struct Filter {
    /// This namespace is opened; the others are one node each.
    pub namespace: Option<String>,
    pub port: Option<u16>,
    /// `learned`, `new` or `risky`.
    pub verdict: Option<String>,
    /// Only edges that were seen in the last so many hours before the last observation.
    pub hours: Option<i64>,
    /// Without addresses outside the cluster.
    pub inside: bool,
}

impl Filter {
    pub fn parse(query: &BTreeMap<String, String>) -> Filter {
        let word = |name: &str| query.get(name).filter(|value| !value.is_empty());
        Filter {
            namespace: word("namespace").cloned(),
            port: word("port").and_then(|port| port.parse().ok()),
            verdict: word("verdict").cloned(),
            hours: word("hours").and_then(|hours| hours.parse().ok()),
            inside: word("inside").is_some(),
        }
    }
}

/// The page.
pub fn page(frame: &Frame, view: &View, query: &BTreeMap<String, String>) -> String {
    let filter = Filter::parse(query);
    let scene = Scene::build(view, &filter);
    let mut body = form(view, &filter);
    body.push_str(&risks::first(frame, view));
    let _ = writeln!(body, "<p id=\"summary\">{}</p>", text(&scene.summary));
    if let Some(source) = view.given.graph_source.words() {
        let _ = writeln!(body, "<p id=\"source\" class=\"dim\">{}</p>", text(&source));
    }
    match scene.nodes.is_empty() {
        true => body.push_str("<p>Nothing to show.</p>\n"),
        false => {
            body.push_str(BUTTONS);
            body.push_str("<div id=\"map\" tabindex=\"0\" role=\"region\" aria-label=\"Map: drag or arrow keys pan, + and − zoom, 0 resets\">\n");
            body.push_str(&draw(frame, &scene));
            body.push_str("</div>\n");
        }
    }
    body.push_str(LEGEND);
    frame.page(Place::Map, "Map", &body)
}

fn form(view: &View, filter: &Filter) -> String {
    let mut out = String::from(
        "<form class=\"filter\" id=\"filter\">\n<label>Namespace <select name=\"namespace\">",
    );
    let names: std::collections::BTreeSet<&str> = view
        .given
        .inventory
        .workloads
        .keys()
        .map(|id| id.namespace.as_str())
        .collect();
    let option = |out: &mut String, value: &str, label: &str, chosen: bool| {
        let chosen = if chosen { " selected" } else { "" };
        let _ = write!(
            out,
            "<option value=\"{}\"{chosen}>{}</option>",
            text(value),
            text(label)
        );
    };
    option(&mut out, "", "all", filter.namespace.is_none());
    for name in names {
        option(
            &mut out,
            name,
            name,
            filter.namespace.as_deref() == Some(name),
        );
    }
    let _ = write!(
        out,
        "</select></label> <label>Port <input name=\"port\" size=\"5\" inputmode=\"numeric\" value=\"{}\"></label> \
         <label>Edges <select name=\"verdict\">",
        filter.port.map(|port| port.to_string()).unwrap_or_default()
    );
    for (value, label) in [
        ("", "all"),
        ("learned", "learned"),
        ("new", "new"),
        ("risky", "risky"),
        ("blocked", "violating"),
    ] {
        option(
            &mut out,
            value,
            label,
            filter.verdict.as_deref().unwrap_or_default() == value,
        );
    }
    let _ = write!(
        out,
        "</select></label> <label>Seen in the last <input name=\"hours\" size=\"3\" inputmode=\"numeric\" value=\"{}\"> \
         h</label> <label><input type=\"checkbox\" name=\"inside\" value=\"1\"{}> without outside</label> \
         <button>Show</button> <label>Search <input type=\"search\" id=\"search\" autocomplete=\"off\"></label>\n</form>\n",
        filter
            .hours
            .map(|hours| hours.to_string())
            .unwrap_or_default(),
        if filter.inside { " checked" } else { "" }
    );
    out
}

/// Two drawings, one above the other: boxes come first for who goes through the page with the keyboard, and
/// are above the lines all the same.
fn draw(frame: &Frame, scene: &Scene) -> String {
    let input = scene.input();
    let layout = match scene.is_overview {
        true => force(&input),
        false => layered(&input),
    };
    let (width, height) = (layout.width.ceil(), layout.height.ceil());
    let begin = |class: &str, label: &str| {
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"group\" \
             aria-label=\"{label}\">\n"
        )
    };
    let mut out = begin("boxes", "Workloads and addresses");
    boxes(&mut out, frame, scene, &layout);
    out.push_str("</svg>\n");
    out.push_str(&begin("lines", "Namespaces and connections"));
    areas(&mut out, frame, scene, &layout);
    lines(&mut out, frame, scene, &layout);
    pins(&mut out, scene, &layout);
    out.push_str("</svg>\n");
    out
}

fn areas(out: &mut String, frame: &Frame, scene: &Scene, layout: &Layout) {
    for (name, rect) in scene.groups.iter().zip(&layout.groups) {
        let Rect {
            x,
            y,
            width,
            height,
        } = *rect;
        let _ = writeln!(
            out,
            "<g class=\"area\"><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>\
             <a href=\"{}?namespace={}\"><text x=\"{}\" y=\"{}\">{}</text></a></g>",
            text(&frame.root),
            part(name),
            x + 12.0,
            y + 21.0,
            text(name)
        );
    }
}

fn lines(out: &mut String, frame: &Frame, scene: &Scene, layout: &Layout) {
    for (link, route) in scene.links.iter().zip(&layout.links) {
        if route.steps.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "<a class=\"edge {}\" data-ends=\"{} {}\" data-pin=\"{}\" href=\"{}edge?from={}&amp;to={}\"><title>{}</title>\
             <path d=\"{}\"/></a>",
            link.class,
            link.from,
            link.to,
            link.pin,
            text(&frame.root),
            part(&scene.nodes[link.from].end.id()),
            part(&scene.nodes[link.to].end.id()),
            text(&link.title),
            path_data(route),
        );
    }
}

fn boxes(out: &mut String, frame: &Frame, scene: &Scene, layout: &Layout) {
    for (node, rect) in scene.nodes.iter().zip(&layout.nodes) {
        let Rect {
            x,
            y,
            width,
            height,
        } = *rect;
        let href = match &node.end {
            End::Workload(id) => format!("{}{}", frame.root, workload_path(id)),
            End::Namespace(name) => format!("{}?namespace={}", frame.root, part(name)),
            other if node.only_calls => {
                format!("{}edge?from={}&to=any", frame.root, part(&other.id()))
            }
            other => format!("{}edge?from=any&to={}", frame.root, part(&other.id())),
        };
        let _ = writeln!(
            out,
            "<a class=\"node {}\" href=\"{}\" data-name=\"{}\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" \
             height=\"{height}\" rx=\"7\"/><text x=\"{}\" y=\"{}\">{}</text><text class=\"sub\" x=\"{}\" y=\"{}\">{}</text></a>",
            node.class,
            text(&href),
            text(&node.search),
            text(&node.title),
            x + 10.0,
            y + height / 2.0 - 3.0,
            text(&node.label),
            x + 10.0,
            y + height / 2.0 + 13.0,
            text(&node.sublabel),
        );
    }
}

/// Arrow heads and port labels where edges end.
fn pins(out: &mut String, scene: &Scene, layout: &Layout) {
    let labels: BTreeMap<usize, &Link> = scene.links.iter().map(|link| (link.pin, link)).collect();
    for pin in &layout.pins {
        let Some(link) = labels.get(&pin.pin) else {
            continue;
        };
        let side = if pin.from_right { 1.0 } else { -1.0 };
        let anchor = if pin.from_right { "start" } else { "end" };
        let (x, y) = (pin.at.x, pin.at.y);
        let _ = writeln!(
            out,
            "<g class=\"pin {}\" data-pin=\"{}\"><path d=\"M{x} {y}L{tail} {}V{}Z\"/><text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text></g>",
            link.class,
            pin.pin,
            y - 4.0,
            y + 4.0,
            x + side * 10.0,
            y - 5.0,
            text(&link.label),
            tail = x + side * 8.0,
        );
    }
}
