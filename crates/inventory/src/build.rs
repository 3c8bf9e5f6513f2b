//! Builds the inventory from objects, in the order of their dependencies.

use super::claims::claims;
use super::containers::note_containers;
use super::nodes::read_nodes;
use super::owners::{OwnerIndex, OwnerRule, namespace_of};
use super::pods::{read_pod, template_pod};
use super::ranges::{pod_ranges, service_ranges};
use super::services::read_services;
use super::{AddressBook, Inventory, Namespace, Objects, Pod, Service, Workload, WorkloadId};
use crate::kubernetes as core;
use k8s_openapi::Metadata;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nanoseg_finding::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The label of policies that nanoseg wrote.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "nanoseg");

/// Returns true if an object has the label [`MANAGED_BY`]: nanoseg wrote it and may change or delete it.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY.0))
        .is_some_and(|value| value == MANAGED_BY.1)
}
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Inventory {
    /// Builds the inventory; what was missing or contradictory comes back as findings.
    pub fn build(objects: &Objects, rule: OwnerRule) -> (Inventory, Vec<Finding>) {
        let mut findings = Vec::new();
        let owners = OwnerIndex::build(objects);
        let core_pods = latest(&objects.pods);
        let (mut pods, missing) = read_pods(&core_pods, &owners, rule);
        let claims = claims(objects, &core_pods, &mut pods);
        let mut workloads = build_workloads(&mut pods, &owners);
        note_containers(&mut workloads, &pods, &core_pods, &owners);
        let nodes = read_nodes(&latest(&objects.nodes), &objects.pods, &pods);
        let services = read_services(&latest(&objects.services), objects, &pods);
        let (addresses, conflicts) = AddressBook::build(&pods, claims, &nodes, &services);
        findings.extend(conflicts);
        let namespaces = build_namespaces(&latest(&objects.namespaces), &pods);
        missing_findings(objects, &missing, &services, &namespaces, &mut findings);
        let inventory = Inventory {
            api_server: api_server(&services),
            pod_ranges: pod_ranges(&nodes, &pods),
            service_ranges: service_ranges(&services),
            pods,
            workloads,
            services,
            nodes,
            namespaces,
            addresses,
        };
        (inventory, findings)
    }
}

/// Of several snapshots' versions of one object the newest, ordered by namespace, name and uid.
fn latest<K: Metadata<Ty = ObjectMeta>>(objects: &[K]) -> Vec<&K> {
    let mut newest: BTreeMap<(String, String, String), (u64, &K)> = BTreeMap::new();
    for object in objects {
        let meta = object.metadata();
        let name = meta.name.clone().unwrap_or_default();
        let key = (
            namespace_of(meta),
            name,
            meta.uid.clone().unwrap_or_default(),
        );
        // resourceVersion is opaque by contract but a growing number in every API server (KEP-5504).
        let version = meta
            .resource_version
            .as_deref()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        match newest.get(&key) {
            Some((known, _)) if *known > version => {}
            _ => {
                newest.insert(key, (version, object));
            }
        }
    }
    newest.into_values().map(|(_, object)| object).collect()
}

fn read_pods(
    core_pods: &[&core::Pod],
    owners: &OwnerIndex<'_>,
    rule: OwnerRule,
) -> (Vec<Pod>, BTreeSet<String>) {
    let mut missing = BTreeSet::new();
    let pods = core_pods
        .iter()
        .map(|pod| {
            let (pod, lacking) = read_pod(pod, owners, rule);
            missing.extend(lacking);
            pod
        })
        .collect();
    (pods, missing)
}

