//! Ports of a node that lead to a pod on it (rule: host-port-is-container-port).

use super::HostPort;
use crate::kubernetes::{Container, ContainerPort, PodSpec};
use nanoseg_net::Protocol;
use std::net::IpAddr;

/// The containers that run as long as the pod does: sidecars (init containers that keep running, KEP-753) included.
pub(super) fn lasting_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars)
}

/// The host ports of a pod. On the host network the API server fills them in, and they translate nothing.
pub(super) fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    if spec.host_network == Some(true) {
        return Vec::new();
    }
    let ports = lasting_containers(spec).flat_map(|container| container.ports.iter().flatten());
    let mut found: Vec<HostPort> = ports.filter_map(host_port).collect();
    found.sort();
    found.dedup();
    found
}

/// The host port of one container port, if it has one.
pub(super) fn host_port(port: &ContainerPort) -> Option<HostPort> {
    let number = u16::try_from(port.host_port?).ok()?;
    let address: Option<IpAddr> = port.host_ip.as_deref().and_then(|text| text.parse().ok());
    Some(HostPort {
        protocol: Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?,
        number,
        // `0.0.0.0` and `::` are every address of the family, and the API's default is every address.
        address: address.filter(|address| !address.is_unspecified()),
        container_port: u16::try_from(port.container_port).ok()?,
    })
    .filter(|port| port.number != 0)
}
