//! Flow records → graph: attribute each record, gather edges, decide what each teaches.

use super::attribute::{Attributed, Attribution, PeerKey, Target, Through};
use super::edge::{Edge, Evidence};
use super::history::History;
use super::{Graph, Peer, findings, implied, scan};
use nanoseg_finding::Finding;
use nanoseg_flow::{FlowRecord, FlowResult, Popularity};
use nanoseg_inventory::Inventory;
use nanoseg_net::Protocol;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What an operator may switch.
#[derive(Debug, Clone, Copy)]
pub struct GraphOptions {
    /// Allow DNS over TCP where DNS over UDP was seen (rule: dns-over-tcp-implied).
    pub implied_dns: bool,
}

impl Default for GraphOptions {
    fn default() -> Self {
        GraphOptions { implied_dns: true }
    }
}

/// The graph with what was noticed while building it.
#[derive(Debug, Clone, Default)]
pub struct Built {
    pub graph: Graph,
    pub findings: Vec<Finding>,
    /// Flow records that became no edge, by reason (connections counted).
    pub skipped: BTreeMap<&'static str, u64>,
}

/// Client, server, protocol, port.
pub type EdgeKey = (Peer, Peer, Protocol, u16);
pub(super) type Edges = BTreeMap<EdgeKey, Edge>;
/// The same while records are still coming.
pub(super) type Sketches = FxHashMap<(PeerKey, PeerKey, Protocol, u16), Edge>;

/// Builds the graph. The order of the records does not matter.
pub fn build(seen: &FlowResult, inventory: &Inventory, options: GraphOptions) -> Built {
    build_after(&History::default(), seen, inventory, options)
}

/// Builds the graph of `seen` and of what came before it.
pub fn build_after(
    history: &History,
    seen: &FlowResult,
    inventory: &Inventory,
    options: GraphOptions,
) -> Built {
    assemble(history, seen, &Attribution::build(inventory), options).built
}

/// A graph with what it takes to add to it.
pub(super) struct Assembled {
    pub built: Built,
    pub edges: Edges,
    pub scans: scan::Scans,
}

pub(super) fn assemble(
    history: &History,
    seen: &FlowResult,
    attribution: &Attribution<'_>,
    options: GraphOptions,
) -> Assembled {
    let Drawn {
        mut edges,
        names,
        mut scans,
        orphans,
        skipped,
    } = Drawn::of(seen, attribution);
    let mut findings = orphans.into_findings();
    scans.note_history(history);
    history.add_to(&mut edges, attribution);
    let scanners = scans.scanners();
    scan::remove_edges(&scanners, &mut edges);
    findings.extend(scans.findings(&scanners));
    if options.implied_dns {
        implied::add_dns_over_tcp(&mut edges);
    }
    let mut graph = Graph::default();
    graph.names = names;
    for (address, names) in history.names() {
        let known = graph.names.entry(*address).or_default();
        known.extend(names.iter().cloned());
    }
    for ((client, server, _, _), edge) in &edges {
        graph.add_edge(client, server, edge.clone());
    }
    findings.extend(findings::findings(&graph, attribution.inventory));
    findings.extend(findings::not_expressible(&seen.other, attribution));
    Assembled {
        built: Built {
            graph,
            findings,
            skipped,
        },
        edges,
        scans,
    }
}

/// Everything that was tried, also by what looks like a scanner: where a policy blocks all that a
/// workload does, only what was before tells it from one.
pub fn build_attempts(seen: &FlowResult, inventory: &Inventory) -> Graph {
    let drawn = Drawn::of(seen, &Attribution::build(inventory));
    let mut graph = Graph::default();
    graph.names = drawn.names;
    for ((client, server, _, _), edge) in drawn.edges {
        graph.add_edge(&client, &server, edge);
    }
    graph
}

