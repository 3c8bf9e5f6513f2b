//! Flow records → graph: attribute each record, gather edges, decide what each teaches.

use super::attribute::{Attributed, Target, Through, attribute};
use super::edge::{Edge, Evidence};
use super::lesson::{Tally, decide};
use super::{Graph, Peer, implied, notice, scan};
use crate::finding::Finding;
use crate::flow::{FlowRecord, FlowResult, decide_all};
use crate::inventory::{Inventory, Owner};
use crate::net::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What an operator may switch.
#[derive(Debug, Clone, Copy)]
pub struct GraphOptions {
    /// Allow DNS over TCP where DNS over UDP was seen (RFC 7766, DESIGN §4.9).
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

/// An edge while records are still coming.
#[derive(Debug)]
pub(super) struct Draft {
    pub edge: Edge,
    pub tally: Tally,
}

/// Client, server, protocol, port.
pub(super) type EdgeKey = (Peer, Peer, Protocol, u16);
pub(super) type Drafts = BTreeMap<EdgeKey, Draft>;

/// Builds the graph. The order of the records does not matter.
pub fn build(seen: &FlowResult, inventory: &Inventory, options: GraphOptions) -> Built {
    let mut skipped = BTreeMap::new();
    let mut drafts = Drafts::new();
    let mut orphans = notice::Orphans::default();
    let decided = decide_all(&seen.records);
    let mut scans = scan::Scans::default();
    scans.note_summaries(&seen.scans, inventory);
    for record in &decided {
        let attributed = attribute(record, inventory);
        scans.note(&attributed.client, record);
        if attributed.targets.is_empty() {
            orphans.note(&attributed, record);
            *skipped.entry("service-without-endpoints").or_default() += record.connections;
        }
        for target in &attributed.targets {
            match skip_reason(&attributed.client, target) {
                Some(reason) => *skipped.entry(reason).or_default() += record.connections,
                None => add(&mut drafts, record, &attributed, target, inventory),
            }
        }
    }
    for ((client, server, _, _), draft) in &mut drafts {
        draft.edge.lesson = decide(client, server, &draft.edge, &draft.tally);
        draft.edge.inferred = !draft.tally.opening_seen;
        draft.edge.evidence.sort_by_key(|e| (e.first, e.clone()));
        draft.edge.evidence.truncate(Edge::MAX_EVIDENCE);
    }
    let mut findings = orphans.into_findings();
    findings.extend(scans.take(&mut drafts));
    if options.implied_dns {
        implied::add_dns_over_tcp(&mut drafts);
    }
    let mut graph = Graph::default();
    graph.names = names(&decided, seen, inventory);
    for ((client, server, _, _), draft) in drafts {
        graph.add_edge(&client, &server, draft.edge);
    }
    findings.extend(notice::findings(&graph, inventory));
    findings.extend(notice::not_expressible(&seen.other, inventory));
    Built {
        graph,
        findings,
        skipped,
    }
}

/// The names under which clients had looked up the outside addresses that they called (DESIGN §4.9).
fn names(
    records: &[FlowRecord],
    seen: &FlowResult,
    inventory: &Inventory,
) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let mut names: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for record in records {
        if inventory.resolve(record.server, record.first) == Owner::Outside {
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
    }
    names
}

/// Traffic that no NetworkPolicy speaks of.
fn skip_reason(client: &Peer, target: &Target) -> Option<&'static str> {
    // Probes and other traffic of a node to its own pods is always allowed (DESIGN §4.7).
    if let Peer::Node(node) = client
        && target.node.as_ref() == Some(node)
    {
        return Some("node-to-own-pod");
    }
    let in_pods = |peer: &Peer| matches!(peer, Peer::Workload(_) | Peer::UnknownPod(_));
    (!in_pods(client) && !in_pods(&target.peer)).then_some("no-pod-involved")
}

fn add(
    drafts: &mut Drafts,
    record: &FlowRecord,
    attributed: &Attributed<'_>,
    target: &Target,
    inventory: &Inventory,
) {
    let key = (
        attributed.client.clone(),
        target.peer.clone(),
        record.protocol,
        target.port,
    );
    let draft = drafts.entry(key).or_insert_with(|| Draft {
        edge: Edge::new(record.protocol, target.port),
        tally: Tally::default(),
    });
    let edge = &mut draft.edge;
    *edge.verdicts.entry(record.verdict).or_default() += record.connections;
    edge.bytes_to_server += record.bytes_to_server;
    edge.bytes_to_client += record.bytes_to_client;
    edge.first = Some(edge.first.map_or(record.first, |t| t.min(record.first)));
    edge.last = Some(edge.last.map_or(record.last, |t| t.max(record.last)));
    edge.windows.merge(&record.windows);
    edge.evidence.push(evidence(record));
    edge.evidence_total += 1;
    if edge.evidence.len() > 8 * Edge::MAX_EVIDENCE {
        edge.evidence.sort_by_key(|e| (e.first, e.clone()));
        edge.evidence.truncate(Edge::MAX_EVIDENCE);
    }
    if let Some(through) = &attributed.through {
        edge.services.insert(through.name());
        edge.service_ports.insert(through.port.port);
    }
    edge.enforced_from
        .extend(enforced_from(attributed, target, inventory));
    edge.node_ports.extend(node_port(attributed));
    let declared = inventory
        .addresses
        .listens(record.server, record.protocol, record.port);
    draft.tally.add(
        record,
        declared,
        is_dns(record, attributed.through.as_ref()),
    );
}

/// The addresses from which a plugin will see the client of traffic through a node port or load
/// balancer: any node's, unless the Service keeps client addresses (DESIGN §4.7).
fn enforced_from(
    attributed: &Attributed<'_>,
    target: &Target,
    inventory: &Inventory,
) -> BTreeSet<IpAddr> {
    let masqueraded = match &attributed.through {
        Some(through) => through.from_outside && !through.service.external_local,
        // The other side of such a connection: from a node, to a pod behind a node port.
        None => matches!(attributed.client, Peer::Node(_)) && behind_node_port(target, inventory),
    };
    if masqueraded {
        inventory.node_addresses()
    } else {
        BTreeSet::new()
    }
}

fn behind_node_port(target: &Target, inventory: &Inventory) -> bool {
    let Some(id) = target.peer.workload() else {
        return false;
    };
    let masquerading = inventory
        .services
        .iter()
        .filter(|service| !service.external_local);
    masquerading
        .flat_map(|service| &service.ports)
        .filter(|port| port.node_port.is_some())
        .any(|port| {
            port.endpoints.iter().any(|endpoint| {
                endpoint.port == target.port
                    && endpoint
                        .pod
                        .is_some_and(|pod| inventory.pods[pod].workload == *id)
            })
        })
}

/// The node port that a pod called: on the way to another node it is not translated yet.
fn node_port(attributed: &Attributed<'_>) -> Option<u16> {
    let through = attributed
        .through
        .as_ref()
        .filter(|through| through.by_node_port)?;
    attributed.client.workload().and(through.port.node_port)
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
