//! Ends temporary openings when their time is over (rule: temporary-opening-ends).

use super::in_force::InForce;
use super::observation::{ClusterView, Observation};
use super::open_directions;
use super::refusals::{self, connection};
use super::state::EngineState;
use crate::graph::{Graph, Requirement, Requiring};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::pipeline::synthesise_and_prove;
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
    let requiring = Requiring {
        graph: &view.graph,
        inventory: &observation.inventory,
        enforcement: &observation.enforcement,
    };
    let key = |one: &Requirement| {
        (
            one.client.clone(),
            one.server.clone(),
            one.protocol,
            one.port,
        )
    };
    let (mut places, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for (place, (client, server, edge)) in view.graph.taught().into_iter().enumerate() {
        if opening
            .connections
            .contains(&connection(client, server, edge))
        {
            places.insert(place);
        }
    }
    for one in &opening.connections {
        if let Some(edge) = view
            .graph
            .edge(&one.client, &one.server, one.protocol, one.port)
        {
            let needed = requiring.of(&one.client, &one.server, edge, Requiring::NOT_TAUGHT);
            keys.extend(needed.iter().map(key));
        }
    }
    let stays = |one: &&Requirement| {
        let is_open = one.edge == Requiring::NOT_TAUGHT && keys.contains(&key(one));
        !is_open && !places.contains(&one.edge)
    };
    let rest: Vec<Requirement> = requirements.iter().filter(stays).cloned().collect();
    let segment = engine_state.segments.get(&id.namespace);
    let Some(segment) = segment.and_then(|segment| segment.segment.as_ref()) else {
        return Ok(None);
    };
    let groups = [(vec![id.clone()], segment.synthesis.clone())];
    let open = open_directions::find(engine_state, observation, view, now);
    let (inventory, existing) = (&observation.inventory, &observation.foreign_policies);
    let proven = synthesise_and_prove(&rest, &groups, &open, inventory, existing);
    let proven = proven.map_err(|error| error.to_string())?;
    if let Some(blocked) = proven.proof.blocked.first() {
        return Err(format!(
            "after the temporary opening it would block {blocked}"
        ));
    }
    let mut policies = proven.synthesis.policies.into_iter();
    let own = policies.find(|policy| policy.workload == *id);
    let Some(policy) = own.and_then(|policy| policy.policy.spec) else {
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
