//! What the traffic says of the policies in force: violations, and approved traffic that is blocked.

use super::ledger::Ledger;
use super::sight::{Sight, View};
use crate::controller::ahead::{Key, key_of};
use crate::graph::Graph;
use crate::graph::Requirement;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::record::{Action, Draft};
use crate::review::resources::Mode;
use crate::review::{
    CONTROLLER, ENFORCEMENT_DELAY, Violation, approved_attempts, blocked_after, has_mixed_results,
    violations,
};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};

/// For how long after a change of its policy a workload's traffic may undo it, in seconds.
pub const WATCHED: i64 = 600;

/// For how long it is judged with everything that agents send, in seconds; then whenever all is counted.
const CLOSELY: i64 = 60;
/// So many workloads are watched so closely; where more change at once, counting comes soon enough.
const MOST_CLOSELY: usize = 50;
/// So many violations of a namespace are told of one by one; more are counted only.
const MOST_VIOLATIONS: usize = 1000;

/// The policies in force, by workload, and all those of others.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    pub ours: BTreeMap<WorkloadId, NetworkPolicy>,
    pub foreign: Vec<NetworkPolicy>,
}

impl InForce {
    /// What is wanted counts as in force where it is kept: it is there in a moment.
    pub fn build(ledger: &Ledger, sight: &Sight) -> InForce {
        let ours = ledger
            .states()
            .iter()
            .filter(|(id, _)| is_enforced(ledger, &id.namespace));
        let ours = ours.filter_map(|(id, state)| {
            Some((
                id.clone(),
                as_policy(id, &state.policy_name, state.wanted_policy()?),
            ))
        });
        let ours: BTreeMap<WorkloadId, NetworkPolicy> = ours.collect();
        let names: BTreeSet<Key> = ours.values().map(|p| key_of(&p.metadata)).collect();
        // Ours by their label, but not by what was approved: written from a folder, or left behind.
        let strays = sight
            .labelled_ours()
            .iter()
            .filter(|policy| !names.contains(&key_of(&policy.metadata)))
            .map(|policy| policy.as_ref().clone());
        let foreign = sight.foreign_policies.iter().cloned().chain(strays);
        InForce {
            foreign: foreign.collect(),
            ours,
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<NetworkPolicy> {
        self.ours.values().chain(&self.foreign).cloned().collect()
    }

    /// All but that workload's own.
    pub fn others(&self, workload: &WorkloadId) -> Vec<NetworkPolicy> {
        let ours = self
            .ours
            .iter()
            .filter(|(id, _)| *id != workload)
            .map(|(_, policy)| policy);
        ours.chain(&self.foreign).cloned().collect()
    }
}

/// Whether the namespace's approved policies are kept in the cluster now.
pub fn is_enforced(ledger: &Ledger, namespace: &str) -> bool {
    ledger.segments.get(namespace).is_some_and(|segment| {
        segment.kept.break_glass.is_none()
            && segment
                .segment
                .as_ref()
                .is_some_and(|s| s.mode == Mode::Enforce)
    })
}

/// A policy of ours as an object for the evaluator.
pub fn as_policy(workload: &WorkloadId, name: &str, spec: &NetworkPolicySpec) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(workload.namespace.clone()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(spec.clone()),
    }
}

/// Connections that were tried although the policies in force do not allow them.
pub fn find_violations(
    ledger: &mut Ledger,
    sight: &Sight,
    view: &View,
    in_force: &InForce,
) -> Vec<Violation> {
    let managed: BTreeSet<WorkloadId> = in_force.ours.keys().cloned().collect();
    let since: BTreeMap<WorkloadId, Timestamp> = ledger
        .states()
        .iter()
        .filter_map(|(id, state)| Some((id.clone(), state.applied.as_ref()?.at)))
        .collect();
    if managed.is_empty() {
        return Vec::new();
    }
    match violations(
        &view.graph,
        &sight.inventory,
        &in_force.all(),
        &managed,
        &since,
    ) {
        Ok(found) => {
            for violation in &found {
                note(ledger, violation);
            }
            found
        }
        Err(error) => {
            tracing::error!("failed to look for violations: {error}");
            Vec::new()
        }
    }
}

/// Connections that were approved before anybody saw them work.
pub fn find_approved_attempts(sight: &Sight, view: &View, in_force: &InForce) -> Vec<Requirement> {
    let managed: BTreeSet<WorkloadId> = in_force.ours.keys().cloned().collect();
    let all = in_force.all();
    match approved_attempts(&view.graph, &sight.inventory, &all, &managed) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("failed to look for what was approved: {error}");
            Vec::new()
        }
    }
}

/// A line in the record for the first of its kind, as long as a namespace has not very many.
fn note(ledger: &mut Ledger, violation: &Violation) {
    let words = violation.connection();
    let ends = [violation.server.workload(), violation.client.workload()];
    let Some(workload) = ends
        .into_iter()
        .flatten()
        .find(|id| is_enforced(ledger, &id.namespace))
        .cloned()
    else {
        return;
    };
    let Some(segment) = ledger.segments.get_mut(&workload.namespace) else {
        return;
    };
    let kept = &mut segment.kept.violations;
    if kept.len() < MOST_VIOLATIONS && kept.insert(words.clone()) {
        ledger.note(Draft {
            action: Action::Violation,
            actor: CONTROLLER.into(),
            namespace: workload.namespace.clone(),
            object: workload.name.clone(),
            before: None,
            after: None,
            reason: words,
        });
    }
}

/// The workloads whose policy has just changed: for them, counts of known edges are news too.
pub fn closely_watched(ledger: &Ledger, now: Timestamp) -> BTreeSet<WorkloadId> {
    let states = ledger.states().iter();
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

/// Undoes changes since which approved traffic is blocked, of these workloads or of all. Tells which.
pub fn undo_harmful(
    ledger: &mut Ledger,
    sight: &Sight,
    in_force: &InForce,
    only: Option<&BTreeSet<WorkloadId>>,
    now: Timestamp,
) -> Vec<WorkloadId> {
    let watched: Vec<(WorkloadId, Timestamp)> = ledger
        .states()
        .iter()
        .filter(|(id, _)| only.is_none_or(|only| only.contains(*id)))
        .filter(|(id, state)| {
            is_enforced(ledger, &id.namespace) && state.is_applied() && state.wanted.is_some()
        })
        .filter_map(|(id, state)| Some((id.clone(), state.applied.as_ref()?.at)))
        .filter(|(_, at)| now.secs_since(*at) <= WATCHED)
        .collect();
    let mut undone = Vec::new();
    for (workload, applied_at) in watched {
        let Some(state) = ledger.states().get(&workload) else {
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
                &sight.built.graph,
                recent,
                &sight.inventory,
                &before,
                &after,
                &workload,
                applied_at,
                now,
            )
        };
        let recent = sight.recent(applied_at);
        let settled = applied_at.plus_secs(ENFORCEMENT_DELAY);
        let found = match judge(&recent) {
            Ok(None) if now > settled && has_mixed_results(&recent, &workload) => {
                judge(&sight.recent(settled))
            }
            found => found,
        };
        match found {
            Ok(Some(traffic)) => {
                let words = traffic.to_string();
                ledger.change(&workload, |state, record| {
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
