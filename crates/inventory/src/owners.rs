//! Which workload a pod belongs to: the top of its chain of controllers.

use super::{Objects, WorkloadId};
use crate::kubernetes::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, ObjectMeta, OwnerReference, Time,
};
use std::collections::{BTreeMap, BTreeSet};

mod identity;

use identity::{Identities, Owned};

/// How far ownerReferences are trusted to name the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerRule {
    /// Only references and objects count: a ReplicaSet whose object is missing is the workload.
    Literal,
    /// Where an intermediate owner's object is missing, its name gives the next: a ReplicaSet named
    /// `NAME-<pod-template-hash>` belongs to Deployment NAME, a Job named `NAME-<minutes>` to CronJob NAME.
    Infer,
}

/// A controller's object, as far as owning pods matters.
#[derive(Debug, Clone)]
pub(super) struct OwnerObject<'a> {
    pub controller: Option<&'a OwnerReference>,
    pub match_labels: BTreeMap<String, String>,
    pub template: Option<&'a PodTemplateSpec>,
    created: Option<&'a Time>,
}

/// All controllers of the snapshots by namespace, kind and name.
#[derive(Debug, Default)]
pub(super) struct OwnerIndex<'a> {
    objects: BTreeMap<(String, &'static str, String), OwnerObject<'a>>,
    identities: Identities<'a>,
    /// The pod templates of every version of every object, by the object.
    templates: Vec<(WorkloadId, &'a PodTemplateSpec)>,
    /// Kinds of custom owners that several API groups have.
    ambiguous: BTreeSet<String>,
}

/// The result of climbing: the workload, and what was on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopOwner {
    pub id: WorkloadId,
    /// The owner that ownerReferences name and the snapshot lacks.
    pub missing: Option<WorkloadId>,
    /// The `matchLabels` of the highest object on the way that the snapshot has and that has some.
    pub selector: BTreeMap<String, String>,
    /// The custom owner at the end of the way, the top itself or what controls it: its kind and its name.
    pub custom: Option<WorkloadId>,
    /// The owner that the last object on the way names and that it does not have (rule: owner-by-identity).
    pub claimed: Option<WorkloadId>,
}

/// Kinds that are the top even when something else (an operator's custom resource) controls them:
/// one custom resource may own several of them, and they must not share one policy.
const TOP_KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"];
const KNOWN_KINDS: [&str; 7] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "CronJob",
    "ReplicaSet",
    "ReplicationController",
    "Job",
];
/// Built-in kinds with their API group. A kind of another group is another kind, whatever it is called
/// (rule: owner-has-its-api-group).
const BUILT_IN: [(&str, &str); 11] = [
    ("Deployment", "apps"),
    ("StatefulSet", "apps"),
    ("DaemonSet", "apps"),
    ("ReplicaSet", "apps"),
    ("Deployment", "extensions"),
    ("DaemonSet", "extensions"),
    ("ReplicaSet", "extensions"),
    ("CronJob", "batch"),
    ("Job", "batch"),
    ("ReplicationController", ""),
    ("Pod", ""),
];
/// Longer chains do not exist in practice; a loop of references must end.
const MAX_DEPTH: usize = 8;

