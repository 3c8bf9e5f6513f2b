//! The drawing itself: rectangles, pins and routes, from the places of items.

use super::columns::Columns;
use super::mesh::Mesh;
use super::place::Lane;
use super::rows::Rows;
use super::{Input, Layout, Pin, Point, Rect, Route, Step, gap};

/// Puts everything together.
pub fn layout(
    input: &Input,
    mesh: &Mesh,
    columns: &Columns,
    lanes: &[Lane],
    rows: &Rows,
) -> Layout {
    let nodes: Vec<Rect> = (0..input.nodes.len())
        .map(|node| node_rect(mesh, columns, node))
        .collect();
    let mut links = vec![Route::default(); input.links.len()];
    for (index, path) in &mesh.paths {
        links[*index] = route(mesh, columns, path);
    }
    let pins = mesh
        .slots
        .iter()
        .filter_map(|slot| {
            let rect = nodes[slot.item];
            let x = if slot.at_right { rect.right() } else { rect.x };
            let at = Point {
                x,
                y: mesh.items[slot.item].y + slot.offset,
            };
            Some(Pin {
                node: slot.item,
                pin: slot.pin?,
                at,
                from_right: slot.at_right,
            })
        })
        .collect();
    let groups = (0..input.groups)
        .map(|group| group_rect(input, mesh, columns, group))
        .collect();
    let last = lanes.last().map_or(0.0, |lane| lane.bottom);
    Layout {
        width: columns.width.max(2.0 * gap::MARGIN),
        height: height(&nodes, last, rows),
        nodes,
        groups,
        links,
        pins,
    }
}

fn height(nodes: &[Rect], lanes: f64, rows: &Rows) -> f64 {
    let border = if rows.grouped.last().copied().unwrap_or(false) {
        gap::GROUP
    } else {
        0.0
    };
    let lowest = nodes
        .iter()
        .map(|rect| rect.bottom() + border)
        .fold(lanes, f64::max);
    lowest + gap::MARGIN
}

fn node_rect(mesh: &Mesh, columns: &Columns, node: usize) -> Rect {
    let item = &mesh.items[node];
    let column = &columns.columns[item.column];
    let y = item.y - (item.height / 2.0).round();
    Rect {
        x: column.x,
        y,
        width: column.width,
        height: item.height,
    }
}

/// Around the group's nodes, the labels at its left, and the lines that pass between its nodes.
fn group_rect(input: &Input, mesh: &Mesh, columns: &Columns, group: usize) -> Rect {
    let members: Vec<usize> = (0..input.nodes.len())
        .filter(|node| input.nodes[*node].group == Some(group))
        .collect();
    let Some(first) = members.first() else {
        return Rect::default();
    };
    let lane = mesh.items[*first].lane;
    let span = members.iter().map(|node| mesh.items[*node].column);
    let (low, high) = (span.clone().min().unwrap_or(0), span.max().unwrap_or(0));
    let (mut top, mut bottom) = (f64::MAX, f64::MIN);
    for item in &mesh.items {
        if item.lane == lane && (low..=high).contains(&item.column) {
            top = top.min(item.y - item.height / 2.0);
            bottom = bottom.max(item.y + item.height / 2.0);
        }
    }
    let (left, right) = (&columns.columns[low], &columns.columns[high]);
    let labels = |at_right: bool, column: usize| {
        let own = |slot: &&super::mesh::Slot| {
            slot.at_right == at_right
                && members.contains(&slot.item)
                && mesh.items[slot.item].column == column
        };
        let widest = mesh
            .slots
            .iter()
            .filter(own)
            .filter(|slot| slot.pin.is_some());
        widest
            .map(|slot| slot.label + gap::ARROW)
            .fold(0.0, f64::max)
    };
    let x = left.x - labels(false, low) - gap::GROUP;
    let end = right.x + right.width + labels(true, high) + gap::GROUP;
    Rect {
        x,
        y: (top - gap::TITLE).round(),
        width: end - x,
        height: (bottom + gap::GROUP).round() - (top - gap::TITLE).round(),
    }
}

