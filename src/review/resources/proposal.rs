//! `PolicyProposal`: a change to one workload's policy that waits for a decision.

use crate::net::Protocol;
use crate::record::Connection;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A change to one workload's policy that waits for a decision. One is open per workload.
///
/// `spec.policy` may be edited while it waits: what it would do is worked out anew, and it gets another
/// revision, so that a decision for what it was before is refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "nanoseg.dev",
    version = "v1alpha1",
    kind = "PolicyProposal",
    plural = "policyproposals",
    shortname = "proposals",
    shortname = "prop",
    category = "nanoseg",
    namespaced,
    status = "PolicyProposalStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Workload","type":"string","jsonPath":".spec.workload.name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Opens","type":"integer","jsonPath":".spec.review.gainedTotal"}"#,
    printcolumn = r#"{"name":"Closes","type":"integer","jsonPath":".spec.review.lostTotal"}"#,
    printcolumn = r#"{"name":"Would-Block","type":"integer","jsonPath":".spec.review.wouldBlockTotal"}"#,
    printcolumn = r#"{"name":"Risk","type":"string","jsonPath":".spec.review.risk"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PolicyProposalSpec {
    pub workload: WorkloadRef,
    /// The NetworkPolicy that it is about.
    pub policy_name: String,
    /// What the policy shall be.
    pub policy: NetworkPolicySpec,
    /// The approved policy that it changes; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<NetworkPolicySpec>,
    /// What `policy` would do, for who decides. Written by the controller.
    #[serde(default)]
    pub review: Material,
}

impl PolicyProposal {
    /// The phase; a proposal that the controller has not answered yet is pending.
    pub fn phase(&self) -> Phase {
        self.status
            .as_ref()
            .map_or(Phase::Pending, |status| status.phase)
    }
}

/// High first; what is none of the three is taken for the worst.
pub fn risk_rank(risk: &str) -> u8 {
    match risk {
        "low" => 2,
        "medium" => 1,
        _ => 0,
    }
}

#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub struct WorkloadRef {
    pub kind: String,
    pub name: String,
}

/// What a proposal would do. Lists are cut, with their totals beside.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Material {
    /// The digest of the policy that all this was worked out for: `sha256:` and 64 hexadecimal digits.
    #[serde(default)]
    pub revision: String,
    /// Why there is a proposal, one sentence.
    #[serde(default)]
    pub reason: String,
    /// `high`, `medium` or `low`, by the findings.
    #[serde(default)]
    pub risk: String,
    /// Connections that it opens, as the evaluator sees them.
    #[serde(default)]
    pub gained: Vec<Change>,
    #[serde(default)]
    pub gained_total: u32,
    /// Connections that it closes. Without a base that is everything that it does not allow.
    #[serde(default)]
    pub lost: Vec<Change>,
    #[serde(default)]
    pub lost_total: u32,
    /// What an operator should know before deciding.
    #[serde(default)]
    pub findings: Vec<FindingLine>,
    /// Recorded flows that it would block.
    #[serde(default)]
    pub would_block: Vec<WouldBlock>,
    #[serde(default)]
    pub would_block_total: u32,
    /// The evidence of each connection that the policy allows, those that it allows anew first.
    #[serde(default)]
    pub evidence: Vec<EvidenceLine>,
    #[serde(default)]
    pub evidence_total: u32,
    /// The estimated share of the workload's edges seen, in percent; none while it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<u8>,
}

/// Connections between two ends, as words: workloads as `namespace/name`, ports as `8080/TCP`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub struct Change {
    pub client: String,
    pub server: String,
    pub ports: String,
}

#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub struct FindingLine {
    pub severity: String,
    /// The stable code, docs/findings.md.
    pub code: String,
    pub subject: String,
    pub message: String,
}

#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct WouldBlock {
    pub client: String,
    pub server: String,
    /// `8080/TCP`.
    pub port: String,
    pub connections: u64,
    /// RFC 3339.
    pub last_seen: String,
}

#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceLine {
    pub client: String,
    pub server: String,
    /// `8080/TCP`.
    pub port: String,
    /// Established connections.
    pub connections: u64,
    /// RFC 3339.
    pub first_seen: String,
    /// RFC 3339.
    pub last_seen: String,
    /// The Services through which it went, DNS names, `implied`, `blocked`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Some of the addresses between which it was seen: `10.244.1.7 → 10.244.2.9:8080`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

impl EvidenceLine {
    /// The connection, as the record has that of a violation ([`crate::review::Violation::connection`]); `None` if
    /// the port is not written as nanoseg writes it.
    pub fn connection(&self) -> Option<Connection> {
        let (port, protocol) = self.port.split_once('/')?;
        Some(Connection {
            client: self.client.clone(),
            server: self.server.clone(),
            protocol: Protocol::parse(protocol)?,
            port: port.parse().ok()?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyProposalStatus {
    #[serde(default)]
    pub phase: Phase,
    /// Who decided, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the phase last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The number of the workload's revision that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_revision: Option<u32>,
    /// What the controller has to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    #[default]
    Pending,
    /// Decided for, and not in the cluster yet (mode Propose, break-glass, stale inventory).
    Approved,
    Rejected,
    Applied,
    /// Another proposal took its place.
    Superseded,
    RolledBack,
}
