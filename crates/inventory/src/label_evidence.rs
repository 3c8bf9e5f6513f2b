//! What the snapshot shows of the labels of a workload's pods: the ones that Services select by, and the ones whose
//! value was not always the same (rule: lasting-labels-select).

use super::families::family_of;
use super::label_nature::{LabelNature, label_nature};
use super::owners::{OwnerIndex, namespace_of};
use super::{Pod, Workload, WorkloadId};
use crate::kubernetes::Service;
use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// Kinds whose selector is their own and never changes. What the owners below another one select may be of one release.
const OWN_SELECTOR: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"];

/// Fills in [`Workload::service_keys`] and [`Workload::changing_keys`], and takes out of [`Workload::match_labels`]
/// what does not last where a custom owner stands above.
pub(super) fn note_label_evidence(
    workloads: &mut BTreeMap<WorkloadId, Workload>,
    pods: &[Pod],
    owners: &OwnerIndex<'_>,
    services: &[&Service],
) {
    let mut templates: BTreeMap<WorkloadId, Vec<Labels>> = BTreeMap::new();
    let mut replaced: BTreeSet<WorkloadId> = BTreeSet::new();
    for (top, template) in owners.templates() {
        let labels = template.metadata.as_ref().and_then(|m| m.labels.clone());
        let labels = labels.unwrap_or_default();
        let family = family_of(&top, &labels, None);
        let is_replaced = top.custom.is_some() || family.is_some();
        let id = family.unwrap_or(top.id);
        if is_replaced {
            replaced.insert(id.clone());
        }
        templates.entry(id).or_default().push(labels);
    }
    for workload in workloads.values_mut() {
        let own = workload.pods.iter().filter_map(|index| pods.get(*index));
        let labels = own.map(|pod| &pod.labels);
        let releases = templates.get(&workload.id).into_iter().flatten();
        workload.changing_keys = changing_keys(labels.chain(releases));
        let kind = workload.id.kind.as_str();
        if replaced.contains(&workload.id) || !OWN_SELECTOR.contains(&kind) {
            workload
                .match_labels
                .retain(|key, value| label_nature(key, value) == LabelNature::Lasting);
        }
    }
    note_service_keys(workloads, pods, services);
}

/// The keys that have several values in these sets of labels. A key that some lack does not count: it may have been
/// added once.
fn changing_keys<'a>(all: impl Iterator<Item = &'a Labels>) -> BTreeSet<String> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut changing = BTreeSet::new();
    for (key, value) in all.flatten() {
        if *first.entry(key).or_insert(value) != value {
            changing.insert(key.clone());
        }
    }
    changing
}

fn note_service_keys(
    workloads: &mut BTreeMap<WorkloadId, Workload>,
    pods: &[Pod],
    services: &[&Service],
) {
    let selectors: Vec<(String, &Labels)> = services
        .iter()
        .filter_map(|service| {
            let selector = service.spec.as_ref()?.selector.as_ref()?;
            (!selector.is_empty()).then(|| (namespace_of(&service.metadata), selector))
        })
        .collect();
    let keys: BTreeSet<&str> = selectors
        .iter()
        .flat_map(|(_, selector)| selector.keys().map(String::as_str))
        .collect();
    let mut carriers: BTreeMap<(&str, &str, &str), BTreeSet<&WorkloadId>> = BTreeMap::new();
    for pod in pods {
        for (key, value) in pod
            .labels
            .iter()
            .filter(|(key, _)| keys.contains(key.as_str()))
        {
            let label = (pod.namespace.as_str(), key.as_str(), value.as_str());
            carriers.entry(label).or_default().insert(&pod.workload);
        }
    }
    let of = |namespace: &str, key: &str, value: &str| {
        let found = carriers.get(&(namespace, key, value));
        found.cloned().unwrap_or_default()
    };
    for (namespace, selector) in &selectors {
        let mut sets = selector
            .iter()
            .map(|(key, value)| of(namespace, key, value));
        let Some(first) = sets.next() else { continue };
        let selected = sets.fold(first, |all, one| all.intersection(&one).copied().collect());
        for id in selected {
            if let Some(workload) = workloads.get_mut(id) {
                workload.service_keys.extend(selector.keys().cloned());
            }
        }
    }
}