impl<'a> OwnerIndex<'a> {
    pub fn build(objects: &'a Objects) -> Self {
        let mut index = OwnerIndex {
            ambiguous: ambiguous_kinds(objects),
            ..OwnerIndex::default()
        };
        for o in &objects.deployments {
            let (labels, template) = parts(Some(&o.spec.selector), Some(&o.spec.template));
            index.add("Deployment", &o.metadata, labels, template);
        }
        for o in &objects.stateful_sets {
            let (labels, template) = parts(Some(&o.spec.selector), Some(&o.spec.template));
            index.add("StatefulSet", &o.metadata, labels, template);
        }
        for o in &objects.daemon_sets {
            let (labels, template) = parts(Some(&o.spec.selector), Some(&o.spec.template));
            index.add("DaemonSet", &o.metadata, labels, template);
        }
        for o in &objects.replica_sets {
            let (labels, template) = parts(Some(&o.spec.selector), o.spec.template.as_ref());
            index.add("ReplicaSet", &o.metadata, labels, template);
        }
        for o in &objects.replication_controllers {
            let spec = o.spec.as_ref();
            let labels = spec.and_then(|s| s.selector.clone()).unwrap_or_default();
            let template = spec.and_then(|s| s.template.as_ref());
            index.add("ReplicationController", &o.metadata, labels, template);
        }
        for o in &objects.jobs {
            let spec = o.spec.as_ref();
            let (labels, template) = parts(
                spec.and_then(|s| s.selector.as_ref()),
                spec.map(|s| &s.template),
            );
            index.add("Job", &o.metadata, labels, template);
        }
        for o in &objects.cron_jobs {
            let template = o.spec.job_template.spec.as_ref().map(|job| &job.template);
            index.add("CronJob", &o.metadata, BTreeMap::new(), template);
        }
        index
    }

    fn add(
        &mut self,
        kind: &'static str,
        metadata: &'a ObjectMeta,
        match_labels: BTreeMap<String, String>,
        template: Option<&'a PodTemplateSpec>,
    ) {
        let key = (
            namespace_of(metadata),
            kind,
            metadata.name.clone().unwrap_or_default(),
        );
        if let Some(template) = template {
            self.templates.push((id(&key.0, kind, &key.2), template));
        }
        let object = OwnerObject {
            controller: controller_of(metadata),
            match_labels,
            template,
            created: metadata.creation_timestamp.as_ref(),
        };
        self.identities.add(&key, metadata);
        self.objects.insert(key, object);
    }

