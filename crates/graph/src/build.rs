//! Flow records → graph: attribute each record, gather edges, decide what each teaches.

use super::attribute::{Attributed, Attribution, PeerKey, Target};
use super::edge::{Edge, Evidence};
use super::edge_key::Edges;
use super::end_nodes::end_nodes;
use super::history::History;
use super::lookups::{self, ImpliedLookups};
use super::{
    Graph, MAX_OBSERVERS, findings, implied_edges, latest, outside_blocks, port_scan, service_gaps,
};
use nanoseg_finding::Finding;
use nanoseg_flow::{FlowRecord, FlowResult, OutOfBounds, Popularity, Told, Verdict};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{self as net, Protocol};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What an operator may choose.
#[derive(Debug, Clone, Copy)]
pub struct GraphOptions {
    /// Allow DNS over TCP where DNS over UDP was seen (rule: dns-over-tcp-implied).
    pub implied_dns: bool,
    /// Allow name lookups that were not seen (rule: dns-not-observed).
    pub implied_lookups: ImpliedLookups,
}

impl GraphOptions {
    /// What was observed, and nothing that is implied.
    pub const OBSERVED: GraphOptions = GraphOptions {
        implied_dns: false,
        implied_lookups: ImpliedLookups::Never,
    };
}

impl Default for GraphOptions {
    fn default() -> Self {
        GraphOptions {
            implied_dns: true,
            implied_lookups: ImpliedLookups::default(),
        }
    }
}

/// The graph with the findings of building it.
#[derive(Debug, Clone, Default)]
pub struct Built {
    pub graph: Graph,
    pub findings: Vec<Finding>,
    /// Flow records that became no edge, by reason (connections counted).
    pub skipped: BTreeMap<&'static str, u64>,
    /// What agents told of connections of other nodes, by node: nothing else follows from it.
    pub out_of_bounds: BTreeMap<Arc<str>, OutOfBounds>,
}

/// Edges by the compact keys of their ends, while records are still coming.
pub(super) type EdgesByKey = FxHashMap<(PeerKey, PeerKey, Protocol, u16), Edge>;

/// Builds the graph. The order of the records does not matter.
pub fn build(seen: &FlowResult, inventory: &Inventory, options: GraphOptions) -> Built {
    build_after(&History::default(), seen, inventory, options)
}

/// Builds the graph of `seen` and of the history before it.
pub fn build_after(
    history: &History,
    seen: &FlowResult,
    inventory: &Inventory,
    options: GraphOptions,
) -> Built {
    assemble(history, seen, &Attribution::build(inventory), options).built
}

/// A graph with the state that is needed to add to it.
pub(super) struct Assembled {
    pub built: Built,
    pub edges: Edges,
    pub scans: port_scan::AttemptsByPeer,
}

pub(super) fn assemble(
    history: &History,
    seen: &FlowResult,
    attribution: &Attribution<'_>,
    options: GraphOptions,
) -> Assembled {
    let RawGraph {
        mut edges,
        names,
        named_at,
        mut scans,
        orphans,
        skipped,
    } = RawGraph::of(seen, attribution);
    let mut findings = orphans.into_findings();
    scans.note_history(history);
    history.add_to(&mut edges, attribution);
    let scanners = scans.scanners();
    port_scan::remove_edges(&scanners, &mut edges);
    outside_blocks::bound(&mut edges);
    findings.extend(scans.findings(&scanners));
    let implied = options.implied_lookups;
    let of_lookups = lookups::imply(&mut edges, implied, attribution, &seen.views);
    findings.extend(of_lookups);
    if options.implied_dns {
        implied_edges::add_dns_over_tcp(&mut edges);
    }
    let mut graph = Graph::default();
    graph.names = names;
    graph.named_at = named_at;
    for (address, names) in history.names() {
        let known = graph.names.entry(*address).or_default();
        known.extend(names.iter().cloned());
    }
    for ((client, server, _, _), edge) in &edges {
        graph.add_edge(client, server, edge.clone());
    }
    if let Some(now) = latest(&seen.views) {
        graph.corroborate(&seen.views, now);
    }
    findings.extend(findings::findings(&graph, attribution.inventory));
    findings.extend(findings::not_expressible(&seen.other, attribution));
    findings.extend(findings::out_of_bounds(&seen.out_of_bounds));
    Assembled {
        built: Built {
            graph,
            findings,
            skipped,
            out_of_bounds: seen.out_of_bounds.clone(),
        },
        edges,
        scans,
    }
}

