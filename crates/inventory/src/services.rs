//! Services with their addresses and ports.

use super::owners::namespace_of;
use super::service_endpoints::{EndpointIndex, KUBERNETES};
use super::{EndpointSource, Service, ServicePort};
use crate::kubernetes as core;
use nanoseg_net::{Protocol, parse_address};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Reads all Services.
pub(super) fn read_services(
    services: &[&core::Service],
    endpoints: &EndpointIndex<'_>,
) -> Vec<Service> {
    services
        .iter()
        .map(|service| read_service(service, endpoints))
        .collect()
}

/// Returns true if it is the API server's Service.
pub(super) fn is_kubernetes(service: &Service) -> bool {
    (service.namespace.as_str(), service.name.as_str()) == KUBERNETES
}

/// The API server's Service, for a snapshot that lacks it: every cluster has it, at the first addresses of the
/// Service ranges and at port 443 (rule: api-server-endpoints).
pub(super) fn made_kubernetes_service(
    cluster_ips: Vec<IpAddr>,
    endpoints: &EndpointIndex<'_>,
) -> Service {
    let spec = core::ServiceSpec::default();
    let port = core::ServicePort {
        name: Some("https".into()),
        port: 443,
        ..core::ServicePort::default()
    };
    Service {
        namespace: KUBERNETES.0.into(),
        name: KUBERNETES.1.into(),
        cluster_ips,
        external_ips: Vec::new(),
        claimed_ips: Vec::new(),
        ports: vec![ServicePort {
            endpoints: endpoints.endpoints(KUBERNETES, &spec, &port, Protocol::Tcp),
            name: port.name,
            protocol: Protocol::Tcp,
            port: 443,
            node_port: None,
        }],
        endpoint_source: endpoints.source(KUBERNETES.0, KUBERNETES.1, &spec),
        selector: BTreeMap::new(),
        external_local: false,
    }
}

fn read_service(service: &core::Service, endpoints: &EndpointIndex<'_>) -> Service {
    let namespace = namespace_of(&service.metadata);
    let name = service.metadata.name.clone().unwrap_or_default();
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.iter().flatten().filter_map(|port| {
        let protocol = Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?;
        Some(ServicePort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            protocol,
            port: u16::try_from(port.port).ok()?,
            node_port: port
                .node_port
                .and_then(|p| u16::try_from(p).ok())
                .filter(|p| *p != 0),
            endpoints: endpoints.endpoints((&namespace, &name), &spec, port, protocol),
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
        claimed_ips: parse_addresses(spec.external_ips.iter().flatten()),
        endpoint_source: endpoints.source(&namespace, &name, &spec),
        selector: spec.selector.clone().unwrap_or_default(),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        namespace,
        name,
    }
}

/// The sources that are a guess, as the findings count them.
pub(super) fn of_source(services: &[Service], source: EndpointSource) -> Vec<String> {
    let found = services.iter().filter(|one| one.endpoint_source == source);
    found
        .map(|one| format!("{}/{}", one.namespace, one.name))
        .collect()
}

/// Headless Services have the cluster IP "None", which is no address.
fn parse_addresses<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    let set: BTreeSet<IpAddr> = texts.filter_map(|text| parse_address(text)).collect();
    set.into_iter().collect()
}
