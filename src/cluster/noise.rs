//! Drops of an object what nobody reads, so that a snapshot of thousands of pods stays small in memory:
//! environments, probes, volumes, where it may be scheduled, and what kubectl and the API server note for
//! themselves. It is dropped after it was checked: a field of the wrong type is an error all the same.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Namespace, Node, Pod, PodSpec, PodStatus, PodTemplateSpec,
    ReplicationController, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What kubectl notes of the last apply: the object once more.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops what nobody reads. Images, ports and security contexts stay, and all that tells when and where a pod ran.
pub trait Quieten {
    fn quieten(&mut self);
}

/// Drops kubectl's copy of the object.
pub fn drop_last_applied(metadata: &mut ObjectMeta) {
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    drop_last_applied(metadata);
}

fn pod_spec(spec: &mut PodSpec) {
    spec.affinity = None;
    spec.dns_config = None;
    spec.host_aliases = None;
    spec.tolerations = None;
    spec.topology_spread_constraints = None;
    spec.volumes = None;
    spec.containers.iter_mut().for_each(container);
    spec.containers.shrink_to_fit();
    for one in spec.init_containers.iter_mut().flatten() {
        container(one);
    }
}

fn container(container: &mut Container) {
    container.args = None;
    container.command = None;
    container.env = None;
    container.env_from = None;
    container.lifecycle = None;
    container.liveness_probe = None;
    container.readiness_probe = None;
    container.resources = None;
    container.startup_probe = None;
    container.volume_devices = None;
    container.volume_mounts = None;
}

fn pod_status(status: &mut PodStatus) {
    let all = [
        &mut status.container_statuses,
        &mut status.init_container_statuses,
    ];
    for one in all.into_iter().flatten().flatten() {
        container_status(one);
    }
}

fn container_status(status: &mut ContainerStatus) {
    status.allocated_resources = None;
    status.last_state = None;
    status.resources = None;
    status.volume_mounts = None;
}

fn template(template: &mut PodTemplateSpec) {
    if let Some(found) = &mut template.metadata {
        metadata(found);
    }
    if let Some(spec) = &mut template.spec {
        pod_spec(spec);
    }
}

impl Quieten for Pod {
    fn quieten(&mut self) {
        metadata(&mut self.metadata);
        if let Some(spec) = &mut self.spec {
            pod_spec(spec);
        }
        if let Some(status) = &mut self.status {
            pod_status(status);
        }
    }
}

macro_rules! workloads {
    ($($kind:ident)*) => { $(
        impl Quieten for $kind {
            fn quieten(&mut self) {
                metadata(&mut self.metadata);
                template(&mut self.spec.template);
                self.status = None;
            }
        }
    )* };
}

workloads! { DaemonSet Deployment }

impl Quieten for StatefulSet {
    fn quieten(&mut self) {
        metadata(&mut self.metadata);
        template(&mut self.spec.template);
        self.spec.volume_claim_templates = None;
        self.status = None;
    }
}

impl Quieten for ReplicaSet {
    fn quieten(&mut self) {
        metadata(&mut self.metadata);
        self.spec.template.iter_mut().for_each(template);
        self.status = None;
    }
}

impl Quieten for ReplicationController {
    fn quieten(&mut self) {
        metadata(&mut self.metadata);
        let found = self.spec.iter_mut().flat_map(|spec| &mut spec.template);
        found.for_each(template);
        self.status = None;
    }
}

impl Quieten for Job {
    fn quieten(&mut self) {
        metadata(&mut self.metadata);
        if let Some(spec) = &mut self.spec {
            template(&mut spec.template);
        }
        self.status = None;
    }
}

impl Quieten for CronJob {
    fn quieten(&mut self) {
        metadata(&mut self.metadata);
        if let Some(spec) = &mut self.spec.job_template.spec {
            template(&mut spec.template);
        }
        self.status = None;
    }
}

impl Quieten for Node {
    fn quieten(&mut self) {
        metadata(&mut self.metadata);
        if let Some(status) = &mut self.status {
            status.conditions = None;
            status.images = None;
            status.volumes_attached = None;
            status.volumes_in_use = None;
        }
    }
}

macro_rules! only_metadata {
    ($($kind:ident)*) => { $(
        impl Quieten for $kind {
            fn quieten(&mut self) {
                metadata(&mut self.metadata);
            }
        }
    )* };
}

only_metadata! { EndpointSlice Namespace NetworkPolicy Service }
