//! Services and what stands behind each of their ports.

use super::owners::namespace_of;
use super::{Objects, Pod, Service, ServiceEndpoint, ServicePort};
use crate::kubernetes::{self as core, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::{Protocol, parse_address};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// `kubernetes.io/service-name` ties a slice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

type SliceIndex<'a> = BTreeMap<(String, String), Vec<&'a EndpointSlice>>;

/// Reads all Services. Without any EndpointSlice in the snapshots, endpoints come from selectors.
pub(super) fn read_services(
    services: &[&core::Service],
    objects: &Objects,
    pods: &[Pod],
) -> Vec<Service> {
    let slices = (!objects.endpoint_slices.is_empty()).then(|| slice_index(objects));
    let mut by_name: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (index, pod) in pods.iter().enumerate().filter(|(_, pod)| !pod.template) {
        by_name
            .entry((&pod.namespace, &pod.name))
            .or_default()
            .push(index);
    }
    services
        .iter()
        .map(|service| read_service(service, slices.as_ref(), pods, &by_name))
        .collect()
}

fn slice_index(objects: &Objects) -> SliceIndex<'_> {
    let mut index = SliceIndex::new();
    for slice in &objects.endpoint_slices {
        let labels = slice.metadata.labels.as_ref();
        let owner = slice
            .metadata
            .owner_references
            .iter()
            .flatten()
            .find(|r| r.kind == "Service");
        let name = labels
            .and_then(|l| l.get(SERVICE_NAME_LABEL))
            .or(owner.map(|r| &r.name));
        if let Some(name) = name {
            index
                .entry((namespace_of(&slice.metadata), name.clone()))
                .or_default()
                .push(slice);
        }
    }
    index
}

fn read_service(
    service: &core::Service,
    slices: Option<&SliceIndex<'_>>,
    pods: &[Pod],
    by_name: &BTreeMap<(&str, &str), Vec<usize>>,
) -> Service {
    let namespace = namespace_of(&service.metadata);
    let name = service.metadata.name.clone().unwrap_or_default();
    let spec = service.spec.clone().unwrap_or_default();
    let own = slices
        .and_then(|index| index.get(&(namespace.clone(), name.clone())))
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ports = spec.ports.iter().flatten().filter_map(|port| {
        let protocol = Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?;
        let mut endpoints: Vec<ServiceEndpoint> = match slices {
            Some(_) => own
                .iter()
                .flat_map(|slice| slice_endpoints(slice, port, protocol, &namespace, pods, by_name))
                .collect(),
            None => selected_endpoints(&spec, port, protocol, &namespace, pods),
        };
        endpoints.sort();
        endpoints.dedup();
        Some(ServicePort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            protocol,
            port: u16::try_from(port.port).ok()?,
            node_port: port
                .node_port
                .and_then(|p| u16::try_from(p).ok())
                .filter(|p| *p != 0),
            endpoints,
        })
    });
    let cluster_ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let ingress = service
        .status
        .iter()
        .filter_map(|status| status.load_balancer.as_ref()?.ingress.as_ref())
        .flatten()
        .filter_map(|ingress| ingress.ip.as_ref());
    Service {
        ports: ports.collect(),
        cluster_ips: parse_addresses(cluster_ips),
        external_ips: parse_addresses(spec.external_ips.iter().flatten().chain(ingress)),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        namespace,
        name,
    }
}

/// Headless Services have the cluster IP "None", which is no address.
fn parse_addresses<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    let set: BTreeSet<IpAddr> = texts.filter_map(|text| parse_address(text)).collect();
    set.into_iter().collect()
}

/// The ready endpoints of one slice for one Service port; slices carry resolved numbers, so a named
/// targetPort that differs per pod comes as several slices (rule: all-ready-endpoints).
fn slice_endpoints(
    slice: &EndpointSlice,
    port: &core::ServicePort,
    protocol: Protocol,
    namespace: &str,
    pods: &[Pod],
    by_name: &BTreeMap<(&str, &str), Vec<usize>>,
) -> Vec<ServiceEndpoint> {
    let wanted = port.name.as_deref().unwrap_or_default();
    let number = slice.ports.iter().flatten().find_map(|p| {
        let same_name = p.name.as_deref().unwrap_or_default() == wanted;
        let same_protocol = p.protocol.as_deref().unwrap_or("TCP") == protocol.as_str();
        (same_name && same_protocol)
            .then_some(p.port?)
            .and_then(|n| u16::try_from(n).ok())
    });
    let Some(number) = number else {
        return Vec::new();
    };
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        // An unknown readiness is to be taken as ready (discovery/v1 EndpointConditions).
        endpoint
            .conditions
            .as_ref()
            .and_then(|c| c.ready)
            .unwrap_or(true)
    });
    ready
        .flat_map(|endpoint| {
            let target = endpoint
                .target_ref
                .as_ref()
                .filter(|t| t.kind.as_deref() == Some("Pod"));
            endpoint.addresses.iter().filter_map(move |text| {
                let address = parse_address(text)?;
                let named = target
                    .and_then(|t| by_name.get(&(namespace, t.name.as_deref()?)))
                    .and_then(|found| last_with(found, pods, address));
                let pod = named.or_else(|| pod_at(pods, address));
                Some(ServiceEndpoint {
                    address,
                    port: number,
                    pod,
                })
            })
        })
        .collect()
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

/// What the endpoint controller would find: the pods that the Service's selector selects.
fn selected_endpoints(
    spec: &core::ServiceSpec,
    port: &core::ServicePort,
    protocol: Protocol,
    namespace: &str,
    pods: &[Pod],
) -> Vec<ServiceEndpoint> {
    let Some(selector) = spec
        .selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
    else {
        return Vec::new();
    };
    pods.iter()
        .enumerate()
        .filter(|(_, pod)| pod.namespace == namespace && pod.owned.until.is_none())
        .filter(|(_, pod)| selector.iter().all(|(k, v)| pod.labels.get(k) == Some(v)))
        .filter_map(|(index, pod)| Some((index, pod, target_port(port, protocol, pod)?)))
        .flat_map(|(index, pod, port)| {
            let endpoint = move |a: &IpAddr| ServiceEndpoint {
                address: *a,
                port,
                pod: Some(index),
            };
            pod.addresses.iter().map(endpoint).collect::<Vec<_>>()
        })
        .collect()
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
