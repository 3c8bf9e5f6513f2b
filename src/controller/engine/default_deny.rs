//! The default deny of namespaces (rule: default-deny-is-proposed): proposed once it would block nothing that was
//! observed, and judged as any policy.

use super::in_force::{InForce, as_policy};
use super::observation::{ClusterView, Observation};
use super::propose::{approve_within_rules, coverage, segmented};
use super::state::EngineState;
use crate::finding::Finding;
use crate::graph::{Graph, Peer};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::Mode;
use crate::review::{
    DEFAULT_DENY, DefaultDenyInputs, DesiredPolicy, Digest, Need, SegmentationSettings,
    WorkloadState, assess_default_deny, default_deny_of, default_deny_policy,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::{BTreeMap, BTreeSet};

/// Makes, refreshes and withdraws the proposals for default denies. Returns the namespaces for which there is none although it is wanted, with the reasons. Only a view of everything shows what
/// one would block.
pub fn propose(
    engine_state: &mut EngineState,
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut problems = BTreeMap::new();
    if view.only.is_some() {
        return problems;
    }
    let segments: Vec<(SegmentationSettings, Timestamp)> = engine_state
        .segments
        .values()
        .filter_map(|state| Some((state.segment.clone()?, state.observing_since)))
        .collect();
    for (segment, since) in segments {
        let is_due = now.secs_since(since) >= segment.minimum_duration;
        let is_known = !observation.not_known.contains_key(&segment.namespace);
        if !segment.default_deny || segment.mode < Mode::Propose || !is_due || !is_known {
            continue;
        }
        if let Err(why) = propose_one(engine_state, observation, view, in_force, &segment, now) {
            problems.insert(segment.namespace.clone(), why);
        }
    }
    problems
}

/// Ends the reviews of default denies that their Segmentations do not want any more: the policy is deleted first, so that
/// the record has it.
pub fn end_unwanted(engine_state: &mut EngineState, now: Timestamp) {
    let segments = engine_state.segments.values();
    let unwanted: Vec<WorkloadId> = segments
        .filter_map(|state| state.segment.as_ref())
        .filter(|segment| !segment.default_deny)
        .map(|segment| default_deny_of(&segment.namespace))
        .filter(|id| engine_state.states().contains_key(id))
        .collect();
    for id in unwanted {
        let is_left = |state: &WorkloadState| state.wanted.is_some() || state.open().is_some();
        if engine_state.states().get(&id).is_some_and(is_left) {
            let why = "spec.defaultDeny is not set any more";
            engine_state.change(&id, |state, record| state.retire(why, now, record));
        }
        let has_policy = |state: &WorkloadState| {
            let applied = state.applied.as_ref();
            applied.is_some_and(|applied| applied.revision.is_some())
        };
        if !engine_state.states().get(&id).is_some_and(has_policy) {
            engine_state.end(&id);
        }
    }
}

fn propose_one(
    engine_state: &mut EngineState,
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
    segment: &SegmentationSettings,
    now: Timestamp,
) -> Result<(), String> {
    let id = default_deny_of(&segment.namespace);
    let others = others(engine_state, in_force, &id);
    let desired = DesiredPolicy {
        policy: default_deny_policy(segment)?,
        basis: basis(
            observation,
            &view.graph,
            &view.findings,
            &segment.namespace,
            &others,
        ),
        asked_by_blocked: false,
        is_changed: false,
        temporary: None,
    };
    let fresh = WorkloadState::new(id.clone(), DEFAULT_DENY.to_owned());
    let known = engine_state.states().get(&id);
    let state = known.unwrap_or(&fresh);
    match state.need(&desired) {
        Need::Nothing => {
            approve_within_rules(engine_state, &id, now);
            return Ok(());
        }
        Need::Withdraw => {
            let why = "the approved policy is right by now";
            engine_state.change(&id, |state, record| state.withdraw(why, now, record));
            return Ok(());
        }
        Need::Assess => {}
    }
    let reason = match state.wanted {
        None => "spec.defaultDeny of the Segmentation asks for it".to_owned(),
        Some(revision) => {
            format!("spec.exclude of the Segmentation differs from revision {revision}")
        }
    };
    let is_edited = state.open().is_some_and(|open| open.is_edited());
    let impact = assess_default_deny(&DefaultDenyInputs {
        inventory: &observation.inventory,
        graph: &view.graph,
        enforcement: &observation.enforcement,
        namespace: &segment.namespace,
        base: state.wanted_policy(),
        policy: state.policy_to_assess(&desired),
        others: &others,
        findings: &view.findings,
        coverage: lowest_coverage(observation, segment),
        reason: &reason,
    })
    .map_err(|error| error.to_string())?;
    // What would break what was observed is never proposed (rule: sound-or-nothing).
    if let Some(first) = impact.would_block.first()
        && !is_edited
    {
        let why = format!(
            "the default deny would block {} connections that were observed, such as {} → {} {}; it is proposed once \
             approved policies allow them",
            impact.would_block_total, first.client, first.server, first.port
        );
        engine_state.change(&id, |state, record| state.withdraw(&why, now, record));
        return Err(why);
    }
    if known.is_none() {
        engine_state.begin(fresh);
    }
    engine_state.change(&id, |state, record| {
        state.propose(desired, impact.into(), now, record)
    });
    approve_within_rules(engine_state, &id, now);
    Ok(())
}

/// The other policies of the namespace: those that were approved, also where they are not enforced yet, and those of
/// others.
fn others(engine_state: &EngineState, in_force: &InForce, id: &WorkloadId) -> Vec<NetworkPolicy> {
    let approved = engine_state.states_of(&id.namespace).filter_map(|state| {
        let policy = state.wanted_policy()?;
        let own = as_policy(&state.workload, &state.policy_name, policy);
        (state.workload != *id).then_some(own)
    });
    let is_theirs = |policy: &&NetworkPolicy| {
        policy.metadata.namespace.as_deref() == Some(&id.namespace)
            && policy.metadata.name.as_deref() != Some(DEFAULT_DENY)
    };
    let mut all: BTreeMap<String, NetworkPolicy> = in_force
        .foreign
        .iter()
        .filter(is_theirs)
        .map(|policy| {
            (
                policy.metadata.name.clone().unwrap_or_default(),
                policy.clone(),
            )
        })
        .collect();
    all.extend(approved.map(|policy| (policy.metadata.name.clone().unwrap_or_default(), policy)));
    all.into_values().collect()
}

/// The smallest estimate of the workloads of the namespace; `None` if one is not known, or there are none.
fn lowest_coverage(observation: &Observation, segment: &SegmentationSettings) -> Option<f64> {
    let all = segmented(observation, segment);
    let known: Option<Vec<f64>> = all.iter().map(|id| coverage(observation, id)).collect();
    known?.into_iter().reduce(f64::min)
}

/// The digest of what the impact depends on beside the policy itself.
fn basis(
    observation: &Observation,
    graph: &Graph,
    findings: &[Finding],
    namespace: &str,
    others: &[NetworkPolicy],
) -> Digest {
    let mut seen: BTreeSet<String> = others
        .iter()
        .filter_map(|policy| serde_json::to_string(policy).ok())
        .collect();
    for workload in observation.inventory.workloads_of(namespace) {
        let own = Peer::Workload(workload.id.clone());
        seen.insert(own.to_string());
        for (client, server, edge) in graph.edges_of(&own) {
            if edge.lesson.teaches() {
                seen.insert(format!("{client} {server} {} {}", edge.port, edge.protocol));
            }
        }
    }
    let uncovered = findings.iter().filter(|one| one.subject == namespace);
    seen.extend(uncovered.map(|one| format!("{} {}", one.code, one.message)));
    Digest::of_bytes(seen.into_iter().collect::<Vec<_>>().join("\n").as_bytes())
}
