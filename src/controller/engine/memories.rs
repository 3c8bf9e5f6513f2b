//! What is remembered of namespaces beyond their reviews, and what follows from it for all of them.

use super::state::{EngineState, StateError};
use crate::graph::{UnguardedCause, UnguardedPeriods};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::Mode;
use crate::review::{IntendedConnection, Memory, Refusals};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The memories of all namespaces.
#[derive(Default)]
pub struct Memories {
    all: BTreeMap<String, Memory>,
    /// Those that differ from what is stored.
    touched: BTreeSet<String>,
    /// The ends of what was refused since they were last asked for.
    ends: BTreeSet<WorkloadId>,
    refusals: Arc<Refusals>,
    periods: Arc<UnguardedPeriods>,
}

impl Memories {
    /// # Errors
    /// If the store holds something that this version cannot read.
    pub fn load(stored: Vec<(String, String)>) -> Result<Memories, StateError> {
        let mut memories = Memories::default();
        for (namespace, body) in stored {
            let memory = serde_json::from_str(&body).map_err(|source| StateError::Memory {
                namespace: namespace.clone(),
                source,
            })?;
            memories.all.insert(namespace, memory);
        }
        memories.index();
        Ok(memories)
    }

    /// Changes what is remembered of a namespace. `change` returns true if it did.
    pub fn change(&mut self, namespace: &str, change: impl FnOnce(&mut Memory) -> bool) {
        let memory = self.all.entry(namespace.to_owned()).or_default();
        if change(memory) {
            self.touched.insert(namespace.to_owned());
            self.index();
        } else if memory.is_empty() {
            self.all.remove(namespace);
        }
    }

    /// Changes what is remembered of every namespace.
    pub fn change_all(&mut self, change: impl Fn(&mut Memory) -> bool) {
        let changed = self
            .all
            .iter_mut()
            .filter_map(|(namespace, memory)| change(memory).then(|| namespace.clone()));
        let changed: Vec<String> = changed.collect();
        if !changed.is_empty() {
            self.touched.extend(changed);
            self.index();
        }
    }

    pub fn of(&self, namespace: &str) -> Option<&Memory> {
        self.all.get(namespace)
    }

    /// Notes whose proposals a refusal concerns.
    pub fn concerns(&mut self, connection: &IntendedConnection) {
        let ends = [&connection.client, &connection.server].into_iter();
        self.ends
            .extend(ends.filter_map(|end| end.workload().cloned()));
    }

    /// Returns the workloads whose proposals refusals concern since this was last called.
    pub fn take_concerned(&mut self) -> BTreeSet<WorkloadId> {
        std::mem::take(&mut self.ends)
    }

    /// How many connections are refused.
    pub fn refused(&self) -> usize {
        self.refusals.len()
    }

    /// All connections that people refused.
    pub fn refusals(&self) -> Arc<Refusals> {
        self.refusals.clone()
    }

    /// All times without a guard.
    pub fn periods(&self) -> Arc<UnguardedPeriods> {
        self.periods.clone()
    }

    /// How many refusals were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.all.values().map(|memory| memory.forgotten).sum()
    }

    /// What is to be stored: the namespace and its memory.
    pub fn to_store(&self) -> Vec<(String, String)> {
        let body = |namespace: &String| {
            let memory = self.all.get(namespace)?;
            Some((namespace.clone(), serde_json::to_string(memory).ok()?))
        };
        self.touched.iter().filter_map(body).collect()
    }

    pub fn stored(&mut self) {
        self.touched.clear();
    }

    fn index(&mut self) {
        let refused = self.all.values().flat_map(|memory| &memory.refused);
        self.refusals = Arc::new(Refusals::new(refused));
        let mut periods = UnguardedPeriods::default();
        for (namespace, memory) in &self.all {
            for one in &memory.unguarded {
                let place = match &one.workload {
                    Some(id) => periods.workloads.entry(id.clone()).or_default(),
                    None => periods.namespaces.entry(namespace.clone()).or_default(),
                };
                place.push(one.period);
            }
        }
        self.periods = Arc::new(periods);
    }
}

/// Notes since when nothing guards namespaces and workloads, and until when. Returns true if that changed.
pub fn note_unguarded(engine_state: &mut EngineState, now: Timestamp) -> bool {
    let mut changed = false;
    let mut note = |engine_state: &mut EngineState,
                    namespace: &str,
                    workload: Option<&WorkloadId>,
                    cause: UnguardedCause,
                    is_unguarded: bool| {
        // A namespace of which nothing is remembered is not made one by nothing.
        if is_unguarded || engine_state.memories.of(namespace).is_some() {
            engine_state.memories.change(namespace, |memory| {
                let is_new = memory.guard(workload, cause, is_unguarded, now);
                changed |= is_new;
                is_new
            });
        }
    };
    let segments: Vec<(String, bool, bool, bool)> = engine_state
        .segments
        .iter()
        .map(|(namespace, segment)| {
            let kept = &segment.kept;
            let is_enforced = kept.mode == Mode::Enforce && !kept.leaving;
            let was_enforced = kept.was_enforced;
            (
                namespace.clone(),
                kept.break_glass.is_some(),
                is_enforced,
                was_enforced,
            )
        })
        .collect();
    for (namespace, is_broken, is_enforced, was_enforced) in segments {
        note(
            engine_state,
            &namespace,
            None,
            UnguardedCause::BrokenGlass,
            is_broken,
        );
        let memory = engine_state.memories.of(&namespace);
        let was_left = memory.is_some_and(|one| one.is_unguarded(UnguardedCause::NotEnforced));
        let is_left = (was_enforced || was_left) && !is_enforced;
        note(
            engine_state,
            &namespace,
            None,
            UnguardedCause::NotEnforced,
            is_left,
        );
        if is_enforced
            && !was_enforced
            && let Some(segment) = engine_state.segments.get_mut(&namespace)
        {
            segment.kept.was_enforced = true;
        }
    }
    let touched: Vec<(WorkloadId, bool)> = engine_state
        .touched()
        .iter()
        .filter_map(|id| {
            let state = engine_state.states().get(id)?;
            Some((id.clone(), state.awaits_person))
        })
        .collect();
    for (id, is_rolled_back) in touched {
        note(
            engine_state,
            &id.namespace,
            Some(&id),
            UnguardedCause::RolledBack,
            is_rolled_back,
        );
    }
    changed
}
