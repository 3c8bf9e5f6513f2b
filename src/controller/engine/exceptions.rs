//! A proposal without some of its connections: what is left is made anew from the others, and proven to be the proposal
//! without these and nothing else (rule: exception-is-proven).

use super::in_force::InForce;
use super::observation::Observation;
use super::propose::{coverage, risks};
use super::refusals::connection;
use super::single;
use super::state::EngineState;
use crate::evaluate::{HostNetwork, difference};
use crate::graph::{Peer, Requirement, Requiring};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::record::Connection;
use crate::review::{
    Amendment, Assessment, ImpactInputs, IntendedConnection, Proposal, WorkloadState, assess,
};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use std::collections::BTreeSet;

/// How many connections a refusal names.
const NAMED: usize = 3;

/// Computes what is left of a proposal.
///
/// # Errors
/// Why it cannot be approved without these connections alone: for the person who decided.
pub fn amend(
    engine_state: &EngineState,
    observation: &Observation,
    state: &WorkloadState,
    proposal: &Proposal,
    except: &[Connection],
    now: Timestamp,
) -> Result<Amendment, String> {
    if proposal.is_kept() {
        return Err("it is not the generated policy: edit the proposal instead".into());
    }
    let left_out = except.iter().flat_map(|one| proposal.named(one)).cloned();
    let left_out: BTreeSet<IntendedConnection> = left_out.collect();
    let kept: BTreeSet<IntendedConnection> = proposal
        .intent
        .allows
        .difference(&left_out)
        .cloned()
        .collect();
    if proposal.impact.evidence_total as usize > proposal.intent.allows.len() {
        return Err("it has too many connections: edit the proposal instead".into());
    }
    let id = &state.workload;
    let view = observation.view(Some(BTreeSet::from([id.clone()])));
    let policy = generate(engine_state, observation, id, &kept, now)?;
    let risks = risks(engine_state, observation, id);
    let others = InForce::build(engine_state, observation).others(id);
    let names: Vec<String> = except.iter().map(ToString::to_string).collect();
    let assessment = assess(&ImpactInputs {
        inventory: &observation.inventory,
        graph: &view.graph,
        enforcement: &observation.enforcement,
        requirements: &view.requirements,
        wanted_blocked: &[],
        workload: id,
        policy_name: &state.policy_name,
        base: state.wanted_policy(),
        policy: &policy,
        others: &others,
        findings: &[view.findings.as_slice(), risks.as_slice()].concat(),
        coverage: coverage(observation, id),
        reason: &format!("{}; without {}", proposal.impact.reason, names.join(", ")),
        now,
    });
    let mut assessment = assessment.map_err(|error| error.to_string())?;
    let shared = observation.shared.codes_for(&id.namespace);
    assessment.impact.mark_shared(id, &shared);
    check(&assessment, &kept, &left_out)?;
    let shown = with(&others, state, &proposal.policy);
    let rest = with(&others, state, &policy);
    let more = difference(&observation.inventory, &shown, &rest, HostNetwork::Exact);
    let more = more.map_err(|error| error.to_string())?.opened;
    match more.first() {
        Some(one) => Err(format!(
            "what is left would open {} → {}, which the proposal does not",
            one.client, one.server
        )),
        None => Ok(Amendment { policy, assessment }),
    }
}

/// Makes the policy from the connections that are kept, and proves it.
fn generate(
    engine_state: &EngineState,
    observation: &Observation,
    id: &WorkloadId,
    kept: &BTreeSet<IntendedConnection>,
    now: Timestamp,
) -> Result<NetworkPolicySpec, String> {
    let view = observation.view(Some(BTreeSet::from([id.clone()])));
    let requiring = Requiring {
        graph: &view.graph,
        inventory: &observation.inventory,
        enforcement: &observation.enforcement,
    };
    let edges = view.graph.edges_of(&Peer::Workload(id.clone()));
    let edges = edges.into_iter();
    let edges =
        edges.filter(|(client, server, edge)| kept.contains(&connection(client, server, edge)));
    let requirements: Vec<Requirement> = edges
        .flat_map(|(client, server, edge)| {
            requiring.of(client, server, edge, Requiring::NOT_TAUGHT)
        })
        .collect();
    let spec = single::generate(engine_state, observation, &view, id, &requirements, now)?;
    spec.ok_or_else(|| "nothing would be left of it: reject it".into())
}

/// What is left must allow all that is kept, and nothing that is left out.
fn check(
    assessment: &Assessment,
    kept: &BTreeSet<IntendedConnection>,
    left_out: &BTreeSet<IntendedConnection>,
) -> Result<(), String> {
    let allows = &assessment.intent.allows;
    let names = |all: Vec<&IntendedConnection>| {
        let named = all
            .iter()
            .take(NAMED)
            .map(|one| one.for_record().to_string());
        named.collect::<Vec<String>>().join(", ")
    };
    let still: Vec<_> = left_out.intersection(allows).collect();
    if !still.is_empty() {
        return Err(format!(
            "{} would still be allowed, by another connection's rule or by another policy",
            names(still)
        ));
    }
    let lost: Vec<_> = kept.difference(allows).collect();
    if !lost.is_empty() {
        return Err(format!(
            "{} would be blocked too; review it again",
            names(lost)
        ));
    }
    Ok(())
}

fn with(
    others: &[NetworkPolicy],
    state: &WorkloadState,
    spec: &NetworkPolicySpec,
) -> Vec<NetworkPolicy> {
    let own = super::in_force::as_policy(&state.workload, &state.policy_name, spec);
    others.iter().cloned().chain([own]).collect()
}
