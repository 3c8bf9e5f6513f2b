//! Applies the enforcer's reports to the state and the record.

use super::state::EngineState;
use crate::controller::plan::EnforcerReport;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::record::{Action, Draft, glass_told_late};
use crate::review::{CONTROLLER, Digest};
use crate::store::BreakGlassEntry;
use std::collections::BTreeMap;

/// What is wrong in the cluster, by workload. Conditions show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    pub drift: BTreeMap<WorkloadId, String>,
    pub failures: BTreeMap<WorkloadId, String>,
}

/// Applies a report.
pub fn apply_report(
    engine_state: &mut EngineState,
    troubles: &mut Troubles,
    report: &EnforcerReport,
) {
    match report {
        EnforcerReport::InPlace {
            workload,
            revision,
            at,
            ..
        } => {
            let drifted = troubles.drift.remove(workload).is_some();
            let failed = troubles.failures.remove(workload).is_some();
            if drifted || failed {
                // Nothing else tells of it where others put it right (GitOps).
                engine_state.mark_unpublished(&workload.namespace);
            }
            // It was wanted when the enforcer compared; another revision may be wanted now.
            let is_wanted = engine_state
                .states()
                .get(workload)
                .is_some_and(|s| s.wanted == *revision && !s.is_applied());
            if is_wanted {
                engine_state.change(workload, |state, record| {
                    state.applied(CONTROLLER, *at, record)
                });
            }
        }
        EnforcerReport::Repaired {
            workload,
            what,
            found,
            wanted,
            ..
        } => {
            troubles.drift.remove(workload);
            troubles.failures.remove(workload);
            note(
                engine_state,
                Action::DriftRepaired,
                workload,
                (found.clone(), wanted.clone()),
                what,
            );
        }
        EnforcerReport::Drifted {
            workload,
            what,
            until,
            ..
        } => {
            let words = match until {
                Some(until) => format!(
                    "{what}; somebody keeps changing it, so it is put right again at {until}"
                ),
                None => what.clone(),
            };
            troubles.drift.insert(workload.clone(), words.clone());
            note(
                engine_state,
                Action::DriftGivenUp,
                workload,
                (None, None),
                &words,
            );
        }
        EnforcerReport::Exported {
            workload, policy, ..
        } => {
            note(
                engine_state,
                Action::Exported,
                workload,
                (None, policy.clone()),
                "",
            );
        }
        EnforcerReport::Failed { workload, why, .. } => {
            let known = troubles.failures.insert(workload.clone(), why.clone());
            if known.as_ref() != Some(why) {
                engine_state.mark_unpublished(&workload.namespace);
            }
        }
        EnforcerReport::BreakGlass {
            namespace,
            reason,
            deleted,
            at,
        } => match reason {
            Some(reason) => {
                let words = format!("{reason} ({deleted} policies were taken away)");
                glass_broken(engine_state, namespace, *at, reason, words);
            }
            None => glass_mended(engine_state, namespace),
        },
    }
}

fn note(
    engine_state: &mut EngineState,
    action: Action,
    workload: &WorkloadId,
    (before, after): (Option<Digest>, Option<Digest>),
    what: &str,
) {
    let object = engine_state
        .states()
        .get(workload)
        .map_or(workload.name.clone(), |s| s.policy_name.clone());
    engine_state.note(Draft {
        action,
        actor: CONTROLLER.into(),
        namespace: workload.namespace.clone(),
        object,
        before,
        after,
        reason: what.to_owned(),
    });
}

/// Records the break-glass entries that the leader before logged and did not record.
pub fn resume_break_glass(engine_state: &mut EngineState, untold: Vec<BreakGlassEntry>) {
    for break_glass in untold {
        let BreakGlassEntry {
            namespace,
            reason,
            policies,
            at,
        } = break_glass;
        let words = glass_told_late(&reason, policies, at);
        glass_broken(engine_state, &namespace, at, &reason, words);
    }
}

fn glass_broken(
    engine_state: &mut EngineState,
    namespace: &str,
    at: Timestamp,
    reason: &str,
    words: String,
) {
    engine_state.recorded_break_glass(namespace, at);
    break_glass(
        engine_state,
        namespace,
        Some(reason),
        Action::BreakGlassOn,
        words,
    );
}

fn glass_mended(engine_state: &mut EngineState, namespace: &str) {
    let words = "policies are enforced again".to_owned();
    break_glass(engine_state, namespace, None, Action::BreakGlassOff, words);
}

fn break_glass(
    engine_state: &mut EngineState,
    namespace: &str,
    reason: Option<&str>,
    action: Action,
    words: String,
) {
    let Some(segment) = engine_state.segments.get_mut(namespace) else {
        return;
    };
    if segment.kept.break_glass.as_deref() == reason {
        return;
    }
    segment.kept.break_glass = reason.map(str::to_owned);
    // None of the namespace's policies is in the cluster now, so applying them again is no repair of drift.
    let theirs: Vec<WorkloadId> = engine_state
        .states_of(namespace)
        .map(|state| state.workload.clone())
        .collect();
    for workload in theirs {
        engine_state.change(&workload, |state, _| state.taken_away());
    }
    engine_state.note(Draft {
        action,
        actor: CONTROLLER.into(),
        namespace: namespace.to_owned(),
        object: namespace.to_owned(),
        before: None,
        after: None,
        reason: words,
    });
}
