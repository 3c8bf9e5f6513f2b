//! Calico's `NetworkPolicy`, `GlobalNetworkPolicy`, `Tier`, `NetworkSet` and `GlobalNetworkSet`
//! (projectcalico.org/v3, and crd.projectcalico.org/v1 with the same fields), as `api/pkg/apis/projectcalico/v3` has
//! them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where NetworkPolicies and policies without a tier are.
pub const DEFAULT_TIER: &str = "default";

/// The order of [`DEFAULT_TIER`] among the tiers (`DefaultTierOrder` in `tier.go`).
pub const DEFAULT_TIER_ORDER: f64 = 1_000_000.0;

/// The order of the tier of `AdminNetworkPolicy` and of `ClusterNetworkPolicy` of tier Admin
/// (`AdminNetworkPolicyTierOrder` in `tier.go`).
pub const ADMIN_TIER_ORDER: f64 = 1_000.0;

/// The order of the tier of the baseline policies.
pub const BASELINE_TIER_ORDER: f64 = 10_000_000.0;

/// The order of every NetworkPolicy in [`DEFAULT_TIER`].
pub const NETWORK_POLICY_ORDER: f64 = 1_000.0;

/// A `NetworkPolicy` of Calico, or a `GlobalNetworkPolicy`, which has no namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CalicoPolicy {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: CalicoPolicySpec,
}

/// What a [`CalicoPolicy`] says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalicoPolicySpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The lowest is asked first; without an order it is asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<f64>,
    /// The pods that it is about; all if it is absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Of a global policy: the namespaces of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_selector: Option<String>,
    /// `Ingress` and `Egress`. Where it is absent: egress if there are egress rules, ingress if there are ingress rules
    /// or no egress rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<CalicoRule>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<CalicoRule>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub do_not_track: Option<bool>,
    #[serde(default, rename = "preDNAT", skip_serializing_if = "Option::is_none")]
    pub pre_dnat: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply_on_forward: Option<bool>,
    /// Hints that never change what is enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance_hints: Option<Vec<String>>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CalicoAction {
    Allow,
    Deny,
    /// Logs and goes on with the next rule.
    Log,
    /// The next tier decides.
    Pass,
}

/// One rule. Everything that it says must match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalicoRule {
    pub action: CalicoAction,
    /// 4 or 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<i32>,
    /// A name or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<IntOrString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_protocol: Option<IntOrString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Value>,
    #[serde(default, rename = "notICMP", skip_serializing_if = "Option::is_none")]
    pub not_icmp: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<CalicoEntity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<CalicoEntity>,
    /// Rules for requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// One end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalicoEntity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nets: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_nets: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_selector: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<String>,
    /// A number, a range `80:90`, or the name of a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<IntOrString>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ports: Option<Vec<IntOrString>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<CalicoServices>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<Value>,
}

/// A Service whose endpoints match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalicoServices {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A `Tier`: policies that are asked together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CalicoTier {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: CalicoTierSpec,
}

/// What a [`CalicoTier`] says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalicoTierSpec {
    /// The lowest is asked first; without an order it is asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<f64>,
    /// `Deny` or `Pass`: for what no rule of the tier matches. `Deny` if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_action: Option<CalicoAction>,
}

/// A `NetworkSet`, or a `GlobalNetworkSet`, which has no namespace: addresses with labels, which selectors match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CalicoNetworkSet {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: CalicoNetworkSetSpec,
}

/// What a [`CalicoNetworkSet`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalicoNetworkSetSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nets: Option<Vec<String>>,
}
