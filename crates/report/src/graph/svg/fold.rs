//! Keeps the picture readable: many similar peers become one node, and lines that nearly every workload has (DNS,
//! a scraper) or that a scan made become badges. Nothing is lost: the
//! badges, notes and tooltips name what they stand for, and the other formats have every edge.

use super::scene::{Style, link_tooltip};
use crate::graph::links::{Link, ports};
use crate::graph::names;
use crate::words::count;
use nanoseg_graph::{Graph, Peer};
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};

/// From this number of clients on, a DNS server is shown by badges.
const DNS_CLIENTS: usize = 3;
/// From this number on, and at least half of all workloads, so is any other server (or client).
const HUB: usize = 8;
/// At most this many similar outside peers are drawn one by one.
const LIKE_PEERS: usize = 3;
/// At most this many unlearned lines of one client are drawn one by one.
const UNLEARNED: usize = 3;
/// Ports of DNS servers as pods have them (CoreDNS also listens on 5353 or 1053 in some clusters).
const DNS_PORTS: [u16; 3] = [53, 1053, 5353];

/// The result of folding.
#[derive(Debug, Default)]
pub struct Folded<'g> {
    /// For each peer that another peer's node represents: that other peer.
    pub stands_for: BTreeMap<&'g Peer, &'g Peer>,
    /// For each peer whose node represents several: how many, itself included.
    pub sizes: BTreeMap<&'g Peer, usize>,
    /// Links that are not drawn, by index.
    pub taken: BTreeSet<usize>,
    pub badges: Vec<(&'g Peer, FoldBadge<'g>)>,
    pub notes: Vec<(&'g Peer, String)>,
    /// Peers that are not drawn, since all their lines are in a badge.
    pub hidden: BTreeSet<&'g Peer>,
    /// Badges to explain: text and meaning.
    pub legend: BTreeMap<String, String>,
}

/// A badge and its colour.
#[derive(Debug, Clone)]
pub struct FoldBadge<'g> {
    pub text: String,
    pub tooltip: String,
    /// `None` for a warning.
    pub hub: Option<&'g Peer>,
}

/// Folds a graph that has too much to draw.
pub fn fold<'g>(graph: &Graph, peers: &[&'g Peer], links: &[Link<'g>]) -> Folded<'g> {
    let mut folded = Folded::default();
    loops(graph, links, &mut folded);
    servers(graph, peers, links, &mut folded);
    clients(graph, peers, links, &mut folded);
    unlearned(graph, links, &mut folded);
    hide(peers, links, &mut folded);
    like_peers(graph, peers, links, &mut folded);
    folded
}

/// A workload that talks to itself.
fn loops<'g>(graph: &Graph, links: &[Link<'g>], folded: &mut Folded<'g>) {
    for (index, link) in links
        .iter()
        .enumerate()
        .filter(|(_, link)| link.client == link.server)
    {
        folded.taken.insert(index);
        let hub = Style::of(link.lesson).teaches().then_some(link.client);
        let badge = FoldBadge {
            text: format!("↻ {}", loop_ports(link)),
            tooltip: link_tooltip(graph, link),
            hub,
        };
        folded.badges.push((link.client, badge));
        folded
            .legend
            .insert("↻".into(), "among its own pods".into());
    }
}

/// `7000`, or `7000/UDP`: a badge does not show TCP.
fn loop_ports(link: &Link) -> String {
    link.ports_in_short().replace("/TCP", "")
}

/// Indices of drawn, taught links by one of their ends.
fn by_end<'g>(links: &[Link<'g>], folded: &Folded, server: bool) -> BTreeMap<&'g Peer, Vec<usize>> {
    let mut map: BTreeMap<&Peer, Vec<usize>> = BTreeMap::new();
    for (index, link) in links.iter().enumerate() {
        if !folded.taken.contains(&index) && Style::of(link.lesson).teaches() {
            map.entry(if server { link.server } else { link.client })
                .or_default()
                .push(index);
        }
    }
    map
}

fn is_dns(link: &Link) -> bool {
    link.ports.iter().all(|(protocol, ports)| {
        *protocol != Protocol::Sctp && ports.iter().all(|port| DNS_PORTS.contains(port))
    })
}

/// Returns true if this number is nearly all workloads.
fn nearly_all(number: usize, peers: &[&Peer]) -> bool {
    let workloads = peers
        .iter()
        .filter(|peer| peer.workload().is_some())
        .count();
    number >= HUB && 2 * number >= workloads
}

