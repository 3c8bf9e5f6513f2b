//! Which labels select a workload and nothing else (rule: selector-is-exact, fewest-labels).
//!
//! The search starts with the owner's `matchLabels` and adds labels until the selector matches no pod of another
//! workload in the namespace, now or in the past. Labels of a release, a role or a person take part only if labels that
//! last are not enough (rule: lasting-labels-select). If there is no exact selector, the result lists the other
//! workloads that it matches. A Service's selector only tells which labels of the pods matter. Pods on the node's
//! network do not count, because no policy selects them.

mod exclude;
mod index;
mod search;

use super::bit_set::BitSet;
use super::dialect::Dialect;
use super::label;
use super::selector::Selector;
use exclude::Exclusion;
use index::{NamespaceIndex, WorkloadLabels};
use nanoseg_inventory::{Inventory, LabelNature, Workload, WorkloadId};
use rustc_hash::{FxHashMap, FxHashSet};
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
    /// The labels of the selector that do not last, with what they tell.
    pub passing: Vec<PassingLabel>,
}

/// A label that has another value after the next release, fail-over or the like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PassingLabel {
    pub key: String,
    pub value: String,
    pub nature: LabelNature,
    /// True if the selector requires another value (`NotIn`), because the label is one of other pods.
    pub excluded: bool,
}

/// Finds selectors. The pods of every namespace are indexed once.
pub(super) struct Selectors<'a> {
    inventory: &'a Inventory,
    namespaces: BTreeMap<&'a str, NamespaceIndex<'a>>,
    reaches: FxHashMap<(&'a str, BitSet), Arc<BTreeSet<WorkloadId>>>,
    /// Keys whose value changed for some workload.
    suspect: FxHashSet<&'a str>,
    /// Keys that the network plugin does not know.
    unknown: fn(&str) -> bool,
}

impl<'a> Selectors<'a> {
    /// `dialect`: a plugin that has one of its own may know fewer labels.
    pub fn build(inventory: &'a Inventory, dialect: Dialect) -> Self {
        let on_cilium = dialect.names_nodes(&inventory.network_plugin);
        Selectors {
            inventory,
            unknown: if on_cilium {
                label::is_unknown_to_cilium
            } else {
                |_| false
            },
            namespaces: NamespaceIndex::build_all(&inventory.pods),
            reaches: FxHashMap::default(),
            suspect: inventory
                .workloads
                .values()
                .flat_map(|workload| workload.changing_keys.iter().map(String::as_str))
                .collect(),
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
        let owner = self.inventory.workloads.get(workload);
        let search = Search {
            index,
            own,
            owner,
            suspect: &self.suspect,
            unknown: self.unknown,
        };
        let found = search.best(search.candidates(workload));
        Selection {
            unselectable: found.candidates.is_empty(),
            passing: found.passing(owner),
            selector: selector(&found.candidates, &found.exclusions),
            reach: (!found.others.is_empty()).then(|| {
                let mut others = found.others;
                others.add(&index.bits(&own.classes));
                reach(&mut self.reaches, namespace, index, others)
            }),
        }
    }
}

/// The search for one workload.
struct Search<'s, 'a> {
    index: &'s NamespaceIndex<'a>,
    own: &'s WorkloadLabels<'a>,
    owner: Option<&'a Workload>,
    /// Keys whose value changed for some workload of the cluster.
    suspect: &'s FxHashSet<&'a str>,
    /// Keys that the network plugin does not know.
    unknown: fn(&str) -> bool,
}

/// Labels that can be chosen, what must be excluded beside them, and what even all of them select too.
struct Found<'a> {
    candidates: Vec<Candidate<'a>>,
    exclusions: Vec<Exclusion<'a>>,
    others: BitSet,
}

