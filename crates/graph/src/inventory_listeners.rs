//! What the flow room needs of the inventory, as plain data: listeners, and the times at which addresses
//! changed their owner. Flow and inventory do not know each other.

use nanoseg_flow::{AddressEpochs, AddressKind, FlowRecord, Listeners, Standing, Translation};
use nanoseg_inventory::{HostPort, Inventory, Node, Owner, Service, ServicePort};
use nanoseg_net::{Protocol, Timestamp};
use std::net::{IpAddr, SocketAddr};

/// The inventory's listeners, for the direction rule (rule: direction-inferred), and the translations that it knows
/// (rule: copies-are-proven).
#[derive(Debug, Clone, Copy)]
pub struct InventoryListeners<'a>(pub &'a Inventory);

impl Listeners for InventoryListeners<'_> {
    fn listens(&self, address: IpAddr, protocol: Protocol, port: u16, _at: Timestamp) -> bool {
        let endpoint = std::net::SocketAddr::new(address, port);
        self.0.addresses.listens(address, protocol, port)
            || (protocol == Protocol::Tcp && self.0.api_server.contains(&endpoint))
    }

    fn translation(
        &self,
        protocol: Protocol,
        called: SocketAddr,
        arrived: SocketAddr,
        at: Timestamp,
    ) -> Option<Translation> {
        let leads_there = |port: &&ServicePort| {
            let mut endpoints = port.endpoints.iter();
            endpoints.any(|end| end.address == arrived.ip() && end.port == arrived.port())
        };
        match self.0.resolve(called.ip(), at) {
            Owner::Service(index) => {
                let service = self.0.services.get(index)?;
                service_ports(service, protocol, called.port()).find(leads_there)?;
                Some(translation_of(service, called.ip()))
            }
            Owner::Node(index) => {
                let node = self.0.nodes.get(index)?;
                self.host_port(node, protocol, [called, arrived], at)
                    .or_else(|| self.node_port(protocol, called, leads_there))
            }
            Owner::Pod(_) | Owner::Uncertain(_) | Owner::Unknown | Owner::Outside => None,
        }
    }

    fn is_same_node(&self, one: IpAddr, other: IpAddr, at: Timestamp) -> bool {
        let node = |address| match self.0.resolve(address, at) {
            Owner::Node(index) => self.0.nodes.get(index).map(|node| node.name.as_str()),
            // Whichever pod has it: an address stays on its node.
            Owner::Pod(index) | Owner::Uncertain(index) => {
                self.0.pods.get(index).and_then(|pod| pod.node.as_deref())
            }
            Owner::Service(_) | Owner::Unknown | Owner::Outside => None,
        };
        node(one).is_some_and(|name| node(other) == Some(name))
    }

    fn standing(&self, node: &str, record: &FlowRecord) -> Standing {
        super::standing::of(node, record, self)
    }

    fn kind(&self, address: IpAddr, at: Timestamp) -> Option<AddressKind> {
        match self.0.resolve(address, at) {
            Owner::Pod(index) if self.0.pods.get(index)?.host_network => Some(AddressKind::Node),
            Owner::Pod(_) | Owner::Uncertain(_) => Some(AddressKind::Pod),
            Owner::Node(_) => Some(AddressKind::Node),
            Owner::Outside => Some(AddressKind::Outside),
            Owner::Service(_) => Some(AddressKind::Service),
            Owner::Unknown => None,
        }
    }
}

impl InventoryListeners<'_> {
    /// Whether a port of the node leads to the pod that it arrived at.
    fn host_port(
        &self,
        node: &Node,
        protocol: Protocol,
        [called, arrived]: [SocketAddr; 2],
        at: Timestamp,
    ) -> Option<Translation> {
        let Owner::Pod(index) = self.0.resolve(arrived.ip(), at) else {
            return None;
        };
        let pod = self.0.pods.get(index)?;
        let leads_there = |port: &HostPort| {
            (port.protocol, port.number, port.container_port)
                == (protocol, called.port(), arrived.port())
                && port.address.is_none_or(|only| only == called.ip())
        };
        let is_here = pod.node.as_ref() == Some(&node.name);
        (is_here && pod.host_ports.iter().any(leads_there)).then_some(Translation::Direct)
    }

    /// The Service that is called by node port, or by a node's address that is an external one of it too.
    fn node_port(
        &self,
        protocol: Protocol,
        called: SocketAddr,
        leads_there: impl Fn(&&ServicePort) -> bool,
    ) -> Option<Translation> {
        self.0.services.iter().find_map(|service| {
            let by_node_port = service
                .ports
                .iter()
                .filter(|p| p.protocol == protocol && p.node_port == Some(called.port()));
            let by_address = service_ports(service, protocol, called.port())
                .filter(|_| service.external_ips.contains(&called.ip()));
            by_node_port.chain(by_address).find(&leads_there)?;
            Some(translation_of(service, called.ip()))
        })
    }
}

