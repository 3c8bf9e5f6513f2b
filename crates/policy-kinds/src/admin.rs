//! The policies of an administrator, of sigs.k8s.io/network-policy-api: `ClusterNetworkPolicy` (v1beta1, and v1alpha2
//! with the same fields), `AdminNetworkPolicy` and `BaselineAdminNetworkPolicy` (v1alpha1).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::{Deserialize, Serialize};

/// A `ClusterNetworkPolicy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterNetworkPolicy {
    #[serde(default)]
    pub metadata: ObjectMeta,
    pub spec: ClusterNetworkPolicySpec,
}

/// What a [`ClusterNetworkPolicy`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterNetworkPolicySpec {
    pub tier: AdminTier,
    /// 0 to 1000; the lowest is asked first.
    pub priority: i32,
    pub subject: AdminSubject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<ClusterIngress>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<ClusterEgress>>,
}

/// When a policy of an administrator is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AdminTier {
    /// Before every NetworkPolicy.
    Admin,
    /// Where no NetworkPolicy isolates the pod.
    Baseline,
}

/// What a rule does. `ClusterNetworkPolicy` says `Accept` where `AdminNetworkPolicy` says `Allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AdminAction {
    Accept,
    Allow,
    Deny,
    /// The next tier decides.
    Pass,
}

/// The pods that a policy is about, never those of the host network. Exactly one field is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AdminSubject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
}

/// Pods of some namespaces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedPod {
    #[serde(default)]
    pub namespace_selector: LabelSelector,
    #[serde(default)]
    pub pod_selector: LabelSelector,
}

/// The other end. Exactly one field is there; with none the rule fails closed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminPeer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NamespacedPod>,
    /// Of egress only: nodes by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<LabelSelector>,
    /// Of egress only: CIDRs. They match pods as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// Of egress only: names, `*.` before one for all names below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_names: Option<Vec<String>>,
}

/// A rule of a [`ClusterNetworkPolicy`] for what comes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterIngress {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub action: AdminAction,
    #[serde(default)]
    pub from: Vec<AdminPeer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<ClusterProtocol>>,
}

/// A rule of a [`ClusterNetworkPolicy`] for what goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterEgress {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub action: AdminAction,
    #[serde(default)]
    pub to: Vec<AdminPeer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<ClusterProtocol>>,
}

/// One protocol with its ports. Exactly one field is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProtocol {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<ClusterPorts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<ClusterPorts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp: Option<ClusterPorts>,
    /// The name of a port of a container, of any protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_named_port: Option<String>,
}

/// The ports of a protocol; every port if none is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPorts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<ClusterPort>,
}

/// A port or a range of ports. Exactly one field is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPort {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ClusterPortRange>,
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPortRange {
    pub start: i32,
    pub end: i32,
}

/// An `AdminNetworkPolicy`, or the one `BaselineAdminNetworkPolicy`, which has no priority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdminNetworkPolicy {
    #[serde(default)]
    pub metadata: ObjectMeta,
    pub spec: AdminNetworkPolicySpec,
}

/// What an [`AdminNetworkPolicy`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdminNetworkPolicySpec {
    /// 0 to 1000; the lowest is asked first. A baseline has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    pub subject: AdminSubject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<AdminIngress>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<AdminEgress>>,
}

/// A rule of an [`AdminNetworkPolicy`] for what comes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdminIngress {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub action: AdminAction,
    #[serde(default)]
    pub from: Vec<AdminPeer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<AdminPort>>,
}

/// A rule of an [`AdminNetworkPolicy`] for what goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdminEgress {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub action: AdminAction,
    #[serde(default)]
    pub to: Vec<AdminPeer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<AdminPort>>,
}

/// A port of an [`AdminNetworkPolicy`]. Exactly one field is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminPort {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_number: Option<AdminPortNumber>,
    /// The name of a port of a container, of any protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_port: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_range: Option<AdminPortRange>,
}

/// One port of a protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminPortNumber {
    /// `TCP` if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    pub port: i32,
}

/// A range of ports of a protocol, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminPortRange {
    /// `TCP` if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    pub start: i32,
    pub end: i32,
}
