//! What stands at the address and port that a client called.

use super::{Attribution, PeerKey, ServiceAccess, Target};
use crate::UnattributedReason;
use nanoseg_flow::FlowRecord;
use nanoseg_inventory::{Owner, ServiceEndpoint};
use nanoseg_net::{Protocol, Timestamp};
use std::net::{IpAddr, SocketAddr};

impl<'a> Attribution<'a> {
    /// What stands behind the Service that was called, as far as the Service may speak for it: the pods of its own
    /// namespace (rule: foreign-endpoint). Where no pod of the namespace is known, its endpoints are somebody without a
    /// name; else such an address may be anybody's, and would leave open a direction of whoever calls the Service.
    pub(super) fn behind(
        &self,
        access: Option<&ServiceAccess<'_>>,
        client: PeerKey,
        record: &FlowRecord,
    ) -> Vec<Target> {
        let Some(access) = access else {
            return Vec::new();
        };
        let may_be_outside = self.is_sole_outside(access, client);
        let mut known = self.inventory.workloads_of(&access.service.namespace);
        let is_known = known.next().is_some();
        let all = access.port.endpoints.iter().flat_map(|endpoint| {
            let found = self.endpoint(endpoint, record.protocol, record.first);
            found.into_iter().filter(move |target| match target.peer {
                PeerKey::Unattributed(..) => endpoint.own || !is_known,
                PeerKey::Outside(_) => may_be_outside || endpoint.own,
                _ => endpoint.own,
            })
        });
        all.collect()
    }

    /// Returns true if one address alone stands behind a Service without a selector, and a pod of its namespace called it:
    /// then the call cannot have arrived elsewhere, and the Service speaks for who calls it from there.
    fn is_sole_outside(&self, access: &ServiceAccess<'_>, client: PeerKey) -> bool {
        let PeerKey::Workload(place) = client else {
            return false;
        };
        let namespace = self.workloads.get(place as usize).map(|id| &id.namespace);
        access.port.endpoints.len() == 1
            && access.service.selector.is_empty()
            && namespace == Some(&access.service.namespace)
    }

    /// Returns true if the spec of another namespace's Service claims the address as an external one. That counts for
    /// the Service's namespace and for callers from outside. To others' pods it stays the address that it was, unless a
    /// connection was seen to arrive behind the Service (class of CVE-2020-8554).
    pub(super) fn is_claimed_by_others(
        &self,
        client: PeerKey,
        called: IpAddr,
        at: Timestamp,
    ) -> bool {
        let PeerKey::Workload(place) = client else {
            return false;
        };
        let Owner::Service(index) = self.inventory.resolve(called, at) else {
            return false;
        };
        let service = &self.inventory.services[index];
        let namespace = self.workloads.get(place as usize).map(|id| &id.namespace);
        service.claimed_ips.contains(&called) && namespace != Some(&service.namespace)
    }

    /// Marks the targets that the Service does not speak for: they count as they were seen, and nothing is concluded
    /// from the Service for them. `own` are those for which it does.
    pub(super) fn mark_foreign(
        &self,
        targets: &mut [Target],
        own: &[Target],
        access: &ServiceAccess<'_>,
    ) {
        for target in targets.iter_mut().filter(|target| !own.contains(target)) {
            target.foreign = match target.peer {
                PeerKey::Workload(place) => {
                    let id = self.workloads.get(place as usize);
                    id.is_some_and(|id| id.namespace != access.service.namespace)
                }
                PeerKey::Node(_) | PeerKey::ApiServer => true,
                PeerKey::Outside(_) | PeerKey::Unattributed(..) => false,
            };
        }
    }

    /// The Service itself, where nothing is known to stand behind it: under its cluster address, if it has one.
    pub(super) fn orphan(
        &self,
        access: Option<&ServiceAccess<'_>>,
        called: (IpAddr, u16),
    ) -> Target {
        let own = access.and_then(|access| {
            let address = access.service.cluster_ips.first()?;
            Some((*address, access.port.port))
        });
        let (address, port) = own.unwrap_or(called);
        let reason = match access {
            Some(access) if !access.port.endpoints.is_empty() => {
                UnattributedReason::ForeignEndpoint
            }
            _ => UnattributedReason::ServiceWithoutEndpoints,
        };
        Target::new(PeerKey::Unattributed(address, reason), port, None)
    }

