//! Keeps of each object what is read of it. It saves memory (PODSIZE), and what
//! is not kept cannot look like a change: readiness, restarts and heart-beats make up most updates.

use crate::cluster::noise::drop_last_applied;
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use crate::review::{owns_break_glass, owns_spec};
use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec, ReplicaSet, StatefulSet, StatefulSetSpec,
};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus,
    Namespace, Node, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus, PodTemplateSpec,
    SecurityContext, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Drops what nobody reads.
pub trait Trim {
    fn trim(&mut self);
}

/// For kinds that only the inventory reads: name, labels, owners and the times.
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
        if let Some(spec) = &mut self.spec {
            trim_pod_spec(spec);
        }
        if let Some(status) = &mut self.status {
            trim_pod_status(status);
        }
    }
}

/// Node, network, and of containers what they listen at, run and may.
fn trim_pod_spec(spec: &mut PodSpec) {
    let old = std::mem::take(spec);
    let trimmed = |all: Vec<Container>| all.into_iter().map(trim_container).collect();
    *spec = PodSpec {
        node_name: old.node_name,
        host_network: old.host_network,
        containers: trimmed(old.containers),
        init_containers: old.init_containers.map(trimmed),
        ..PodSpec::default()
    };
}

fn trim_container(container: Container) -> Container {
    let context = container.security_context.map(|old| SecurityContext {
        privileged: old.privileged,
        capabilities: old.capabilities,
        ..SecurityContext::default()
    });
    Container {
        name: container.name,
        image: container.image,
        restart_policy: container.restart_policy,
        ports: container.ports.filter(|ports| !ports.is_empty()),
        security_context: context.filter(|context| *context != SecurityContext::default()),
        ..Container::default()
    }
}

fn trim_pod_status(status: &mut PodStatus) {
    let old = std::mem::take(status);
    let over = matches!(old.phase.as_deref(), Some("Succeeded" | "Failed"));
    let conditions: Vec<_> = old
        .conditions
        .into_iter()
        .flatten()
        // The others come and go while it runs; once it is over, they tell since when.
        .filter(|c| over || c.type_ == "PodReadyToStartContainers")
        .map(|mut condition| {
            condition.last_probe_time = None;
            condition.message = None;
            condition.reason = None;
            condition
        })
        .collect();
    let trimmed = |statuses: Option<Vec<ContainerStatus>>| {
        statuses.map(|all| all.into_iter().map(trim_container_status).collect())
    };
    *status = PodStatus {
        phase: old.phase,
        pod_ip: old.pod_ip,
        pod_ips: old.pod_ips,
        host_ip: old.host_ip,
        host_ips: old.host_ips,
        start_time: old.start_time,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
        container_statuses: trimmed(old.container_statuses),
        init_container_statuses: trimmed(old.init_container_statuses),
        ..PodStatus::default()
    };
}

/// What runs, and when it started and ended.
fn trim_container_status(status: ContainerStatus) -> ContainerStatus {
    let state = status.state.map(|state| ContainerState {
        waiting: None,
        running: state.running.map(|running| ContainerStateRunning {
            started_at: running.started_at,
        }),
        terminated: state.terminated.map(|ended| ContainerStateTerminated {
            started_at: ended.started_at,
            finished_at: ended.finished_at,
            ..ContainerStateTerminated::default()
        }),
    });
    ContainerStatus {
        name: status.name,
        image_id: status.image_id,
        state,
        ..ContainerStatus::default()
    }
}

fn trim_template(template: &mut PodTemplateSpec) {
    if let Some(metadata) = &mut template.metadata {
        trim_metadata(metadata);
    }
    if let Some(spec) = &mut template.spec {
        trim_pod_spec(spec);
    }
}

fn has_controller(metadata: &ObjectMeta) -> bool {
    let owners: &[OwnerReference] = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.controller == Some(true))
}

/// Kinds that own pods: how they select them, and what these will be like. They are the top even where an
/// operator's resource owns them (`inventory/owners`), so their templates always count.
macro_rules! trim_workload {
    ($($kind:ident $spec:ident;)*) => { $(
        impl Trim for $kind {
            fn trim(&mut self) {
                trim_metadata(&mut self.metadata);
                self.status = None;
                let old = std::mem::take(&mut self.spec);
                self.spec = $spec { selector: old.selector, template: old.template, ..$spec::default() };
                trim_template(&mut self.spec.template);
            }
        }
    )* };
}

trim_workload! {
    Deployment DeploymentSpec;
    StatefulSet StatefulSetSpec;
    DaemonSet DaemonSetSpec;
}

/// A ReplicaSet's or Job's template counts only where nothing is above it.
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
        self.status = None;
        let old = std::mem::take(&mut self.spec);
        self.spec.selector = old.selector;
        self.spec.template = old.template;
        if let Some(template) = &mut self.spec.template {
            trim_owned_template(template, has_owner);
        }
    }
}

impl Trim for Job {
    fn trim(&mut self) {
        let has_owner = has_controller(&self.metadata);
        trim_metadata(&mut self.metadata);
        self.status = None;
        if let Some(spec) = &mut self.spec {
            let old = std::mem::take(spec);
            spec.selector = old.selector;
            spec.template = old.template;
            trim_owned_template(&mut spec.template, has_owner);
        }
    }
}

impl Trim for CronJob {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        self.status = None;
        if let Some(job) = &mut self.spec.job_template.spec {
            let old = std::mem::take(job);
            job.selector = old.selector;
            job.template = old.template;
            trim_template(&mut job.template);
        }
    }
}

/// Nodes report every few seconds how they are; read are addresses, ranges, and what plugins note.
impl Trim for Node {
    fn trim(&mut self) {
        let annotations = self.metadata.annotations.take();
        trim_metadata(&mut self.metadata);
        self.metadata.annotations = annotations;
        drop_last_applied(&mut self.metadata);
        if let Some(spec) = &mut self.spec {
            let old = std::mem::take(spec);
            *spec = NodeSpec {
                pod_cidr: old.pod_cidr,
                pod_cidrs: old.pod_cidrs,
                ..NodeSpec::default()
            };
        }
        if let Some(status) = &mut self.status {
            let old = std::mem::take(status);
            *status = NodeStatus {
                addresses: old.addresses,
                ..NodeStatus::default()
            };
        }
    }
}

/// Kinds that are small, or of which nearly everything is read.
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

/// Of two kinds the record names who changed them, so what says that stays. Most entries go: what is not kept cannot
/// look like a change, and the controller's own writes of a status would.
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

/// Their managed fields tell who changed a policy.
impl Trim for NetworkPolicy {
    fn trim(&mut self) {
        drop_last_applied(&mut self.metadata);
    }
}
