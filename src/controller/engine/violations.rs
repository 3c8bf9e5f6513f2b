//! Violations: connections that the policies in force do not allow.

use super::in_force::InForce;
use super::observation::{ClusterView, Observation};
use super::state::EngineState;
use crate::graph::{EdgeKey, Peer, Requirement};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::record::{Action, Actor, Entry};
use crate::review::{
    Noted, PendingViolation, PendingViolations, Violation, ViolationKind, approved_attempts,
    violations,
};
use std::collections::{BTreeMap, BTreeSet};

/// Finds connections that were tried although the policies in force do not allow them, as far as they can be judged
/// (rule: judge-late-rather-than-wrong), and records the first of each kind. What turned out to be somebody else's
/// traffic is withdrawn.
pub fn find_violations(
    engine_state: &mut EngineState,
    pending: &mut PendingViolations,
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
    now: Timestamp,
) -> Vec<Violation> {
    let managed: BTreeSet<WorkloadId> = in_force.ours.keys().cloned().collect();
    let since: BTreeMap<WorkloadId, Timestamp> = engine_state
        .states()
        .iter()
        .filter_map(|(id, state)| Some((id.clone(), state.applied.as_ref()?.at)))
        .collect();
    let found = violations(
        &view.graph,
        &observation.inventory,
        &observation.enforcement,
        &in_force.all(),
        &managed,
        &since,
    );
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("failed to look for violations: {error}");
            return Vec::new();
        }
    };
    if view.only.is_none() {
        withdraw(engine_state, &found, view, observation);
    }
    let caught_up = observation.caught_up();
    let waited = waiting_by_namespace(pending);
    let judged = pending.judge(found, view.only.as_ref(), caught_up, now);
    let waiting = waiting_by_namespace(pending);
    for namespace in waited.keys().chain(waiting.keys()) {
        if waited.get(namespace) != waiting.get(namespace) {
            engine_state.mark_unpublished(namespace);
        }
    }
    for violation in &judged {
        note(engine_state, violation);
    }
    judged
}

/// How many connections wait to be judged, by namespace.
fn waiting_by_namespace(pending: &PendingViolations) -> BTreeMap<String, usize> {
    let mut waiting = BTreeMap::new();
    for ((client, server, ..), _) in pending.waiting() {
        let ends = [client, server].into_iter().filter_map(Peer::workload);
        let namespaces: BTreeSet<&String> = ends.map(|id| &id.namespace).collect();
        for namespace in namespaces {
            *waiting.entry(namespace.clone()).or_default() += 1;
        }
    }
    waiting
}

/// The denied connections of a namespace that wait to be judged.
pub fn waiting_in<'p>(
    pending: &'p PendingViolations,
    namespace: &'p str,
) -> impl Iterator<Item = (&'p EdgeKey, &'p PendingViolation)> {
    let of_namespace = move |peer: &Peer| {
        let workload = peer.workload();
        workload.is_some_and(|id| id.namespace == namespace)
    };
    let waiting = pending.waiting();
    waiting.filter(move |(key, _)| of_namespace(&key.0) || of_namespace(&key.1))
}

/// What of a namespace waits to be judged, and for what, for people; empty if nothing does.
pub fn waiting_sentence(pending: &PendingViolations, namespace: &str) -> String {
    let mut waiting = waiting_in(pending, namespace);
    let Some(((client, server, protocol, port), one)) = waiting.next() else {
        return String::new();
    };
    let more = match waiting.count() {
        0 => String::new(),
        more => format!(" (and {more} more connections)"),
    };
    format!(
        "{client} → {server} {port}/{protocol}{more} is denied, and is judged once the pods of {} or later are known: its \
         address may belong to a pod that has just started or ended",
        one.due
    )
}

/// Finds connections that are allowed and were never seen to work: somebody approved them, so they stay allowed.
pub fn find_approved_attempts(
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
) -> Vec<Requirement> {
    let managed: BTreeSet<WorkloadId> = in_force.ours.keys().cloned().collect();
    let all = in_force.all();
    match approved_attempts(
        &view.graph,
        &observation.inventory,
        &observation.enforcement,
        &all,
        &managed,
    ) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("failed to look for what was approved: {error}");
            Vec::new()
        }
    }
}

/// Adds a line to the record for the first violation of its kind.
fn note(engine_state: &mut EngineState, violation: &Violation) {
    let Some(ViolationKind { workload, .. }) = ViolationKind::of(violation) else {
        return;
    };
    let connection = violation.connection();
    let Some(segment) = engine_state.segments.get_mut(&workload.namespace) else {
        return;
    };
    if segment.kept.violations.contains(&connection) {
        return;
    }
    let further = match segment.kept.ledger.note(violation) {
        Noted::New => false,
        Noted::FirstOfRest => true,
        Noted::Known => return,
        Noted::Dropped => {
            tracing::warn!(%connection, "a violation has no line: the namespace has too many kinds");
            return;
        }
    };
    let action = Action::Violation {
        connection,
        policy: policy_name(engine_state, &workload),
        further,
    };
    let (namespace, name) = (&workload.namespace, &workload.name);
    engine_state.note(Entry::new(action, Actor::Controller, namespace, name));
}

/// Adds a line to the record for each violation that turned out to be somebody else's traffic.
fn withdraw(
    engine_state: &mut EngineState,
    found: &[Violation],
    view: &ClusterView,
    observation: &Observation,
) {
    let mut entries = Vec::new();
    for (namespace, segment) in &mut engine_state.segments {
        let ledger = &mut segment.kept.ledger;
        for (was, now) in ledger.withdraw(found, &view.graph, &observation.inventory) {
            let connection = was.connection();
            let action = Action::ViolationWithdrawn { connection, now };
            let name = &was.kind.workload.name;
            entries.push(Entry::new(action, Actor::Controller, namespace, name));
        }
    }
    for entry in entries {
        engine_state.note(entry);
    }
}

fn policy_name(engine_state: &EngineState, workload: &WorkloadId) -> String {
    let state = engine_state.states().get(workload);
    state
        .map(|state| state.policy_name.clone())
        .unwrap_or_default()
}
