//! What stands behind a Service port: by EndpointSlices, else by Endpoints, else by the Service's selector, else,
//! for the API server, by the control plane. Each Service has its own source (rule: endpoints-of-each-service).

use super::control_plane::ControlPlane;
use super::owners::namespace_of;
use super::ranges::may_be_of_cluster;
use super::{EndpointSource, Objects, Pod, ServiceEndpoint};
use crate::kubernetes::{self as core, EndpointPort, EndpointSlice, ObjectReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::{Protocol, parse_address};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// `kubernetes.io/service-name` ties a slice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The namespace and name of the API server's Service.
pub(super) const KUBERNETES: (&str, &str) = ("default", "kubernetes");

/// An address that is ready, and the object that has it.
type Ready<'a> = (&'a str, Option<&'a ObjectReference>);

/// Addresses that share their ports: a slice, or a subset of Endpoints.
struct Group<'a> {
    /// The name of the object, and of its Service.
    name: Option<&'a str>,
    service: &'a str,
    ready: Vec<Ready<'a>>,
    ports: &'a [EndpointPort],
}

/// Everything that tells endpoints.
pub(super) struct EndpointIndex<'a> {
    /// Namespace and name of the Service → what its slices, or its Endpoints, hold. An entry without groups: it
    /// has such an object, and nothing is ready.
    groups: BTreeMap<(String, String), Vec<Group<'a>>>,
    pods: &'a [Pod],
    pods_by_name: BTreeMap<(&'a str, &'a str), Vec<usize>>,
    control_plane: &'a ControlPlane,
}

