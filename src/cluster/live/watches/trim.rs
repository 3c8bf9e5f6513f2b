//! Removes from each watched object the fields of its small type that are not used. It saves memory, and a
//! field that is not kept cannot look like a change: readiness, restarts and heartbeats are most of the
//! updates.

use crate::inventory::kubernetes::{
    CronJob, DaemonSet, Deployment, EndpointSlice, Job, Namespace, Node, Pod, PodStatus,
    PodTemplateSpec, ReplicaSet, Service, StatefulSet, drop_last_applied,
};
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use crate::review::{owns_break_glass, owns_spec};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Removes the fields that are not used.
pub trait Trim {
    fn trim(&mut self);
}

/// For kinds that only the inventory reads: name, labels, owners and times stay.
fn trim_metadata(metadata: &mut ObjectMeta) {
    let old = std::mem::take(metadata);
    *metadata = ObjectMeta {
        name: old.name,
        namespace: old.namespace,
        uid: old.uid,
        labels: old.labels,
        owner_references: old.owner_references,
        creation_timestamp: old.creation_timestamp,
        deletion_timestamp: old.deletion_timestamp,
        ..ObjectMeta::default()
    };
}

impl Trim for Pod {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        if let Some(status) = &mut self.status {
            trim_pod_status(status);
        }
    }
}

/// Keeps the conditions that are used: the one that shows when the network was ready and, of a pod that is
/// over, all, since they date its end.
fn trim_pod_status(status: &mut PodStatus) {
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|c| over || c.type_ == "PodReadyToStartContainers");
    }
    status.conditions = status.conditions.take().filter(|all| !all.is_empty());
}

fn trim_template(template: &mut PodTemplateSpec) {
    if let Some(metadata) = &mut template.metadata {
        trim_metadata(metadata);
    }
}

fn has_controller(metadata: &ObjectMeta) -> bool {
    let owners: &[OwnerReference] = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.controller == Some(true))
}

/// Kinds that own pods: their selectors and pod templates stay. They are the top owner even where an operator's
/// resource owns them (`inventory/owners`), so their templates are always used.
macro_rules! trim_workload {
    ($($kind:ident)*) => { $(
        impl Trim for $kind {
            fn trim(&mut self) {
                trim_metadata(&mut self.metadata);
                trim_template(&mut self.spec.template);
            }
        }
    )* };
}

trim_workload! { Deployment StatefulSet DaemonSet }

/// The template of a ReplicaSet or Job is used only if it has no owner itself.
fn trim_owned_template(template: &mut PodTemplateSpec, has_owner: bool) {
    if has_owner {
        *template = PodTemplateSpec::default();
    } else {
        trim_template(template);
    }
}

impl Trim for ReplicaSet {
    fn trim(&mut self) {
        let has_owner = has_controller(&self.metadata);
        trim_metadata(&mut self.metadata);
        if let Some(template) = &mut self.spec.template {
            trim_owned_template(template, has_owner);
        }
    }
}

impl Trim for Job {
    fn trim(&mut self) {
        let has_owner = has_controller(&self.metadata);
        trim_metadata(&mut self.metadata);
        if let Some(spec) = &mut self.spec {
            trim_owned_template(&mut spec.template, has_owner);
        }
    }
}

impl Trim for CronJob {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        if let Some(job) = &mut self.spec.job_template.spec {
            trim_template(&mut job.template);
        }
    }
}

/// Nodes report every few seconds; only addresses, ranges, and the annotations of network plugins are used.
impl Trim for Node {
    fn trim(&mut self) {
        let annotations = self.metadata.annotations.take();
        trim_metadata(&mut self.metadata);
        self.metadata.annotations = annotations;
        drop_last_applied(&mut self.metadata);
    }
}

/// Kinds whose objects are small, or of which nearly all fields are used.
macro_rules! trim_lightly {
    ($($kind:ident)*) => { $(
        impl Trim for $kind {
            fn trim(&mut self) {
                self.metadata.managed_fields = None;
                drop_last_applied(&mut self.metadata);
            }
        }
    )* };
}

trim_lightly! { EndpointSlice PolicyProposal ProposalDecision Service }

/// For two kinds the record contains who changed them, so the entry with that information stays. Most entries
/// are removed: a field that is not kept cannot look like a change, and the controller's own status writes
/// would look like one.
macro_rules! trim_but_for_managers {
    ($($kind:ident $owns:path;)*) => { $(
        impl Trim for $kind {
            fn trim(&mut self) {
                let managers = self.metadata.managed_fields.take().unwrap_or_default();
                let mut managers: Vec<_> = managers.into_iter().filter($owns).collect();
                managers.shrink_to_fit();
                self.metadata.managed_fields = Some(managers).filter(|all| !all.is_empty());
                drop_last_applied(&mut self.metadata);
            }
        }
    )* };
}

trim_but_for_managers! {
    Namespace owns_break_glass;
    Segmentation owns_spec;
}

/// The managed fields show who changed a policy.
impl Trim for NetworkPolicy {
    fn trim(&mut self) {
        drop_last_applied(&mut self.metadata);
    }
}
