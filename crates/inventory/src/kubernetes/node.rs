//! Nodes with their addresses and ranges, and namespaces.

use super::{known_as, managed_metadata, null_as_default, small_metadata};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    #[serde(default, deserialize_with = "managed_metadata")]
    pub metadata: ObjectMeta,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    #[serde(default, deserialize_with = "small_metadata")]
    pub metadata: ObjectMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<NodeSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<NodeStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeSpec {
    #[serde(rename = "podCIDR", skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs", skip_serializing_if = "Option::is_none")]
    pub pod_cidrs: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<NodeAddress>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeAddress {
    #[serde(default, deserialize_with = "null_as_default")]
    pub address: String,
}

/// A node of a snapshot, with the times of its heartbeats. [`Node`] has none, so that they do not look like a
/// change in a watch.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ListedNode {
    #[serde(default, deserialize_with = "small_metadata")]
    metadata: ObjectMeta,
    spec: Option<NodeSpec>,
    status: Option<ListedNodeStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct ListedNodeStatus {
    addresses: Option<Vec<NodeAddress>>,
    conditions: Option<Vec<NodeCondition>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeCondition {
    last_heartbeat_time: Option<Time>,
}

impl ListedNode {
    /// The node, and its latest heartbeat.
    pub fn split(self) -> (Node, Option<Timestamp>) {
        let mut heartbeat = None;
        let status = self.status.map(|status| {
            let beats = status.conditions.iter().flatten();
            let beats = beats.filter_map(|condition| condition.last_heartbeat_time.as_ref());
            heartbeat = beats.map(|time| Timestamp::from(time.0)).max();
            NodeStatus {
                addresses: status.addresses,
            }
        });
        let node = Node {
            metadata: self.metadata,
            spec: self.spec,
            status,
        };
        (node, heartbeat)
    }
}

known_as! {
    Namespace k8s_openapi::api::core::v1::Namespace;
    Node k8s_openapi::api::core::v1::Node;
}