/// The route of a path of segments (client to server), listed from the server's end.
fn route(mesh: &Mesh, columns: &Columns, path: &[usize]) -> Route {
    let mut route = Route::default();
    for (number, segment) in path.iter().rev().enumerate() {
        let segment = &mesh.segments[*segment];
        let (left, right) = (&mesh.items[segment.left], &mesh.items[segment.right]);
        let zone = columns.columns[left.column].bend;
        let a = Point {
            x: zone.0,
            y: left.y + mesh.end_offset(segment, true),
        };
        let b = Point {
            x: zone.1,
            y: right.y + mesh.end_offset(segment, false),
        };
        let left_side = {
            let column = &columns.columns[left.column];
            Point {
                x: column.x + column.width,
                y: a.y,
            }
        };
        let right_side = Point {
            x: columns.columns[right.column].x,
            y: b.y,
        };
        // The server of a backward link is at the left: then the route begins at the left end.
        let backwards = mesh.paths_backwards(path);
        let (start, near, far, end) = if backwards {
            (left_side, a, b, right_side)
        } else {
            (right_side, b, a, left_side)
        };
        if number == 0 {
            route.start = start;
        }
        route.steps.push(Step::Line(near));
        if near.y == far.y {
            route.steps.push(Step::Line(far));
        } else {
            let middle = (near.x + far.x) / 2.0;
            let (c1, c2) = (
                Point {
                    x: middle,
                    y: near.y,
                },
                Point {
                    x: middle,
                    y: far.y,
                },
            );
            route.steps.push(Step::Curve(c1, c2, far));
        }
        if number + 1 == path.len() {
            route.steps.push(Step::Line(end));
        }
    }
    route
}

impl Mesh {
    /// Returns true if a path runs from right to left: then its pin is on the server's right side.
    fn paths_backwards(&self, path: &[usize]) -> bool {
        let Some(last) = path.last().map(|segment| &self.segments[*segment]) else {
            return false;
        };
        last.left_slot
            .is_some_and(|slot| self.slots[slot].pin.is_some())
    }
}

#[cfg(test)]
mod tests {
    use crate::layout::{Input, Layout, Link, Node, Pin, Rect, Route, Side, Step, layered};
    use proptest::prelude::*;

    fn input(nodes: &[Option<usize>], links: &[(usize, usize)], groups: usize) -> Input {
        Input {
            nodes: nodes
                .iter()
                .map(|group| Node {
                    width: 120.0,
                    height: 44.0,
                    group: *group,
                    side: Side::Any,
                })
                .collect(),
            groups,
            links: links
                .iter()
                .map(|(from, to)| Link {
                    from: *from,
                    to: *to,
                    pin: *from % 2,
                    label: 50.0,
                    light: false,
                })
                .collect(),
        }
    }

    #[test]
    fn an_empty_graph_gives_an_empty_drawing() {
        let layout = layered(&Input::default());
        assert!(layout.nodes.is_empty() && layout.width > 0.0 && layout.height > 0.0);
    }

    #[test]
    fn self_links_and_unknown_nodes_get_empty_routes() {
        let layout = layered(&input(&[None], &[(0, 0), (0, 7)], 0));
        assert!(layout.links.iter().all(|route| route.steps.is_empty()));
    }

    /// Where the label of each pin stands, as `svg::draw` writes it.
    fn labels(input: &Input, layout: &Layout) -> Vec<Rect> {
        let place = |pin: &Pin| {
            let link = input
                .links
                .iter()
                .find(|l| (l.to, l.pin) == (pin.node, pin.pin));
            let width = link.map_or(0.0, |link| link.label);
            let x = if pin.from_right {
                pin.at.x + 10.0
            } else {
                pin.at.x - 10.0 - width
            };
            Rect {
                x,
                y: pin.at.y - 15.0,
                width,
                height: 12.0,
            }
        };
        layout.pins.iter().map(place).collect()
    }

