//! Turns Segmentations into segments: what operators want of namespaces, and since when.

use super::state::{EngineState, KeptSegment, SegmentState};
use crate::cluster::live::{Kind, Malformed};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use crate::record::{Action, Actor, Entry, RemainingPolicies};
use crate::review::resources::{OnDelete, Segmentation};
use crate::review::{Ceilings, SegmentationSettings, is_default_deny, segmentation_changed_by};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Processes all Segmentations as they are now. Returns what is wrong with those that cannot be parsed, by namespace, and
/// whether anything changed. A Segmentation that cannot be parsed changes nothing: its last good version still counts,
/// and after a restart what was approved (rule: malformed-object-is-a-finding).
pub fn take_segments(
    engine_state: &mut EngineState,
    segmentations: &[Arc<Segmentation>],
    malformed: &[Malformed],
    ceilings: &Ceilings,
    now: Timestamp,
) -> (BTreeMap<String, String>, bool) {
    let mut errors = BTreeMap::new();
    let mut changed = false;
    let mut present = Vec::new();
    let mut deleted = BTreeMap::new();
    for segmentation in segmentations {
        let namespace = segmentation.metadata.namespace.clone().unwrap_or_default();
        if let Some(at) = &segmentation.metadata.deletion_timestamp {
            deleted.insert(namespace, Timestamp::from(at.0));
            continue;
        }
        present.push(namespace.clone());
        match SegmentationSettings::parse(segmentation) {
            Ok(segment) => {
                let by = segmentation_changed_by(segmentation);
                changed |= take(engine_state, ceilings.clamp(segment), by, now);
            }
            Err(error) => {
                errors.insert(namespace, error.to_string());
            }
        }
    }
    for one in malformed
        .iter()
        .filter(|one| one.kind == Kind::Segmentation)
    {
        let finding = one.finding();
        let error = format!("{} {}", finding.subject, finding.message);
        errors.insert(one.namespace.clone(), error);
        present.push(one.namespace.clone());
    }
    let gone: Vec<String> = engine_state
        .segments
        .keys()
        .filter(|ns| !present.contains(ns))
        .cloned()
        .collect();
    for namespace in gone {
        changed |= leave(engine_state, &namespace, deleted.get(&namespace).copied());
    }
    (errors, changed)
}

/// Returns when the next namespace will have been observed for its minimum duration.
pub fn next_due(engine_state: &EngineState, now: Timestamp) -> Option<Timestamp> {
    let segments = engine_state.segments.values();
    let ends = segments.filter_map(|state| {
        let segment = state.segment.as_ref()?;
        Some(state.observing_since.plus_secs(segment.minimum_duration))
    });
    ends.filter(|end| *end > now).min()
}

/// Returns true if the segment changed. `by` is who changed the Segmentation last: if it changed more than once since
/// it was last seen, who changed the mode is not known any more.
fn take(
    engine_state: &mut EngineState,
    segment: SegmentationSettings,
    by: Actor,
    now: Timestamp,
) -> bool {
    let (namespace, mode) = (segment.namespace.clone(), segment.mode);
    let known = engine_state
        .segments
        .get(&namespace)
        .filter(|known| !known.kept.leaving);
    let action = match known.map(|known| known.kept.mode) {
        None => Some(Action::SegmentationAdded { mode }),
        Some(from) if from != mode => Some(Action::ModeChanged { from, to: mode }),
        Some(_) => None,
    };
    if let Some(action) = action {
        engine_state.note(Entry::new(action, by, &namespace, "default"));
    }
    let state = engine_state
        .segments
        .entry(namespace)
        .or_insert_with(|| SegmentState {
            observing_since: now,
            kept: KeptSegment::default(),
            segment: None,
        });
    if state.kept.leaving {
        state.observing_since = now;
    }
    state.kept.mode = mode;
    state.kept.remove_on_delete = segment.on_delete == OnDelete::Remove;
    state.kept.leaving = false;
    let changed = state.segment.as_ref() != Some(&segment);
    state.segment = Some(segment);
    changed
}

