//! Room 2b: the review of policies, from a proposal to a decision. Owns the custom resources, the impact of a
//! proposal, the state of each workload's review, the backoff of drift repairs, and violations. It makes entries of the
//! record; the record itself is the room `record`.
//!
//! It never accesses a cluster or a disk: it returns what must be written, and callers write it.

mod actor;
mod adoption;
mod automatic_approval;
mod blocked_traffic;
mod ceilings;
mod default_deny;
mod denial;
mod digest;
mod foreign_pods;
mod impact;
mod intent;
mod memory;
pub mod outline;
mod plugin_lag;
mod refusals;
mod repair_backoff;
pub mod resources;
mod segmentation_settings;
mod selector;
mod state;
mod subset;
#[cfg(test)]
mod testing;
mod uncovered;
mod violation;

pub use actor::{break_glass_changed_by, owns_break_glass, owns_spec, segmentation_changed_by};
pub use adoption::selected_workload;
pub use automatic_approval::may_approve;
pub use blocked_traffic::{
    BlockedTraffic, Change, Effect, EffectInputs, NotAutomatic, Remedy, effect_of,
    enforcement_delay,
};
pub use ceilings::{AutomaticChange, BeyondCeiling, Ceilings};
pub use default_deny::{
    DEFAULT_DENY, DefaultDenyInputs, assess_default_deny, default_deny_of, default_deny_policy,
    is_default_deny, is_reserved,
};
pub use denial::{Denial, denials};
pub use digest::policy_digest;
pub use foreign_pods::{foreign_in_force, foreign_pods};
pub use impact::{Assessment, ImpactInputs, Opens, assess, assess_impact};
pub use intent::{IntendedConnection, Intent};
pub use memory::{Memory, RejectedPolicy, Unguarded};
pub use nanoseg_record::{CONTROLLER, Digest};
pub use plugin_lag::{LagCause, PluginLag};
pub use refusals::{Refusals, RefusedBy, RefusedConnection, SeenTraffic, TrafficChange, names_of};
pub use repair_backoff::RepairBackoff;
pub use segmentation_settings::{SegmentationError, SegmentationSettings, service_enforcements};
pub use state::{
    Amendment, AnsweredPolicy, Applied, AppliedChange, ApprovedRevision, Decision, Degraded,
    DegradedBy, DesiredPolicy, LONGEST_OPENING, Need, NoOpening, Proposal, Refusal, Revision,
    Ruling, SHORTEST_OPENING, Stage, Temporary, TemporaryOpening, Unproven, WorkloadState,
};
pub use uncovered::{Uncovered, uncovered};
pub use violation::{
    Attributed, Noted, PeerKind, PendingViolation, PendingViolations, Recorded, Sample, Violation,
    ViolationKind, ViolationLedger, approved_attempts, violations,
};
