//! What a network plugin must let through for the edges of `O`: the common ground of `policy`, which
//! writes rules for it, and `evaluate`, which judges the rules by it.

use crate::inventory::WorkloadId;
use crate::net::Protocol;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One end of a requirement, as NetworkPolicy can name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Pods of a workload, to be named by labels.
    Workload(WorkloadId),
    /// Addresses that pods do not have (outside, nodes, API server), to be named by ipBlocks.
    Addresses(BTreeSet<IpAddr>),
}

/// Connections that must be allowed: from `client` to `port` of `server`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Requirement {
    pub client: End,
    pub server: End,
    pub protocol: Protocol,
    pub port: u16,
    /// What a person reads beside the rule: the server's or client's name where the end is a set of
    /// addresses (a DNS name, `API server`, `node n1`, `any node (NodePort)`).
    pub label: Option<String>,
    /// Index of the edge in [`super::Graph::taught`].
    pub edge: usize,
}
