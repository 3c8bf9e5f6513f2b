//! `PolicyProposal`: a change to one workload's policy that needs a decision.

use super::decision::ConnectionRef;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_derive::CustomResource;
use nanoseg_net::Protocol;
use nanoseg_record::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A change to one workload's policy that needs a decision. Each workload has at most one open proposal.
///
/// `spec.policy` may be edited while the proposal is open. Its impact is then computed again, and it gets another
/// revision, so that a decision about the earlier revision is refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    crates(kube = "::kube_derive", kube_core = "::kube_core"),
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
    /// The name of the NetworkPolicy that it changes.
    pub policy_name: String,
    /// The proposed policy.
    pub policy: NetworkPolicySpec,
    /// The approved policy that it changes. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<NetworkPolicySpec>,
    /// What `policy` would do, for the person who decides. Written by the controller.
    #[serde(default)]
    pub review: Impact,
}

impl PolicyProposal {
    /// Returns the phase. A proposal without a status yet is pending.
    pub fn phase(&self) -> Phase {
        self.status
            .as_ref()
            .map_or(Phase::Pending, |status| status.phase)
    }
}

/// Returns the rank of a risk; high comes first. An unknown value counts as high.
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

/// What a proposal would do. Long lists are truncated; their totals are listed as well.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// The digest of the policy that this was computed for: `sha256:` and 64 hexadecimal digits.
    #[serde(default)]
    pub revision: String,
    /// The reason of the proposal, one sentence.
    #[serde(default)]
    pub reason: String,
    /// `high`, `medium` or `low`, by the findings.
    #[serde(default)]
    pub risk: String,
    /// Connections that it opens, computed from the policies.
    #[serde(default)]
    pub gained: Vec<ChangeLine>,
    #[serde(default)]
    pub gained_total: u32,
    /// Connections that it closes. Without a base these are all connections that it does not allow.
    #[serde(default)]
    pub lost: Vec<ChangeLine>,
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
    /// The evidence of each connection that the policy allows. Newly allowed connections come first.
    #[serde(default)]
    pub evidence: Vec<EvidenceLine>,
    #[serde(default)]
    pub evidence_total: u32,
    /// The estimated share of the workload's edges that were observed, in percent. Absent if there is too little data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<u8>,
    /// What it closes in short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed_groups: Vec<ClosedGroup>,
    /// Connections of the workload that a person refused: left out, or offered again with what changed since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedLine>,
}

/// Connections between two ends, as text: workloads as `namespace/name`, ports as `TCP 80,443`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub struct ChangeLine {
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
    /// Nearly all workloads of the cluster have it, so it does not raise the risk. Automatic approval refuses it as ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
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
    /// The Services that the connections used, DNS names, `implied`, `blocked`, `new`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Some of the addresses between which it was observed: `10.244.1.7 → 10.244.2.9:8080`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
    /// It was first answered while nothing guarded one of its ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unguarded: Option<SeenUnguarded>,
}

/// A time in which no approved policy guarded an end of a connection.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct SeenUnguarded {
    /// `broken-glass`, `rolled-back` or `not-enforced`.
    pub cause: String,
    /// RFC 3339.
    pub from: String,
    /// RFC 3339. Absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A connection that a person refused before.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct RefusedLine {
    pub client: String,
    pub server: String,
    /// `8080/TCP`.
    pub port: String,
    pub refused_by: String,
    /// RFC 3339.
    pub refused_at: String,
    /// The proposal that was decided about.
    pub proposal: String,
    /// What changed of the traffic since, so that it is offered again: `answered`, `volume`, `tried-again`,
    /// `other-client` or `other-port`. Absent: nothing, so this proposal does not allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What a policy closes at its workload, by namespace and kind of the other end.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ClosedGroup {
    /// `in`: connections to the workload; `out`: connections of the workload.
    pub direction: String,
    /// Absent: outside of all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The kind of the workloads, `nodes`, or `addresses`.
    pub kind: String,
    /// How many such ends there are.
    pub count: u32,
    /// All of their ports, or some.
    pub all_ports: bool,
}

impl EvidenceLine {
    /// The connection, as the record has that of a violation ([`crate::Violation::connection`]); `None` if
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
    /// A message of the controller about the proposal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it was approved without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<ConnectionRef>,
    /// What it opened is closed again at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_until: Option<Time>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    #[default]
    Pending,
    /// Approved, and not in the cluster yet (mode Propose, break-glass, stale inventory).
    Approved,
    Rejected,
    Applied,
    /// Another proposal replaced it.
    Superseded,
    RolledBack,
    /// It was approved for a time that is over.
    Expired,
}