/// Ends the segmentation of a namespace whose Segmentation is gone, since now or since a time when no controller ran.
/// Returns true if that is new. The cluster does not record who deleted an object.
fn leave(engine_state: &mut EngineState, namespace: &str, deleted: Option<Timestamp>) -> bool {
    let Some(state) = engine_state.segments.get_mut(namespace) else {
        return false;
    };
    state.segment = None;
    if state.kept.leaving {
        return false;
    }
    state.kept.leaving = true;
    let policies = if state.kept.remove_on_delete {
        RemainingPolicies::Removed
    } else {
        RemainingPolicies::Retained
    };
    let action = Action::SegmentationRemoved { policies, deleted };
    engine_state.note(Entry::new(action, Actor::Unknown, namespace, "default"));
    true
}

/// Ends the reviews of workloads that are gone for longer than deleted pods are remembered: their proposals are
/// deleted, and their policies where the Segmentation has `onDelete: Remove`.
pub fn retire_gone(engine_state: &mut EngineState, inventory: &Inventory, now: Timestamp) {
    let is_gone = |id: &&WorkloadId| !inventory.workloads.contains_key(*id) && !is_default_deny(id);
    let gone: Vec<WorkloadId> = engine_state
        .states()
        .keys()
        .filter(is_gone)
        .cloned()
        .collect();
    for id in gone {
        let segment = engine_state.segments.get(&id.namespace);
        let Some(segment) = segment.and_then(|state| state.segment.as_ref()) else {
            continue;
        };
        let removes = segment.on_delete == OnDelete::Remove;
        let why = "the workload is gone";
        let Some(state) = engine_state.states().get(&id) else {
            continue;
        };
        let has_policy = state.applied.as_ref().is_some_and(|a| a.revision.is_some());
        if removes && !has_policy {
            engine_state.end(&id);
        } else if removes && state.wanted.is_some() {
            engine_state.change(&id, |state, record| state.retire(why, now, record));
        } else if !removes && state.open().is_some() {
            engine_state.change(&id, |state, record| state.withdraw(why, now, record));
        }
    }
}

/// Forgets namespaces whose Segmentation was deleted, once none of their policies is left to delete. Until then their
/// policies are unwanted one by one, so that the record has each deletion.
pub fn forget_left(engine_state: &mut EngineState, now: Timestamp) {
    let leaving: Vec<(String, bool)> = engine_state
        .segments
        .iter()
        .filter(|(_, segment)| segment.kept.leaving)
        .map(|(namespace, segment)| (namespace.clone(), segment.kept.remove_on_delete))
        .collect();
    for (namespace, remove) in leaving {
        if remove {
            retire_all(engine_state, &namespace, now);
        }
        let theirs = |engine_state: &EngineState| -> Vec<_> {
            let states = engine_state
                .states()
                .iter()
                .filter(|(id, _)| id.namespace == namespace);
            states
                .map(|(id, state)| {
                    (
                        id.clone(),
                        state.applied.as_ref().and_then(|a| a.revision).is_some(),
                    )
                })
                .collect()
        };
        let all = theirs(engine_state);
        if !remove || all.iter().all(|(_, present)| !present) {
            for (id, _) in all {
                engine_state.end(&id);
            }
            engine_state.segments.remove(&namespace);
        }
    }
}

fn retire_all(engine_state: &mut EngineState, namespace: &str, now: Timestamp) {
    let wanted = engine_state
        .states_of(namespace)
        .filter(|state| state.wanted.is_some());
    let wanted: Vec<WorkloadId> = wanted.map(|state| state.workload.clone()).collect();
    for id in wanted {
        let why = "its namespace is not segmented any more";
        engine_state.change(&id, |state, record| state.retire(why, now, record));
    }
}