/// Everything that was tried, also by clients that look like scanners: where a policy blocks all
/// connections of a workload, only its history distinguishes it from a scanner.
pub fn build_attempts(seen: &FlowResult, inventory: &Inventory) -> Graph {
    let raw = RawGraph::of(seen, &Attribution::build(inventory));
    let mut graph = Graph::default();
    graph.names = raw.names;
    for ((client, server, _, _), edge) in raw.edges {
        graph.add_edge(&client, &server, edge);
    }
    graph
}

/// The edges of records, before any are removed or added.
pub(super) struct RawGraph {
    pub edges: Edges,
    pub names: BTreeMap<IpAddr, BTreeSet<String>>,
    /// As in [`Graph::named_at`].
    pub named_at: BTreeMap<IpAddr, BTreeSet<WorkloadId>>,
    pub scans: port_scan::AttemptsByPeer,
    pub orphans: service_gaps::Orphans,
    pub skipped: BTreeMap<&'static str, u64>,
}

impl RawGraph {
    pub fn of(seen: &FlowResult, attribution: &Attribution<'_>) -> RawGraph {
        let mut skipped = BTreeMap::new();
        let mut edges_by_key = EdgesByKey::default();
        let mut names = BTreeMap::new();
        let mut named_at: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let mut orphans = service_gaps::Orphans::default();
        let mut attempts = port_scan::AttemptsByKey::default();
        attempts.note_summaries(&seen.scans, attribution);
        let popularity = Popularity::of(&seen.records);
        for record in seen.records.iter().map(|record| popularity.decide(record)) {
            if is_loopback(&record) {
                *skipped.entry("loopback").or_default() += record.connections;
                continue;
            }
            // A pod always reaches itself (API documentation of `spec.ingress`).
            if record.client == record.server && record.via.is_none() {
                *skipped.entry("pod-to-itself").or_default() += record.connections;
                continue;
            }
            let attributed = attribution.attribute(&record);
            attempts.note(attributed.client, &record, attribution.inventory);
            note_names(&mut names, &record, &attributed, seen, attribution);
            for (address, workload) in attribution.named_without_owner(&record) {
                named_at.entry(address).or_default().insert(workload);
            }
            if attributed.is_orphan {
                orphans.note(&attributed, &record, attribution);
            }
            if let Some(reason) = add_record(&mut edges_by_key, &record, &attributed, attribution) {
                *skipped.entry(reason).or_default() += record.connections;
            }
            note_lookups(&mut edges_by_key, &record, &attributed, seen, attribution);
        }
        RawGraph {
            edges: settle_all(edges_by_key, attribution),
            names,
            named_at,
            scans: attempts.named(attribution),
            orphans,
            skipped,
        }
    }
}

/// Adds a record to the edges it belongs to: one for each peer and port behind a Service, however
/// many pods and nodes these are. Tells why, where it belongs to none.
pub(super) fn add_record(
    edges_by_key: &mut EdgesByKey,
    record: &FlowRecord,
    attributed: &Attributed<'_>,
    attribution: &Attribution<'_>,
) -> Option<&'static str> {
    let mut reason = None;
    let mut last = None;
    for target in &attributed.targets {
        match skip_reason(attributed, target) {
            Some(why) => reason = Some(why),
            // Targets are in order of peer and port, so what is equal comes together.
            None if last == Some((target.peer, target.port)) => {}
            None => {
                last = Some((target.peer, target.port));
                add(edges_by_key, record, attributed, target, attribution);
            }
        }
    }
    reason.filter(|_| last.is_none())
}