    /// The level pieces of a route: from x, to x, y.
    fn level_pieces(route: &Route) -> Vec<(f64, f64, f64)> {
        let mut at = route.start;
        let mut pieces = Vec::new();
        for step in &route.steps {
            let to = match step {
                Step::Line(to) => {
                    pieces.push((at.x.min(to.x), at.x.max(to.x), to.y));
                    *to
                }
                Step::Curve(_, _, to) => *to,
            };
            at = to;
        }
        pieces
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_label_or_node_is_crossed_by_a_line_or_touched_by_a_label(
            groups in prop::collection::vec(prop::option::of(0usize..3), 1..20),
            pairs in prop::collection::vec((0usize..20, 0usize..20), 0..60),
        ) {
            let links: Vec<(usize, usize)> =
                pairs.iter().map(|(a, b)| (a % groups.len(), b % groups.len())).collect();
            let input = input(&groups, &links, 3);
            let layout = layered(&input);
            let labels = labels(&input, &layout);
            let mut solid = layout.nodes.clone();
            solid.extend(&labels);
            for (number, label) in labels.iter().enumerate() {
                let others = solid.iter().enumerate().filter(|(i, _)| *i != layout.nodes.len() + number);
                for (_, other) in others {
                    prop_assert!(!label.overlaps(other), "{:?} {:?}", label, other);
                }
            }
            for (from, to, y) in layout.links.iter().flat_map(level_pieces) {
                let line = Rect { x: from, y, width: to - from, height: 0.1 };
                for rect in &solid {
                    prop_assert!(!line.overlaps(rect), "{:?} {:?}", line, rect);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn nodes_and_groups_never_overlap_and_every_link_is_drawn(
            groups in prop::collection::vec(prop::option::of(0usize..4), 1..24),
            pairs in prop::collection::vec((0usize..24, 0usize..24), 0..50),
        ) {
            let links: Vec<(usize, usize)> =
                pairs.iter().map(|(a, b)| (a % groups.len(), b % groups.len())).collect();
            let input = input(&groups, &links, 4);
            let layout = layered(&input);
            prop_assert_eq!(&layout, &layered(&input));
            for (i, a) in layout.nodes.iter().enumerate() {
                for b in &layout.nodes[i + 1..] {
                    prop_assert!(!a.overlaps(b), "{:?} {:?}", a, b);
                }
            }
            let real: Vec<&Rect> = layout.groups.iter().filter(|g| g.width > 0.0).collect();
            for (i, a) in real.iter().enumerate() {
                for b in &real[i + 1..] {
                    prop_assert!(!a.overlaps(b), "{:?} {:?}", a, b);
                }
            }
            for (node, rect) in input.nodes.iter().zip(&layout.nodes) {
                for (group, outer) in layout.groups.iter().enumerate() {
                    prop_assert_eq!(node.group == Some(group), outer.overlaps(rect) , "{:?} {:?}", outer, rect);
                }
                prop_assert!(rect.right() <= layout.width && rect.bottom() <= layout.height);
                prop_assert!(rect.x >= 0.0 && rect.y >= 0.0);
            }
            for (link, route) in input.links.iter().zip(&layout.links) {
                if link.from == link.to { continue; }
                let Some(Step::Line(end)) = route.steps.last() else { panic!("no route") };
                let (from, to) = (layout.nodes[link.from], layout.nodes[link.to]);
                prop_assert!(end.x == from.x || end.x == from.right());
                prop_assert!(route.start.x == to.x || route.start.x == to.right());
                prop_assert!(end.y >= from.y && end.y <= from.bottom());
                prop_assert!(route.start.y >= to.y && route.start.y <= to.bottom());
            }
        }
    }
}
