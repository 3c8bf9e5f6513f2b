//! Rolls a change of a policy back where it blocks traffic that was approved.

use super::in_force::{InForce, as_policy, is_enforced};
use super::observation::Observation;
use super::state::EngineState;
use crate::graph::Graph;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::{ENFORCEMENT_DELAY, blocked_after, has_mixed_results};
use std::collections::BTreeSet;

/// For how long after a change of its policy a workload's traffic can roll it back, in seconds.
pub const WATCHED: i64 = 600;

/// For how long it is checked with every batch that agents send, in seconds; later only with a full build.
const CLOSELY: i64 = 60;
/// How many workloads are checked so often at most. If more change at once, the next full build comes soon enough.
const MOST_CLOSELY: usize = 50;
/// Returns the workloads whose policy has just changed: for them, new counts of known edges are changes too.
pub fn closely_watched(engine_state: &EngineState, now: Timestamp) -> BTreeSet<WorkloadId> {
    let states = engine_state.states().iter();
    let changed = states.filter(|(_, state)| {
        let applied = state.applied.as_ref();
        applied.is_some_and(|applied| now.secs_since(applied.at) <= CLOSELY)
    });
    let changed: BTreeSet<WorkloadId> = changed.map(|(id, _)| id.clone()).collect();
    match changed.len() {
        0..=MOST_CLOSELY => changed,
        _ => BTreeSet::new(),
    }
}

/// Rolls back changes that block approved traffic, of the workloads in `only` or of all. Returns the workloads.
pub fn undo_harmful(
    engine_state: &mut EngineState,
    observation: &Observation,
    in_force: &InForce,
    only: Option<&BTreeSet<WorkloadId>>,
    now: Timestamp,
) -> Vec<WorkloadId> {
    let watched: Vec<(WorkloadId, Timestamp)> = engine_state
        .states()
        .iter()
        .filter(|(id, _)| only.is_none_or(|only| only.contains(*id)))
        .filter(|(id, state)| {
            is_enforced(engine_state, &id.namespace) && state.is_applied() && state.wanted.is_some()
        })
        .filter_map(|(id, state)| Some((id.clone(), state.applied.as_ref()?.at)))
        .filter(|(_, at)| now.secs_since(*at) <= WATCHED)
        .collect();
    let mut undone = Vec::new();
    for (workload, applied_at) in watched {
        let Some(state) = engine_state.states().get(&workload) else {
            continue;
        };
        let after = in_force.all();
        let mut before = in_force.others(&workload);
        before.extend(
            state
                .policy_before()
                .map(|spec| as_policy(&workload, &state.policy_name, spec)),
        );
        let judge = |recent: &Graph| {
            blocked_after(
                &observation.built.graph,
                recent,
                &observation.inventory,
                &observation.enforcement,
                &before,
                &after,
                &workload,
                applied_at,
                now,
            )
        };
        let recent = observation.recent(applied_at);
        let settled = applied_at.plus_secs(ENFORCEMENT_DELAY);
        let found = match judge(&recent) {
            Ok(None) if now > settled && has_mixed_results(&recent, &workload) => {
                judge(&observation.recent(settled))
            }
            found => found,
        };
        match found {
            Ok(Some(traffic)) => {
                let words = traffic.to_string();
                engine_state.change(&workload, |state, record| {
                    state.roll_back_blocked(&words, now, record)
                });
                undone.push(workload);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%workload, "failed to judge what was blocked: {error}"),
        }
    }
    undone
}