    pub fn get(&self, id: &WorkloadId) -> Option<&OwnerObject<'a>> {
        let kind = KNOWN_KINDS.into_iter().find(|kind| *kind == id.kind)?;
        self.objects
            .get(&(id.namespace.clone(), kind, id.name.clone()))
    }

    /// The workloads that exist as objects, whether or not they have pods.
    pub fn tops(&self) -> impl Iterator<Item = (WorkloadId, &OwnerObject<'a>)> {
        self.objects
            .iter()
            .filter(|((_, kind, _), object)| {
                TOP_KINDS.contains(kind) || object.controller.is_none()
            })
            .map(|((namespace, kind, name), object)| (id(namespace, kind, name), object))
    }

    /// The pod templates of every version of every object, each with its top owner: what pods are, and what they were
    /// in earlier releases.
    pub fn templates(&self) -> impl Iterator<Item = (TopOwner, &'a PodTemplateSpec)> + '_ {
        self.templates.iter().map(|(id, template)| {
            let labels = template.metadata.as_ref().and_then(|m| m.labels.as_ref());
            let controller = self.get(id).and_then(|object| object.controller);
            (self.top_of(id, controller, labels), *template)
        })
    }

    /// The top owner of an object that the snapshot has.
    pub fn top_of_object(&self, id: &WorkloadId) -> TopOwner {
        self.top_of(id, self.get(id).and_then(|object| object.controller), None)
    }

    fn top_of(
        &self,
        id: &WorkloadId,
        controller: Option<&'a OwnerReference>,
        labels: Option<&'a BTreeMap<String, String>>,
    ) -> TopOwner {
        let top = TopOwner {
            id: id.clone(),
            missing: None,
            selector: BTreeMap::new(),
            custom: None,
            claimed: None,
        };
        if TOP_KINDS.contains(&id.kind.as_str()) {
            let custom = controller.and_then(|reference| self.custom(&id.namespace, reference));
            return TopOwner { custom, ..top };
        }
        let created = self.get(id).and_then(|object| object.created);
        let owned = Owned {
            created,
            labels,
            is_pod: false,
            is_there: false,
        };
        self.climb(top, controller, owned, OwnerRule::Infer)
    }

    /// Climbs from a pod to its workload. `is_there` tells that it has not ended.
    pub fn resolve_top(&self, pod: &'a ObjectMeta, is_there: bool, rule: OwnerRule) -> TopOwner {
        let namespace = namespace_of(pod);
        let top = TopOwner {
            id: id(&namespace, "Pod", pod.name.as_deref().unwrap_or_default()),
            missing: None,
            selector: BTreeMap::new(),
            custom: None,
            claimed: None,
        };
        let owned = Owned {
            created: pod.creation_timestamp.as_ref(),
            labels: pod.labels.as_ref(),
            is_pod: true,
            is_there,
        };
        self.climb(top, controller_of(pod), owned, rule)
    }

    fn climb(
        &self,
        mut top: TopOwner,
        mut controller: Option<&'a OwnerReference>,
        mut owned: Owned<'a>,
        rule: OwnerRule,
    ) -> TopOwner {
        for _ in 0..MAX_DEPTH {
            // A static pod is "owned" by its node: it is its own workload.
            let Some(reference) = controller.filter(|r| !is_built_in(r, "Node", "")) else {
                break;
            };
            let namespace = top.id.namespace.clone();
            let Some(kind) = built_in_kind(reference) else {
                // A custom owner is a workload itself; nothing is missing.
                top.custom = self.custom(&namespace, reference);
                top.id = top.custom.clone().unwrap_or(top.id);
                break;
            };
            let owner = id(&namespace, kind, &reference.name);
            let object = self.get(&owner);
            if self.is_false_claim(&owner, kind, reference, owned) {
                top.claimed = Some(owner);
                break;
            }
            top.id = owner;
            if let Some(labels) = object.map(|object| &object.match_labels)
                && !labels.is_empty()
            {
                top.selector = labels.clone();
            }
            if TOP_KINDS.contains(&kind) {
                match object {
                    Some(object) => {
                        let above = object.controller;
                        top.custom = above.and_then(|above| self.custom(&namespace, above));
                    }
                    None => top.missing = Some(top.id.clone()),
                }
                break;
            }
            match object {
                Some(object) => {
                    controller = object.controller;
                    owned = owned.above(object.created);
                }
                None => {
                    if KNOWN_KINDS.contains(&kind) {
                        top.missing = Some(top.id.clone());
                        if rule == OwnerRule::Infer {
                            top.id = inferred_parent(&top.id, owned.labels).unwrap_or(top.id);
                        }
                    }
                    break;
                }
            }
        }
        top
    }

    /// Returns true if an object does not have the owner that it names (rule: owner-by-identity).
    fn is_false_claim(
        &self,
        owner: &WorkloadId,
        kind: &'static str,
        reference: &OwnerReference,
        owned: Owned<'_>,
    ) -> bool {
        let has_kind = || self.has_kind(&owner.namespace, kind);
        let key = (owner.namespace.clone(), kind, owner.name.clone());
        owned.is_false_claim(reference, self.get(owner), has_kind)
            || self.identities.is_another(&key, reference, owned.created)
    }

    /// The owner that a reference names, if it is of a kind that is not built in. Its kind has the API group behind it
    /// if the kind alone could mean another one too: `Job.batch.volcano.sh`.
    fn custom(&self, namespace: &str, reference: &OwnerReference) -> Option<WorkloadId> {
        let group = group_of(reference);
        if built_in_kind(reference).is_some() || is_built_in(reference, "Node", "") {
            return None;
        }
        let kind = &reference.kind;
        let taken = kind == "Node" || BUILT_IN.iter().any(|(known, _)| known == kind);
        let kind = if taken || self.ambiguous.contains(kind) {
            format!("{kind}.{group}")
        } else {
            kind.clone()
        };
        Some(id(namespace, &kind, &reference.name))
    }

    /// Returns true if the snapshot has objects of this kind in the namespace, so that the kind was asked for.
    pub fn has_kind(&self, namespace: &str, kind: &str) -> bool {
        let kind = KNOWN_KINDS.into_iter().find(|known| *known == kind);
        kind.is_some_and(|kind| {
            let from = (namespace.to_owned(), kind, String::new());
            let first = self.objects.range(from..).next();
            first.is_some_and(|((home, found, _), _)| home == namespace && *found == kind)
        })
    }
}