/// Servers that nearly everyone calls.
fn servers<'g>(graph: &Graph, peers: &[&'g Peer], links: &[Link<'g>], folded: &mut Folded<'g>) {
    for (server, indices) in by_end(links, folded, true) {
        let dns: Vec<usize> = indices
            .iter()
            .copied()
            .filter(|i| is_dns(&links[*i]))
            .collect();
        let clients = |list: &[usize]| {
            list.iter()
                .map(|i| links[*i].client)
                .collect::<BTreeSet<_>>()
        };
        let (indices, text) = if clients(&dns).len() >= DNS_CLIENTS {
            (dns, "DNS".to_owned())
        } else if nearly_all(clients(&indices).len(), peers) {
            (indices, names::label(graph, server))
        } else {
            continue;
        };
        let what = ports_of(links, &indices);
        let callers = clients(&indices).len() as u64;
        folded
            .notes
            .push((server, format!("from {}", count(callers, "client"))));
        folded.notes.push((server, what.clone()));
        let meaning = format!("calls {} · {what}", names::label(graph, server));
        folded.legend.entry(text.clone()).or_insert(meaning);
        take(graph, links, &indices, folded, |link| {
            (link.client, text.clone(), server)
        });
    }
}

/// Clients that call nearly everyone.
fn clients<'g>(graph: &Graph, peers: &[&'g Peer], links: &[Link<'g>], folded: &mut Folded<'g>) {
    for (client, indices) in by_end(links, folded, false) {
        let servers: BTreeSet<&Peer> = indices.iter().map(|i| links[*i].server).collect();
        if !nearly_all(servers.len(), peers) {
            continue;
        }
        let text = format!("← {}", names::label(graph, client));
        folded.notes.push((
            client,
            format!("to {}", count(servers.len() as u64, "server")),
        ));
        folded.notes.push((client, ports_of(links, &indices)));
        folded.legend.insert(
            text.clone(),
            format!("called by {}", names::label(graph, client)),
        );
        take(graph, links, &indices, folded, |link| {
            (link.server, text.clone(), client)
        });
    }
}

/// Replaces links by badges; `badge` returns the peer that gets it, its text and its colour.
fn take<'g>(
    graph: &Graph,
    links: &[Link<'g>],
    indices: &[usize],
    folded: &mut Folded<'g>,
    badge: impl Fn(&Link<'g>) -> (&'g Peer, String, &'g Peer),
) {
    let mut joined: BTreeMap<&'g Peer, FoldBadge<'g>> = BTreeMap::new();
    for index in indices {
        folded.taken.insert(*index);
        let (peer, text, hub) = badge(&links[*index]);
        let line = link_tooltip(graph, &links[*index]);
        joined
            .entry(peer)
            .and_modify(|badge| badge.tooltip.push_str(&format!("\n{line}")))
            .or_insert(FoldBadge {
                text,
                tooltip: line,
                hub: Some(hub),
            });
    }
    folded.badges.extend(joined);
}

fn ports_of(links: &[Link], indices: &[usize]) -> String {
    let mut learned: BTreeMap<Protocol, BTreeSet<u16>> = BTreeMap::new();
    let mut implied = learned.clone();
    for index in indices {
        let all = match Style::of(links[*index].lesson) {
            Style::Implied => &mut implied,
            _ => &mut learned,
        };
        for (protocol, numbers) in &links[*index].ports {
            all.entry(*protocol).or_default().extend(numbers);
        }
    }
    // The tooltips show which of them have the edge learned and which implied.
    for (protocol, numbers) in &mut implied {
        numbers.retain(|port| !learned.get(protocol).is_some_and(|all| all.contains(port)));
    }
    implied.retain(|_, numbers| !numbers.is_empty());
    match (learned.is_empty(), implied.is_empty()) {
        (_, true) => ports(&learned, 3),
        (true, false) => format!("implied {}", ports(&implied, 3)),
        (false, false) => format!("{}, implied {}", ports(&learned, 3), ports(&implied, 3)),
    }
}

/// Clients with many lines that were not learned: a scan.
fn unlearned<'g>(graph: &Graph, links: &[Link<'g>], folded: &mut Folded<'g>) {
    let mut by_client: BTreeMap<&Peer, Vec<usize>> = BTreeMap::new();
    for (index, link) in links.iter().enumerate() {
        if !Style::of(link.lesson).teaches() && !folded.taken.contains(&index) {
            by_client.entry(link.client).or_default().push(index);
        }
    }
    for (client, indices) in by_client
        .into_iter()
        .filter(|(_, list)| list.len() > UNLEARNED)
    {
        let edges: usize = indices.iter().map(|index| links[*index].edges.len()).sum();
        let mut lines: Vec<String> = indices
            .iter()
            .take(20)
            .map(|index| link_tooltip(graph, &links[*index]))
            .collect();
        if indices.len() > lines.len() {
            lines.push(format!("… and {} more", indices.len() - lines.len()));
        }
        folded.taken.extend(indices);
        let text = format!("! {edges}");
        folded.badges.push((
            client,
            FoldBadge {
                text,
                tooltip: lines.join("\n"),
                hub: None,
            },
        ));
        folded
            .legend
            .insert("! n".into(), "n targets tried, not learned".into());
    }
}

