//! Policies in the cluster with our label that the state does not know: they are counted and named, and where a
//! namespace is segmented, a proposal offers to adopt each (rule: unknown-policy-is-adopted).

use super::in_force::InForce;
use super::observation::{ClusterView, Observation};
use super::propose::{ADOPTS, coverage, segmented};
use super::state::EngineState;
use crate::controller::pending_writes::key_of;
use crate::finding::{Code, Finding};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::Mode;
use crate::review::{self, Assessment, ImpactInputs, WorkloadState, selected_workload};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use std::collections::{BTreeMap, BTreeSet};

/// How many of them the log names.
const SHOWN: usize = 10;

/// The names of unknown policies, by namespace.
pub type UnknownPolicies = BTreeMap<String, BTreeSet<String>>;

/// Returns the policies with our label that were never approved by this state.
pub fn find(engine_state: &EngineState, observation: &Observation) -> UnknownPolicies {
    let states = engine_state.states().values();
    let known: BTreeSet<(&str, &str)> = states
        .filter(|state| state.knows_its_policy())
        .map(|state| {
            (
                state.workload.namespace.as_str(),
                state.policy_name.as_str(),
            )
        })
        .collect();
    let mut unknown = UnknownPolicies::new();
    for policy in observation.labelled_ours() {
        if policy.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let (namespace, name) = key_of(&policy.metadata);
        if !known.contains(&(namespace.as_str(), name.as_str())) {
            unknown.entry(namespace).or_default().insert(name);
        }
    }
    unknown
}

/// What the log says about them; `None`: there are none.
pub fn words(unknown: &UnknownPolicies) -> Option<String> {
    let names = || {
        let all = unknown.iter();
        all.flat_map(|(namespace, names)| names.iter().map(move |name| (namespace, name)))
    };
    let count = names().count();
    let some: Vec<String> = names()
        .take(SHOWN)
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    let more = match count.saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (count > 0).then(|| {
        format!(
            "policies of an earlier installation are in force, and the state does not know them: {}{more}; they stay as they \
             are until somebody decides: in a namespace with a Segmentation of mode Propose or Enforce a proposal offers to \
             adopt each, elsewhere delete those that nobody wants",
            some.join(", ")
        )
    })
}

/// The findings about them: they are in the proposals of their workloads.
pub fn findings(observation: &Observation, unknown: &UnknownPolicies) -> Vec<Finding> {
    let mut findings = Vec::new();
    for policy in observation.labelled_ours() {
        let (namespace, name) = key_of(&policy.metadata);
        let is_unknown = unknown
            .get(&namespace)
            .is_some_and(|all| all.contains(&name));
        let Some(spec) = policy.spec.as_ref().filter(|_| is_unknown) else {
            continue;
        };
        let subject = match selected_workload(&observation.inventory, &namespace, spec) {
            Some(id) => id.to_string(),
            None => format!("{namespace}/{name}"),
        };
        let message =
            format!("policy {name} is in the cluster, and the controller's state does not know it");
        findings.push(Finding::new(Code::UnknownPolicy, subject, message));
    }
    findings
}

/// Proposes to adopt them, and closes proposals for those that are gone. Returns why it cannot, by namespace. Only a view of
/// everything shows what a policy does.
pub fn propose(
    engine_state: &mut EngineState,
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
    unknown: &UnknownPolicies,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut problems = BTreeMap::new();
    if view.only.is_some() {
        return problems;
    }
    for policy in observation.labelled_ours() {
        let (namespace, name) = key_of(&policy.metadata);
        let is_unknown = unknown
            .get(&namespace)
            .is_some_and(|all| all.contains(&name));
        let Some(spec) = policy.spec.as_ref().filter(|_| is_unknown) else {
            continue;
        };
        let Some(id) = owner(engine_state, observation, &namespace, &name, spec) else {
            continue;
        };
        let fresh = WorkloadState::new(id.clone(), name);
        let known = engine_state.states().get(&id);
        if !known.unwrap_or(&fresh).may_adopt(spec) {
            continue;
        }
        let input = Input {
            observation,
            view,
            in_force,
        };
        match assess(&input, &fresh, spec, now) {
            Ok(assessment) => {
                if known.is_none() {
                    engine_state.begin(fresh);
                }
                engine_state.change(&id, |state, record| {
                    state.adopt(spec.clone(), assessment, now, record)
                });
            }
            Err(why) => drop(problems.insert(namespace, why)),
        }
    }
    withdraw(engine_state, unknown, now);
    problems
}

