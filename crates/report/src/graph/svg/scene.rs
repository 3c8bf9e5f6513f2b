//! What the picture shows: nodes, lines and badges, before anything has a place.

use super::fold;
use crate::graph::links::{Link, links};
use crate::graph::{Options, names};
use crate::layout::Side;
use crate::words::count;
use nanoseg_graph::{Graph, Lesson, Peer};
use std::collections::{BTreeMap, BTreeSet};

/// The whole picture.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    pub nodes: Vec<SceneNode>,
    /// Namespaces, in order.
    pub groups: Vec<String>,
    pub links: Vec<SceneLink>,
    /// `14 workloads, 2 outside peers, 31 edges`; outside peers count if something was learned of them.
    pub summary: String,
    /// Badges that the legend explains: text and meaning.
    pub badges: BTreeMap<String, String>,
}

/// The outline of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeShape {
    Workload,
    ApiServer,
    Node,
    Outside,
    Unattributed,
}

/// One node: a peer, or several similar ones.
#[derive(Debug, Clone)]
pub struct SceneNode {
    pub shape: NodeShape,
    pub label: String,
    pub sublabel: String,
    /// Further small lines.
    pub notes: Vec<String>,
    pub badges: Vec<Badge>,
    pub group: Option<usize>,
    pub side: Side,
    pub tooltip: String,
    /// The workload's kind, empty for others.
    pub kind: String,
}

/// A pill on a node that replaces lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Badge {
    pub text: String,
    pub tooltip: String,
    pub tone: Tone,
}

/// The colour of a badge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// A namespace's.
    Hue(usize),
    Plain,
    Warning,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    Learned,
    Implied,
    Review,
    Ignored,
}

impl Style {
    pub fn of(lesson: &Lesson) -> Style {
        match lesson {
            Lesson::Learned => Style::Learned,
            Lesson::Implied(_) => Style::Implied,
            Lesson::Review(_) => Style::Review,
            Lesson::Ignored(_) => Style::Ignored,
        }
    }

    pub fn teaches(self) -> bool {
        matches!(self, Style::Learned | Style::Implied)
    }

    pub fn class(self) -> &'static str {
        match self {
            Style::Learned => "learned",
            Style::Implied => "implied",
            Style::Review => "review",
            Style::Ignored => "ignored",
        }
    }
}

/// One line.
#[derive(Debug, Clone)]
pub struct SceneLink {
    pub from: usize,
    pub to: usize,
    pub style: Style,
    /// Lines to the same node with the same style and label share a pin.
    pub pin: usize,
    pub label: String,
    pub tooltip: String,
    /// The client's namespace, if the line leaves it.
    pub hue: Option<usize>,
}

impl Scene {
    pub fn build(graph: &Graph, options: Options) -> Scene {
        let edges = names::shown(graph, options);
        let peers = names::shown_peers(graph, &edges, options);
        let all = links(&edges);
        let groups: BTreeSet<&str> = peers
            .iter()
            .filter_map(|peer| peer.workload())
            .map(|w| w.namespace.as_str())
            .collect();
        let groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
        let folded = fold::fold(graph, &peers, &all);
        let mut scene = Scene {
            groups,
            summary: summary(graph, options),
            ..Scene::default()
        };
        let ids = scene.add_nodes(graph, &peers, &folded);
        scene.add_badges(&folded, &ids);
        scene.add_links(graph, &all, &folded, &ids);
        scene.set_sides();
        scene
    }

