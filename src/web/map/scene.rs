//! The content of the map before anything has a place: nodes, and arrows between them.

use super::Filter;
use super::end::End;
use super::folding::Folding;
use super::kind::{EdgeKind, MapEdge, wanted_edges};
use super::node::{InnerKinds, MapNode, Role, inner_kinds};
use crate::graph::{Graph, Peer};
use crate::net::Protocol;
use crate::report::layout::{Input, Link as LayoutLink};
use crate::report::words::{count, thousands};
use crate::web::edge;
use crate::web::view::View;
use std::collections::{BTreeMap, BTreeSet};

/// At most this many ports are listed in the title of an arrow.
const MOST_PORTS: usize = 8;

/// One arrow: all edges between two boxes.
#[derive(Debug)]
pub struct MapLink {
    pub from: usize,
    pub to: usize,
    pub pin: usize,
    pub label: String,
    pub title: String,
    pub class: &'static str,
}

/// The whole map.
#[derive(Debug, Default)]
pub struct MapScene {
    pub nodes: Vec<MapNode>,
    pub groups: Vec<String>,
    pub links: Vec<MapLink>,
    pub summary: String,
    /// The map is of namespaces, which call each other in circles.
    pub is_overview: bool,
}

/// All edges between two ends.
#[derive(Default)]
struct Sum {
    ports: BTreeSet<(Protocol, u16)>,
    connections: u64,
    kind: Option<EdgeKind>,
}

type Sums = BTreeMap<(End, End), Sum>;

fn sums(edges: &[MapEdge<'_>], folding: &Folding<'_>) -> Sums {
    let mut sums = Sums::new();
    for one in edges {
        let ends = (folding.end(one.client), folding.end(one.server));
        let sum = sums.entry(ends).or_default();
        sum.ports.insert((one.edge.protocol, one.edge.port));
        sum.connections += one.edge.connections();
        sum.kind = sum.kind.max(Some(one.kind));
    }
    sums
}

impl MapScene {
    pub fn build(view: &View, filter: &Filter) -> MapScene {
        let graph = &view.given.graph;
        let edges = wanted_edges(view, filter);
        let folding = Folding::of(view, filter, &edges);
        let sums = sums(&edges, &folding);
        let both = sums.keys().flat_map(|(a, b)| [a.clone(), b.clone()]);
        let mut ends: BTreeSet<End> = both.collect();
        // A map of workloads also has those that were never seen.
        if filter.port.is_none() && filter.verdict.is_none() && filter.hours.is_none() {
            let wanted = |namespace: &str| match &filter.namespace {
                Some(name) => namespace == name,
                None => true,
            };
            let all = view.given.inventory.workloads.keys();
            let all = all.filter(|id| wanted(&id.namespace));
            ends.extend(all.map(|id| folding.end(&Peer::Workload(id.clone()))));
        }
        let mut scene = MapScene {
            is_overview: folding.by_namespace && filter.namespace.is_none(),
            summary: format!(
                "{} of {}, {}",
                thousands(edges.len() as u64),
                count(graph.edges().len() as u64, "edge"),
                count(view.given.inventory.workloads.len() as u64, "workload"),
            ),
            ..MapScene::default()
        };
        let places = scene.add_nodes(view, ends, &sums, &inner_kinds(&edges));
        scene.add_links(graph, &sums, &places);
        scene
    }

    /// Returns the place of each end in `nodes`.
    fn add_nodes(
        &mut self,
        view: &View,
        ends: BTreeSet<End>,
        sums: &Sums,
        inner: &InnerKinds<'_>,
    ) -> BTreeMap<End, usize> {
        let namespace = |end: &End| match end {
            End::Workload(id) => Some(id.namespace.clone()),
            _ => None,
        };
        let groups: BTreeSet<String> = ends.iter().filter_map(namespace).collect();
        self.groups = groups.into_iter().collect();
        let calls: BTreeSet<&End> = sums.keys().map(|(client, _)| client).collect();
        let called: BTreeSet<&End> = sums.keys().map(|(_, server)| server).collect();
        let mut places = BTreeMap::new();
        for end in ends {
            let own = namespace(&end);
            let role = Role {
                calls: calls.contains(&end),
                is_called: called.contains(&end),
                group: own.and_then(|own| self.groups.iter().position(|name| *name == own)),
            };
            places.insert(end.clone(), self.nodes.len());
            self.nodes.push(MapNode::new(view, end, inner, &role));
        }
        places
    }

    fn add_links(&mut self, graph: &Graph, sums: &Sums, places: &BTreeMap<End, usize>) {
        let mut pins: BTreeMap<(usize, String, &str), usize> = BTreeMap::new();
        for ((client, server), sum) in sums {
            let (Some(from), Some(to)) = (places.get(client), places.get(server)) else {
                continue;
            };
            let ports: Vec<String> = sum
                .ports
                .iter()
                .map(|(protocol, port)| format!("{port}/{protocol}"))
                .collect();
            let label = match ports.as_slice() {
                [] => String::new(),
                [one] => one.clone(),
                [one, two] => format!("{one}, {two}"),
                [one, rest @ ..] => format!("{one} +{}", rest.len()),
            };
            let kind = sum.kind.unwrap_or(EdgeKind::Learned);
            let next = pins.len();
            let pin = (*to, label.clone(), kind.class());
            let pin = *pins.entry(pin).or_insert(next);
            let shown: Vec<&str> = ports.iter().take(MOST_PORTS).map(String::as_str).collect();
            self.links.push(MapLink {
                from: *from,
                to: *to,
                pin,
                title: format!(
                    "{} → {}: {}{}, {}, {}",
                    edge::title(graph, client),
                    edge::title(graph, server),
                    shown.join(", "),
                    if ports.len() > MOST_PORTS { " …" } else { "" },
                    count(sum.connections, "connection"),
                    kind.word()
                ),
                label,
                class: kind.class(),
            });
        }
    }

    /// For the layout.
    pub fn input(&self) -> Input {
        let link = |link: &MapLink| LayoutLink {
            from: link.from,
            to: link.to,
            pin: link.pin,
            label: link.label.chars().count() as f64 * 6.4,
            light: link.class == "risky",
        };
        Input {
            nodes: self.nodes.iter().map(MapNode::input).collect(),
            groups: self.groups.len(),
            links: self.links.iter().map(link).collect(),
        }
    }
}
