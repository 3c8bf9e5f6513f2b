//! The graph as plain data with a stable schema: the content of `graph.json` and of `graph` in `report.json`.
//!
//! Schema `nanoseg.dev/graph/v1`. Fields may be added within v1; none is renamed, removed or given
//! another meaning. Absent values are `null`, times RFC 3339 in UTC, sizes payload bytes.

use super::{Approvals, Approved, names};
use nanoseg_flow::{Observers, Opening, Verdict};
use nanoseg_graph::{Edge, Evidence, Graph, Peer, UnguardedPeriod};
use nanoseg_net::{Protocol, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// The whole graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GraphDocument {
    /// Always [`GraphDocument::SCHEMA`].
    pub schema: &'static str,
    /// In order: workloads by namespace and name, API server, nodes, outside, unknown pods.
    pub peers: Vec<PeerDocument>,
    /// In order of client, server, protocol, port.
    pub edges: Vec<EdgeDocument>,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerDocument {
    /// Unique: `namespace/name[Kind]`, `api-server`, `node:NAME`, `outside:ADDRESS`,
    /// `REASON:NAME-OR-ADDRESS` of an end that nobody can name.
    pub id: String,
    /// `workload`, `api-server`, `node`, `outside`, or why nobody can name it: `unknown-pod`,
    /// `owner-uncertain` and the other reasons of docs/concepts.md.
    pub kind: &'static str,
    /// Workloads only.
    pub namespace: Option<String>,
    /// Workloads, nodes, and what a log calls somebody whom the snapshot does not explain.
    pub name: Option<String>,
    /// Workloads only: Deployment, StatefulSet, …
    pub workload_kind: Option<String>,
    /// Outside addresses, and ends without a name.
    pub address: Option<IpAddr>,
    /// The DNS names that resolved to an outside address.
    pub dns_names: Vec<String>,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EdgeDocument {
    /// The client's [`PeerDocument::id`].
    pub client: String,
    /// The server's [`PeerDocument::id`].
    pub server: String,
    pub protocol: Protocol,
    /// The server's own port.
    pub port: u16,
    pub lesson: LessonDocument,
    /// Nobody saw who opened it: the direction was inferred.
    pub inferred: bool,
    /// All connections; 0 for an implied edge.
    pub connections: u64,
    /// The same by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    /// `null` for an implied edge.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Services through which it was called, `namespace/name:port`.
    pub services: Vec<String>,
    /// Addresses from which a network plugin sees the client, if not its own.
    pub enforced_from: Vec<IpAddr>,
    /// The earliest flow records behind it, at most [`Edge::MAX_EVIDENCE`].
    pub evidence: Vec<EvidenceDocument>,
    /// How many flow records are behind it in all.
    pub evidence_total: u64,
    /// The nodes whose agents saw it; empty where no agent did.
    #[serde(skip_serializing_if = "Observers::is_empty")]
    pub observers: Observers,
    /// Nodes whose agents should have seen it, and did not.
    #[serde(skip_serializing_if = "Observers::is_empty")]
    pub one_sided: Observers,
    /// Nodes whose agents should have seen it, and may still tell of it.
    #[serde(skip_serializing_if = "Observers::is_empty")]
    pub waiting: Observers,
    /// The time without a guard in which it was first answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unguarded: Option<UnguardedPeriod>,
    /// In reports only: the rules that allow it, and who approved them, `WHO at TIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_by: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<Vec<String>>,
}

/// What an edge teaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LessonDocument {
    /// `learned`, `implied`, `review` or `ignored`.
    pub kind: &'static str,
    /// Why it is not `learned`.
    pub reason: Option<String>,
}

/// One flow record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceDocument {
    pub client: IpAddr,
    pub server: IpAddr,
    pub port: u16,
    /// What the client called, if it was translated on the way.
    pub via: Option<SocketAddr>,
    /// The client's address as the server saw it, if it was translated on the way.
    pub seen_as: Option<IpAddr>,
    pub verdict: Verdict,
    /// What showed who the client is: `handshake`, `first-packet`, `listener` or `undecided`.
    pub opening: &'static str,
    pub connections: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl GraphDocument {
    pub const SCHEMA: &'static str = "nanoseg.dev/graph/v1";

    pub fn build(graph: &Graph) -> Self {
        Self::build_with(graph, None)
    }

    /// The same with the approvals of each edge.
    pub fn build_with(graph: &Graph, approvals: Option<&Approvals>) -> Self {
        GraphDocument {
            schema: Self::SCHEMA,
            peers: graph
                .peers()
                .map(|peer| PeerDocument::build(graph, peer))
                .collect(),
            edges: graph
                .edges()
                .into_iter()
                .map(|(client, server, edge)| {
                    let known = approvals.map(|all| all.of(client, server, edge));
                    EdgeDocument::build(client, server, edge, known)
                })
                .collect(),
        }
    }

    /// How many peers are of that kind.
    pub fn peers_of(&self, kind: &str) -> u64 {
        self.peers.iter().filter(|peer| peer.kind == kind).count() as u64
    }

    /// How many outside peers something was learned of; a scan's targets do not count.
    pub fn outside_peers(&self) -> u64 {
        let taught = self.edges.iter().filter(|edge| edge.lesson.teaches());
        let ends = taught.flat_map(|edge| [edge.client.as_str(), edge.server.as_str()]);
        let ends: BTreeSet<&str> = ends.collect();
        let outside = self.peers.iter().filter(|peer| peer.kind == "outside");
        outside
            .filter(|peer| ends.contains(peer.id.as_str()))
            .count() as u64
    }

    /// How many edges teach that lesson.
    pub fn edges_of(&self, lesson: &str) -> u64 {
        self.edges
            .iter()
            .filter(|edge| edge.lesson.kind == lesson)
            .count() as u64
    }

    /// For each edge of [`Graph::taught`], its index in [`GraphDocument::edges`].
    pub fn taught_indices(&self) -> Vec<usize> {
        let edges = self.edges.iter().enumerate();
        edges
            .filter(|(_, edge)| edge.lesson.teaches())
            .map(|(index, _)| index)
            .collect()
    }
}

impl LessonDocument {
    /// Returns true if the edge belongs to `O`.
    pub fn teaches(&self) -> bool {
        matches!(self.kind, "learned" | "implied")
    }
}

impl PeerDocument {
    fn build(graph: &Graph, peer: &Peer) -> Self {
        let workload = peer.workload();
        PeerDocument {
            id: names::id(peer),
            kind: names::kind(peer),
            namespace: workload.map(|w| w.namespace.clone()),
            name: match peer {
                Peer::Workload(w) => Some(w.name.clone()),
                Peer::Node(name) => Some(name.clone()),
                Peer::Unattributed(who) => who.name.clone(),
                _ => None,
            },
            workload_kind: workload.map(|w| w.kind.clone()),
            address: match peer {
                Peer::Outside(address) => Some(*address),
                Peer::Unattributed(who) if who.name.is_none() => Some(who.address),
                _ => None,
            },
            dns_names: names::dns_names(graph, peer)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        }
    }
}

impl EdgeDocument {
    fn build(client: &Peer, server: &Peer, edge: &Edge, known: Option<Approved>) -> Self {
        let (allowed_by, approved_by) = known
            .map(|known| (known.allowed_by, known.approved_by))
            .unzip();
        EdgeDocument {
            allowed_by,
            approved_by,
            client: names::id(client),
            server: names::id(server),
            protocol: edge.protocol,
            port: edge.port,
            lesson: LessonDocument {
                kind: names::lesson(&edge.lesson),
                reason: names::reason(&edge.lesson).map(str::to_owned),
            },
            inferred: edge.inferred,
            connections: edge.connections(),
            verdicts: edge.verdicts.clone(),
            bytes_to_server: edge.bytes_to_server,
            bytes_to_client: edge.bytes_to_client,
            first: edge.first,
            last: edge.last,
            services: edge.services.iter().cloned().collect(),
            enforced_from: edge.enforced_from.iter().copied().collect(),
            evidence: edge.evidence.iter().map(EvidenceDocument::build).collect(),
            evidence_total: edge.evidence_total,
            observers: edge.observers.clone(),
            one_sided: edge.one_sided.clone(),
            waiting: edge.waiting.clone(),
            unguarded: edge.unguarded,
        }
    }
}

impl EvidenceDocument {
    fn build(evidence: &Evidence) -> Self {
        EvidenceDocument {
            client: evidence.client,
            server: evidence.server,
            port: evidence.port,
            via: evidence.via,
            seen_as: evidence.seen_as,
            verdict: evidence.verdict,
            opening: match evidence.opening {
                Opening::Handshake => "handshake",
                Opening::FirstPacket => "first-packet",
                Opening::Listener => "listener",
                Opening::Undecided => "undecided",
            },
            connections: evidence.connections,
            first: evidence.first,
            last: evidence.last,
        }
    }
}
