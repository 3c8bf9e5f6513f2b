//! What the enforcer did and found → state and record.

use super::ledger::Ledger;
use crate::controller::plan::Report;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::record::{Action, Draft, glass_told_late};
use crate::review::{CONTROLLER, Digest};
use crate::store::BrokenGlass;
use std::collections::BTreeMap;

/// What is wrong in the cluster by now, by workload: for conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    pub drift: BTreeMap<WorkloadId, String>,
    pub failures: BTreeMap<WorkloadId, String>,
}

/// Takes a report.
pub fn hear(ledger: &mut Ledger, troubles: &mut Troubles, report: &Report) {
    match report {
        Report::InPlace {
            workload,
            revision,
            at,
            ..
        } => {
            let drifted = troubles.drift.remove(workload).is_some();
            let failed = troubles.failures.remove(workload).is_some();
            if drifted || failed {
                // Nothing else tells of it where others put it right (GitOps).
                ledger.mark_unpublished(&workload.namespace);
            }
            // What was wanted when the enforcer looked; by now it may be something else.
            let is_wanted = ledger
                .states()
                .get(workload)
                .is_some_and(|s| s.wanted == *revision && !s.is_applied());
            if is_wanted {
                ledger.change(workload, |state, record| {
                    state.applied(CONTROLLER, *at, record)
                });
            }
        }
        Report::Repaired {
            workload,
            what,
            found,
            wanted,
            ..
        } => {
            troubles.drift.remove(workload);
            troubles.failures.remove(workload);
            note(
                ledger,
                Action::DriftRepaired,
                workload,
                (found.clone(), wanted.clone()),
                what,
            );
        }
        Report::Drifted {
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
            note(ledger, Action::DriftGivenUp, workload, (None, None), &words);
        }
        Report::Exported {
            workload, policy, ..
        } => {
            note(
                ledger,
                Action::Exported,
                workload,
                (None, policy.clone()),
                "",
            );
        }
        Report::Failed { workload, why, .. } => {
            let known = troubles.failures.insert(workload.clone(), why.clone());
            if known.as_ref() != Some(why) {
                ledger.mark_unpublished(&workload.namespace);
            }
        }
        Report::BreakGlass {
            namespace,
            reason,
            deleted,
            at,
        } => match reason {
            Some(reason) => {
                let words = format!("{reason} ({deleted} policies were taken away)");
                glass_broken(ledger, namespace, *at, reason, words);
            }
            None => glass_mended(ledger, namespace),
        },
    }
}

fn note(
    ledger: &mut Ledger,
    action: Action,
    workload: &WorkloadId,
    (before, after): (Option<Digest>, Option<Digest>),
    what: &str,
) {
    let object = ledger
        .states()
        .get(workload)
        .map_or(workload.name.clone(), |s| s.policy_name.clone());
    ledger.note(Draft {
        action,
        actor: CONTROLLER.into(),
        namespace: workload.namespace.clone(),
        object,
        before,
        after,
        reason: what.to_owned(),
    });
}

/// What the leader before broke and did not come to tell.
pub fn take_up(ledger: &mut Ledger, untold: Vec<BrokenGlass>) {
    for glass in untold {
        let BrokenGlass {
            namespace,
            reason,
            policies,
            at,
        } = glass;
        let words = glass_told_late(&reason, policies, at);
        glass_broken(ledger, &namespace, at, &reason, words);
    }
}

fn glass_broken(ledger: &mut Ledger, namespace: &str, at: Timestamp, reason: &str, words: String) {
    ledger.told_glass(namespace, at);
    glass(ledger, namespace, Some(reason), Action::BreakGlassOn, words);
}

fn glass_mended(ledger: &mut Ledger, namespace: &str) {
    let words = "policies are enforced again".to_owned();
    glass(ledger, namespace, None, Action::BreakGlassOff, words);
}

fn glass(
    ledger: &mut Ledger,
    namespace: &str,
    reason: Option<&str>,
    action: Action,
    words: String,
) {
    let Some(segment) = ledger.segments.get_mut(namespace) else {
        return;
    };
    if segment.kept.break_glass.as_deref() == reason {
        return;
    }
    segment.kept.break_glass = reason.map(str::to_owned);
    // Nothing of the namespace is in the cluster now; what comes back is no repair of drift.
    let theirs: Vec<WorkloadId> = ledger
        .states_of(namespace)
        .map(|state| state.workload.clone())
        .collect();
    for workload in theirs {
        ledger.change(&workload, |state, _| state.taken_away());
    }
    ledger.note(Draft {
        action,
        actor: CONTROLLER.into(),
        namespace: namespace.to_owned(),
        object: namespace.to_owned(),
        before: None,
        after: None,
        reason: words,
    });
}