impl<'a> EndpointIndex<'a> {
    pub fn build(
        objects: &'a Objects,
        pods: &'a [Pod],
        control_plane: &'a ControlPlane,
    ) -> EndpointIndex<'a> {
        let mut groups: BTreeMap<(String, String), Vec<Group<'a>>> = BTreeMap::new();
        for slice in &objects.endpoint_slices {
            if let Some(name) = service_of(slice) {
                let key = (namespace_of(&slice.metadata), name.clone());
                groups.entry(key).or_default().push(Group::of_slice(slice));
            }
        }
        let mut older: BTreeMap<(String, String), Vec<Group<'a>>> = BTreeMap::new();
        for endpoints in &objects.endpoints {
            let name = endpoints.metadata.name.clone().unwrap_or_default();
            let key = (namespace_of(&endpoints.metadata), name);
            let subsets = endpoints.subsets.iter().flatten();
            older
                .entry(key)
                .or_default()
                .extend(subsets.map(|subset| Group::of_subset(endpoints, subset)));
        }
        for (key, group) in older {
            groups.entry(key).or_insert(group);
        }
        keep_reconciled(&mut groups);
        let mut pods_by_name: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (index, pod) in pods.iter().enumerate().filter(|(_, pod)| !pod.template) {
            pods_by_name
                .entry((&pod.namespace, &pod.name))
                .or_default()
                .push(index);
        }
        EndpointIndex {
            groups,
            pods,
            pods_by_name,
            control_plane,
        }
    }

    /// What tells the endpoints of a Service.
    pub fn source(&self, namespace: &str, name: &str, spec: &core::ServiceSpec) -> EndpointSource {
        if self.groups_of(namespace, name).is_some() {
            EndpointSource::Objects
        } else if selector(spec).is_some() {
            EndpointSource::Selector
        } else if (namespace, name) == KUBERNETES && !self.control_plane.api_servers.is_empty() {
            EndpointSource::ControlPlane
        } else {
            EndpointSource::Unknown
        }
    }

    fn groups_of(&self, namespace: &str, name: &str) -> Option<&Vec<Group<'a>>> {
        self.groups.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The endpoints of one port, in order.
    pub fn endpoints(
        &self,
        (namespace, name): (&str, &str),
        spec: &core::ServiceSpec,
        port: &core::ServicePort,
        protocol: Protocol,
    ) -> Vec<ServiceEndpoint> {
        let mut endpoints = match self.source(namespace, name, spec) {
            EndpointSource::Objects => {
                let groups = self.groups_of(namespace, name).into_iter().flatten();
                groups
                    .flat_map(|group| self.of_group(group, port, protocol, namespace))
                    .collect()
            }
            EndpointSource::Selector => self.selected(spec, port, protocol, namespace),
            EndpointSource::ControlPlane => {
                let servers = self.control_plane.api_servers.iter();
                servers
                    .map(|server| ServiceEndpoint {
                        address: server.ip(),
                        port: server.port(),
                        pod: None,
                        own: true,
                    })
                    .collect()
            }
            EndpointSource::Unknown => Vec::new(),
        };
        endpoints.sort();
        endpoints.dedup();
        endpoints
    }

    /// Returns true if the snapshot has slices or Endpoints of that Service.
    pub fn has_objects(&self, (namespace, name): (&str, &str)) -> bool {
        self.groups_of(namespace, name).is_some()
    }

    /// The addresses of pods that the snapshot does not hold, by what slices and Endpoints say: of namespaces without
    /// any pod in it, and private addresses only. Of another namespace the pods are known, and a slice of it that gives
    /// somebody's address to a pod that is not there must not make that address a pod's (rule: foreign-endpoint).
    pub fn addresses_of_missing_pods(&self) -> BTreeSet<IpAddr> {
        let mut missing = BTreeSet::new();
        for ((namespace, _), groups) in &self.groups {
            let first = self.pods_by_name.range((namespace.as_str(), "")..).next();
            if first.is_some_and(|((home, _), _)| home == namespace) {
                continue;
            }
            for (text, target) in groups.iter().flat_map(|group| &group.ready) {
                let address = parse_address(text);
                let pod = target.filter(|target| target.kind.as_deref() == Some("Pod"));
                if let (Some(address), Some(_)) = (address, pod)
                    && may_be_of_cluster(address)
                    && self.pod_of(namespace, *target, address).is_none()
                    && !self.is_host_pod(namespace, *target)
                {
                    missing.insert(address);
                }
            }
        }
        missing
    }

    fn is_host_pod(&self, namespace: &str, target: Option<&ObjectReference>) -> bool {
        let named = target.and_then(|t| self.pods_by_name.get(&(namespace, t.name.as_deref()?)));
        named.is_some_and(|found| found.iter().any(|index| self.pods[*index].host_network))
    }

    /// The ready endpoints of one slice for one Service port; slices carry resolved numbers, so a named
    /// targetPort that differs per pod comes as several slices (rule: all-ready-endpoints).
    fn of_group(
        &self,
        group: &Group<'_>,
        port: &core::ServicePort,
        protocol: Protocol,
        namespace: &str,
    ) -> Vec<ServiceEndpoint> {
        let wanted = port.name.as_deref().unwrap_or_default();
        let number = group.ports.iter().find_map(|p| {
            let same_name = p.name.as_deref().unwrap_or_default() == wanted;
            let same_protocol = p.protocol.as_deref().unwrap_or("TCP") == protocol.as_str();
            (same_name && same_protocol)
                .then_some(p.port?)
                .and_then(|n| u16::try_from(n).ok())
        });
        let Some(number) = number else {
            return Vec::new();
        };
        let ready = group.ready.iter().filter_map(|(text, target)| {
            let address = parse_address(text)?;
            let pod = self.pod_of(namespace, *target, address);
            Some(ServiceEndpoint {
                address,
                port: number,
                pod,
                own: group.is_reconciled(namespace) || self.is_own(pod, address, namespace),
            })
        });
        ready.collect()
    }

    /// Returns true if the address is that of a pod of the namespace; on the host network, that of its node.
    fn is_own(&self, pod: Option<usize>, address: IpAddr, namespace: &str) -> bool {
        let of_namespace = |pod: &Pod| pod.namespace == namespace;
        match pod.and_then(|index| self.pods.get(index)) {
            Some(pod) => of_namespace(pod),
            None => self.pods.iter().any(|pod| {
                pod.host_network && of_namespace(pod) && pod.addresses.contains(&address)
            }),
        }
    }

    /// The pod that a slice names; where it names none, the latest one that has the address.
    fn pod_of(
        &self,
        namespace: &str,
        target: Option<&ObjectReference>,
        address: IpAddr,
    ) -> Option<usize> {
        let target = target.filter(|target| target.kind.as_deref() == Some("Pod"));
        let Some(target) = target else {
            return pod_at(self.pods, address);
        };
        // Another pod that has the address now, or had it before, is not the one that is named
        // (rule: owner-at-that-time).
        let found = self
            .pods_by_name
            .get(&(namespace, target.name.as_deref()?))?;
        last_with(found, self.pods, address)
    }

    /// What the endpoint controller would find: the pods that the Service's selector selects.
    fn selected(
        &self,
        spec: &core::ServiceSpec,
        port: &core::ServicePort,
        protocol: Protocol,
        namespace: &str,
    ) -> Vec<ServiceEndpoint> {
        let Some(selector) = selector(spec) else {
            return Vec::new();
        };
        self.pods
            .iter()
            .enumerate()
            .filter(|(_, pod)| pod.namespace == namespace && pod.owned.until.is_none())
            .filter(|(_, pod)| selector.iter().all(|(k, v)| pod.labels.get(k) == Some(v)))
            .filter_map(|(index, pod)| Some((index, pod, target_port(port, protocol, pod)?)))
            .flat_map(|(index, pod, port)| {
                let endpoint = move |a: &IpAddr| ServiceEndpoint {
                    address: *a,
                    port,
                    pod: Some(index),
                    own: true,
                };
                pod.addresses.iter().map(endpoint).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// The API server keeps its own endpoints in objects that have the name of its Service. Others that are tied to the
/// Service by a label, anybody has written who may do so in `default`.
fn keep_reconciled(groups: &mut BTreeMap<(String, String), Vec<Group<'_>>>) {
    let key = (KUBERNETES.0.to_owned(), KUBERNETES.1.to_owned());
    if let Some(known) = groups.get_mut(&key)
        && known.iter().any(|group| group.name == Some(KUBERNETES.1))
    {
        known.retain(|group| group.name == Some(KUBERNETES.1));
    }
}

impl<'a> Group<'a> {
    /// Returns true if the API server writes it.
    fn is_reconciled(&self, namespace: &str) -> bool {
        (namespace, self.service) == KUBERNETES
    }

    fn of_slice(slice: &'a EndpointSlice) -> Group<'a> {
        let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
            // An unknown readiness is to be taken as ready (discovery/v1 EndpointConditions).
            endpoint
                .conditions
                .as_ref()
                .and_then(|c| c.ready)
                .unwrap_or(true)
        });
        let ready = ready.flat_map(|endpoint| {
            let target = endpoint.target_ref.as_ref();
            let texts = endpoint.addresses.iter();
            texts.map(move |text| (text.as_str(), target))
        });
        Group {
            name: slice.metadata.name.as_deref(),
            service: service_of(slice).map_or("", String::as_str),
            ready: ready.collect(),
            ports: slice.ports.as_deref().unwrap_or_default(),
        }
    }

    fn of_subset(endpoints: &'a core::Endpoints, subset: &'a core::EndpointSubset) -> Group<'a> {
        let ready = subset.addresses.iter().flatten();
        let name = endpoints.metadata.name.as_deref();
        Group {
            name,
            service: name.unwrap_or_default(),
            ready: ready
                .map(|one| (one.ip.as_str(), one.target_ref.as_ref()))
                .collect(),
            ports: subset.ports.as_deref().unwrap_or_default(),
        }
    }
}

/// The Service of a slice: by its label, else by its owner.
fn service_of(slice: &EndpointSlice) -> Option<&String> {
    let labels = slice.metadata.labels.as_ref();
    let owners = slice.metadata.owner_references.iter().flatten();
    // Other groups have a kind of this name too (Knative).
    let owner = owners
        .filter(|owner| owner.kind == "Service" && owner.api_version == "v1")
        .map(|owner| &owner.name)
        .next();
    labels
        .and_then(|labels| labels.get(SERVICE_NAME_LABEL))
        .or(owner)
}

fn selector(spec: &core::ServiceSpec) -> Option<&BTreeMap<String, String>> {
    spec.selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
}

/// Of several pods of one name (a StatefulSet's pod after a restart) the one with that address.
fn last_with(indices: &[usize], pods: &[Pod], address: IpAddr) -> Option<usize> {
    indices
        .iter()
        .copied()
        .rev()
        .find(|i| pods[*i].addresses.contains(&address))
}

/// The latest pod that has the address, for slices without a targetRef.
fn pod_at(pods: &[Pod], address: IpAddr) -> Option<usize> {
    let mut found: Vec<usize> = (0..pods.len())
        .filter(|i| pods[*i].addresses.contains(&address) && !pods[*i].host_network)
        .collect();
    found.sort_by_key(|i| pods[*i].owned.from);
    found.pop()
}

fn target_port(port: &core::ServicePort, protocol: Protocol, pod: &Pod) -> Option<u16> {
    match &port.target_port {
        None => u16::try_from(port.port).ok(),
        Some(IntOrString::Int(0)) => u16::try_from(port.port).ok(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => pod
            .ports
            .iter()
            .find(|p| p.protocol == protocol && p.name.as_deref() == Some(name.as_str()))
            .map(|p| p.number)
            .or_else(|| name.parse().ok()),
    }
}