    /// One node per bundle of peers; returns the node of each peer.
    fn add_nodes<'g>(
        &mut self,
        graph: &Graph,
        peers: &[&'g Peer],
        folded: &fold::Folded<'g>,
    ) -> BTreeMap<&'g Peer, usize> {
        let mut ids = BTreeMap::new();
        for peer in peers
            .iter()
            .copied()
            .filter(|peer| !folded.hidden.contains(peer))
        {
            let first = folded.stands_for.get(peer).copied().unwrap_or(peer);
            if let Some(id) = ids.get(first).copied() {
                ids.insert(peer, id);
                if let Some(node) = self.nodes.get_mut(id) {
                    bundle(node, peer, graph);
                }
                continue;
            }
            ids.insert(peer, self.nodes.len());
            let node = self.node(graph, peer);
            self.nodes.push(node);
        }
        for (first, number) in &folded.sizes {
            if let Some(node) = ids.get(first).and_then(|id| self.nodes.get_mut(*id)) {
                name_bundle(node, first, graph, *number as u64);
            }
        }
        ids
    }

    fn node(&self, graph: &Graph, peer: &Peer) -> SceneNode {
        let namespace = peer.workload().map(|w| w.namespace.as_str());
        SceneNode {
            shape: match peer {
                Peer::Workload(_) => NodeShape::Workload,
                Peer::ApiServer => NodeShape::ApiServer,
                Peer::Node(_) => NodeShape::Node,
                Peer::Outside(_) => NodeShape::Outside,
                Peer::Unattributed(_) => NodeShape::Unattributed,
            },
            label: names::label(graph, peer),
            sublabel: names::sublabel(graph, peer),
            notes: Vec::new(),
            badges: Vec::new(),
            group: namespace.and_then(|name| self.groups.iter().position(|group| group == name)),
            side: Side::Any,
            tooltip: tooltip(graph, peer),
            kind: peer.workload().map(|w| w.kind.clone()).unwrap_or_default(),
        }
    }

    fn add_badges(&mut self, folded: &fold::Folded, ids: &BTreeMap<&Peer, usize>) {
        for (peer, badge) in &folded.badges {
            let group = |hub| ids.get(hub).and_then(|id| self.nodes.get(*id)?.group);
            let tone = match badge.hub {
                None => Tone::Warning,
                Some(hub) => group(hub).map_or(Tone::Plain, Tone::Hue),
            };
            if let Some(node) = ids.get(peer).and_then(|id| self.nodes.get_mut(*id)) {
                let (text, tooltip) = (badge.text.clone(), badge.tooltip.clone());
                let badge = Badge {
                    text,
                    tooltip,
                    tone,
                };
                if !node.badges.contains(&badge) {
                    node.badges.push(badge);
                }
            }
        }
        for (peer, note) in &folded.notes {
            if let Some(node) = ids.get(peer).and_then(|id| self.nodes.get_mut(*id)) {
                node.notes.push(note.clone());
            }
        }
        self.badges = folded.legend.clone();
    }

    fn add_links(
        &mut self,
        graph: &Graph,
        all: &[Link],
        folded: &fold::Folded,
        ids: &BTreeMap<&Peer, usize>,
    ) {
        let mut pins: BTreeMap<(usize, Style, String), usize> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (index, link) in all
            .iter()
            .enumerate()
            .filter(|(index, _)| !folded.taken.contains(index))
        {
            let (Some(from), Some(to)) = (ids.get(link.client), ids.get(link.server)) else {
                continue;
            };
            let (style, label) = (Style::of(link.lesson), link.ports_in_short());
            let next = pins.len();
            let pin = *pins.entry((*to, style, label.clone())).or_insert(next);
            // Peers in one bundle have the same lines: the first represents all.
            if !seen.insert((*from, *to, pin)) {
                continue;
            }
            let group = |node: usize| self.nodes.get(node).and_then(|node| node.group);
            let hue = group(*from).filter(|_| group(*from) != group(*to) && style.teaches());
            let tooltip = link_tooltip(graph, &all[index]);
            self.links.push(SceneLink {
                from: *from,
                to: *to,
                style,
                pin,
                label,
                tooltip,
                hue,
            });
        }
    }

    /// Peers outside namespaces are at the left if they only call, else at the right.
    fn set_sides(&mut self) {
        let called: BTreeSet<usize> = self.links.iter().map(|link| link.to).collect();
        let calls: BTreeSet<usize> = self.links.iter().map(|link| link.from).collect();
        for (index, node) in self
            .nodes
            .iter_mut()
            .enumerate()
            .filter(|(_, n)| n.group.is_none())
        {
            let only_calls = calls.contains(&index) && !called.contains(&index);
            node.side = if only_calls { Side::First } else { Side::Last };
        }
    }
}

