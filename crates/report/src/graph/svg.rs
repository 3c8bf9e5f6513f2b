//! SVG: the graph as a picture, self-contained, light and dark, readable by screen readers.
//!
//! [`scene`] decides what is shown (which node represents which peers, what becomes a badge), [`layout`](crate::layout)
//! where, [`draw`] how. Positions are whole pixels wherever possible and nothing depends on installed
//! fonts: text widths are estimates on the safe side.

mod draw;
mod fold;
#[cfg(test)]
mod gallery;
mod icons;
mod legend;
mod scene;
mod style;
mod text;

pub use draw::path as path_data;

use super::Options;
use crate::layout::{self, Input, Link, Node};
use nanoseg_graph::Graph;
use scene::Scene;

/// The graph as an SVG document.
pub fn svg(graph: &Graph, options: Options) -> String {
    let scene = Scene::build(graph, options);
    let layout = layout::layered(&input(&scene));
    draw::draw(&scene, &layout)
}

fn input(scene: &Scene) -> Input {
    Input {
        nodes: scene
            .nodes
            .iter()
            .map(|node| {
                let (width, height) = draw::node_size(node);
                Node {
                    width,
                    height,
                    group: node.group,
                    side: node.side,
                }
            })
            .collect(),
        groups: scene.groups.len(),
        links: scene
            .links
            .iter()
            .map(|link| Link {
                from: link.from,
                to: link.to,
                pin: link.pin,
                label: text::width(&link.label, draw::PORT_FONT),
                light: !link.style.teaches(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    #[test]
    fn the_picture_names_everything_for_eyes_and_screen_readers() {
        let text = svg(&fixture::shop(false), Options::default());
        for part in [
            "role=\"img\"",
            "aria-label=\"Communication graph: 4 workloads, 1 outside peer, 6 edges, 1 implied · 1 seen but not learned\"",
            ">8080/TCP</text>",
            ">6379, 6380/TCP</text>",
            "<title>shop/web → shop/app: 8080/TCP, 3 connections</title>",
            ">api.pay.example</text>",
            ">seen, not learned</text>",
            ">implied</text>",
            "prefers-color-scheme:dark",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    /// With `NANOSEG_GALLERY=crates/report/src/graph/svg` the golden file is made again.
    #[test]
    fn the_small_shop_is_drawn_as_in_the_golden_file() {
        let text = svg(&fixture::shop(false), Options::default());
        gallery::show("golden", &text);
        assert!(
            text == include_str!("svg/golden.svg"),
            "the picture changed: look at it anew"
        );
    }

    #[test]
    fn the_picture_needs_nothing_from_elsewhere() {
        let text = svg(&fixture::shop(false), Options::default());
        for part in [
            "href",
            "url(",
            "@import",
            "<script",
            "<image",
            "<foreignObject",
        ] {
            assert!(!text.contains(part), "{part}");
        }
        assert_eq!(text.matches("http").count(), 1, "only the namespace");
    }

    #[test]
    fn hostile_names_are_not_markup() {
        let text = svg(&fixture::hostile(), Options::default());
        assert!(!text.contains("<script") && !text.contains("<b>"), "{text}");
    }

    #[test]
    fn only_learned_leaves_out_what_was_not() {
        let text = svg(&fixture::shop(false), Options { only_learned: true });
        assert!(!text.contains(">22/TCP<") && !text.contains(">seen, not learned<"));
    }
}
