//! Which labels select a workload and nothing else (rule: selector-is-exact, fewest-labels).
//!
//! The search starts with the owner's `matchLabels` and adds labels until the selector matches no pod of another
//! workload in the namespace, now or in the past. If there is no such selector, the result lists the other
//! workloads that it matches. The selectors of Services are never used. Pods on the node's network do not count,
//! because no policy selects them.

mod exclude;
mod index;
mod search;

use super::bit_set::BitSet;
use super::label;
use super::selector::Selector;
use exclude::Exclusion;
use index::{NamespaceIndex, WorkloadLabels};
use nanoseg_inventory::{Inventory, WorkloadId};
use rustc_hash::FxHashMap;
use search::{Candidate, extended, smallest};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A selector for one workload, and how exact it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    /// Matches every pod of the workload, and otherwise only pods of the workloads in `reach`.
    pub selector: Selector,
    /// Is set if the selector is not exact: all workloads of which it matches some pod, including the workload
    /// itself. Workloads with the same pods share one list.
    pub reach: Option<Arc<BTreeSet<WorkloadId>>>,
    /// Is true if the pods share no stable label. The selector can then describe a peer at most, and no policy is
    /// written with it.
    pub unselectable: bool,
}

/// Finds selectors. The pods of every namespace are indexed once.
pub(super) struct Selectors<'a> {
    inventory: &'a Inventory,
    namespaces: BTreeMap<&'a str, NamespaceIndex<'a>>,
    reaches: FxHashMap<(&'a str, BitSet), Arc<BTreeSet<WorkloadId>>>,
}

impl<'a> Selectors<'a> {
    pub fn build(inventory: &'a Inventory) -> Self {
        Selectors {
            inventory,
            namespaces: NamespaceIndex::build_all(&inventory.pods),
            reaches: FxHashMap::default(),
        }
    }

    /// Returns the best selector for `workload`. The selector may be inexact or, for a workload without stable labels,
    /// match every pod of the namespace: see [`Selection`].
    pub fn select(&mut self, workload: &'a WorkloadId) -> Selection {
        let nobody = Selection {
            unselectable: true,
            ..Selection::default()
        };
        let namespace = workload.namespace.as_str();
        let Some(index) = self.namespaces.get(namespace) else {
            return nobody;
        };
        let Some(own) = index.own.get(workload) else {
            let reach = reach(&mut self.reaches, namespace, index, index.all());
            return Selection {
                reach: (!reach.is_empty()).then_some(reach),
                ..nobody
            };
        };
        let mut candidates = candidates(self.inventory, workload, index, own);
        let mut others = index.others(own);
        for candidate in &candidates {
            others.keep(&candidate.shared_with);
        }
        let exclusions = exclude::choose(index, own, &others);
        // What all labels together cannot exclude, no subset can exclude. It is decided here, so that the search for
        // few labels ignores it.
        let mut settled = others.clone();
        for exclusion in &exclusions {
            others.remove(&exclusion.removes);
            settled.add(&exclusion.removes);
        }
        for candidate in &mut candidates {
            candidate.shared_with.remove(&settled);
        }
        Selection {
            unselectable: candidates.is_empty(),
            selector: selector(&candidates, exclusions),
            reach: (!others.is_empty()).then(|| {
                others.add(&index.bits(&own.classes));
                reach(&mut self.reaches, namespace, index, others)
            }),
        }
    }
}

/// Returns the workloads of `classes`. The list is built once for each set of classes.
fn reach<'a>(
    known: &mut FxHashMap<(&'a str, BitSet), Arc<BTreeSet<WorkloadId>>>,
    namespace: &'a str,
    index: &NamespaceIndex,
    classes: BitSet,
) -> Arc<BTreeSet<WorkloadId>> {
    match known.entry((namespace, classes)) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(new) => {
            let workloads = Arc::new(index.workloads(&new.key().1));
            new.insert(workloads).clone()
        }
    }
}

/// Returns the labels that all present and past pods of the workload have, best first.
fn candidates<'a>(
    inventory: &'a Inventory,
    workload: &WorkloadId,
    index: &NamespaceIndex<'a>,
    own: &WorkloadLabels<'a>,
) -> Vec<Candidate<'a>> {
    let owner = inventory.workloads.get(workload);
    let mut candidates: Vec<Candidate<'a>> = own
        .common
        .iter()
        .filter(|(key, value)| {
            label::may_select(workload, key, value) && !own.generated.contains(*key)
        })
        .map(|(key, value)| Candidate {
            key,
            value,
            owner: owner.is_some_and(|o| o.match_labels.get(*key).is_some_and(|v| v == value)),
            weak: label::is_weak(key),
            shared_with: index.carriers(key, value, own),
        })
        .collect();
    candidates.sort_by_key(|c| (c.weak, label::rank(c.key), c.key));
    candidates
}

/// Returns the smallest exact subset of the owner's labels, if there is one. Otherwise returns the best of them with
/// the fewest other stable labels, or with the fewest of all labels.
fn selector(candidates: &[Candidate], exclusions: Vec<Exclusion>) -> Selector {
    let owner: Vec<&Candidate> = candidates.iter().filter(|c| c.owner).collect();
    let stable: Vec<&Candidate> = candidates.iter().filter(|c| c.owner || !c.weak).collect();
    let all: Vec<&Candidate> = candidates.iter().collect();
    let chosen = smallest(&owner)
        .or_else(|| extended(owner.first().copied(), &stable))
        .or_else(|| extended(owner.first().copied(), &all))
        .unwrap_or_default();
    let mut selector = Selector {
        labels: chosen
            .iter()
            .map(|c| (c.key.to_string(), c.value.to_string()))
            .collect(),
        ..Selector::default()
    };
    for exclusion in exclusions {
        if exclusion.values.is_empty() {
            selector.absent.insert(exclusion.key.to_string());
        } else {
            let values = exclusion.values.iter().map(|v| v.to_string());
            selector
                .excluded
                .insert(exclusion.key.to_string(), values.collect());
        }
    }
    selector
}

#[cfg(test)]
mod tests;
