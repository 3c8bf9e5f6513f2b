//! What a node of the map stands for, in URLs and in words.

use crate::graph::Peer;
use crate::inventory::WorkloadId;
use std::fmt;
use std::net::IpAddr;

/// What a node stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Namespace(String),
    Workload(WorkloadId),
    ApiServer,
    Node(String),
    Address(IpAddr),
    /// All addresses outside.
    Outside,
    /// Everybody whom nobody can name.
    Unattributed,
    /// Every peer.
    Any,
}

impl End {
    /// Its form in a URL.
    pub fn id(&self) -> String {
        match self {
            End::Namespace(name) => format!("namespace/{name}"),
            End::Workload(id) => format!("workload/{}/{}/{}", id.namespace, id.kind, id.name),
            End::ApiServer => "api-server".into(),
            End::Node(name) => format!("node/{name}"),
            End::Address(address) => format!("address/{address}"),
            End::Outside => "outside".into(),
            End::Unattributed => "unattributed".into(),
            End::Any => "any".into(),
        }
    }

    /// Reads [`End::id`].
    pub fn parse(id: &str) -> Option<End> {
        let mut parts = id.splitn(4, '/');
        let end = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
            ("namespace", Some(name), None, None) => End::Namespace(name.into()),
            ("workload", Some(namespace), Some(kind), Some(name)) => End::Workload(WorkloadId {
                namespace: namespace.into(),
                kind: kind.into(),
                name: name.into(),
            }),
            ("node", Some(name), None, None) => End::Node(name.into()),
            ("address", Some(address), None, None) => End::Address(address.parse().ok()?),
            ("api-server", None, None, None) => End::ApiServer,
            ("outside", None, None, None) => End::Outside,
            ("unattributed", None, None, None) => End::Unattributed,
            ("any", None, None, None) => End::Any,
            _ => return None,
        };
        Some(end)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Namespace(name) => write!(f, "namespace {name}"),
            End::Workload(id) => write!(f, "{id}"),
            End::ApiServer => f.write_str("API server"),
            End::Node(name) => write!(f, "node {name}"),
            End::Address(address) => write!(f, "{address}"),
            End::Outside => f.write_str("outside"),
            End::Unattributed => f.write_str("unnamed peers"),
            End::Any => f.write_str("anything"),
        }
    }
}

/// Returns true if a node that stands for `end` stands for `peer`.
pub fn end_of(peer: &Peer, end: &End) -> bool {
    match (end, peer) {
        (End::Any, _) | (End::ApiServer, Peer::ApiServer) => true,
        (End::Namespace(name), Peer::Workload(id)) => id.namespace == *name,
        (End::Workload(own), Peer::Workload(id)) => own == id,
        (End::Node(own), Peer::Node(name)) => own == name,
        (End::Address(own), Peer::Outside(address)) => own == address,
        (End::Outside, Peer::Outside(_)) | (End::Unattributed, Peer::Unattributed(_)) => true,
        _ => false,
    }
}
