//! Which directions stay open in the cluster (rule: isolated-only-if-in-view, unattributed-is-kept): those of workloads
//! with pods on nodes without a connected agent, and those with answered traffic that nobody can name.

use super::observation::{ClusterView, Observation};
use super::state::EngineState;
use crate::graph::{Certainty, IsolationOptions, OpenDirections, Vantage};
use crate::inventory::WorkloadId;
use crate::net::{Direction, Timestamp};
use std::collections::BTreeSet;

/// An agent that sent nothing for so long is not connected, in seconds. It sends a batch every 30 seconds even if
/// nothing was seen.
const SILENT_AFTER: i64 = 300;
/// Traffic that nobody can name counts for so long, in seconds: what does not come back must not hold up a workload for
/// ever.
const UNATTRIBUTED_FOR: i64 = 24 * 3600;

/// The nodes whose agents are connected at `now`, with the times that they observed.
pub fn vantage(observation: &Observation, now: Timestamp) -> Vantage {
    let mut vantage = Vantage::default();
    for (node, times) in observation.views() {
        let Some((_, last)) = times.range() else {
            continue;
        };
        if now.secs_since(last) <= SILENT_AFTER {
            let mut times = times.clone();
            // What was seen since the last batch is on its way.
            times.insert(last, now);
            vantage.add_node(node, Certainty::Certain, &times);
        }
    }
    vantage
}

/// The nodes with pods whose agent is not connected.
pub fn nodes_without_agent(observation: &Observation, now: Timestamp) -> BTreeSet<String> {
    vantage(observation, now).unseen_nodes(&observation.inventory)
}

/// The directions of the workloads that `view` is about, or of all, that must stay open. What an approved policy
/// isolates already is not among them: a gap in the view holds up new isolation and never loosens what is in force.
pub fn find(
    engine_state: &EngineState,
    observation: &Observation,
    view: &ClusterView,
    now: Timestamp,
) -> OpenDirections {
    let inventory = &observation.inventory;
    let begin = observation.begin().unwrap_or(now);
    let workloads: Vec<&WorkloadId> = match &view.only {
        Some(only) => only.iter().collect(),
        None => inventory.workloads.keys().collect(),
    };
    let vantage = vantage(observation, now);
    let options = IsolationOptions::default();
    let span = (begin, now);
    let mut open = OpenDirections::find(&view.graph, inventory, &vantage, span, workloads, options);
    open.forget_traffic_before(now.plus_secs(-UNATTRIBUTED_FOR));
    open.retain(|id, direction| !is_isolated(engine_state, id, direction));
    open
}

/// Returns true if the approved policy of the workload isolates it in that direction.
fn is_isolated(engine_state: &EngineState, id: &WorkloadId, direction: Direction) -> bool {
    let state = engine_state.states().get(id);
    let policy = state.and_then(|state| state.wanted_policy());
    let types = policy.and_then(|policy| policy.policy_types.as_ref());
    types.is_some_and(|types| {
        types
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&direction.to_string()))
    })
}