/// What records came to, before anything is taken out again or added.
pub(super) struct Drawn {
    pub edges: Edges,
    pub names: BTreeMap<IpAddr, BTreeSet<String>>,
    pub scans: scan::Scans,
    pub orphans: findings::Orphans,
    pub skipped: BTreeMap<&'static str, u64>,
}

impl Drawn {
    pub fn of(seen: &FlowResult, attribution: &Attribution<'_>) -> Drawn {
        let mut skipped = BTreeMap::new();
        let mut sketches = Sketches::default();
        let mut names = BTreeMap::new();
        let mut orphans = findings::Orphans::default();
        let mut attempts = scan::Noted::default();
        attempts.note_summaries(&seen.scans, attribution);
        let popularity = Popularity::of(&seen.records);
        for record in seen.records.iter().map(|record| popularity.decide(record)) {
            // A pod always reaches itself (API documentation of `spec.ingress`).
            if record.client == record.server && record.via.is_none() {
                *skipped.entry("pod-to-itself").or_default() += record.connections;
                continue;
            }
            let attributed = attribution.attribute(&record);
            attempts.note(attributed.client, &record);
            note_names(&mut names, &record, &attributed, seen);
            if attributed.targets.is_empty() {
                orphans.note(&attributed, &record, attribution);
                *skipped.entry("service-without-endpoints").or_default() += record.connections;
            } else if let Some(reason) = sketch(&mut sketches, &record, &attributed, attribution) {
                *skipped.entry(reason).or_default() += record.connections;
            }
        }
        Drawn {
            edges: settle_all(sketches, attribution),
            names,
            scans: attempts.named(attribution),
            orphans,
            skipped,
        }
    }
}

/// Adds a record to the edges it belongs to: one for each peer and port behind a Service, however
/// many pods and nodes these are. Tells why, where it belongs to none.
pub(super) fn sketch(
    sketches: &mut Sketches,
    record: &FlowRecord,
    attributed: &Attributed<'_>,
    attribution: &Attribution<'_>,
) -> Option<&'static str> {
    let mut reason = None;
    let mut last = None;
    for target in &attributed.targets {
        match skip_reason(attributed.client, target) {
            Some(why) => reason = Some(why),
            // Targets are in order of peer and port, so what is equal comes together.
            None if last == Some((target.peer, target.port)) => {}
            None => {
                last = Some((target.peer, target.port));
                add(sketches, record, attributed, target, attribution);
            }
        }
    }
    reason.filter(|_| last.is_none())
}

/// Names the peers and decides what each edge teaches.
fn settle_all(sketches: Sketches, attribution: &Attribution<'_>) -> Edges {
    let named = sketches
        .into_iter()
        .map(|((client, server, protocol, port), mut edge)| {
            let (client, server) = (attribution.peer(client), attribution.peer(server));
            edge.settle(&client, &server);
            ((client, server, protocol, port), edge)
        });
    named.collect()
}

/// The names under which clients had looked up the outside addresses that they called (rule: dns-names-outside-addresses).
fn note_names(
    names: &mut BTreeMap<IpAddr, BTreeSet<String>>,
    record: &FlowRecord,
    attributed: &Attributed<'_>,
    seen: &FlowResult,
) {
    let outside = |target: &Target| target.peer == PeerKey::Outside(record.server);
    if !attributed.targets.iter().any(outside) {
        return;
    }
    let found = seen
        .names
        .resolve(record.server, record.client, record.first);
    if !found.is_empty() {
        names
            .entry(record.server)
            .or_default()
            .extend(found.into_iter().map(str::to_owned));
    }
}

/// Traffic that no NetworkPolicy speaks of.
fn skip_reason(client: PeerKey, target: &Target) -> Option<&'static str> {
    // Probes and other traffic of a node to its own pods is always allowed (rule: node-reaches-own-pods).
    if let PeerKey::Node(node) = client
        && target.node == Some(node)
    {
        return Some("node-to-own-pod");
    }
    let in_pods = |peer| matches!(peer, PeerKey::Workload(_) | PeerKey::UnknownPod(_));
    (!in_pods(client) && !in_pods(target.peer)).then_some("no-pod-involved")
}