/// Outside peers that only such lines lead to.
fn hide<'g>(peers: &[&'g Peer], links: &[Link<'g>], folded: &mut Folded<'g>) {
    let ends = |taken: bool| -> BTreeSet<&Peer> {
        let wanted = links
            .iter()
            .enumerate()
            .filter(|(i, _)| folded.taken.contains(i) == taken);
        wanted
            .flat_map(|(_, link)| [link.client, link.server])
            .collect()
    };
    let (gone, drawn) = (ends(true), ends(false));
    let kept: BTreeSet<&Peer> = folded
        .badges
        .iter()
        .map(|(peer, _)| *peer)
        .chain(folded.notes.iter().map(|(p, _)| *p))
        .collect();
    let hidden = peers.iter().copied().filter(|peer| {
        peer.workload().is_none()
            && gone.contains(peer)
            && !drawn.contains(peer)
            && !kept.contains(peer)
    });
    folded.hidden = hidden.collect();
}

/// Peers without a namespace that have the same lines, or the same DNS name and the same lines.
fn like_peers<'g>(graph: &Graph, peers: &[&'g Peer], links: &[Link<'g>], folded: &mut Folded<'g>) {
    type DrawnLink<'a> = (bool, &'a Peer, Style, String);
    type Key<'a> = (&'a str, Option<&'a str>, Vec<DrawnLink<'a>>);
    let mut lines: BTreeMap<&Peer, Vec<DrawnLink>> = BTreeMap::new();
    let drawn = (0..)
        .zip(links)
        .filter(|(index, _)| !folded.taken.contains(index));
    for (_, link) in drawn {
        for (peer, other, calls) in [
            (link.client, link.server, true),
            (link.server, link.client, false),
        ] {
            if peer.workload().is_none() {
                let line = (calls, other, Style::of(link.lesson), link.ports_in_full());
                lines.entry(peer).or_default().push(line);
            }
        }
    }
    let mut bundles: BTreeMap<Key, Vec<&'g Peer>> = BTreeMap::new();
    for peer in peers.iter().copied() {
        if peer.workload().is_some() || *peer == Peer::ApiServer || folded.hidden.contains(peer) {
            continue;
        }
        let name = names::dns_names(graph, peer).first().copied();
        let key = (
            names::kind(peer),
            name,
            lines.remove(peer).unwrap_or_default(),
        );
        bundles.entry(key).or_default().push(peer);
    }
    for ((_, name, _), members) in bundles {
        let most = if name.is_some() { 1 } else { LIKE_PEERS };
        if let Some(first) = members.first().copied().filter(|_| members.len() > most) {
            folded.sizes.insert(first, members.len());
            folded
                .stands_for
                .extend(members.into_iter().map(|peer| (peer, first)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Options;
    use crate::graph::fixture::{edge, outside, refused, tcp, workload};
    use crate::graph::svg::scene::Scene;

    #[test]
    fn dns_of_many_becomes_badges_and_a_note() {
        let mut graph = Graph::default();
        let dns = workload("kube-system", "coredns", "Deployment");
        for name in ["a", "b", "c"] {
            graph.add_edge(
                &workload("shop", name, "Deployment"),
                &dns,
                edge(Protocol::Udp, 53),
            );
        }
        let scene = Scene::build(&graph, Options::default());
        assert!(scene.links.is_empty());
        assert_eq!(
            scene
                .nodes
                .iter()
                .filter(|n| n.badges.iter().any(|b| b.text == "DNS"))
                .count(),
            3
        );
        let coredns = scene
            .nodes
            .iter()
            .find(|node| node.label == "coredns")
            .unwrap();
        assert_eq!(coredns.notes, ["from 3 clients", "53/UDP"]);
    }

    #[test]
    fn a_scan_becomes_one_warning_badge() {
        let mut graph = Graph::default();
        let batch = workload("shop", "batch", "Job");
        for last in 1..40 {
            graph.add_edge(&batch, &outside(&format!("192.0.2.{last}")), refused(22));
        }
        let scene = Scene::build(&graph, Options::default());
        assert_eq!(scene.nodes.len(), 1);
        assert_eq!(scene.nodes[0].badges[0].text, "! 39");
    }

    #[test]
    fn similar_outside_addresses_are_one_node() {
        let mut graph = Graph::default();
        let app = workload("shop", "app", "Deployment");
        for last in 1..6 {
            graph.add_edge(&app, &outside(&format!("192.0.2.{last}")), tcp(443));
        }
        graph.add_edge(&app, &outside("192.0.2.9"), tcp(80));
        let scene = Scene::build(&graph, Options::default());
        assert_eq!((scene.nodes.len(), scene.links.len()), (3, 2));
        assert_eq!(scene.nodes[1].label, "5 addresses");
    }

    #[test]
    fn a_scraper_of_nearly_all_becomes_badges() {
        let mut graph = Graph::default();
        let scraper = workload("monitoring", "prometheus", "Deployment");
        for index in 0..9 {
            graph.add_edge(
                &scraper,
                &workload("shop", &format!("w{index}"), "Deployment"),
                tcp(9090),
            );
        }
        let scene = Scene::build(&graph, Options::default());
        assert!(scene.links.is_empty());
        assert_eq!(scene.nodes[1].badges[0].text, "← prometheus");
    }
}
