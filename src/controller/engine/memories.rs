//! What is remembered of namespaces beyond their reviews, and what follows from it for all of them.

use super::state::{EngineState, SegmentState, StateError};
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
    let mut found = of_namespaces(engine_state);
    found.extend(of_workloads(engine_state));
    let mut changed = false;
    for one in found {
        // A namespace of which nothing is remembered is not made one by nothing.
        if one.is_unguarded || engine_state.memories.of(&one.namespace).is_some() {
            engine_state.memories.change(&one.namespace, |memory| {
                let is_new = memory.guard(one.workload.as_ref(), one.cause, one.is_unguarded, now);
                changed |= is_new;
                is_new
            });
        }
    }
    for segment in engine_state.segments.values_mut() {
        segment.kept.was_enforced |= is_enforced(segment);
    }
    changed
}

/// Whether nothing guards something for a cause.
struct Guard {
    namespace: String,
    workload: Option<WorkloadId>,
    cause: UnguardedCause,
    is_unguarded: bool,
}

fn is_enforced(segment: &SegmentState) -> bool {
    segment.kept.mode == Mode::Enforce && !segment.kept.leaving
}

fn of_namespaces(engine_state: &EngineState) -> Vec<Guard> {
    let of = |(namespace, segment): (&String, &SegmentState)| {
        let guard = |cause, is_unguarded| Guard {
            namespace: namespace.clone(),
            workload: None,
            cause,
            is_unguarded,
        };
        let memory = engine_state.memories.of(namespace);
        // Also for another Segmentation.
        let was_left = memory.is_some_and(|one| one.is_unguarded(UnguardedCause::NotEnforced));
        let was_enforced = segment.kept.was_enforced || was_left;
        let is_left = was_enforced && !is_enforced(segment);
        [
            guard(
                UnguardedCause::BrokenGlass,
                segment.kept.break_glass.is_some(),
            ),
            guard(UnguardedCause::NotEnforced, is_left),
        ]
    };
    engine_state.segments.iter().flat_map(of).collect()
}

fn of_workloads(engine_state: &EngineState) -> Vec<Guard> {
    let touched = engine_state.touched().iter();
    let of = |id: &WorkloadId| {
        Some(Guard {
            namespace: id.namespace.clone(),
            workload: Some(id.clone()),
            cause: UnguardedCause::RolledBack,
            is_unguarded: engine_state.states().get(id)?.awaits_person,
        })
    };
    touched.filter_map(of).collect()
}
