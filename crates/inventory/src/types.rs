//! The objects of the inventory, validated: one type for each thing that an address or a policy can mean.

use super::Container;
use nanoseg_net::{Protocol, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// Names a workload: the top owner of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadId {
    pub namespace: String,
    pub name: String,
    /// Deployment, StatefulSet, DaemonSet, CronJob, Job, ReplicaSet, Pod, or a custom owner's kind. The API group
    /// stands behind a custom kind that has the name of another one: `Job.batch.volcano.sh`.
    pub kind: String,
}

impl fmt::Display for WorkloadId {
    /// `namespace/name`, without the kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The top owner of a set of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub id: WorkloadId,
    /// The owner's own `spec.selector.matchLabels`. Below a custom owner: what the highest owner selects that the
    /// snapshot has, without what belongs to one release. Empty where no owner selects (Pod, CronJob).
    pub match_labels: BTreeMap<String, String>,
    /// The keys by which Services select some of its pods.
    pub service_keys: BTreeSet<String>,
    /// The keys that had several values: among its pods, or in the templates of its releases.
    pub changing_keys: BTreeSet<String>,
    /// Indices into [`super::Inventory::pods`], current and past.
    pub pods: Vec<usize>,
    /// All its pods use the node's network, so no policy can select them (rule: node-by-address).
    pub host_network: bool,
    /// What runs in it, each different container once.
    pub containers: Vec<Container>,
}

impl Workload {
    /// A workload of which nothing is known yet.
    pub fn new(id: WorkloadId) -> Self {
        Workload {
            id,
            match_labels: BTreeMap::new(),
            service_keys: BTreeSet::new(),
            changing_keys: BTreeSet::new(),
            pods: Vec::new(),
            host_network: false,
            containers: Vec::new(),
        }
    }
}

/// From when to when a pod owned its addresses. Open ends are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Owned {
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerPort {
    pub name: Option<String>,
    pub protocol: Protocol,
    pub number: u16,
}

/// A port of the node that leads to a container's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    pub protocol: Protocol,
    /// The node's port.
    pub number: u16,
    /// The one address of the node at which it is; `None`: at every address.
    pub address: Option<IpAddr>,
    pub container_port: u16,
}

/// The resolvers that a pod's spec names (`dnsConfig`, `dnsPolicy`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnResolvers {
    pub addresses: Vec<IpAddr>,
    /// It asks whom its node asks: no pod, but somebody outside or on the node.
    pub of_node: bool,
    /// It does not ask the cluster's resolver: `dnsPolicy` is `Default` or `None`, or it is on the host network and does
    /// not say `ClusterFirstWithHostNet`.
    pub without_cluster: bool,
}

/// A pod, current, past, or expected from a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub workload: WorkloadId,
    /// The owner that it names and does not have: by identity, by labels, or since there is none
    /// (rule: owner-by-identity).
    pub claimed_owner: Option<WorkloadId>,
    pub node: Option<String>,
    pub host_network: bool,
    /// `status.podIPs`; empty for a template.
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<ContainerPort>,
    /// Ports of its node that lead to it; none on the host network, where every port is the node's.
    pub host_ports: Vec<HostPort>,
    pub owned: Owned,
    /// The resolvers beside the cluster's that its programs ask.
    pub own_resolvers: OwnResolvers,
    /// When its network is known to be up: the PodReadyToStartContainers condition, else the first
    /// container's start. Bounds from above when it took over an address.
    pub network_up: Option<Timestamp>,
    /// Not a real pod: a template for the pods that a workload without pods would create.
    pub template: bool,
}

/// A namespace and its labels; `kubernetes.io/metadata.name` is always among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

/// A node with every address it is known to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// InternalIP, ExternalIP, the pod-side gateways and the tunnel addresses that plugins note.
    pub addresses: BTreeSet<IpAddr>,
    /// Of the proxy that serves Ingress objects on the node (Cilium's): it calls pods, and unlike the node it
    /// needs a rule for its own pods too.
    pub ingress: BTreeSet<IpAddr>,
    pub pod_cidrs: Vec<ipnet::IpNet>,
}

/// What tells the endpoints of a Service. Each Service has its own source: a snapshot may have EndpointSlices of
/// some namespaces only (rule: endpoints-of-each-service).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndpointSource {
    /// EndpointSlices or Endpoints: no endpoint means that none was ready.
    #[default]
    Objects,
    /// The Service's selector and the pods of the snapshot.
    Selector,
    /// The pods or nodes that run kube-apiserver.
    ControlPlane,
    /// Nothing in the snapshot: no objects, and no selector.
    Unknown,
}

/// A Service with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    pub cluster_ips: Vec<IpAddr>,
    /// externalIPs and load-balancer ingress addresses, without those that are known to be somebody else's.
    pub external_ips: Vec<IpAddr>,
    /// Those of `external_ips` that stand in the Service's spec, where whoever may write the Service writes them; a
    /// controller writes the others (rule: foreign-endpoint).
    pub claimed_ips: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    pub endpoint_source: EndpointSource,
    /// The labels of the pods behind it; empty where others write its endpoints.
    pub selector: BTreeMap<String, String>,
    /// `externalTrafficPolicy: Local`: the pod sees the real client address.
    pub external_local: bool,
}

/// One port of a Service and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    pub name: Option<String>,
    pub protocol: Protocol,
    pub port: u16,
    pub node_port: Option<u16>,
    /// All ready endpoints, `targetPort` resolved for each.
    pub endpoints: Vec<ServiceEndpoint>,
}

/// One ready endpoint of a Service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceEndpoint {
    pub address: IpAddr,
    pub port: u16,
    /// The pod behind it, an index into [`super::Inventory::pods`]; `None` for an address that no
    /// pod has (an outside database behind a selectorless Service, the API server).
    pub pod: Option<usize>,
    /// A pod of the Service's namespace, or the API server behind its own Service. Whoever may write Services in a
    /// namespace can write any address there, so for others a Service does not speak (rule: foreign-endpoint).
    pub own: bool,
}
