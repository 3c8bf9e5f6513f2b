//! The map as SVG.

use super::end::End;
use super::node::MapNode;
use super::scene::{MapLink, MapScene};
use crate::report::graph::svg::path_data;
use crate::report::layout::{Layout, Rect, force, layered};
use crate::web::html::{Frame, part};
use crate::web::view::workload_path;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Two drawings, one above the other: boxes come first in the document for keyboard users, and are shown above the
/// lines all the same.
pub fn draw(frame: &Frame, scene: &MapScene) -> Markup {
    let input = scene.input();
    let layout = if scene.is_overview {
        force(&input)
    } else {
        layered(&input)
    };
    let drawing = |class: &str, label: &str, content: Markup| {
        let (width, height) = (layout.width.ceil(), layout.height.ceil());
        html! {
            svg class=(class) viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="group"
                aria-label=(label) {
                "\n" (content)
            }
            "\n"
        }
    };
    let lines = html! {
        (areas(frame, scene, &layout))
        (lines(frame, scene, &layout))
        (pins(scene, &layout))
    };
    html! {
        (drawing("boxes", "Workloads and addresses", boxes(frame, scene, &layout)))
        (drawing("lines", "Namespaces and connections", lines))
    }
}

/// A box with rounded corners.
fn rect(rect: &Rect, radius: u32) -> Markup {
    let Rect {
        x,
        y,
        width,
        height,
    } = *rect;
    html! { rect x=(x) y=(y) width=(width) height=(height) rx=(radius) {} }
}

fn areas(frame: &Frame, scene: &MapScene, layout: &Layout) -> Markup {
    html! {
        @for (name, area) in scene.groups.iter().zip(&layout.groups) {
            g.area {
                (rect(area, 10))
                a href={ (frame.root) "?namespace=" (part(name)) } {
                    text x=(area.x + 12.0) y=(area.y + 21.0) { (name) }
                }
            }
            "\n"
        }
    }
}

fn lines(frame: &Frame, scene: &MapScene, layout: &Layout) -> Markup {
    let end = |place: usize| part(&scene.nodes[place].end.id());
    let links = scene.links.iter().zip(&layout.links);
    html! {
        @for (link, route) in links.filter(|(_, route)| !route.steps.is_empty()) {
            a class={ "edge " (link.class) } data-ends={ (link.from) " " (link.to) } data-pin=(link.pin)
                href={ (frame.root) "edge?from=" (end(link.from)) "&to=" (end(link.to)) } {
                title { (link.title) }
                path d=(path_data(route)) {}
            }
            "\n"
        }
    }
}

/// The page that a box links to.
fn target(frame: &Frame, node: &MapNode) -> String {
    let root = &frame.root;
    match &node.end {
        End::Workload(id) => format!("{root}{}", workload_path(id)),
        End::Namespace(name) => format!("{root}?namespace={}", part(name)),
        other if node.only_calls => format!("{root}edge?from={}&to=any", part(&other.id())),
        other => format!("{root}edge?from=any&to={}", part(&other.id())),
    }
}

fn boxes(frame: &Frame, scene: &MapScene, layout: &Layout) -> Markup {
    html! {
        @for (node, place) in scene.nodes.iter().zip(&layout.nodes) {
            @let x = place.x + 10.0;
            @let middle = place.y + place.height / 2.0;
            a class={ "node " (node.class) } href=(target(frame, node)) data-name=(node.search) {
                title { (node.title) }
                (rect(place, 7))
                text x=(x) y=(middle - 3.0) { (node.label) }
                text.sub x=(x) y=(middle + 13.0) { (node.sublabel) }
            }
            "\n"
        }
    }
}

/// Arrow heads and port labels where edges end.
fn pins(scene: &MapScene, layout: &Layout) -> Markup {
    let labels: BTreeMap<usize, &MapLink> =
        scene.links.iter().map(|link| (link.pin, link)).collect();
    html! {
        @for pin in &layout.pins {
            @if let Some(link) = labels.get(&pin.pin) {
                @let side = if pin.from_right { 1.0 } else { -1.0 };
                @let anchor = if pin.from_right { "start" } else { "end" };
                @let (x, y) = (pin.at.x, pin.at.y);
                @let tail = x + side * 8.0;
                g class={ "pin " (link.class) } data-pin=(pin.pin) {
                    path d={ "M" (x) " " (y) "L" (tail) " " (y - 4.0) "V" (y + 4.0) "Z" } {}
                    text x=(x + side * 10.0) y=(y - 5.0) text-anchor=(anchor) { (link.label) }
                }
                "\n"
            }
        }
    }
}
