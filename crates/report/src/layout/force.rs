//! A drawing without a direction, after Fruchterman and Reingold (1991): linked nodes attract each other, all nodes
//! repel each other. For graphs in which everything reaches everything in circles, as namespaces do: columns would draw
//! such a circle as one long row.

use super::{Input, Layout, Link, Pin, Point, Rect, Route, Step, gap, sane};
use std::collections::{BTreeMap, BTreeSet};

/// Twice the golden section of a turn: places that follow each other are far apart (Vogel 1979).
const TURN: f64 = 2.399_963_229_728_653;
/// Width to height of the picture.
const ASPECT: f64 = 1.9;
/// How much of the picture is left empty for lines.
const AIR: f64 = 1.5;
/// Free room above and below a node.
const ABOVE: f64 = 26.0;
/// Between a node and whatever stands beside its longest label.
const BESIDE: f64 = 34.0;
/// Pairs of nodes that are looked at in all, so that time has a bound.
const PAIRS: usize = 8_000_000;

/// Lays out the graph; groups are not drawn.
pub fn force(input: &Input) -> Layout {
    let known = |link: &Link| {
        link.from != link.to && link.from < input.nodes.len() && link.to < input.nodes.len()
    };
    let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut label: f64 = 0.0;
    for link in input.links.iter().filter(|link| known(link)) {
        pairs.insert((link.from.min(link.to), link.from.max(link.to)));
        label = label.max(link.label.clamp(0.0, 400.0));
    }
    let places = settle(input.nodes.len(), &pairs);
    let mut nodes = spread(input, &places, label + BESIDE);
    part(&mut nodes, label + BESIDE);
    let corner = |at: fn(&Rect) -> f64| nodes.iter().map(at).fold(f64::INFINITY, f64::min);
    let (left, top) = (corner(|r| r.x), corner(|r| r.y));
    for rect in &mut nodes {
        rect.x = (rect.x - left + gap::MARGIN + label).round();
        rect.y = (rect.y - top + gap::MARGIN).round();
    }
    let far = |at: fn(&Rect) -> f64| nodes.iter().map(at).fold(0.0, f64::max);
    let (width, height) = (far(Rect::right), far(Rect::bottom));
    let (links, pins) = connect(input, &nodes, known);
    Layout {
        width: width + gap::MARGIN + label,
        height: height + gap::MARGIN,
        nodes,
        groups: vec![Rect::default(); input.groups],
        links,
        pins,
    }
}

/// Places around the origin, about one unit apart.
fn settle(count: usize, pairs: &BTreeSet<(usize, usize)>) -> Vec<Point> {
    let mut places: Vec<Point> = (0..count)
        .map(|index| {
            let (angle, far) = (index as f64 * TURN, (index as f64 + 0.5).sqrt());
            Point {
                x: far * angle.cos(),
                y: far * angle.sin(),
            }
        })
        .collect();
    let rounds = (PAIRS / (count * count).max(1)).clamp(30, 250);
    for round in 0..rounds {
        let mut moves = vec![Point::default(); count];
        for a in 0..count {
            for b in a + 1..count {
                push(&mut moves, &places, (a, b), |far| 1.0 / far);
            }
        }
        for pair in pairs {
            push(&mut moves, &places, *pair, |far| -far * far);
        }
        // The longest step shrinks, so that it comes to rest.
        let longest = (1.0 - round as f64 / rounds as f64).max(0.01);
        for (place, step) in places.iter_mut().zip(moves) {
            // Nodes without links do not drift away.
            let (x, y) = (step.x - place.x * 0.05, step.y - place.y * 0.05);
            let far = x.hypot(y).max(1e-9);
            place.x += x / far * far.min(longest);
            place.y += y / far * far.min(longest);
        }
    }
    places
}

/// Moves two nodes apart by a force that depends on their distance; a negative force moves them together.
fn push(moves: &mut [Point], places: &[Point], (a, b): (usize, usize), force: impl Fn(f64) -> f64) {
    let (x, y) = (places[a].x - places[b].x, places[a].y - places[b].y);
    let far = x.hypot(y).max(0.01);
    let by = force(far) / far;
    moves[a].x += x * by;
    moves[a].y += y * by;
    moves[b].x -= x * by;
    moves[b].y -= y * by;
}

