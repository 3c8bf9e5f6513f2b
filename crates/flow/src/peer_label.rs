//! What a source of flow records reports about the ends of a connection. Some sources (Cilium's
//! Hubble, Calico's flow logs) attribute traffic at the node, with more knowledge than an address and
//! a time give; the graph keeps such a label where the inventory knows the object that it names.

use serde::{Deserialize, Serialize};

/// What a source reports for one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerLabel {
    Pod {
        namespace: String,
        name: String,
    },
    Workload {
        namespace: String,
        kind: String,
        name: String,
    },
    /// The node on which it was seen, or a hostNetwork pod there.
    Host,
    /// Another node of the cluster, or a hostNetwork pod there.
    RemoteNode,
    ApiServer,
    /// Outside the cluster.
    World,
}

/// What a source reports for both ends; `None` where it reports nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerLabels {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<PeerLabel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<PeerLabel>,
    /// The Service that the client called: namespace and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<(String, String)>,
}