impl<'a> Search<'_, 'a> {
    /// Labels that do not last take part only if they distinguish more.
    fn best(&self, candidates: Vec<Candidate<'a>>) -> Found<'a> {
        let lasting = candidates.iter().filter(|c| c.lasts()).cloned().collect();
        let lasting = self.with(lasting, true);
        if !lasting.candidates.is_empty() && lasting.others.is_empty() {
            return lasting;
        }
        let all = self.with(candidates, false);
        let no_better = lasting.others.count() == all.others.count();
        if no_better && !lasting.candidates.is_empty() {
            lasting
        } else {
            all
        }
    }

    fn with(&self, mut candidates: Vec<Candidate<'a>>, only_lasting: bool) -> Found<'a> {
        let mut others = self.index.others(self.own);
        for candidate in &candidates {
            others.keep(&candidate.shared_with);
        }
        let may_exclude = |key: &str, value: &str| {
            !(self.unknown)(key)
                && (!only_lasting || label::nature(self.owner, key, value) == LabelNature::Lasting)
        };
        let exclusions = exclude::choose(self.index, self.own, &others, &may_exclude);
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
        Found {
            candidates,
            exclusions,
            others,
        }
    }

    /// Returns the labels that all present and past pods of the workload have, best first.
    fn candidates(&self, workload: &WorkloadId) -> Vec<Candidate<'a>> {
        let (own, owner) = (self.own, self.owner);
        let mut candidates: Vec<Candidate<'a>> = own
            .common
            .iter()
            .filter(|(key, value)| {
                label::may_select(workload, key, value)
                    && !own.generated.contains(*key)
                    && !(self.unknown)(key)
            })
            .map(|(key, value)| Candidate {
                key,
                value,
                owner: owner.is_some_and(|o| o.match_labels.get(*key).is_some_and(|v| v == value)),
                weak: label::is_last_resort(key, value),
                nature: label::nature(owner, key, value),
                shared_with: self.index.carriers(key, value, own),
            })
            .collect();
        candidates.sort_by_key(|c| (c.last_resort(), c.nature, self.rank(c), c.key));
        candidates
    }

    /// A key that changed for another workload comes after others, one that Services select by comes before them.
    fn rank(&self, candidate: &Candidate) -> (bool, usize) {
        let key = candidate.key;
        let rank = label::rank(key);
        let served = self
            .owner
            .is_some_and(|owner| owner.service_keys.contains(key));
        let suspect = !candidate.owner && !label::is_preferred(key) && self.suspect.contains(key);
        (
            suspect,
            if served {
                rank.min(label::SERVED)
            } else {
                rank
            },
        )
    }
}

impl Found<'_> {
    /// The chosen labels that do not last.
    fn passing(&self, owner: Option<&Workload>) -> Vec<PassingLabel> {
        let chosen = choose(&self.candidates);
        let chosen = chosen.iter().filter(|c| !c.lasts()).map(|c| PassingLabel {
            key: c.key.to_string(),
            value: c.value.to_string(),
            nature: c.nature,
            excluded: false,
        });
        let excluded = self.exclusions.iter().filter_map(|exclusion| {
            let mut values = exclusion.values.iter();
            let passes =
                |value: &&&str| label::nature(owner, exclusion.key, value) != LabelNature::Lasting;
            let value = values.find(passes)?;
            Some(PassingLabel {
                key: exclusion.key.to_string(),
                value: value.to_string(),
                nature: label::nature(owner, exclusion.key, value),
                excluded: true,
            })
        });
        chosen.chain(excluded).collect()
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

/// Returns the smallest exact subset of the owner's labels, if there is one. Otherwise returns the best of them with
/// the fewest other stable labels, or with the fewest of all labels.
fn choose<'c, 'a>(candidates: &'c [Candidate<'a>]) -> Vec<&'c Candidate<'a>> {
    let owner = |c: &&Candidate| c.owner && c.lasts();
    let owner: Vec<&Candidate> = candidates.iter().filter(owner).collect();
    let stable = |c: &&Candidate| c.lasts() && (c.owner || !c.weak);
    let stable: Vec<&Candidate> = candidates.iter().filter(stable).collect();
    let lasting: Vec<&Candidate> = candidates.iter().filter(|c| c.lasts()).collect();
    let all: Vec<&Candidate> = candidates.iter().collect();
    let anchor = owner.first().copied();
    smallest(&owner)
        .or_else(|| extended(anchor, &stable))
        .or_else(|| extended(anchor, &lasting))
        .or_else(|| extended(anchor, &all))
        .unwrap_or_default()
}

fn selector(candidates: &[Candidate], exclusions: &[Exclusion]) -> Selector {
    let chosen = choose(candidates);
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
