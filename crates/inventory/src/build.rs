//! Builds the inventory from objects, in the order of their dependencies.

use super::claims::claims;
use super::containers::note_containers;
use super::control_plane::ControlPlane;
use super::families::family_of;
use super::foreign_endpoints::{foreign_endpoints, withdraw_claims};
use super::gaps;
use super::jobs::Jobs;
use super::label_evidence::note_label_evidence;
use super::network_plugin::network_plugin;
use super::nodes::read_nodes;
use super::owners::{OwnerIndex, OwnerRule, TopOwner, namespace_of};
use super::pods::{read_pod, template_pod};
use super::ranges::{declared_service_ranges, kubernetes_addresses, pod_ranges, service_ranges};
use super::service_endpoints::{EndpointIndex, KUBERNETES};
use super::services::{is_kubernetes, made_kubernetes_service, read_services};
use super::told_addresses;
use super::{
    AddressBook, Inventory, Namespace, Objects, OtherKinds, Pod, Service, Workload, WorkloadId,
};
use crate::kubernetes as core;
use k8s_openapi::Metadata;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nanoseg_finding::{Code, Finding};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The label of policies that nanoseg wrote.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "nanoseg");

/// Returns true if an object has the label [`MANAGED_BY`]: nanoseg wrote it and may change or delete it.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY.0))
        .is_some_and(|value| value == MANAGED_BY.1)
}
/// How many examples a finding carries.
const SAMPLES: usize = 5;
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Inventory {
    /// Builds the inventory; what was missing or contradictory comes back as findings.
    pub fn build(objects: &Objects, rule: OwnerRule) -> (Inventory, Vec<Finding>) {
        Inventory::build_with(objects, rule, &BTreeMap::new())
    }

    /// The same, with what agents tell of their nodes' own addresses, by node (rule: node-by-address).
    pub fn build_with(
        objects: &Objects,
        rule: OwnerRule,
        told: &BTreeMap<String, BTreeSet<IpAddr>>,
    ) -> (Inventory, Vec<Finding>) {
        let mut findings = Vec::new();
        let owners = OwnerIndex::build(objects);
        let core_pods = latest(&objects.pods);
        let OwnedPods {
            mut pods,
            missing,
            selectors,
            mut families,
        } = read_pods(&core_pods, &owners, rule);
        let claims = claims(objects, &core_pods, &mut pods);
        let mut workloads = build_workloads(&mut pods, &owners, selectors, &mut families);
        let core_services = latest(&objects.services);
        note_label_evidence(&mut workloads, &pods, &owners, &core_services);
        note_containers(&mut workloads, &pods, &core_pods, &owners);
        let core_nodes = latest(&objects.nodes);
        let cilium_nodes = latest(&objects.cilium_nodes);
        let mut nodes = read_nodes(&core_nodes, &cilium_nodes, &objects.pods, &pods);
        let control_plane = ControlPlane::read(&core_pods, &core_nodes);
        let service_cidrs = latest(&objects.service_cidrs);
        let endpoints = EndpointIndex::build(objects, &pods, &control_plane);
        let mut services = read_services(&core_services, &endpoints);
        let declared = declared_service_ranges(&service_cidrs, &control_plane);
        let has_kubernetes = services.iter().any(is_kubernetes);
        if !has_kubernetes {
            let cluster_ips = kubernetes_addresses(&service_cidrs, &control_plane);
            services.extend(missing_kubernetes(cluster_ips, &control_plane, &endpoints));
        }
        let told = told_addresses::take(told, &mut nodes, &pods, &services);
        let api_server = api_server(&services);
        let missing_pods = endpoints.addresses_of_missing_pods();
        let pod_ranges = pod_ranges(&nodes, &pods, &control_plane, &missing_pods);
        let service_ranges = service_ranges(&services, &declared);
        let ranges = [pod_ranges.as_slice(), &service_ranges];
        let withdrawn = withdraw_claims(&mut services, &api_server, &ranges, &nodes);
        let (addresses, conflicts) = AddressBook::build(&pods, claims, &nodes, &services);
        findings.extend(withdrawn.into_iter().chain(conflicts));
        let namespaces = build_namespaces(&latest(&objects.namespaces), &pods);
        findings.extend(gaps::findings(
            objects,
            &owners,
            &missing,
            &services,
            &namespaces,
        ));
        let inventory = Inventory {
            api_server,
            pod_ranges,
            service_ranges,
            partial: !has_kubernetes && declared.is_empty()
                || objects.nodes.is_empty() && control_plane.pod_ranges.is_empty(),
            node_ports: control_plane.node_ports.clone(),
            network_plugin: network_plugin(objects),
            pods,
            workloads,
            families,
            services,
            nodes,
            namespaces,
            told_addresses: told,
            addresses,
            other_kinds: Arc::new(OtherKinds::of(&objects.other_kinds)),
        };
        findings.extend(forged(&inventory));
        (inventory, findings)
    }
}

/// What whoever may write objects in a namespace may have written to get what is others'.
fn forged(inventory: &Inventory) -> Vec<Finding> {
    let mut findings = foreign_endpoints(inventory);
    findings.extend(false_owners(inventory));
    findings
}