/// Names the peers and decides what each edge teaches.
fn settle_all(edges_by_key: EdgesByKey, attribution: &Attribution<'_>) -> Edges {
    let named = edges_by_key
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
    attribution: &Attribution<'_>,
) {
    let outside = |target: &Target| target.peer == PeerKey::Outside(record.server);
    if !attributed.targets.iter().any(outside) {
        return;
    }
    let trust = |entry: &_| attribution.name_trust(entry);
    let found = seen
        .names
        .resolve(record.server, record.client, record.first, trust);
    if !found.is_empty() {
        names
            .entry(record.server)
            .or_default()
            .extend(found.into_iter().map(str::to_owned));
    }
}

/// Notes on the edge to an outside server the names under which the client itself had looked it up, if it answered
/// (rule: names-that-the-client-asked-for).
fn note_lookups(
    edges_by_key: &mut EdgesByKey,
    record: &FlowRecord,
    attributed: &Attributed<'_>,
    seen: &FlowResult,
    attribution: &Attribution<'_>,
) {
    let server = PeerKey::Outside(record.server);
    let called = attributed.targets.iter().find(|one| one.peer == server);
    let answered = matches!(record.verdict, Verdict::Established | Verdict::OneWay);
    let Some(target) = called.filter(|_| answered) else {
        return;
    };
    let key = (attributed.client, server, record.protocol, target.port);
    let Some(edge) = edges_by_key.get_mut(&key) else {
        return;
    };
    let trust = |entry: &_| attribution.name_trust(entry);
    let names = &seen.names;
    let found = names.looked_up(record.server, record.client, record.last, trust);
    edge.note_names(found.into_iter().map(str::to_owned));
}

