//! Judges changes of policies by the traffic since: rolls back where approved traffic is blocked, or asks a person
//! (rule: rollback-needs-evidence).

use super::in_force::{InForce, as_policy, is_enforced};
use super::observation::Observation;
use super::state::EngineState;
use crate::evaluate::EvaluateError;
use crate::finding::{Code, Finding};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::{
    AppliedChange, BlockedTraffic, Change, Effect, EffectInputs, Remedy, WorkloadState, effect_of,
    enforcement_delay,
};
use std::collections::{BTreeMap, BTreeSet};

/// For how long after a change of its policy a workload's traffic can roll it back, in seconds.
pub const WATCHED: i64 = 600;

/// For how long it is checked with every batch that agents send, in seconds; later only with a full build.
const CLOSELY: i64 = 90;
/// How many workloads are checked so often at most. If more change at once, the next full build comes soon enough.
const MOST_CLOSELY: usize = 50;
/// What the changes of policies did.
#[derive(Debug, Default)]
pub struct Judged {
    /// Workloads whose policy is another one now.
    pub undone: BTreeSet<WorkloadId>,
    /// Approved connections that fail although the policies allow them, by the workload whose policy was changed.
    pub unexplained: BTreeMap<WorkloadId, Vec<Finding>>,
}

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

/// Judges the changes of the last minutes, of the workloads in `only` or of all.
pub fn judge_changes(
    engine_state: &mut EngineState,
    observation: &Observation,
    in_force: &InForce,
    only: Option<&BTreeSet<WorkloadId>>,
    now: Timestamp,
) -> Judged {
    let mut judged = Judged::default();
    let delay = enforcement_delay(&observation.plugin_lag);
    let watched: Vec<WorkloadId> = engine_state
        .states()
        .iter()
        .filter(|(id, _)| only.is_none_or(|only| only.contains(*id)))
        .filter(|(id, state)| {
            is_enforced(engine_state, &id.namespace) && is_watched(state, delay, now)
        })
        .map(|(id, _)| id.clone())
        .collect();
    for workload in watched {
        let state = engine_state.states().get(&workload);
        let Some((state, change)) = state.and_then(|s| Some((s, s.applied_change()?))) else {
            continue;
        };
        match effect(state, change, observation, in_force, now) {
            Ok(effect) => {
                let unexplained: Vec<Finding> = effect.unexplained.iter().map(finding).collect();
                if !unexplained.is_empty() {
                    judged.unexplained.insert(workload.clone(), unexplained);
                }
                if let Some((traffic, remedy)) = effect.blocked
                    && act(engine_state, &workload, &traffic, remedy, now)
                {
                    judged.undone.insert(workload);
                }
            }
            Err(error) => tracing::error!(%workload, "failed to judge what was blocked: {error}"),
        }
    }
    judged
}

/// Returns true if the traffic since the workload's last change can say something about it.
fn is_watched(state: &WorkloadState, delay: i64, now: Timestamp) -> bool {
    state.applied_change().is_some_and(|change| {
        let age = now.secs_since(change.at);
        delay < age && age <= WATCHED
    })
}

fn effect(
    state: &WorkloadState,
    change: AppliedChange<'_>,
    observation: &Observation,
    in_force: &InForce,
    now: Timestamp,
) -> Result<Effect, EvaluateError> {
    let workload = &state.workload;
    let after = in_force.all();
    let mut before = in_force.others(workload);
    before.extend(
        change
            .before
            .map(|revision| as_policy(workload, &state.policy_name, &revision.policy)),
    );
    let settled = change
        .at
        .plus_secs(enforcement_delay(&observation.plugin_lag));
    let attempts = observation.attempts(settled);
    let records: Vec<_> = attempts.records().collect();
    let change = Change {
        workload,
        applied_at: change.at,
        intent: &change.revision.intent,
        intent_before: change.before.map(|revision| &revision.intent),
        policies_before: &before,
        policies_after: &after,
    };
    let inputs = EffectInputs {
        graph: &observation.built.graph,
        recent: &observation.recent(settled),
        records: &records,
        views: observation.views_by_node(),
        inventory: &observation.inventory,
        enforcement: &observation.enforcement,
        plugin_lag: &observation.plugin_lag,
        now,
    };
    effect_of(&change, &inputs)
}

/// Rolls back, or leaves the policy and says so. Returns true if it rolled back.
fn act(
    engine_state: &mut EngineState,
    workload: &WorkloadId,
    traffic: &BlockedTraffic,
    remedy: Remedy,
    now: Timestamp,
) -> bool {
    let known = engine_state.states().get(workload);
    if matches!(remedy, Remedy::AskPerson(_)) && known.is_some_and(|state| state.degraded.is_some())
    {
        return false;
    }
    let done = engine_state.change(workload, |state, record| match remedy {
        Remedy::RollBack => {
            let words = traffic.to_string();
            state.roll_back_blocked(&traffic.connection, &words, now, record)
        }
        Remedy::AskPerson(why) => {
            let words = format!("{traffic}; {why}, so a person must decide");
            state.keep_although_blocked(&traffic.connection, &words, now, record);
            false
        }
    });
    done.unwrap_or(false)
}

fn finding(traffic: &BlockedTraffic) -> Finding {
    let subject = traffic.connection.for_record().to_string();
    Finding::new(Code::AllowedButBlocked, subject, traffic.to_string())
}