    /// The Service port that stands at an address, by cluster IP, external IP or node port (rule: service-target-port).
    pub(super) fn service_at(
        &self,
        address: IpAddr,
        port: u16,
        protocol: Protocol,
        at: Timestamp,
    ) -> Option<ServiceAccess<'a>> {
        match self.inventory.resolve(address, at) {
            Owner::Service(index) => {
                let service = &self.inventory.services[index];
                let found = service
                    .ports
                    .iter()
                    .find(|p| p.port == port && p.protocol == protocol)?;
                let from_outside = !service.cluster_ips.contains(&address);
                Some(ServiceAccess {
                    service,
                    port: found,
                    by_node_port: false,
                    from_outside,
                })
            }
            Owner::Node(_) => {
                let (service, index) = *self.node_ports.get(&(protocol, port))?;
                let service = &self.inventory.services[service];
                let port = &service.ports[index];
                Some(ServiceAccess {
                    service,
                    port,
                    by_node_port: true,
                    from_outside: true,
                })
            }
            _ => None,
        }
    }

    /// The pod to whose container port a node's port leads at that time (rule: host-port-is-container-port).
    pub(super) fn host_port_at(
        &self,
        address: IpAddr,
        port: u16,
        protocol: Protocol,
        at: Timestamp,
    ) -> Option<Target> {
        // Without host ports, which is most clusters, nothing is looked up.
        if self.host_ports.is_empty() {
            return None;
        }
        let Owner::Node(node) = self.inventory.resolve(address, at) else {
            return None;
        };
        let found = self.host_ports.get(&(node as u32, protocol, port))?;
        let (index, host_port) = found.iter().rev().find(|(index, port)| {
            let owned = self.inventory.pods[*index].owned;
            let was_there = owned.from.is_none_or(|from| from <= at)
                && owned.until.is_none_or(|until| at < until);
            was_there && port.address.is_none_or(|only| only == address)
        })?;
        Some(Target::new(
            self.pod(*index),
            host_port.container_port,
            Some(node as u32),
        ))
    }

    /// Who listens at an address that is no Service's.
    pub(super) fn servers(
        &self,
        client: PeerKey,
        (address, port): (IpAddr, u16),
        protocol: Protocol,
        at: Timestamp,
    ) -> Vec<Target> {
        let alone = |peer, node| vec![Target::new(peer, port, node)];
        if self
            .inventory
            .api_server
            .contains(&SocketAddr::new(address, port))
        {
            return alone(PeerKey::ApiServer, None);
        }
        match self.inventory.resolve(address, at) {
            Owner::Pod(index) => alone(self.pod(index), self.pods[index].1),
            Owner::Node(index) => self.at_node(client, index, (address, port), protocol, at),
            Owner::Service(_) => {
                let reason = UnattributedReason::ServiceWithoutEndpoints;
                alone(PeerKey::Unattributed(address, reason), None)
            }
            Owner::Unknown => alone(self.unknown(address), None),
            Owner::Uncertain(_) => {
                let reason = UnattributedReason::OwnerUncertain;
                alone(PeerKey::Unattributed(address, reason), None)
            }
            // An endpoint of a Service explains its address, whatever else the snapshot lacks.
            Owner::Outside if self.inventory.addresses.listens(address, protocol, port) => {
                alone(PeerKey::Outside(address), None)
            }
            Owner::Outside => alone(self.outside(address), None),
        }
    }

    /// Who listens at a port of a node: a pod with that host port, a DaemonSet on the host network of many nodes,
    /// or the node. A pod's call to a port of the range of node ports where nothing is known to listen leads
    /// nowhere known (rule: unknown-node-port).
    fn at_node(
        &self,
        client: PeerKey,
        index: usize,
        (address, port): (IpAddr, u16),
        protocol: Protocol,
        at: Timestamp,
    ) -> Vec<Target> {
        if let Some(target) = self.host_port_at(address, port, protocol, at) {
            return vec![target];
        }
        let target = |peer| Target::new(peer, port, None);
        let mut own = self.inventory.nodes[index].addresses.iter();
        let book = &self.inventory.addresses;
        if matches!(client, PeerKey::Workload(_))
            && self.inventory.is_node_port(port)
            && !own.any(|address| book.listens(*address, protocol, port))
        {
            let reason = UnattributedReason::UnknownNodePort;
            return vec![target(PeerKey::Unattributed(address, reason))];
        }
        let nodes = self.nodes_of_listener(index as u32, protocol, port);
        nodes.into_iter().map(target).collect()
    }

    fn endpoint(
        &self,
        endpoint: &ServiceEndpoint,
        protocol: Protocol,
        at: Timestamp,
    ) -> Vec<Target> {
        match endpoint.pod {
            Some(index) if !self.inventory.pods[index].host_network => vec![Target::new(
                self.pod(index),
                endpoint.port,
                self.pods[index].1,
            )],
            // An endpoint is no call of a node's port: what listens there is said by the endpoint itself.
            _ => self.servers(
                PeerKey::ApiServer,
                (endpoint.address, endpoint.port),
                protocol,
                at,
            ),
        }
    }
}
