//! Room 2b: what `nanoseg probe` tries, and what the outcome of a try tells (rule: tried-not-only-evaluated).
//!
//! The plan is a bounded sample, the same for the same cluster and seed. [`judge`] compares what was heard with what the
//! evaluator expects. Silence and refusals are read as what they are: a server that is not shown to listen proves
//! nothing (rule: silence-tells-only-of-who-listens). Nothing here opens a socket or talks to a cluster.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod cause;
mod choose;
mod clients;
mod container;
mod ends;
mod fault;
mod figures;
mod found_out;
mod judge;
mod listeners;
mod message;
mod outcome;
mod plan;
mod planner;
mod question;
mod results;
mod still;
mod subject;
mod task;
#[cfg(test)]
mod tests;
mod tried;

pub use cause::{Cause, ClusterFacts};
pub use container::{CONTAINER_PREFIX, Timing, patch};
pub use ends::{ClientEnd, PodName, ServerEnd, ServerKind};
pub use fault::{Fault, MOST_WORDS};
pub use figures::Figures;
pub use found_out::FoundOut;
pub use judge::{Heard, Judgement, judge, unproven};
pub use message::{MessageError, Told, message, parse_message};
pub use outcome::{Outcome, Untold, Verdict};
pub use plan::{Check, LeftOut, Limits, Plan, PlanInputs, Probe};
pub use planner::plan;
pub use question::{CheckedPort, Question};
pub use results::{MOST_BYTES, PolicyDigest, Results, ResultsError, digests};
pub use still::{changed, fresh};
pub use subject::{Subject, Unfit, subject};
pub use task::{Expected, Task, TaskError, Way};
pub use tried::Tried;
