//! The name of an end: the workload, node or Service that had the address by a snapshot, else the label that the source
//! gave it.

use crate::flow::PeerLabel;
use crate::inventory::{Inventory, Owner};
use crate::net::Timestamp;
use std::net::IpAddr;

/// Names of addresses.
pub struct Names(pub Option<Inventory>);

impl Names {
    pub fn of(&self, address: IpAddr, at: Timestamp, claim: Option<&PeerLabel>) -> String {
        self.0
            .as_ref()
            .and_then(|inventory| resolve(inventory, address, at))
            .or_else(|| claimed(claim?))
            .unwrap_or_else(|| address.to_string())
    }
}

/// The name in a label; `None` where the address is more precise.
fn claimed(claim: &PeerLabel) -> Option<String> {
    match claim {
        PeerLabel::Pod(pod) => Some(format!("{}/{}", pod.namespace, pod.name)),
        PeerLabel::Workload {
            namespace, name, ..
        } => Some(format!("{namespace}/{name}")),
        PeerLabel::Network { name } => Some(name.clone()),
        PeerLabel::ApiServer => Some("kube-apiserver".to_owned()),
        PeerLabel::Host | PeerLabel::RemoteNode | PeerLabel::World => None,
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
        Owner::Uncertain(_) | Owner::Unknown | Owner::Outside => None,
    }
}
