//! What workloads without a proposal wait for, with about how long that takes (rule: learning-estimate).

use super::observation::Observation;
use super::propose::segmented;
use super::state::{EngineState, SegmentState};
use crate::graph::{Asked, Estimate, Progress};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::report::learning;
use crate::review::SegmentationSettings;
use crate::review::resources::{Mode, WaitingWorkload};

/// Returns the workloads of a segment that have no state yet: they were never proposed for. `segment` is that of
/// `state`.
pub fn waiting(
    engine_state: &EngineState,
    state: &SegmentState,
    segment: &SegmentationSettings,
    observation: &Observation,
    now: Timestamp,
) -> Vec<WaitingWorkload> {
    if segment.mode < Mode::Propose {
        return Vec::new();
    }
    let secs_left = segment.minimum_duration - now.secs_since(state.observing_since);
    let asked = Asked {
        coverage: segment.minimum_coverage,
        secs_left,
    };
    let is_known = |id: &WorkloadId| engine_state.states().contains_key(id);
    segmented(observation, segment)
        .into_iter()
        .filter(|id| !is_known(id))
        .map(|id| one(&id, observation, asked))
        .collect()
}

fn one(id: &WorkloadId, observation: &Observation, asked: Asked) -> WaitingWorkload {
    let learned = observation.learning.as_ref();
    let estimate: Option<&Estimate> = learned.and_then(|all| all.workloads.get(id));
    let progress = Progress::of(estimate, asked);
    let message = learning::progress(&progress);
    let message = if progress.missing.is_empty() {
        format!(
            "{message}; waits until a policy can be written: see the conditions Ready and Observed"
        )
    } else {
        message
    };
    WaitingWorkload::new(id, &progress, message)
}
