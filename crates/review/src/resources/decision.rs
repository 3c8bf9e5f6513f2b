//! `ProposalDecision`: the user who creates one decides, so RBAC controls who may decide.

use kube_derive::CustomResource;
use nanoseg_net::Protocol;
use nanoseg_record::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A decision about a proposal. It takes effect when it is created, and it cannot be changed afterwards.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, CustomResource, JsonSchema,
)]
#[kube(
    crates(kube = "::kube_derive", kube_core = "::kube_core"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    group = "nanoseg.dev",
    version = "v1alpha1",
    kind = "ProposalDecision",
    plural = "proposaldecisions",
    shortname = "decision",
    category = "nanoseg",
    namespaced,
    status = "ProposalDecisionStatus",
    derive = "PartialEq",
    validation = Rule::new("self.spec == oldSelf.spec").message("a decision cannot be changed; create another"),
    validation = Rule::new("self.spec.decision == 'Approve' || (!has(self.spec.except) && !has(self.spec.openForSeconds))").message("only an approval can leave out connections or end at a time"),
    printcolumn = r#"{"name":"Proposal","type":"string","jsonPath":".spec.proposal"}"#,
    printcolumn = r#"{"name":"Decision","type":"string","jsonPath":".spec.decision"}"#,
    printcolumn = r#"{"name":"By","type":"string","jsonPath":".spec.decidedBy"}"#,
    printcolumn = r#"{"name":"Outcome","type":"string","jsonPath":".status.outcome"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ProposalDecisionSpec {
    /// The proposal's name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub proposal: String,
    #[schemars(length(min = 1, max = 64))]
    pub proposal_uid: String,
    /// `spec.review.revision` of the proposal that was reviewed. A decision about another revision is refused.
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub revision: String,
    pub decision: Verb,
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub reason: String,
    /// The user name of whoever creates the decision, as the API server knows it. The admission policy enforces it.
    #[schemars(length(min = 1, max = 1000))]
    pub decided_by: String,
    /// Approve the proposal without these of its connections: the policy that is left is computed and proven by the
    /// controller, and they count as rejected. What the proposal does not allow cannot be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub except: Vec<ConnectionRef>,
    /// Take what the proposal opens back after so many seconds from now on: 10 seconds to 7 days. Only a change of a policy
    /// that closes nothing can be approved for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 10, max = 604_800))]
    pub open_for_seconds: Option<u32>,
}

/// The most connections that one decision leaves out.
pub const MOST_EXCEPTED: usize = 50;

/// A connection, with the names that proposals give its ends.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRef {
    #[schemars(length(min = 1, max = 600))]
    pub client: String,
    #[schemars(length(min = 1, max = 600))]
    pub server: String,
    #[schemars(range(min = 0, max = 65535))]
    pub port: u16,
    #[schemars(regex(pattern = r"^(TCP|UDP|SCTP)$"))]
    pub protocol: String,
}

impl ConnectionRef {
    /// The connection; `None` if it has no protocol that nanoseg knows.
    pub fn connection(&self) -> Option<Connection> {
        Some(Connection {
            client: self.client.clone(),
            server: self.server.clone(),
            protocol: Protocol::parse(&self.protocol)?,
            port: self.port,
        })
    }
}

impl From<&Connection> for ConnectionRef {
    fn from(connection: &Connection) -> Self {
        ConnectionRef {
            client: connection.client.clone(),
            server: connection.server.clone(),
            port: connection.port,
            protocol: connection.protocol.to_string(),
        }
    }
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub enum Verb {
    #[default]
    Approve,
    Reject,
    /// Undo an applied proposal: return to the policy that was in force before it.
    Rollback,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProposalDecisionStatus {
    // Omitted instead of null: kubectl refuses a definition whose enum values include null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DecisionOutcome")]
    pub outcome: Option<DecisionOutcome>,
    /// Why the decision was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum DecisionOutcome {
    Accepted,
    Refused,
}
