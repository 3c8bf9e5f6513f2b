//! What the flow room needs of the inventory, as plain data: listeners, and the times at which addresses
//! changed their owner. Flow and inventory do not know each other.

use nanoseg_flow::{AddressEpochs, AddressKind, Listeners, Translation};
use nanoseg_inventory::{Inventory, Owner, Service, ServicePort};
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
            // By node port, or by a node's address that is an external one of the Service too.
            Owner::Node(_) => self.0.services.iter().find_map(|service| {
                let by_node_port = service
                    .ports
                    .iter()
                    .filter(|p| p.protocol == protocol && p.node_port == Some(called.port()));
                let by_address = service_ports(service, protocol, called.port())
                    .filter(|_| service.external_ips.contains(&called.ip()));
                by_node_port.chain(by_address).find(leads_there)?;
                Some(translation_of(service, called.ip()))
            }),
            Owner::Pod(_) | Owner::Unknown | Owner::Outside => None,
        }
    }

    fn kind(&self, address: IpAddr, at: Timestamp) -> Option<AddressKind> {
        match self.0.resolve(address, at) {
            Owner::Pod(index) if self.0.pods.get(index)?.host_network => Some(AddressKind::Node),
            Owner::Pod(_) => Some(AddressKind::Pod),
            Owner::Node(_) => Some(AddressKind::Node),
            Owner::Outside => Some(AddressKind::Outside),
            Owner::Service(_) | Owner::Unknown => None,
        }
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