/// Traffic to which no NetworkPolicy applies.
fn skip_reason(attributed: &Attributed<'_>, target: &Target) -> Option<&'static str> {
    let client = attributed.client;
    // Probes and other traffic of a node to its own pods is always allowed (rule: node-reaches-own-pods).
    if let PeerKey::Node(node) = client
        && target.node == Some(node)
        && attributed.client_addresses.is_none()
    {
        return Some("node-to-own-pod");
    }
    let in_pods = |peer| matches!(peer, PeerKey::Workload(_) | PeerKey::Unattributed(..));
    (!in_pods(client) && !in_pods(target.peer)).then_some("no-pod-involved")
}

fn add(
    edges_by_key: &mut EdgesByKey,
    record: &FlowRecord,
    attributed: &Attributed<'_>,
    target: &Target,
    attribution: &Attribution<'_>,
) {
    let key = (attributed.client, target.peer, record.protocol, target.port);
    let edge = edges_by_key
        .entry(key)
        .or_insert_with(|| Edge::new(record.protocol, target.port));
    let known = edge.verdicts.entry(record.verdict).or_default();
    if is_of_another_node(record, target, attribution) {
        // The edge is there for the verdict, and nothing is counted twice (rule: host-network-daemon-set).
        edge.tally.note_opening(record);
    } else {
        *known += record.connections;
        count(edge, record);
        if !record.observers.is_empty() {
            let ends = end_nodes(record, &attributed.targets, attribution.inventory);
            edge.sightings.add(record, &ends);
            edge.observers
                .extend_up_to(&record.observers, MAX_OBSERVERS);
        }
    }
    if let Some(service_access) = &attributed.service_access {
        let name = service_access.name();
        if !edge.services.contains(&name) {
            edge.services.insert(name);
        }
        // A plugin that checks before translation checks at the client's end; at a foreign server's end the Service
        // port would be a port that nobody was seen to call.
        if !target.foreign {
            edge.service_ports.insert(service_access.port.port);
        }
    }
    if target.foreign {
        // As which address the client was seen, and no other node's (rule: foreign-endpoint).
        edge.enforced_from.extend(record.seen_as);
    } else if is_masqueraded(attributed, target, record.protocol, attribution)
        && edge.enforced_from.is_empty()
    {
        edge.enforced_from.clone_from(&attribution.node_addresses);
    }
    if let Some(addresses) = &attributed.client_addresses {
        edge.enforced_from.extend(addresses.iter());
    }
    edge.node_ports.extend(node_port(attributed));
    if is_of_another_node(record, target, attribution) {
        return;
    }
    let listeners = &attribution.inventory.addresses;
    let declared = listeners.listens(record.server, record.protocol, record.port);
    edge.tally.add(
        record,
        declared,
        attribution.speaks_dns(record, attributed.service_access.as_ref(), target),
    );
}

/// Adds what is counted once: bytes, times and samples.
fn count(edge: &mut Edge, record: &FlowRecord) {
    edge.bytes_to_server += record.bytes_to_server;
    edge.bytes_to_client += record.bytes_to_client;
    edge.first = Some(edge.first.map_or(record.first, |t| t.min(record.first)));
    edge.last = Some(edge.last.map_or(record.last, |t| t.max(record.last)));
    if matches!(record.verdict, Verdict::Established | Verdict::OneWay) {
        edge.note_clients([&record.client]);
        // Attempts are no samples of conversations.
        edge.windows.merge(&record.windows);
    }
    edge.told = Told::merge(edge.told, Some(record.told()));
    keep_earliest(&mut edge.evidence, evidence(record));
    edge.evidence_total += 1;
}

/// Returns true if a node was called, and the target is another one that the same DaemonSet runs on.
fn is_of_another_node(record: &FlowRecord, target: &Target, attribution: &Attribution<'_>) -> bool {
    let PeerKey::Node(_) = target.peer else {
        return false;
    };
    match attribution.client(record.server, record.first) {
        called @ PeerKey::Node(_) => called != target.peer,
        _ => false,
    }
}

/// Loopback is no traffic between pods: a sidecar that stands in for its application is none of its peers
/// (rule: loopback-is-no-peer).
pub(super) fn is_loopback(record: &FlowRecord) -> bool {
    net::is_loopback(record.client) || net::is_loopback(record.server)
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

/// Returns true if a plugin will see some node's address instead of the client's: on the way through a node
/// port or load balancer, unless the Service keeps client addresses (rule: node-port-from-any-node).
fn is_masqueraded(
    attributed: &Attributed<'_>,
    target: &Target,
    protocol: Protocol,
    attribution: &Attribution<'_>,
) -> bool {
    match &attributed.service_access {
        Some(service_access) => {
            service_access.from_outside && !service_access.service.external_local
        }
        // A pod's call of another node's host port is masqueraded by its own node, as all its calls of addresses
        // beyond the pods' ranges; an outside client keeps its address.
        None if attributed.host_port.is_some() => {
            matches!(attributed.client, PeerKey::Workload(_))
        }
        // The other side of such a connection: from a node, to a pod behind a node port.
        None => {
            matches!(attributed.client, PeerKey::Node(_))
                && attribution.is_exposed(target.peer, protocol, target.port)
        }
    }
}

/// The node port or host port that a pod called: on the way to another node it is not translated yet.
fn node_port(attributed: &Attributed<'_>) -> Option<u16> {
    if attributed.host_port.is_some() && matches!(attributed.client, PeerKey::Workload(_)) {
        return attributed.host_port;
    }
    let service_access = attributed
        .service_access
        .as_ref()
        .filter(|service_access| service_access.by_node_port)?;
    matches!(attributed.client, PeerKey::Workload(_)).then_some(service_access.port.node_port)?
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