fn add(
    sketches: &mut Sketches,
    record: &FlowRecord,
    attributed: &Attributed<'_>,
    target: &Target,
    attribution: &Attribution<'_>,
) {
    let key = (attributed.client, target.peer, record.protocol, target.port);
    let edge = sketches
        .entry(key)
        .or_insert_with(|| Edge::new(record.protocol, target.port));
    *edge.verdicts.entry(record.verdict).or_default() += record.connections;
    edge.bytes_to_server += record.bytes_to_server;
    edge.bytes_to_client += record.bytes_to_client;
    edge.first = Some(edge.first.map_or(record.first, |t| t.min(record.first)));
    edge.last = Some(edge.last.map_or(record.last, |t| t.max(record.last)));
    edge.windows.merge(&record.windows);
    keep_earliest(&mut edge.evidence, evidence(record));
    edge.evidence_total += 1;
    if let Some(through) = &attributed.through {
        let name = through.name();
        if !edge.services.contains(&name) {
            edge.services.insert(name);
        }
        edge.service_ports.insert(through.port.port);
    }
    if is_masqueraded(attributed, target, record.protocol, attribution)
        && edge.enforced_from.is_empty()
    {
        edge.enforced_from.clone_from(&attribution.node_addresses);
    }
    edge.node_ports.extend(node_port(attributed));
    let listeners = &attribution.inventory.addresses;
    let declared = listeners.listens(record.server, record.protocol, record.port);
    edge.tally.add(
        record,
        declared,
        is_dns(record, attributed.through.as_ref()),
    );
}

/// Keeps the [`Edge::MAX_EVIDENCE`] earliest samples, whatever the order in which they come.
fn keep_earliest(kept: &mut Vec<Evidence>, new: Evidence) {
    if kept.len() < Edge::MAX_EVIDENCE {
        kept.push(new);
        return;
    }
    let latest = kept
        .iter_mut()
        .max_by(|a, b| (a.first, &**a).cmp(&(b.first, &**b)));
    if let Some(latest) = latest
        && (new.first, &new) < (latest.first, &*latest)
    {
        *latest = new;
    }
}

/// Whether a plugin will see some node's address instead of the client's: on the way through a node
/// port or load balancer, unless the Service keeps client addresses (rule: node-port-from-any-node).
fn is_masqueraded(
    attributed: &Attributed<'_>,
    target: &Target,
    protocol: Protocol,
    attribution: &Attribution<'_>,
) -> bool {
    match &attributed.through {
        Some(through) => through.from_outside && !through.service.external_local,
        // The other side of such a connection: from a node, to a pod behind a node port.
        None => {
            matches!(attributed.client, PeerKey::Node(_))
                && attribution.is_exposed(target.peer, protocol, target.port)
        }
    }
}

/// The node port that a pod called: on the way to another node it is not translated yet.
fn node_port(attributed: &Attributed<'_>) -> Option<u16> {
    let through = attributed
        .through
        .as_ref()
        .filter(|through| through.by_node_port)?;
    matches!(attributed.client, PeerKey::Workload(_)).then_some(through.port.node_port)?
}

fn is_dns(record: &FlowRecord, through: Option<&Through<'_>>) -> bool {
    let service_port = through.map(|through| through.port.port);
    let called = record.via.map(|via| via.port());
    [Some(record.port), service_port, called].contains(&Some(53))
}

fn evidence(record: &FlowRecord) -> Evidence {
    Evidence {
        client: record.client,
        server: record.server,
        port: record.port,
        via: record.via,
        seen_as: record.seen_as,
        verdict: record.verdict,
        opening: record.opening,
        connections: record.connections,
        first: record.first,
        last: record.last,
    }
}
