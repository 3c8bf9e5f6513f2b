//! The pods of a namespace, indexed by label. Pods of one workload with the same labels are one class, so the
//! cost grows with classes and not with replicas.

use super::BitSet;
use super::label;
use nanoseg_inventory::{Pod, WorkloadId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};

/// Sorted (key, value) pairs.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// The classes and labels of one namespace.
#[derive(Default)]
pub(super) struct NamespaceIndex<'a> {
    classes: Vec<LabelClass<'a>>,
    /// The classes that have a label.
    carriers: FxHashMap<(&'a str, &'a str), Vec<usize>>,
    pub own: FxHashMap<&'a WorkloadId, WorkloadLabels<'a>>,
    label_sets: FxHashMap<Labels<'a>, usize>,
}

/// Pods of one workload with the same labels, without the keys that no selector may use.
struct LabelClass<'a> {
    workload: &'a WorkloadId,
    labels: Labels<'a>,
    /// The index of its label set: equal for equal labels.
    label_set: usize,
}

/// The labels of the pods of one workload.
#[derive(Default)]
pub(super) struct WorkloadLabels<'a> {
    pub classes: Vec<usize>,
    /// The distinct label sets of its classes.
    pub label_sets: FxHashSet<usize>,
    /// The labels that all of its pods have.
    pub common: BTreeMap<&'a str, &'a str>,
    /// Every value that a key has among its pods.
    pub values: FxHashMap<&'a str, BTreeSet<&'a str>>,
    /// The keys whose values show that they are generated per pod or per rollout.
    pub generated: FxHashSet<&'a str>,
}

impl<'a> NamespaceIndex<'a> {
    /// Returns one index per namespace that has a selectable pod.
    pub fn build_all(pods: &'a [Pod]) -> BTreeMap<&'a str, NamespaceIndex<'a>> {
        let mut namespaces: BTreeMap<&str, NamespaceIndex> = BTreeMap::new();
        let mut seen: FxHashMap<(&WorkloadId, Labels), ()> = FxHashMap::default();
        for pod in pods.iter().filter(|pod| !pod.host_network) {
            let index = namespaces.entry(&pod.namespace).or_default();
            let labels: Labels = pod
                .labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .filter(|(key, _)| !label::is_volatile(key))
                .collect();
            index.note_generated(pod, &labels);
            if seen.insert((&pod.workload, labels.clone()), ()).is_none() {
                index.add(&pod.workload, labels);
            }
        }
        namespaces
    }

    fn note_generated(&mut self, pod: &'a Pod, labels: &Labels<'a>) {
        for (key, value) in labels {
            if label::is_generated_value(pod, value) {
                let own = self.own.entry(&pod.workload).or_default();
                own.generated.insert(key);
            }
        }
    }

    fn add(&mut self, workload: &'a WorkloadId, labels: Labels<'a>) {
        let class = self.classes.len();
        let next = self.label_sets.len();
        let label_set = *self.label_sets.entry(labels.clone()).or_insert(next);
        let own = self.own.entry(workload).or_default();
        own.label_sets.insert(label_set);
        if own.classes.is_empty() {
            own.common = labels.iter().copied().collect();
        } else {
            own.common
                .retain(|key, value| labels.binary_search(&(*key, *value)).is_ok());
        }
        own.classes.push(class);
        for (key, value) in &labels {
            own.values.entry(key).or_default().insert(value);
            self.carriers.entry((key, value)).or_default().push(class);
        }
        self.classes.push(LabelClass {
            workload,
            labels,
            label_set,
        });
    }

    /// Returns all classes except the workload's own.
    pub fn others(&self, own: &WorkloadLabels) -> BitSet {
        let mut others = self.all();
        others.remove(&self.bits(&own.classes));
        others
    }

    /// Returns the classes of other workloads that have a label.
    pub fn carriers(&self, key: &str, value: &str, own: &WorkloadLabels) -> BitSet {
        let mut carriers = match self.carriers.get(&(key, value)) {
            Some(classes) => self.bits(classes),
            None => BitSet::empty(self.classes.len()),
        };
        if carriers.count() as usize == own.classes.len() {
            return BitSet::empty(self.classes.len());
        }
        carriers.remove(&self.bits(&own.classes));
        carriers
    }

    /// Returns all classes of the namespace.
    pub fn all(&self) -> BitSet {
        let mut all = BitSet::empty(self.classes.len());
        (0..self.classes.len()).for_each(|class| all.insert(class));
        all
    }

    pub fn bits(&self, classes: &[usize]) -> BitSet {
        let mut bits = BitSet::empty(self.classes.len());
        classes.iter().for_each(|class| bits.insert(*class));
        bits
    }

    pub fn size(&self) -> usize {
        self.classes.len()
    }

    /// Returns the labels of a class.
    pub fn labels(&self, class: usize) -> &[(&'a str, &'a str)] {
        self.classes.get(class).map_or(&[], |c| &c.labels)
    }

    /// Returns true if a class has exactly the labels of some pod of the workload, so that no selector can
    /// distinguish them.
    pub fn has_same_labels(&self, class: usize, own: &WorkloadLabels) -> bool {
        let class = self.classes.get(class);
        class.is_some_and(|class| own.label_sets.contains(&class.label_set))
    }

    /// Returns the workloads that the classes belong to.
    pub fn workloads(&self, classes: &BitSet) -> BTreeSet<WorkloadId> {
        classes
            .iter()
            .filter_map(|class| self.classes.get(class))
            .map(|class| class.workload.clone())
            .collect()
    }
}
