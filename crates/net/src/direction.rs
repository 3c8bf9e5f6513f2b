//! The two directions of a NetworkPolicy.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The direction of traffic as a workload sees it: the two lists of rules of a NetworkPolicy
/// (`spec.ingress`, `spec.egress`; networking.k8s.io/v1 NetworkPolicySpec).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The workload is the server.
    Ingress,
    /// The workload is the client.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
    }
}
