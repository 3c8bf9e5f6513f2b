//! Room 2b: the review of policies, from a proposal to a decision. Owns the custom resources, the impact of a
//! proposal, the state of each workload's review, the backoff of drift repairs, violations and the hash-chained
//! record.
//!
//! It never accesses a cluster or a disk: it returns what must be written, and callers write it.

mod automatic_approval;
mod blocked_traffic;
mod digest;
mod impact;
pub mod record;
mod repair_backoff;
pub mod resources;
mod segmentation_settings;
mod selector;
mod state;
mod subset;
#[cfg(test)]
mod testing;
mod violation;

pub use automatic_approval::may_approve;
pub use blocked_traffic::{BlockedTraffic, ENFORCEMENT_DELAY, blocked_after, has_mixed_results};
pub use digest::{Digest, NotADigest};
pub use impact::{ImpactInputs, assess_impact};
pub use repair_backoff::RepairBackoff;
pub use segmentation_settings::{SegmentationError, SegmentationSettings, service_enforcements};
pub use state::{
    Applied, CONTROLLER, Decision, Degraded, DesiredPolicy, Need, Proposal, Refusal, Revision,
    WorkloadState,
};
pub use violation::{Violation, approved_attempts, violations};