/// Pods that name an owner which they do not have, one finding for each owner (rule: owner-by-identity). The subject is
/// the workload that they want to be taken for.
fn false_owners(inventory: &Inventory) -> Vec<Finding> {
    let mut by_owner: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in &inventory.pods {
        let Some(claimed) = &pod.claimed_owner else {
            continue;
        };
        let name = format!("{}/{}", pod.namespace, pod.name);
        let said = by_owner.entry(inventory.claimed_workload(claimed).to_string());
        said.or_default().insert(name);
    }
    let finding = |(owner, pods): (String, BTreeSet<String>)| {
        let some: Vec<&str> = pods.iter().take(SAMPLES).map(String::as_str).collect();
        let message = format!(
            "is named as owner by pods that it does not own: {}",
            some.join(", ")
        );
        Finding::new(Code::FalseOwner, owner, message).with_samples(pods.into_iter().take(SAMPLES))
    };
    by_owner.into_iter().map(finding).collect()
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

/// The pods with their workloads, and what their owners tell.
#[derive(Default)]
struct OwnedPods {
    pods: Vec<Pod>,
    /// The owners that the snapshots lack.
    missing: BTreeSet<WorkloadId>,
    /// What the owners below the top select, as far as all pods of a workload agree.
    selectors: BTreeMap<WorkloadId, BTreeMap<String, String>>,
    /// Top owners that are members of a family, with the family.
    families: BTreeMap<WorkloadId, WorkloadId>,
}

fn read_pods<'a>(
    core_pods: &[&'a core::Pod],
    owners: &OwnerIndex<'a>,
    rule: OwnerRule,
) -> OwnedPods {
    let mut read = OwnedPods::default();
    let pods: Vec<(Pod, TopOwner)> = core_pods
        .iter()
        .map(|core_pod| read_pod(core_pod, owners, rule))
        .collect();
    let mut jobs = Jobs::default();
    jobs.add_objects(owners);
    for (core_pod, (pod, top)) in core_pods.iter().zip(&pods) {
        jobs.add(top, &pod.labels, core_pod.spec.as_ref());
    }
    if rule == OwnerRule::Infer {
        read.families = jobs.families(owners);
    }
    for (core_pod, (mut pod, top)) in core_pods.iter().zip(pods) {
        if let Some(family) = read.families.get(&top.id) {
            pod.workload = family.clone();
        } else if let Some(family) = family_of(&top, &pod.labels, Some(&core_pod.metadata)) {
            read.families.insert(top.id, family.clone());
            pod.workload = family;
        }
        read.missing.extend(top.missing);
        match read.selectors.entry(pod.workload.clone()) {
            Entry::Vacant(new) => {
                new.insert(top.selector);
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.retain(|key, value| top.selector.get(key) == Some(value));
            }
        }
        read.pods.push(pod);
    }
    read
}

/// Workloads from owner objects and from pods; a workload without pods gets a template pod.
fn build_workloads(
    pods: &mut Vec<Pod>,
    owners: &OwnerIndex<'_>,
    mut selectors: BTreeMap<WorkloadId, BTreeMap<String, String>>,
    families: &mut BTreeMap<WorkloadId, WorkloadId>,
) -> BTreeMap<WorkloadId, Workload> {
    let mut workloads: BTreeMap<WorkloadId, Workload> = BTreeMap::new();
    for (index, pod) in pods.iter().enumerate() {
        let entry = workloads
            .entry(pod.workload.clone())
            .or_insert_with(|| Workload {
                match_labels: selectors.remove(&pod.workload).unwrap_or_default(),
                host_network: true,
                ..Workload::new(pod.workload.clone())
            });
        entry.pods.push(index);
        entry.host_network &= pod.host_network;
    }
    for (top, owner) in owners.tops() {
        let template = template_pod(&top, owner);
        let id = match families.get(&top) {
            Some(family) => family.clone(),
            None => {
                let labels = template.as_ref().map(|pod| &pod.labels);
                let family = labels.and_then(|l| family_of(&owners.top_of_object(&top), l, None));
                if let Some(family) = &family {
                    families.insert(top.clone(), family.clone());
                }
                family.unwrap_or_else(|| top.clone())
            }
        };
        if let Some(workload) = workloads.get_mut(&id) {
            if id == top {
                workload.match_labels = owner.match_labels.clone();
            }
        } else if let Some(template) = template {
            let workload = Workload {
                match_labels: owner.match_labels.clone(),
                pods: vec![pods.len()],
                host_network: template.host_network,
                ..Workload::new(id.clone())
            };
            pods.push(Pod {
                workload: id.clone(),
                ..template
            });
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

/// The API server's Service, made where the snapshot lacks it but shows its addresses or endpoints.
fn missing_kubernetes(
    cluster_ips: Vec<IpAddr>,
    control_plane: &ControlPlane,
    endpoints: &EndpointIndex<'_>,
) -> Option<Service> {
    let is_known = !cluster_ips.is_empty()
        || !control_plane.api_servers.is_empty()
        || endpoints.has_objects(KUBERNETES);
    is_known.then(|| made_kubernetes_service(cluster_ips, endpoints))
}

fn api_server(services: &[Service]) -> BTreeSet<SocketAddr> {
    services
        .iter()
        .filter(|service| is_kubernetes(service))
        .flat_map(|service| &service.ports)
        .flat_map(|port| &port.endpoints)
        .map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port))
        .collect()
}
