//! Ends temporary openings when their time is over (rule: temporary-opening-ends).

use super::in_force::InForce;
use super::observation::{ClusterView, Observation};
use super::refusals::{self, connection};
use super::single;
use super::state::EngineState;
use crate::graph::{Graph, Requirement, Requiring};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::{OpeningStatus, to_time};
use crate::review::{ImpactInputs, RefusedBy, Temporary, TemporaryOpening, WorkloadState, assess};
use std::collections::BTreeSet;

/// How many openings a status lists, and how many connections of each.
const MOST_OPENINGS: usize = 50;
const MOST_NAMED: usize = 10;

/// When the next one ends.
pub fn next_end(engine_state: &EngineState) -> Option<Timestamp> {
    let states = engine_state.states().values();
    let ends = states.filter_map(|state| Some(state.opening.as_ref()?.until));
    ends.min()
}

/// Ends those whose time is over. What they opened is not offered again until it is tried again. Returns true if one
/// ended.
pub fn expire(engine_state: &mut EngineState, graph: &Graph, now: Timestamp) -> bool {
    if next_end(engine_state).is_none_or(|end| now < end) {
        return false;
    }
    let is_over = |state: &&WorkloadState| {
        let opening = state.opening.as_ref();
        opening.is_some_and(|opening| now >= opening.until)
    };
    let over = engine_state.states().values().filter(is_over);
    let over: Vec<WorkloadId> = over.map(|state| state.workload.clone()).collect();
    for id in over {
        let ended = engine_state.change(&id, |state, record| state.expire(now, record));
        let Some(opening) = ended.flatten() else {
            continue;
        };
        let state = engine_state.states().get(&id);
        let proposal = state
            .and_then(|state| state.proposal(&opening.proposal))
            .cloned();
        if let Some(proposal) = proposal {
            let refused = (opening.by.as_str(), RefusedBy::Expiry);
            let closed = &opening.connections;
            refusals::remember(engine_state, graph, &id, &proposal, closed, refused, now);
        }
    }
    true
}

/// The openings of these workloads, the one that ends first before the others.
pub fn status(states: &[&WorkloadState]) -> Vec<OpeningStatus> {
    let open = states
        .iter()
        .filter_map(|state| Some((*state, state.opening.as_ref()?)));
    let mut open: Vec<_> = open.collect();
    open.sort_by_key(|(_, opening)| opening.until);
    let status = |(state, opening): (&WorkloadState, &TemporaryOpening)| OpeningStatus {
        workload: format!("{}/{}", state.workload.kind, state.workload.name),
        proposal: opening.proposal.clone(),
        by: opening.by.clone(),
        until: Some(to_time(opening.until)),
        connections: opening
            .connections
            .iter()
            .take(MOST_NAMED)
            .map(|one| one.for_record().to_string())
            .collect(),
    };
    open.into_iter().take(MOST_OPENINGS).map(status).collect()
}

/// What is left of a workload's policy when its temporary opening ends. `requirements` are those that the policy is made
/// from.
///
/// # Errors
/// Why it cannot be made.
pub fn afterwards(
    engine_state: &EngineState,
    observation: &Observation,
    view: &ClusterView,
    (state, opening): (&WorkloadState, &TemporaryOpening),
    requirements: &[Requirement],
    now: Timestamp,
) -> Result<Option<Temporary>, String> {
    let id = &state.workload;
    let rest = without(observation, view, opening, requirements);
    let policy = single::generate(engine_state, observation, view, id, &rest, now)?;
    let Some(policy) = policy else {
        return Ok(None);
    };
    let others = InForce::build(engine_state, observation).others(id);
    let assessment = assess(&ImpactInputs {
        inventory: &observation.inventory,
        graph: &view.graph,
        enforcement: &observation.enforcement,
        requirements: &rest,
        wanted_blocked: &[],
        workload: id,
        policy_name: &state.policy_name,
        base: state.wanted_policy(),
        policy: &policy,
        others: &others,
        findings: &[],
        coverage: None,
        reason: "",
        now,
    });
    Ok(Some(Temporary {
        opening: opening.proposal.clone(),
        intent: assessment.map_err(|error| error.to_string())?.intent,
        afterwards: policy,
    }))
}

/// The requirements without those that only the opening needs.
fn without(
    observation: &Observation,
    view: &ClusterView,
    opening: &TemporaryOpening,
    requirements: &[Requirement],
) -> Vec<Requirement> {
    let graph = &view.graph;
    let requiring = Requiring {
        graph,
        inventory: &observation.inventory,
        enforcement: &observation.enforcement,
    };
    let key = |one: &Requirement| {
        let ends = (one.client.clone(), one.server.clone());
        (ends, one.protocol, one.port)
    };
    let taught = graph.taught().into_iter().enumerate();
    let opened = taught.filter(|(_, (client, server, edge))| {
        let connection = connection(client, server, edge);
        opening.connections.contains(&connection)
    });
    let places: BTreeSet<usize> = opened.map(|(place, _)| place).collect();
    let mut keys = BTreeSet::new();
    for one in &opening.connections {
        let edge = graph.edge(&one.client, &one.server, one.protocol, one.port);
        let needed =
            edge.map(|edge| requiring.of(&one.client, &one.server, edge, Requiring::NOT_TAUGHT));
        keys.extend(needed.iter().flatten().map(key));
    }
    let stays = |one: &&Requirement| {
        let is_open = one.edge == Requiring::NOT_TAUGHT && keys.contains(&key(one));
        !is_open && !places.contains(&one.edge)
    };
    requirements.iter().filter(stays).cloned().collect()
}