/// Adds one more peer to a node of several.
fn bundle(node: &mut SceneNode, peer: &Peer, graph: &Graph) {
    const MOST_LINES: usize = 30;
    match node.tooltip.lines().count() {
        lines if lines < MOST_LINES => {
            node.tooltip.push('\n');
            node.tooltip.push_str(&tooltip(graph, peer));
        }
        lines if lines == MOST_LINES => node.tooltip.push_str("\n…"),
        _ => {}
    }
}

/// Writes on a node how many peers it represents.
fn name_bundle(node: &mut SceneNode, first: &Peer, graph: &Graph, number: u64) {
    let named = !names::dns_names(graph, first).is_empty();
    match node.shape {
        NodeShape::Outside if named => {
            node.sublabel = format!("outside · {}", count(number, "address"))
        }
        NodeShape::Outside => node.label = count(number, "address"),
        NodeShape::Node => node.label = count(number, "node"),
        NodeShape::Unattributed => node.label = count(number, "unnamed peer"),
        NodeShape::Workload | NodeShape::ApiServer => {}
    }
}

fn tooltip(graph: &Graph, peer: &Peer) -> String {
    let mut text = match peer {
        Peer::Workload(workload) => format!("{workload} ({})", workload.kind),
        other => other.to_string(),
    };
    let names = names::dns_names(graph, peer);
    if !names.is_empty() {
        text.push_str(&format!(" ({})", names.join(", ")));
    }
    text
}

/// `shop/web → shop/app: 8080/TCP, 3 connections`, and why it is not solid.
pub fn link_tooltip(graph: &Graph, link: &Link) -> String {
    let name = |peer: &Peer| match names::dns_names(graph, peer).first() {
        Some(name) => (*name).to_owned(),
        None => peer.to_string(),
    };
    let connections: u64 = link.edges.iter().map(|edge| edge.connections()).sum();
    let mut text = format!(
        "{} → {}: {}",
        name(link.client),
        name(link.server),
        link.ports_in_full()
    );
    if connections > 0 {
        text.push_str(&format!(", {}", count(connections, "connection")));
    }
    if let Some(reason) = names::reason(link.lesson) {
        text.push_str(&format!("; {}: {reason}", names::lesson(link.lesson)));
    }
    text
}

fn summary(graph: &Graph, options: Options) -> String {
    let edges = graph.edges();
    let of = |wanted: Style| {
        edges
            .iter()
            .filter(|e| Style::of(&e.2.lesson) == wanted)
            .count() as u64
    };
    let workloads = graph
        .peers()
        .filter(|peer| peer.workload().is_some())
        .count() as u64;
    let taught = edges.iter().filter(|(_, _, edge)| edge.lesson.teaches());
    let outside: BTreeSet<&Peer> = taught
        .flat_map(|(client, server, _)| [*client, *server])
        .filter(|peer| matches!(peer, Peer::Outside(_)))
        .collect();
    let mut text = count(workloads, "workload");
    if !outside.is_empty() {
        text.push_str(&format!(
            ", {}",
            count(outside.len() as u64, "outside peer")
        ));
    }
    text.push_str(&format!(", {}", count(of(Style::Learned), "edge")));
    if of(Style::Implied) > 0 {
        text.push_str(&format!(", {} implied", of(Style::Implied)));
    }
    let unlearned = of(Style::Review) + of(Style::Ignored);
    if unlearned > 0 && !options.only_learned {
        text.push_str(&format!(" · {unlearned} seen but not learned"));
    }
    text
}
