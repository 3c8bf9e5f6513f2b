//! Room 2b: from what should be to what is decided. Owns the custom resources, what a proposal shows who
//! decides, the state of each workload's review, drift and violations. It makes entries of the record; the
//! record itself is the room `record`.
//!
//! Refuses to talk to a cluster or a disk: it says what is to be written, others write it.

mod actor;
mod automatic;
mod blocked;
mod digest;
mod drift;
mod material;
mod narrow;
pub mod resources;
mod segment;
mod selector;
mod state;
#[cfg(test)]
mod testing;
mod violation;

pub use crate::record::{CONTROLLER, Digest};
pub use actor::{break_glass_changed_by, owns_break_glass, owns_spec, segmentation_changed_by};
pub use automatic::may_approve;
pub use blocked::{BlockedTraffic, SETTLED, blocked_after, is_mixed};
pub use digest::policy_digest;
pub use drift::Backoff;
pub use material::{Question, build_material};
pub use segment::{Segment, SegmentError};
pub use state::{
    Applied, Decision, Degraded, DesiredPolicy, Need, Proposal, Refusal, Revision, WorkloadState,
};
pub use violation::{Violation, approved_attempts, violations};
