//! The custom resources of `nanoseg.dev/v1alpha1`: what operators write and read with kubectl. Their
//! schemas are generated from these types (`nanoseg crd`), so the docs here are what `kubectl explain` says.

mod decision;
mod proposal;
mod segmentation;

pub use decision::{
    DecisionOutcome, ProposalDecision, ProposalDecisionSpec, ProposalDecisionStatus, Verb,
};
pub use proposal::{
    Change, EvidenceLine, FindingLine, Material, Phase, PolicyProposal, PolicyProposalSpec,
    PolicyProposalStatus, WorkloadRef, WouldBlock, risk_rank,
};
pub use segmentation::{
    Approval, ApprovalMode, AutomaticRules, LearningCriteria, OnDelete, Segmentation,
    SegmentationCounts, SegmentationSpec, SegmentationStatus,
};

pub use crate::record::Mode;

use crate::net::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A time as the API server keeps it: whole seconds, so that what is read back is what was written.
pub fn to_time(at: Timestamp) -> Time {
    let seconds = at.nanos().div_euclid(1_000_000_000);
    Time(Timestamp::from_secs(seconds).into())
}

/// The group of all of them.
pub const GROUP: &str = "nanoseg.dev";
/// On a namespace: takes our policies away and pauses enforcement, for the reason that is its value.
pub const BREAK_GLASS: &str = "nanoseg.dev/break-glass";
/// On a namespace: the user who last set, changed or removed [`BREAK_GLASS`]. An admission policy of nanoseg
/// refuses another name than that of the request.
pub const BREAK_GLASS_BY: &str = "nanoseg.dev/break-glass-by";
/// On a policy of ours: the revision (digest of its spec) that it was written from.
pub const REVISION: &str = "nanoseg.dev/revision";
/// The server-side-apply field manager of every write.
pub const FIELD_MANAGER: &str = "nanoseg";
