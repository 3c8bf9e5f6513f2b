//! What was loaded from the store counts as far as the record proves it (rule: state-is-what-the-record-proves).

use super::state::{EngineState, SegmentState};
use crate::inventory::WorkloadId;
use crate::record::{NamespaceRuling, RemainingPolicies, Rulings};
use crate::review::{Unproven, WorkloadState};
use std::collections::BTreeMap;

/// How much later than its time a line of the record may be written, in seconds, before that is an alteration.
const LATE: i64 = 600;

/// Brings the state in line with what the record proves, and notes the workloads whose stored review says something
/// else: they get no policy by it.
pub fn keep_proven(engine_state: &mut EngineState, rulings: &Rulings) {
    engine_state.segments.retain(|namespace, segment| {
        let Some(ruling) = rulings.namespace(namespace) else {
            tracing::error!(
                namespace,
                "the record does not know that the namespace is segmented: its stored state is forgotten"
            );
            return false;
        };
        correct(namespace, segment, ruling);
        true
    });
    let workloads: Vec<WorkloadId> = engine_state.states().keys().cloned().collect();
    let mut altered = BTreeMap::new();
    for id in workloads {
        let Some(mut kept) = engine_state.states().get(&id).cloned() else {
            continue;
        };
        let unproven = one(&id, &mut kept, rulings);
        engine_state.replace(&id, kept);
        if unproven.is_empty() {
            continue;
        }
        let words: Vec<String> = unproven.iter().map(ToString::to_string).collect();
        let words = words.join("; ");
        tracing::error!(
            workload = %id,
            "the stored review was altered: {words}; what is not proven is not applied, decide on its next proposal"
        );
        altered.insert(id, words);
    }
    engine_state.altered = altered;
}

fn one(id: &WorkloadId, state: &mut WorkloadState, rulings: &Rulings) -> Vec<Unproven> {
    if state.workload == *id {
        return state.keep_proven(rulings);
    }
    *state = WorkloadState::new(id.clone(), state.policy_name.clone());
    vec![Unproven::Owner]
}

/// The record has all of it, so it is taken from there.
fn correct(namespace: &str, segment: &mut SegmentState, ruling: NamespaceRuling) {
    let kept = &mut segment.kept;
    let was = kept.clone();
    if let Some(mode) = ruling.mode {
        kept.mode = mode;
    }
    kept.leaving = ruling.removed.is_some();
    if let Some(policies) = ruling.removed {
        kept.remove_on_delete = policies == RemainingPolicies::Removed;
    }
    if !ruling.break_glass {
        kept.break_glass = None;
    }
    // The line is written a moment later, or much later if the disk refused.
    let was_earlier = ruling.since.secs_since(segment.observing_since) > LATE;
    segment.observing_since = segment.observing_since.max(ruling.since);
    if *kept != was || was_earlier {
        tracing::error!(
            namespace,
            "the stored state of the namespace was altered; that of the record is used"
        );
    }
}
