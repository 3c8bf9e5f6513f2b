//! From traffic and decisions to violations, rollbacks and proposals: of everything, or of what changed.

use super::in_force::InForce;
use super::observation::{ClusterView, Observation, Touched};
use super::state::EngineState;
use super::{
    Engine, adopt, auto_rollback, coverage, default_deny, memories, open_directions, propose,
    segments, violations,
};
use crate::controller::controller_metrics::ClusterCounts;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::{Uncovered, WorkloadState, is_default_deny};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// What a review of everything, or of some workloads, has found.
struct Reviewed {
    view: ClusterView,
    in_force: InForce,
    uncovered: BTreeMap<String, Uncovered>,
    /// Why no proposals can be made, by namespace.
    problems: BTreeMap<String, String>,
}

impl Engine {
    /// From traffic and decisions: violations, rollbacks and proposals. `decided`: what people changed.
    pub(super) fn conclude(&mut self, decided: Touched, now: Timestamp) {
        let began = Instant::now();
        let only = match self.touched(decided, now) {
            Touched::Everything => Some(None),
            Touched::Edges(touched) => Some(Some(touched)),
            Touched::Nothing => None,
        };
        if let Some(only) = only {
            self.hand_on_inventory();
            let reviewed = self.review(only, now);
            self.note(reviewed, began, now);
        }
        let engine_state = &mut self.parts.engine_state;
        segments::forget_left(engine_state, now);
        default_deny::end_unwanted(engine_state, now);
        // The controller may have rolled back by itself.
        memories::note_unguarded(engine_state, now);
    }

    /// Brings the graph up to date. Returns what is to be reviewed.
    fn touched(&mut self, decided: Touched, now: Timestamp) -> Touched {
        let is_due = self.due.is_some_and(|due| now >= due) || self.agents_changed(now);
        let ripe = self.ripe();
        let observation = &mut self.parts.observation;
        let watched = if observation.has_new_batches() {
            auto_rollback::closely_watched(&self.parts.engine_state, now)
        } else {
            BTreeSet::new()
        };
        let watched = Touched::edges(watched).and(Touched::edges(ripe));
        let touched = observation.refresh(&self.parts.watches);
        let touched = touched.and(decided).and(watched);
        if is_due { Touched::Everything } else { touched }
    }

    /// Gives the inventory to the tasks that attribute records themselves.
    fn hand_on_inventory(&self) {
        let inventory = &self.parts.observation.inventory;
        self.parts.inventory.send_if_modified(|known| {
            let is_known = |known: &Arc<_>| Arc::ptr_eq(known, inventory);
            let is_new = !known.as_ref().is_some_and(is_known);
            if is_new {
                *known = Some(inventory.clone());
            }
            is_new
        });
    }

    /// Judges and proposes for these workloads; `None`: for all.
    fn review(&mut self, only: Option<BTreeSet<WorkloadId>>, now: Timestamp) -> Reviewed {
        let (engine_state, observation) = (&mut self.parts.engine_state, &self.parts.observation);
        let mut view = observation.view(only);
        view.graph.mark_unguarded(&engine_state.memories.periods());
        let uncovered = coverage::find(engine_state, observation);
        let open = uncovered.values();
        let open = open.flat_map(|one| one.findings(&observation.inventory));
        view.findings.extend(open);
        let unknown = adopt::find(engine_state, observation);
        // (rule: unknown-policy-is-adopted)
        if unknown != self.unknown
            && let Some(words) = adopt::words(&unknown)
        {
            tracing::warn!("{words}");
        }
        self.unknown = unknown;
        let unknown = adopt::findings(observation, &self.unknown);
        view.findings.extend(unknown);
        let mut in_force = InForce::build(engine_state, observation);
        let violations = violations::find_violations(
            engine_state,
            &mut self.pending_violations,
            observation,
            &view,
            &in_force,
            now,
        );
        let judged = auto_rollback::judge_changes(
            engine_state,
            observation,
            &in_force,
            view.only.as_ref(),
            now,
        );
        if !judged.undone.is_empty() {
            in_force = InForce::build(engine_state, observation);
        }
        view.findings
            .extend(judged.unexplained.values().flatten().cloned());
        self.troubles
            .note_unexplained(view.only.as_ref(), &judged.unexplained);
        let unknown = &self.unknown;
        let not_adopted = adopt::propose(engine_state, observation, &view, &in_force, unknown, now);
        let mut problems = propose::propose(
            engine_state,
            observation,
            &view,
            &in_force,
            &violations,
            now,
        );
        let denies = default_deny::propose(engine_state, observation, &view, &in_force, now);
        for (namespace, why) in denies.into_iter().chain(not_adopted) {
            problems.entry(namespace).or_insert(why);
        }
        Reviewed {
            view,
            in_force,
            uncovered,
            problems,
        }
    }

