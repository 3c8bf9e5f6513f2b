//! Room 2b: from what should be to what is decided. Owns the custom resources, what a proposal shows who
//! decides, the state of each workload's review, drift, violations and the hash-chained record.
//!
//! Refuses to talk to a cluster or a disk: it says what is to be written, others write it.

mod digest;
pub mod record;
pub mod resources;
mod segment;
mod selector;
mod state;

pub use digest::{Digest, NotADigest};
pub use segment::{Segment, SegmentError};
pub use state::{
    Applied, CONTROLLER, Decision, Degraded, Need, Proposal, Refusal, Revision, Wish, WorkloadState,
};
