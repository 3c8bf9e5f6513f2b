//! The Kubernetes objects that the inventory is built from, typed and unsorted, as they were read.

use super::{ImageScan, OtherPolicy, Snapshot, SnapshotGap, UnlistedKind};
use crate::kubernetes::{
    CiliumNode, ConfigMap, CronJob, DaemonSet, Deployment, EndpointSlice, Endpoints, Job,
    Namespace, Node, Pod, ReplicaSet, ReplicationController, Service, ServiceCidr, StatefulSet,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_net::Timestamp;
use nanoseg_policy_kinds::OtherKindPolicy;
use std::collections::BTreeMap;
use std::fmt;

/// Something odd about an object that was read all the same: it is as an API server has it, but this nanoseg does not
/// know all of it, or a key of it is there twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRemark {
    /// Such as `NetworkPolicy shop/web`.
    pub object: String,
    pub problem: String,
    /// The file it was read from.
    pub file: String,
}

impl fmt::Display for ObjectRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.object, self.file, self.problem)
    }
}

/// Everything that one or several snapshots held, in reading order (later snapshots later).
#[derive(Debug, Clone, Default)]
pub struct Objects {
    pub namespaces: Vec<Namespace>,
    pub pods: Vec<Pod>,
    pub services: Vec<Service>,
    pub endpoint_slices: Vec<EndpointSlice>,
    pub endpoints: Vec<Endpoints>,
    pub service_cidrs: Vec<ServiceCidr>,
    pub nodes: Vec<Node>,
    pub cilium_nodes: Vec<CiliumNode>,
    /// The configuration of network plugins.
    pub config_maps: Vec<ConfigMap>,
    pub deployments: Vec<Deployment>,
    pub replica_sets: Vec<ReplicaSet>,
    pub replication_controllers: Vec<ReplicationController>,
    pub stateful_sets: Vec<StatefulSet>,
    pub daemon_sets: Vec<DaemonSet>,
    pub jobs: Vec<Job>,
    pub cron_jobs: Vec<CronJob>,
    pub network_policies: Vec<NetworkPolicy>,
    /// Policies of other kinds that are judged.
    pub other_kinds: Vec<OtherKindPolicy>,
    /// Of trivy-operator's VulnerabilityReport objects.
    pub scans: Vec<ImageScan>,
    /// Policies that nanoseg does not judge, or not all of: those of kinds that it does not judge are counted in `skipped`
    /// too.
    pub not_judged: Vec<OtherPolicy>,
    /// Kinds of policies that the cluster has and that could not be listed.
    pub unlisted: Vec<UnlistedKind>,
    /// What the snapshots say themselves that they lack.
    pub gaps: Vec<SnapshotGap>,
    /// Which pods each list of objects had, in reading order.
    pub lists: Vec<Snapshot>,
    /// The latest heartbeat of a node or lease since [`Objects::mark`].
    pub heartbeat: Option<Timestamp>,
    /// What is odd about objects that were read all the same.
    pub remarks: Vec<ObjectRemark>,
    /// How many snapshots (documents that are a list, or folders of manifests) were read.
    pub snapshots: usize,
    /// Objects of kinds that nanoseg has no use for, counted by kind.
    pub skipped: BTreeMap<String, usize>,
}

impl Objects {
    /// How many objects there are, versions of one counted each.
    pub fn count(&self) -> usize {
        self.namespaces.len()
            + self.pods.len()
            + self.services.len()
            + self.endpoint_slices.len()
            + self.endpoints.len()
            + self.service_cidrs.len()
            + self.nodes.len()
            + self.cilium_nodes.len()
            + self.config_maps.len()
            + self.deployments.len()
            + self.replica_sets.len()
            + self.replication_controllers.len()
            + self.stateful_sets.len()
            + self.daemon_sets.len()
            + self.jobs.len()
            + self.cron_jobs.len()
            + self.network_policies.len()
            + self.other_kinds.len()
            + self.scans.len()
    }
}
