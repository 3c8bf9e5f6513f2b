//! Applies the enforcer's reports to the state and the record.

use super::state::EngineState;
use crate::controller::plan::EnforcerReport;
use crate::finding::Finding;
use crate::inventory::WorkloadId;
use crate::record::{Action, Actor, Digest, Entry};
use crate::store::BreakGlassEntry;
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong in the cluster, by workload. Conditions show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    pub drift: BTreeMap<WorkloadId, String>,
    pub failures: BTreeMap<WorkloadId, String>,
    /// Approved connections that fail although the policies allow them.
    pub unexplained: BTreeMap<WorkloadId, String>,
}

impl Troubles {
    /// Notes what fails unexplained of the workloads that were looked at, or of all.
    pub fn note_unexplained(
        &mut self,
        only: Option<&BTreeSet<WorkloadId>>,
        found: &BTreeMap<WorkloadId, Vec<Finding>>,
    ) {
        self.unexplained
            .retain(|id, _| only.is_some_and(|only| !only.contains(id)));
        for (id, findings) in found {
            let words: Vec<&str> = findings.iter().map(|one| one.message.as_str()).collect();
            self.unexplained.insert(id.clone(), words.join("; "));
        }
    }
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
                // In GitOps mode no other report shows that it was repaired.
                engine_state.mark_unpublished(&workload.namespace);
            }
            // It was wanted when the enforcer compared; another revision may be wanted now.
            let is_wanted = engine_state
                .states()
                .get(workload)
                .is_some_and(|s| s.wanted == *revision && !s.is_applied());
            if is_wanted {
                engine_state.change(workload, |state, record| state.applied(*at, record));
            }
        }
        EnforcerReport::Repaired {
            workload,
            drift,
            found,
            wanted,
            ..
        } => {
            troubles.drift.remove(workload);
            troubles.failures.remove(workload);
            let action = Action::DriftRepaired { drift: *drift };
            let policies = (found.clone(), wanted.clone());
            note(engine_state, action, workload, policies);
        }
        EnforcerReport::Drifted {
            workload,
            drift,
            until,
            ..
        } => {
            let action = Action::DriftGivenUp {
                drift: *drift,
                until: *until,
            };
            troubles.drift.insert(workload.clone(), action.sentence());
            note(engine_state, action, workload, (None, None));
        }
        EnforcerReport::Exported {
            workload, policy, ..
        } => {
            let policies = (None, policy.clone());
            note(engine_state, Action::Exported, workload, policies);
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
            by,
            deleted,
            at,
        } => match reason {
            Some(reason) => {
                let action = Action::BreakGlassOn {
                    why: reason.clone(),
                    policies: Some(*deleted),
                    done: None,
                };
                engine_state.recorded_break_glass(namespace, *at);
                break_glass(engine_state, namespace, Some(reason), action, by.clone());
            }
            None => {
                let action = Action::BreakGlassOff;
                break_glass(engine_state, namespace, None, action, by.clone());
            }
        },
    }
}

fn note(
    engine_state: &mut EngineState,
    action: Action,
    workload: &WorkloadId,
    (before, after): (Option<Digest>, Option<Digest>),
) {
    let object = engine_state
        .states()
        .get(workload)
        .map_or(workload.name.clone(), |s| s.policy_name.clone());
    let entry = Entry::new(action, Actor::Controller, &workload.namespace, &object);
    engine_state.note(entry.with_policies(before, after));
}

/// Records the break-glass entries that the leader before logged and did not record.
pub fn resume_break_glass(engine_state: &mut EngineState, unrecorded: Vec<BreakGlassEntry>) {
    for BreakGlassEntry {
        namespace,
        reason,
        by,
        policies,
        at,
    } in unrecorded
    {
        let action = Action::BreakGlassOn {
            why: reason.clone(),
            policies: Some(policies),
            done: Some(at),
        };
        engine_state.recorded_break_glass(&namespace, at);
        break_glass(engine_state, &namespace, Some(&reason), action, by);
    }
}

fn break_glass(
    engine_state: &mut EngineState,
    namespace: &str,
    reason: Option<&str>,
    action: Action,
    by: Actor,
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
    engine_state.note(Entry::new(action, by, namespace, namespace));
}
