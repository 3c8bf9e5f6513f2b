//! The selectors of all workloads that get a policy or occur as a peer, and the findings about them.

use crate::dialect::Dialect;
use crate::select::{PassingLabel, Selection, Selectors};
use nanoseg_finding::{Code, Finding};
use nanoseg_graph::{End, Requirement};
use nanoseg_inventory::{Inventory, WorkloadId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All selections, each computed once.
pub(super) struct Selections<'a> {
    known: BTreeMap<&'a WorkloadId, Selection>,
    /// The selection of a workload that was not requested.
    nobody: Selection,
    /// (namespace, name) pairs that several kinds share.
    shared_names: FxHashSet<(&'a str, &'a str)>,
}

impl<'a> Selections<'a> {
    pub fn build(
        inventory: &'a Inventory,
        requirements: &'a [Requirement],
        managed: &BTreeSet<&'a WorkloadId>,
        dialect: Dialect,
    ) -> Self {
        let ends = requirements.iter().flat_map(|r| [&r.client, &r.server]);
        let mut wanted: BTreeSet<&WorkloadId> = managed.clone();
        let workloads: FxHashSet<&WorkloadId> = ends
            .filter_map(|end| match end {
                End::Workload(id) => Some(id),
                End::Addresses(_) | End::Ranges(_) => None,
            })
            .collect();
        wanted.extend(workloads);
        let mut selectors = Selectors::build(inventory, dialect);
        let known = wanted
            .iter()
            .map(|id| (*id, selectors.select(id)))
            .collect();
        Selections {
            known,
            nobody: Selection {
                unselectable: true,
                ..Selection::default()
            },
            shared_names: shared_names(inventory.workloads.keys().chain(wanted)),
        }
    }

    pub fn of(&self, id: &WorkloadId) -> &Selection {
        self.known.get(id).unwrap_or(&self.nobody)
    }

    /// Returns `namespace/name`, with the kind if that alone is ambiguous.
    pub fn display(&self, id: &WorkloadId) -> String {
        if self.shared_names.contains(&(&id.namespace, &id.name)) {
            format!("{id} ({})", id.kind)
        } else {
            id.to_string()
        }
    }

    /// Returns findings about workloads without stable labels, about selectors with labels that do not last, and about
    /// workloads that no labels distinguish; each group once.
    pub fn findings(&self, managed: &BTreeSet<&WorkloadId>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut groups: FxHashMap<*const BTreeSet<WorkloadId>, Vec<&WorkloadId>> =
            FxHashMap::default();
        for (id, selection) in &self.known {
            findings.extend(self.unstable(id, selection));
            if selection.unselectable {
                // A peer that is selected exactly by the labels that it does not have needs no finding.
                if managed.contains(id) || selection.reach.is_some() {
                    findings.push(self.unselectable(id, selection, managed.contains(id)));
                }
            } else if let Some(reach) = &selection.reach {
                groups.entry(Arc::as_ptr(reach)).or_default().push(id);
            }
        }
        // The order does not matter, because the caller sorts the findings.
        findings.extend(groups.values().filter_map(|alike| {
            let reach = self.of(alike.first()?).reach.as_ref()?;
            Some(self.indistinguishable(reach, alike))
        }));
        findings
    }

    fn unselectable(&self, id: &WorkloadId, selection: &Selection, managed: bool) -> Finding {
        let no_policy = if managed {
            "its pods share no stable label, so no policy was written for it"
        } else {
            "its pods share no stable label"
        };
        let others = selection.reach.iter().flat_map(|reach| reach.iter());
        let others = self.samples(others.filter(|other| *other != id));
        let as_peer = if others.is_empty() {
            "as a peer it is named by the labels that it lacks"
        } else {
            "as a peer it cannot be named without other pods of its namespace"
        };
        Finding::new(
            Code::UnselectableWorkload,
            self.display(id),
            format!("{no_policy}; {as_peer}"),
        )
        .with_samples(others)
    }

    /// The finding about labels that do not last (rule: lasting-labels-select).
    fn unstable(&self, id: &WorkloadId, selection: &Selection) -> Option<Finding> {
        let first = selection.passing.first()?;
        let labels: Vec<String> = selection.passing.iter().map(passing_text).collect();
        let message = format!(
            "nothing that lasts tells it from others, so it is selected by {}: {} changes that, and then neither its \
             policy nor the rules that name it select the new pods",
            labels.join(" and "),
            first.nature.changed_by(),
        );
        Some(Finding::new(
            Code::UnstableSelector,
            self.display(id),
            message,
        ))
    }

    /// The finding about `alike`: workloads with the same `reach`, ascending.
    fn indistinguishable(&self, reach: &BTreeSet<WorkloadId>, alike: &[&WorkloadId]) -> Finding {
        let mut subject = self.samples(alike.iter().copied());
        if alike.len() > subject.len() {
            subject.push(format!("and {} more", alike.len() - subject.len()));
        }
        let others = reach.iter().filter(|id| alike.binary_search(id).is_err());
        let others = self.samples(others);
        let message = if others.is_empty() {
            "no labels tell them apart: the policy of each selects the pods of all, and policies \
             add up, so the rules of each are the rules of all"
                .to_string()
        } else {
            format!(
                "no labels leave out {}: what selects the first also selects pods of those",
                others.join(", ")
            )
        };
        Finding::new(
            Code::IndistinguishableWorkloads,
            subject.join(", "),
            message,
        )
        .with_samples(others)
    }

    fn samples<'i>(&self, ids: impl Iterator<Item = &'i WorkloadId>) -> Vec<String> {
        ids.take(super::MAX_SAMPLES)
            .map(|id| self.display(id))
            .collect()
    }
}

fn passing_text(label: &PassingLabel) -> String {
    let PassingLabel { key, value, .. } = label;
    if label.excluded {
        format!("{key} not {value}")
    } else {
        format!("{key}={value}")
    }
}

fn shared_names<'a>(ids: impl Iterator<Item = &'a WorkloadId>) -> FxHashSet<(&'a str, &'a str)> {
    let mut kinds: FxHashMap<(&str, &str), &str> = FxHashMap::default();
    let mut shared = FxHashSet::default();
    for id in ids {
        let name = (id.namespace.as_str(), id.name.as_str());
        if *kinds.entry(name).or_insert(&id.kind) != id.kind {
            shared.insert(name);
        }
    }
    shared
}