fn service_ports(
    service: &Service,
    protocol: Protocol,
    port: u16,
) -> impl Iterator<Item = &ServicePort> {
    let mut ports = service.ports.iter();
    std::iter::from_fn(move || ports.find(|p| p.protocol == protocol && p.port == port))
}

fn translation_of(service: &Service, called: IpAddr) -> Translation {
    if service.external_local || service.cluster_ips.contains(&called) {
        Translation::Direct
    } else {
        Translation::Masqueraded
    }
}

/// The times at which flow records must not span (rule: owner-at-that-time).
pub fn address_epochs(inventory: &Inventory) -> AddressEpochs {
    let mut epochs = AddressEpochs::default();
    for (address, at) in inventory.addresses.changes() {
        epochs.add(address, at);
    }
    epochs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, ip};

    fn translation(called: &str, arrived: &str) -> Option<Translation> {
        let inventory = cluster();
        let ends = [called, arrived].map(|end| end.parse().expect("an address and port"));
        let at = Timestamp::from_secs(1_800_000_000);
        InventoryListeners(&inventory).translation(Protocol::Tcp, ends[0], ends[1], at)
    }

    #[test]
    fn a_service_leads_to_its_endpoints_on_their_own_ports_and_nowhere_else() {
        let direct = Some(Translation::Direct);
        assert_eq!(translation("10.96.0.20:80", "10.244.2.6:8080"), direct);
        assert_eq!(translation("10.96.0.20:80", "10.244.2.7:9090"), direct);
        assert_eq!(translation("10.96.0.20:80", "10.244.2.7:8080"), None);
        assert_eq!(translation("10.96.0.20:81", "10.244.2.6:8080"), None);
        assert_eq!(translation("10.96.0.20:80", "10.244.1.5:8080"), None);
        assert_eq!(translation("10.96.0.1:443", "172.18.0.9:6443"), direct);
        let masqueraded = Some(Translation::Masqueraded);
        assert_eq!(
            translation("172.18.0.3:30080", "10.244.2.6:8080"),
            masqueraded
        );
        assert_eq!(translation("172.18.0.3:30081", "10.244.2.6:8080"), None);
        assert_eq!(translation("10.244.2.6:8080", "10.244.2.7:9090"), None);
    }

    #[test]
    fn a_host_port_leads_to_the_pod_on_that_node() {
        let mut inventory = cluster();
        let web = inventory.pods.iter_mut().find(|pod| pod.name == "web");
        web.expect("the pod").host_ports.push(HostPort {
            protocol: Protocol::Udp,
            number: 8125,
            address: None,
            container_port: 9125,
        });
        let leads = |called: &str, arrived: &str| {
            let ends = [called, arrived].map(|end| end.parse().expect("an address and port"));
            let at = Timestamp::from_secs(1_800_000_000);
            InventoryListeners(&inventory).translation(Protocol::Udp, ends[0], ends[1], at)
        };
        let direct = Some(Translation::Direct);
        assert_eq!(leads("172.18.0.2:8125", "10.244.1.5:9125"), direct);
        assert_eq!(
            leads("172.18.0.3:8125", "10.244.1.5:9125"),
            None,
            "another node"
        );
        assert_eq!(leads("172.18.0.2:8125", "10.244.1.5:8125"), None);
        assert_eq!(leads("172.18.0.2:8126", "10.244.1.5:9125"), None);
    }

    #[test]
    fn whose_address_it_is_decides_what_may_stand_in_its_place() {
        let inventory = cluster();
        let kind = |address| {
            let at = Timestamp::from_secs(1_800_000_000);
            InventoryListeners(&inventory).kind(ip(address), at)
        };
        assert_eq!(kind("10.244.1.5"), Some(AddressKind::Pod));
        assert_eq!(kind("172.18.0.2"), Some(AddressKind::Node));
        assert_eq!(kind("10.244.1.1"), Some(AddressKind::Node), "the gateway");
        let same = |one, other| {
            let at = Timestamp::from_secs(1_800_000_000);
            InventoryListeners(&inventory).is_same_node(ip(one), ip(other), at)
        };
        assert!(same("172.18.0.2", "10.244.1.1") && same("10.244.1.5", "172.18.0.2"));
        assert!(!same("172.18.0.2", "172.18.0.3") && !same("10.244.2.6", "172.18.0.2"));
        assert!(!same("192.0.2.1", "192.0.2.1"));
        assert_eq!(kind("10.96.0.20"), Some(AddressKind::Service));
        assert_eq!(kind("192.0.2.1"), Some(AddressKind::Outside));
        assert_eq!(kind("10.244.1.77"), None, "an unknown pod");
    }
}