/// The API group of an owner: empty for the core group, and where a hand-written manifest leaves it out.
fn group_of(reference: &OwnerReference) -> &str {
    let version = reference.api_version.as_str();
    version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// Returns true if a reference names an object of this kind and group. Without a version, the kind decides.
fn is_built_in(reference: &OwnerReference, kind: &str, group: &str) -> bool {
    reference.kind == kind && (reference.api_version.is_empty() || group_of(reference) == group)
}

/// The built-in kind that a reference names. A reference without a kind, as some hand-written manifests have, still
/// groups pods: it counts as a Pod.
fn built_in_kind(reference: &OwnerReference) -> Option<&'static str> {
    if reference.kind.is_empty() {
        return Some("Pod");
    }
    let mut known = BUILT_IN.iter();
    let found = known.find(|(kind, group)| is_built_in(reference, kind, group));
    found.map(|(kind, _)| *kind)
}

/// Kinds of custom owners that several API groups have, such as `Cluster`.
fn ambiguous_kinds(objects: &Objects) -> BTreeSet<String> {
    let pods = objects.pods.iter().map(|o| &o.metadata);
    let replica_sets = objects.replica_sets.iter().map(|o| &o.metadata);
    let jobs = objects.jobs.iter().map(|o| &o.metadata);
    let owned = pods.chain(replica_sets).chain(jobs);
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for reference in owned.filter_map(controller_of) {
        if built_in_kind(reference).is_none() {
            let known = groups.entry(&reference.kind).or_default();
            known.insert(group_of(reference));
        }
    }
    let several = groups.into_iter().filter(|(_, groups)| groups.len() > 1);
    several.map(|(kind, _)| kind.to_owned()).collect()
}

/// The owner that follows from the name of a missing ReplicaSet or Job: the names are made by the Deployment
/// controller (`NAME-<pod-template-hash>`) and the CronJob controller (`NAME-<unix minutes>`).
fn inferred_parent(
    owner: &WorkloadId,
    labels: Option<&BTreeMap<String, String>>,
) -> Option<WorkloadId> {
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = labels?.get("pod-template-hash")?;
            let name = owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
            (!name.is_empty()).then(|| id(&owner.namespace, "Deployment", name))
        }
        "Job" => {
            let (name, minutes) = owner.name.rsplit_once('-')?;
            let timed = minutes.len() >= 8 && minutes.bytes().all(|b| b.is_ascii_digit());
            (timed && !name.is_empty()).then(|| id(&owner.namespace, "CronJob", name))
        }
        _ => None,
    }
}

fn parts<'a>(
    selector: Option<&LabelSelector>,
    template: Option<&'a PodTemplateSpec>,
) -> (BTreeMap<String, String>, Option<&'a PodTemplateSpec>) {
    (
        selector
            .and_then(|s| s.match_labels.clone())
            .unwrap_or_default(),
        template,
    )
}

fn id(namespace: &str, kind: &str, name: &str) -> WorkloadId {
    WorkloadId {
        namespace: namespace.into(),
        name: name.into(),
        kind: kind.into(),
    }
}

/// An absent namespace means `default`, as kubectl takes it.
pub(super) fn namespace_of(metadata: &ObjectMeta) -> String {
    match metadata.namespace.as_deref() {
        None | Some("") => "default".into(),
        Some(namespace) => namespace.into(),
    }
}

fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let references = metadata.owner_references.as_deref().unwrap_or_default();
    references
        .iter()
        .find(|r| r.controller == Some(true))
        .or(match references {
            // Hand-written manifests leave `controller` out.
            [only] => Some(only),
            _ => None,
        })
}
