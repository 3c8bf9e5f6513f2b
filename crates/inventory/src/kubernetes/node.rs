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
    /// `InternalIP`, `ExternalIP`, `Hostname`.
    #[serde(rename = "type", default, deserialize_with = "null_as_default")]
    pub type_: String,
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

/// Cilium's own object of a node, of the same name as the node (`cilium.io/v2`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CiliumNode {
    #[serde(default, deserialize_with = "small_metadata")]
    pub metadata: ObjectMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<CiliumNodeSpec>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CiliumNodeSpec {
    /// InternalIP, ExternalIP and CiliumInternalIP, the router's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<CiliumNodeAddress>>,
    /// Of the health endpoint, which probes other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<AddressPair>,
    /// Of the Envoy that serves Ingress and Gateway objects on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<AddressPair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam: Option<CiliumIpam>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CiliumNodeAddress {
    #[serde(default, deserialize_with = "null_as_default")]
    pub ip: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AddressPair {
    #[serde(alias = "ipV4", skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    #[serde(alias = "ipV6", skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CiliumIpam {
    #[serde(rename = "podCIDRs", skip_serializing_if = "Option::is_none")]
    pub pod_cidrs: Option<Vec<String>>,
}

impl k8s_openapi::Resource for CiliumNode {
    const API_VERSION: &'static str = "cilium.io/v2";
    const GROUP: &'static str = "cilium.io";
    const KIND: &'static str = "CiliumNode";
    const VERSION: &'static str = "v2";
    const URL_PATH_SEGMENT: &'static str = "ciliumnodes";
    type Scope = k8s_openapi::ClusterResourceScope;
}

impl k8s_openapi::Metadata for CiliumNode {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

known_as! {
    Namespace k8s_openapi::api::core::v1::Namespace;
    Node k8s_openapi::api::core::v1::Node;
}