    /// Keeps what a review has found, for conditions and metrics.
    fn note(&mut self, reviewed: Reviewed, began: Instant, now: Timestamp) {
        let Some(only) = &reviewed.view.only else {
            self.note_all(reviewed, began, now);
            return;
        };
        self.problems.extend(reviewed.problems);
        for id in only {
            self.parts.engine_state.mark_unpublished(&id.namespace);
        }
    }

    fn note_all(&mut self, reviewed: Reviewed, began: Instant, now: Timestamp) {
        let (engine_state, observation) =
            (&mut self.parts.engine_state, &mut self.parts.observation);
        self.problems = reviewed.problems;
        self.without_agent = open_directions::nodes_without_agent(observation, now);
        segments::retire_gone(engine_state, &observation.inventory, now);
        self.due = segments::next_due(engine_state, now);
        self.publish_all = true;
        observation.measure_plugin_lag(&applied(engine_state), now);
        let (metrics, uncovered) = (&self.parts.controller_metrics, reviewed.uncovered);
        metrics.set_plugin_lag(&observation.plugin_lag);
        metrics.set_counts(&ClusterCounts {
            nodes_without_agent: self.without_agent.len(),
            unknown_policies: self.unknown.values().map(BTreeSet::len).sum(),
            uncovered: uncovered.values().map(|one| one.pods.len()).sum(),
            ..counts(engine_state, observation)
        });
        metrics.set_out_of_bounds(&observation.built.out_of_bounds);
        metrics.set_told_addresses(observation.inventory.told_addresses);
        self.uncovered = uncovered;
        self.foreign_pods = coverage::foreign_pods(observation, &reviewed.in_force);
        observation.add_cost(began.elapsed());
        let graph = Arc::new(reviewed.view.graph);
        self.parts.graph.send_replace(Some(graph));
    }
}

/// The workloads with a policy of ours, and since when it is as it is.
fn applied(engine_state: &EngineState) -> BTreeMap<WorkloadId, Timestamp> {
    let states = engine_state.states().iter();
    let applied = states.filter_map(|(id, state)| {
        let applied = state.applied.as_ref()?;
        applied.revision.is_some().then(|| (id.clone(), applied.at))
    });
    applied.collect()
}

fn counts(engine_state: &EngineState, observation: &Observation) -> ClusterCounts {
    let count = |has: fn(&WorkloadState) -> bool| {
        let states = engine_state.states().values();
        states.filter(|state| has(state)).count()
    };
    ClusterCounts {
        workloads: observation.inventory.workloads.len(),
        edges: observation.built.graph.inner().edge_count(),
        one_sided: observation
            .built
            .graph
            .inner()
            .edge_weights()
            .filter(|edge| !edge.one_sided.is_empty())
            .count(),
        enforced: count(|state| {
            let applied = state.applied.as_ref();
            let is_there = applied.is_some_and(|applied| applied.revision.is_some());
            is_there && !is_default_deny(&state.workload)
        }),
        open_proposals: count(|state| state.open().is_some()),
        degraded: count(|state| state.degraded.is_some()),
        open_directions: engine_state.open_directions().iter().count(),
        temporary_openings: count(|state| state.opening.is_some()),
        refused: engine_state.memories.refused(),
        forgotten_refusals: engine_state.memories.forgotten(),
        altered: engine_state.altered.len(),
        ..ClusterCounts::default()
    }
}
