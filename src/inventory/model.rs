//! The inventory itself: the indices over everything a snapshot held.

use super::{Namespace, Node, Pod, Service, Workload, WorkloadId};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeMap;

/// Everything known about the cluster, over time.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Current and past pods, and one template pod for each workload without pods.
    pub pods: Vec<Pod>,
    pub workloads: BTreeMap<WorkloadId, Workload>,
    pub services: Vec<Service>,
    pub nodes: Vec<Node>,
    pub namespaces: BTreeMap<String, Namespace>,
    /// The policies that are already there, of others (those that nanoseg manages are left out).
    pub policies: Vec<NetworkPolicy>,
    /// Ranges that pods get their addresses from: the nodes' podCIDRs, else what covers the pods seen.
    pub pod_ranges: Vec<ipnet::IpNet>,
    /// Ranges that Services get their addresses from, as far as the Services seen show them.
    pub service_ranges: Vec<ipnet::IpNet>,
}
