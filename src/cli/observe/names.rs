//! What an address is shown as: the workload, node or Service that had it, where a snapshot tells.

use crate::inventory::{Inventory, Owner};
use crate::net::Timestamp;
use std::net::IpAddr;

/// Names of addresses.
pub struct Names(pub Option<Inventory>);

impl Names {
    pub fn of(&self, address: IpAddr, at: Timestamp) -> String {
        self.0
            .as_ref()
            .and_then(|inventory| resolve(inventory, address, at))
            .unwrap_or_else(|| address.to_string())
    }
}

fn resolve(inventory: &Inventory, address: IpAddr, at: Timestamp) -> Option<String> {
    match inventory.resolve(address, at) {
        Owner::Pod(index) => Some(inventory.pods.get(index)?.workload.to_string()),
        Owner::Node(index) => Some(format!("node/{}", inventory.nodes.get(index)?.name)),
        Owner::Service(index) => {
            let service = inventory.services.get(index)?;
            Some(format!("svc/{}/{}", service.namespace, service.name))
        }
        Owner::Unknown | Owner::Outside => None,
    }
}