/// Rectangles in a picture that is large enough for all.
fn spread(input: &Input, places: &[Point], beside: f64) -> Vec<Rect> {
    let sizes = input.nodes.iter().map(|node| sane(node, input.groups));
    let sizes: Vec<(f64, f64)> = sizes.map(|node| (node.width, node.height)).collect();
    let area: f64 = sizes
        .iter()
        .map(|(width, height)| (width + beside) * (height + ABOVE))
        .sum();
    let width = (area * AIR * ASPECT).sqrt();
    let height = width / ASPECT;
    let reach = |at: fn(&Point) -> f64| {
        let low = places.iter().map(at).fold(f64::INFINITY, f64::min);
        let high = places.iter().map(at).fold(f64::NEG_INFINITY, f64::max);
        (low, (high - low).max(1e-9))
    };
    let ((left, wide), (top, tall)) = (reach(|p| p.x), reach(|p| p.y));
    let rect = |(place, (own_width, own_height)): (&Point, (f64, f64))| Rect {
        x: (place.x - left) / wide * width - own_width / 2.0,
        y: (place.y - top) / tall * height - own_height / 2.0,
        width: own_width,
        height: own_height,
    };
    places.iter().zip(sizes).map(rect).collect()
}

/// A node with the room that it needs.
fn roomy(rect: &Rect, beside: f64) -> Rect {
    Rect {
        width: rect.width + beside,
        height: rect.height + ABOVE,
        ..*rect
    }
}

/// Moves nodes until none overlaps another.
fn part(nodes: &mut [Rect], beside: f64) {
    for _ in 0..60 {
        let mut is_still = true;
        for a in 0..nodes.len() {
            for b in a + 1..nodes.len() {
                let (one, other) = (roomy(&nodes[a], beside), roomy(&nodes[b], beside));
                if !one.overlaps(&other) {
                    continue;
                }
                is_still = false;
                let x = one.right().min(other.right()) - one.x.max(other.x);
                let y = one.bottom().min(other.bottom()) - one.y.max(other.y);
                let (x, y) = if x < y {
                    (x / 2.0, 0.0)
                } else {
                    (0.0, y / 2.0)
                };
                let (left, above) = (one.x <= other.x, one.y <= other.y);
                let side = |first: bool| if first { -1.0 } else { 1.0 };
                nodes[a].x += side(left) * x;
                nodes[b].x -= side(left) * x;
                nodes[a].y += side(above) * y;
                nodes[b].y -= side(above) * y;
            }
        }
        if is_still {
            return;
        }
    }
    // Nodes that still overlap move down, from the top on, until they do not.
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by(|a, b| nodes[*a].y.total_cmp(&nodes[*b].y).then(a.cmp(b)));
    for (at, index) in order.iter().enumerate() {
        while let Some(other) = order[..at]
            .iter()
            .map(|other| roomy(&nodes[*other], beside))
            .find(|other| other.overlaps(&roomy(&nodes[*index], beside)))
        {
            nodes[*index].y = other.bottom();
        }
    }
}

/// Lines between the sides that face each other, and the pins where they end.
fn connect(input: &Input, nodes: &[Rect], known: impl Fn(&Link) -> bool) -> (Vec<Route>, Vec<Pin>) {
    let is_right = |link: &Link| middle(&nodes[link.from]) > middle(&nodes[link.to]);
    let mut ends: BTreeMap<(usize, bool), BTreeSet<usize>> = BTreeMap::new();
    for link in input.links.iter().filter(|link| known(link)) {
        let pins = ends.entry((link.to, is_right(link))).or_default();
        pins.insert(link.pin);
    }
    let mut places: BTreeMap<(usize, bool, usize), Point> = BTreeMap::new();
    let mut pins = Vec::new();
    for ((node, from_right), own) in &ends {
        let rect = &nodes[*node];
        for (number, pin) in own.iter().enumerate() {
            let at = Point {
                x: if *from_right { rect.right() } else { rect.x },
                y: rect.y + rect.height * (number as f64 + 1.0) / (own.len() as f64 + 1.0),
            };
            places.insert((*node, *from_right, *pin), at);
            pins.push(Pin {
                node: *node,
                pin: *pin,
                at,
                from_right: *from_right,
            });
        }
    }
    let route = |link: &Link| {
        if !known(link) {
            return Route::default();
        }
        let from_right = is_right(link);
        match places.get(&(link.to, from_right, link.pin)).copied() {
            Some(start) => curve(start, &nodes[link.to], &nodes[link.from], from_right),
            None => Route::default(),
        }
    };
    (input.links.iter().map(route).collect(), pins)
}

