//! The ends of a try, as results name them.

use nanoseg_inventory::WorkloadId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for PodName {
    /// `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The pod that a try is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientEnd {
    pub pod: PodName,
    pub workload: WorkloadId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// What stands behind the address that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    /// A pod with an address of its own.
    Pod,
    /// A pod with its node's address.
    HostPod,
    ApiServer,
}

impl ServerKind {
    /// Returns true if the address is a node's, or may be: no pod selector matches it.
    pub fn is_node_address(self) -> bool {
        !matches!(self, ServerKind::Pod)
    }
}

/// The server of a try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerEnd {
    pub kind: ServerKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl fmt::Display for ServerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.pod, self.kind) {
            (Some(pod), _) => pod.fmt(f),
            (None, ServerKind::ApiServer) => f.write_str("api-server"),
            (None, _) => f.write_str(self.node.as_deref().unwrap_or("a node")),
        }
    }
}
