//! What stands at one end of an edge.

use super::Unattributed;
use nanoseg_inventory::WorkloadId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// One end of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    Workload(WorkloadId),
    /// The endpoints of `default/kubernetes` (rule: api-server-endpoints).
    ApiServer,
    /// A node itself or a hostNetwork pod on it (rule: node-by-address).
    Node(String),
    /// An address outside the cluster.
    Outside(IpAddr),
    /// Somebody whom nobody can name (rule: unknown-pod-never-allowed, unattributed-is-kept).
    #[serde(alias = "unknown-pod")]
    Unattributed(Unattributed),
}

impl fmt::Display for Peer {
    /// `namespace/name`, `api-server`, `node:NAME`, `outside:ADDRESS`, `REASON:NAME-OR-ADDRESS`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Workload(id) => write!(f, "{id}"),
            Peer::ApiServer => f.write_str("api-server"),
            Peer::Node(name) => write!(f, "node:{name}"),
            Peer::Outside(address) => write!(f, "outside:{address}"),
            Peer::Unattributed(who) => who.fmt(f),
        }
    }
}

impl Peer {
    /// The workload, if the peer is one.
    pub fn workload(&self) -> Option<&WorkloadId> {
        match self {
            Peer::Workload(id) => Some(id),
            _ => None,
        }
    }
}
