//! Reads a graph back from its JSON document, as far as the document has it.

use nanoseg_flow::{Observers, Verdict};
use nanoseg_graph::{
    Edge, Evidence, Graph, Lesson, Peer, Unattributed, UnattributedReason, UnguardedPeriod,
};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Protocol, Timestamp};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

/// Why a text is not a graph document.
#[derive(Debug, thiserror::Error)]
pub enum NotAGraph {
    #[error("it is not the JSON of a graph: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its schema is {0:?}, not {expected:?}", expected = super::GraphDocument::SCHEMA)]
    Schema(String),
    #[error("its peer {0:?} is of no kind that this version knows")]
    Peer(String),
    #[error("its edge names {0:?}, which is none of its peers")]
    UnknownPeer(String),
    #[error("its edge to {0:?} has a lesson that this version does not know")]
    Lesson(String),
}

#[derive(Deserialize)]
struct Document {
    schema: String,
    peers: Vec<PeerPart>,
    edges: Vec<EdgePart>,
}

#[derive(Deserialize)]
struct PeerPart {
    id: String,
    kind: String,
    namespace: Option<String>,
    name: Option<String>,
    workload_kind: Option<String>,
    address: Option<IpAddr>,
    #[serde(default)]
    dns_names: BTreeSet<String>,
}

#[derive(Deserialize)]
struct EdgePart {
    client: String,
    server: String,
    protocol: Protocol,
    port: u16,
    lesson: LessonPart,
    inferred: bool,
    verdicts: BTreeMap<Verdict, u64>,
    bytes_to_server: u64,
    bytes_to_client: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    services: BTreeSet<String>,
    enforced_from: BTreeSet<IpAddr>,
    evidence: Vec<Evidence>,
    evidence_total: u64,
    #[serde(default)]
    observers: Observers,
    #[serde(default)]
    one_sided: Observers,
    #[serde(default)]
    waiting: Observers,
    #[serde(default)]
    unguarded: Option<UnguardedPeriod>,
}

#[derive(Deserialize)]
struct LessonPart {
    kind: String,
    reason: Option<String>,
}

/// Reads what [`super::GraphDocument`] writes. The document does not have the time windows of each
/// edge, so learning cannot be estimated from it.
///
/// # Errors
/// The text is something else, or of another version.
pub fn parse(json: &str) -> Result<Graph, NotAGraph> {
    let document: Document = serde_json::from_str(json)?;
    if document.schema != super::GraphDocument::SCHEMA {
        return Err(NotAGraph::Schema(document.schema));
    }
    let (mut graph, mut peers) = (Graph::default(), BTreeMap::new());
    for part in document.peers {
        let peer = peer(&part).ok_or_else(|| NotAGraph::Peer(part.id.clone()))?;
        if let (Peer::Outside(address), false) = (&peer, part.dns_names.is_empty()) {
            graph.names.insert(*address, part.dns_names);
        }
        graph.add_peer(&peer);
        peers.insert(part.id, peer);
    }
    for part in document.edges {
        let find = |id: &String| {
            let peer = peers.get(id);
            peer.ok_or_else(|| NotAGraph::UnknownPeer(id.clone()))
        };
        let (client, server) = (find(&part.client)?, find(&part.server)?);
        graph.add_edge(client, server, edge(part)?);
    }
    Ok(graph)
}

fn peer(part: &PeerPart) -> Option<Peer> {
    Some(match part.kind.as_str() {
        "workload" => Peer::Workload(WorkloadId {
            namespace: part.namespace.clone()?,
            name: part.name.clone()?,
            kind: part.workload_kind.clone()?,
        }),
        "api-server" => Peer::ApiServer,
        "node" => Peer::Node(part.name.clone()?),
        "outside" => Peer::Outside(part.address?),
        reason => {
            let reasons = UnattributedReason::ALL.iter();
            let reason = *reasons.clone().find(|known| known.name() == reason)?;
            let unnamed = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            Peer::Unattributed(Unattributed {
                address: part.address.unwrap_or(unnamed),
                name: part.name.clone(),
                reason,
            })
        }
    })
}

fn edge(part: EdgePart) -> Result<Edge, NotAGraph> {
    let reason = part.lesson.reason.unwrap_or_default();
    let lesson = match part.lesson.kind.as_str() {
        "learned" => Lesson::Learned,
        "implied" => Lesson::Implied(reason),
        "review" => Lesson::Review(reason),
        "ignored" => Lesson::Ignored(reason),
        _ => return Err(NotAGraph::Lesson(part.server)),
    };
    Ok(Edge {
        lesson,
        inferred: part.inferred,
        verdicts: part.verdicts,
        bytes_to_server: part.bytes_to_server,
        bytes_to_client: part.bytes_to_client,
        first: part.first,
        last: part.last,
        services: part.services,
        enforced_from: part.enforced_from,
        evidence: part.evidence,
        evidence_total: part.evidence_total,
        observers: part.observers,
        one_sided: part.one_sided,
        waiting: part.waiting,
        unguarded: part.unguarded,
        ..Edge::new(part.protocol, part.port)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Options, fixture, render};
    use super::*;

    #[test]
    fn a_written_document_is_read_back() {
        for graph in [fixture::shop(false), fixture::hostile(), Graph::default()] {
            let text = render(&graph, Format::Json, Options::default()).unwrap();
            let again = parse(&text).unwrap();
            assert_eq!(
                render(&again, Format::Json, Options::default()).unwrap(),
                text
            );
        }
    }

    #[test]
    fn a_text_that_is_not_a_graph_is_refused_with_a_reason() {
        assert!(parse("{}").is_err());
        let text = render(&fixture::shop(false), Format::Json, Options::default()).unwrap();
        let other = text.replace("nanoseg.dev/graph/v1", "nanoseg.dev/graph/v9");
        assert!(matches!(parse(&other), Err(NotAGraph::Schema(_))));
    }
}
