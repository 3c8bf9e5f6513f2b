//! Which workload a pod belongs to: the top of its chain of controllers.

use super::{Objects, WorkloadId};
use crate::kubernetes::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use std::collections::BTreeMap;

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
}

/// All controllers of the snapshots by namespace, kind and name.
#[derive(Debug, Default)]
pub(super) struct OwnerIndex<'a> {
    objects: BTreeMap<(String, &'static str, String), OwnerObject<'a>>,
}

/// The result of climbing: the workload, and whether an object was missing on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopOwner {
    pub id: WorkloadId,
    /// The owner, as `kind namespace/name`, that ownerReferences name and the snapshot lacks.
    pub missing: Option<String>,
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
/// Longer chains do not exist in practice; a loop of references must end.
const MAX_DEPTH: usize = 8;

impl<'a> OwnerIndex<'a> {
    pub fn build(objects: &'a Objects) -> Self {
        let mut index = OwnerIndex::default();
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
        let object = OwnerObject {
            controller: controller_of(metadata),
            match_labels,
            template,
        };
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

    /// Climbs from a pod to its workload.
    pub fn resolve_top(&self, pod: &ObjectMeta, rule: OwnerRule) -> TopOwner {
        let namespace = namespace_of(pod);
        let mut current = id(&namespace, "Pod", pod.name.as_deref().unwrap_or_default());
        let mut controller = controller_of(pod);
        let mut missing = None;
        for _ in 0..MAX_DEPTH {
            // A static pod is "owned" by its node: it is its own workload.
            let Some(reference) = controller.filter(|reference| reference.kind != "Node") else {
                break;
            };
            // A reference without a kind, as some hand-written manifests have, still groups pods.
            let kind = Some(reference.kind.as_str()).filter(|kind| !kind.is_empty());
            current = id(&namespace, kind.unwrap_or("Pod"), &reference.name);
            if TOP_KINDS.contains(&current.kind.as_str()) {
                if self.get(&current).is_none() {
                    missing = Some(format!("{} {current}", current.kind));
                }
                break;
            }
            match self.get(&current) {
                Some(object) => controller = object.controller,
                None => {
                    // A custom owner is a workload itself; nothing is missing.
                    if KNOWN_KINDS.contains(&current.kind.as_str()) {
                        missing = Some(format!("{} {current}", current.kind));
                        if rule == OwnerRule::Infer {
                            current = inferred_parent(&current, pod).unwrap_or(current);
                        }
                    }
                    break;
                }
            }
        }
        TopOwner {
            id: current,
            missing,
        }
    }
}

/// The owner that follows from the name of a missing ReplicaSet or Job: the names are made by the Deployment
/// controller (`NAME-<pod-template-hash>`) and the CronJob controller (`NAME-<unix minutes>`).
fn inferred_parent(owner: &WorkloadId, pod: &ObjectMeta) -> Option<WorkloadId> {
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = pod.labels.as_ref()?.get("pod-template-hash")?;
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
