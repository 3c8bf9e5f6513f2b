//! The custom resources of `nanoseg.dev/v1alpha1`: what operators write and read with kubectl. Their
//! schemas are generated from these types (`nanoseg crd`), so `kubectl explain` shows the docs of these types.

mod decision;
mod proposal;
mod segmentation;
mod waiting;

pub use decision::{
    ConnectionRef, DecisionOutcome, MOST_EXCEPTED, ProposalDecision, ProposalDecisionSpec,
    ProposalDecisionStatus, Verb,
};
pub use proposal::{
    ChangeLine, ClosedGroup, EvidenceLine, FindingLine, Impact, Phase, PolicyProposal,
    PolicyProposalSpec, PolicyProposalStatus, RefusedLine, SeenUnguarded, WorkloadRef, WouldBlock,
    risk_rank,
};
pub use segmentation::{
    Approval, ApprovalMode, AutomaticRules, LearningCriteria, OnDelete, OpeningStatus,
    Segmentation, SegmentationCounts, SegmentationSpec, SegmentationStatus, ServiceEnforcementMode,
};

pub use nanoseg_record::Mode;
pub use waiting::{SharedFindingLine, WaitReason, WaitingWorkload};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nanoseg_inventory::kubernetes::{FromJson, Json};
use nanoseg_net::Timestamp;

macro_rules! from_json {
    ($($kind:ty)*) => { $(
        impl FromJson for $kind {
            fn from_json(object: Json<'_>) -> Result<Self, serde_json::Error> {
                serde_json::from_value(object.value()?)
            }
        }
    )* };
}

from_json! { Segmentation PolicyProposal ProposalDecision }

/// Converts a time to the precision of the API server, whole seconds, so that the value is the same when it is read
/// back.
pub fn to_time(at: Timestamp) -> Time {
    let seconds = at.nanos().div_euclid(1_000_000_000);
    Time(Timestamp::from_secs(seconds).into())
}

/// The API group of all custom resources.
pub const GROUP: &str = "nanoseg.dev";
/// Annotation of a namespace: deletes our policies there and pauses enforcement. The value is the reason.
pub const BREAK_GLASS: &str = "nanoseg.dev/break-glass";
/// Annotation of a namespace: the user who last set, changed or removed [`BREAK_GLASS`]. An admission policy of
/// nanoseg refuses another name than that of the request.
pub const BREAK_GLASS_BY: &str = "nanoseg.dev/break-glass-by";
/// Annotation of a policy of ours: the revision (digest of its spec) that it was written from.
pub const REVISION: &str = "nanoseg.dev/revision";
/// The server-side-apply field manager of every write.
pub const FIELD_MANAGER: &str = "nanoseg";