/// Workloads from owner objects and from pods; a workload without pods gets a template pod.
fn build_workloads(pods: &mut Vec<Pod>, owners: &OwnerIndex<'_>) -> BTreeMap<WorkloadId, Workload> {
    let mut workloads: BTreeMap<WorkloadId, Workload> = BTreeMap::new();
    for (index, pod) in pods.iter().enumerate() {
        let entry = workloads
            .entry(pod.workload.clone())
            .or_insert_with(|| Workload {
                id: pod.workload.clone(),
                match_labels: BTreeMap::new(),
                pods: Vec::new(),
                host_network: true,
                containers: Vec::new(),
            });
        entry.pods.push(index);
        entry.host_network &= pod.host_network;
    }
    for (id, owner) in owners.tops() {
        if let Some(workload) = workloads.get_mut(&id) {
            workload.match_labels = owner.match_labels.clone();
        } else if let Some(template) = template_pod(&id, owner) {
            let workload = Workload {
                id: id.clone(),
                match_labels: owner.match_labels.clone(),
                pods: vec![pods.len()],
                host_network: template.host_network,
                containers: Vec::new(),
            };
            pods.push(template);
            workloads.insert(id, workload);
        }
    }
    workloads
}

fn build_namespaces(namespaces: &[&core::Namespace], pods: &[Pod]) -> BTreeMap<String, Namespace> {
    let named = |name: &str, labels: BTreeMap<String, String>| {
        let mut labels = labels;
        // Set by every API server since 1.21 (KEP-2161), so manifests may leave it out.
        labels.insert(NAMESPACE_NAME_LABEL.into(), name.into());
        (
            name.to_string(),
            Namespace {
                name: name.into(),
                labels,
            },
        )
    };
    let mut all: BTreeMap<String, Namespace> = namespaces
        .iter()
        .map(|n| {
            let labels = n.metadata.labels.clone().unwrap_or_default();
            named(n.metadata.name.as_deref().unwrap_or_default(), labels)
        })
        .collect();
    for pod in pods {
        if !all.contains_key(&pod.namespace) {
            all.extend([named(&pod.namespace, BTreeMap::new())]);
        }
    }
    all
}

/// Returns the newest version of each NetworkPolicy that does not have nanoseg's managed-by label
/// ([`MANAGED_BY`]): those that somebody else manages.
pub fn foreign_policies(objects: &Objects) -> Vec<NetworkPolicy> {
    latest(&objects.network_policies)
        .into_iter()
        .filter(|policy| !is_ours(&policy.metadata))
        .cloned()
        .collect()
}

fn api_server(services: &[Service]) -> BTreeSet<SocketAddr> {
    services
        .iter()
        .filter(|service| service.namespace == "default" && service.name == "kubernetes")
        .flat_map(|service| &service.ports)
        .flat_map(|port| &port.endpoints)
        .map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port))
        .collect()
}

/// What the snapshots lack, and what is less exact for it.
fn missing_findings(
    objects: &Objects,
    missing_owners: &BTreeSet<String>,
    services: &[Service],
    namespaces: &BTreeMap<String, Namespace>,
    findings: &mut Vec<Finding>,
) {
    if objects.endpoint_slices.is_empty() && !services.is_empty() {
        let message = format!(
            "endpoints of {} Services were taken from their selectors",
            services.len()
        );
        findings.push(Finding::new(
            Code::MissingEndpointSlices,
            "snapshot",
            message,
        ));
    }
    if !missing_owners.is_empty() {
        let message = format!("{} owners of pods are missing", missing_owners.len());
        findings.push(
            Finding::new(Code::MissingOwners, "snapshot", message)
                .with_samples(missing_owners.iter().take(5).cloned()),
        );
    }
    if objects.nodes.is_empty() && !objects.pods.is_empty() {
        findings.push(Finding::new(Code::MissingNodes, "snapshot", "has no Nodes"));
    }
    let read: BTreeSet<&str> = objects
        .namespaces
        .iter()
        .filter_map(|n| n.metadata.name.as_deref())
        .collect();
    let unread: Vec<&String> = namespaces
        .keys()
        .filter(|name| !read.contains(name.as_str()))
        .collect();
    if !unread.is_empty() {
        let message = format!("{} namespaces of pods are missing", unread.len());
        findings.push(
            Finding::new(Code::MissingNamespaces, "snapshot", message)
                .with_samples(unread.into_iter().take(5).cloned()),
        );
    }
}
