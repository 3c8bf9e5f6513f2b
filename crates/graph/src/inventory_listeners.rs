//! What the flow room needs of the inventory, as plain data: listeners, and the times at which addresses
//! changed their owner. Flow and inventory do not know each other.

use nanoseg_flow::{AddressEpochs, Listeners};
use nanoseg_inventory::Inventory;
use nanoseg_net::{Protocol, Timestamp};
use std::net::IpAddr;

/// The inventory's listeners, for the direction rule (rule: direction-inferred).
#[derive(Debug, Clone, Copy)]
pub struct InventoryListeners<'a>(pub &'a Inventory);

impl Listeners for InventoryListeners<'_> {
    fn listens(&self, address: IpAddr, protocol: Protocol, port: u16, _at: Timestamp) -> bool {
        let endpoint = std::net::SocketAddr::new(address, port);
        self.0.addresses.listens(address, protocol, port)
            || (protocol == Protocol::Tcp && self.0.api_server.contains(&endpoint))
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