fn middle(rect: &Rect) -> f64 {
    rect.x + rect.width / 2.0
}

/// From the server's side to the client's: to the side that faces it, or where one stands above the other to
/// the same side.
fn curve(start: Point, server: &Rect, client: &Rect, from_right: bool) -> Route {
    let outwards = if from_right { 1.0 } else { -1.0 };
    let is_beside = if from_right {
        client.x > server.right()
    } else {
        client.right() < server.x
    };
    let end = Point {
        x: if from_right == is_beside {
            client.x
        } else {
            client.right()
        },
        y: client.y + client.height / 2.0,
    };
    let bend = ((end.x - start.x).abs() / 2.0).clamp(30.0, 140.0) * outwards;
    let back = if is_beside { -bend } else { bend };
    let at = |point: Point, by: f64| Point {
        x: point.x + by,
        ..point
    };
    Route {
        start,
        steps: vec![Step::Curve(at(start, bend), at(end, back), end)],
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Node, Side};
    use super::*;
    use proptest::prelude::*;

    fn input(count: usize, links: &[(usize, usize)]) -> Input {
        let node = Node {
            width: 110.0,
            height: 44.0,
            group: None,
            side: Side::Any,
        };
        let link = |(number, (from, to)): (usize, &(usize, usize))| Link {
            from: *from,
            to: *to,
            pin: number,
            label: 50.0,
            light: false,
        };
        Input {
            nodes: vec![node; count],
            groups: 0,
            links: links.iter().enumerate().map(link).collect(),
        }
    }

    #[test]
    fn a_circle_of_twenty_is_not_one_long_row() {
        let links: Vec<_> = (0..20).map(|at| (at, (at + 1) % 20)).collect();
        let layout = force(&input(20, &links));
        let shape = layout.width / layout.height;
        assert!((0.8..4.0).contains(&shape), "{shape}");
    }

    #[test]
    fn linked_nodes_are_near_each_other() {
        // Two circles of five, and one link between them.
        let mut links: Vec<_> = (0..5).map(|at| (at, (at + 1) % 5)).collect();
        links.extend((0..5).map(|at| (5 + at, 5 + (at + 1) % 5)));
        links.push((0, 5));
        let layout = force(&input(10, &links));
        let far = |a: usize, b: usize| {
            let (a, b) = (&layout.nodes[a], &layout.nodes[b]);
            (a.x - b.x).hypot(a.y - b.y)
        };
        let mean = |pairs: &[(usize, usize)]| {
            pairs.iter().map(|(a, b)| far(*a, *b)).sum::<f64>() / pairs.len() as f64
        };
        let strangers: Vec<_> = (1..5).flat_map(|a| (6..10).map(move |b| (a, b))).collect();
        assert!(mean(&links) * 1.5 < mean(&strangers));
    }

    #[test]
    fn a_graph_without_nodes_or_with_one_is_drawn() {
        assert!(force(&Input::default()).nodes.is_empty());
        let layout = force(&input(1, &[(0, 0), (0, 7)]));
        assert_eq!(layout.nodes.len(), 1);
        assert!(layout.links.iter().all(|route| route.steps.is_empty()));
    }

    proptest! {
        #[test]
        fn nodes_never_overlap_and_lines_begin_and_end_at_their_nodes(
            count in 1usize..40,
            links in proptest::collection::vec((0usize..40, 0usize..40), 0..120),
        ) {
            let given = input(count, &links);
            let layout = force(&given);
            prop_assert_eq!(&force(&given), &layout, "the same input gives the same");
            for (a, one) in layout.nodes.iter().enumerate() {
                prop_assert!(one.x >= 0.0 && one.y >= 0.0);
                prop_assert!(one.right() <= layout.width && one.bottom() <= layout.height);
                for other in &layout.nodes[a + 1..] {
                    prop_assert!(!one.overlaps(other), "{one:?} {other:?}");
                }
            }
            for (link, route) in given.links.iter().zip(&layout.links) {
                let Some(Step::Curve(_, _, end)) = route.steps.first() else { continue };
                for (node, at) in [(link.to, &route.start), (link.from, end)] {
                    let rect = &layout.nodes[node];
                    prop_assert!(at.x == rect.x || at.x == rect.right());
                    prop_assert!(at.y >= rect.y && at.y <= rect.bottom());
                }
            }
        }
    }
}