fn withdraw(engine_state: &mut EngineState, unknown: &UnknownPolicies, now: Timestamp) {
    let is_gone = |state: &&WorkloadState| {
        let theirs = unknown.get(&state.workload.namespace);
        state.open().is_some_and(|open| open.adopts)
            && theirs.is_none_or(|names| !names.contains(&state.policy_name))
    };
    let gone = engine_state.states().values().filter(is_gone);
    let gone: Vec<WorkloadId> = gone.map(|state| state.workload.clone()).collect();
    for id in gone {
        engine_state.change(&id, |state, record| state.withdraw_adoption(now, record));
    }
}

/// Returns the workload that a policy is of: the one whose review has its name, or the one that it selects.
fn owner(
    engine_state: &EngineState,
    observation: &Observation,
    namespace: &str,
    name: &str,
    spec: &NetworkPolicySpec,
) -> Option<WorkloadId> {
    let segment = engine_state.segments.get(namespace)?.segment.as_ref()?;
    if segment.mode < Mode::Propose {
        return None;
    }
    let id = selected_workload(&observation.inventory, namespace, spec)?;
    let has_other_name = |state: &WorkloadState| state.policy_name != name;
    let is_other = engine_state.states().get(&id).is_some_and(has_other_name);
    (!is_other && segmented(observation, segment).contains(&id)).then_some(id)
}

struct Input<'a> {
    observation: &'a Observation,
    view: &'a ClusterView,
    in_force: &'a InForce,
}

fn assess(
    input: &Input<'_>,
    state: &WorkloadState,
    found: &NetworkPolicySpec,
    now: Timestamp,
) -> Result<Assessment, String> {
    let (id, observation) = (&state.workload, input.observation);
    let mut others = input.in_force.others(id);
    let own = (id.namespace.clone(), state.policy_name.clone());
    others.retain(|policy| key_of(&policy.metadata) != own);
    let assessment = review::assess(&ImpactInputs {
        inventory: &observation.inventory,
        graph: &input.view.graph,
        enforcement: &observation.enforcement,
        requirements: &input.view.requirements,
        wanted_blocked: &[],
        workload: id,
        policy_name: &state.policy_name,
        base: None,
        policy: found,
        others: &others,
        findings: &input.view.findings,
        coverage: coverage(observation, id),
        reason: ADOPTS,
        now,
    });
    let mut assessment = assessment.map_err(|error| error.to_string())?;
    let shared = observation.shared.codes_for(&id.namespace);
    assessment.impact.mark_shared(id, &shared);
    Ok(assessment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_some_of_the_policies_that_nobody_approved_and_what_to_do() {
        assert_eq!(words(&UnknownPolicies::new()), None);
        let names = |count: usize| (0..count).map(|n| format!("nanoseg-{n:02}")).collect();
        let unknown =
            UnknownPolicies::from([("bank".into(), names(1)), ("shop".into(), names(12))]);
        let words = words(&unknown).unwrap();
        for part in [
            "bank/nanoseg-00",
            "shop/nanoseg-08",
            "and 3 more",
            "adopt",
            "delete",
        ] {
            assert!(words.contains(part), "{words}");
        }
        assert!(!words.contains("shop/nanoseg-09"), "{words}");
    }
}
