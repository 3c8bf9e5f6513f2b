//! On which nodes the two ends of a flow record were at its time.

use super::attribute::Target;
use super::sightings::EndNodes;
use nanoseg_flow::{FlowRecord, Observers};
use nanoseg_inventory::{Inventory, Owner};
use nanoseg_net::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// The nodes of a record's ends. A Service's address is nowhere: its connection went to one of the pods behind it, the
/// `targets`.
pub(super) fn end_nodes(
    record: &FlowRecord,
    targets: &[Target],
    inventory: &Inventory,
) -> EndNodes {
    let at = record.first;
    let server = match inventory.resolve(record.server, at) {
        Owner::Service(_) => behind(targets, inventory),
        _ => one(node_of(record.server, at, inventory)),
    };
    EndNodes {
        client: one(node_of(record.client, at, inventory)),
        server,
    }
}

/// The nodes of all targets; none if one of them is on no node that is known: then the connection may have gone there.
fn behind(targets: &[Target], inventory: &Inventory) -> Observers {
    let nodes = targets.iter().map(|target| {
        let node = inventory.nodes.get(target.node? as usize)?;
        Some(Arc::from(node.name.as_str()))
    });
    let nodes: Option<Vec<Arc<str>>> = nodes.collect();
    nodes.unwrap_or_default().into_iter().collect()
}

fn one(node: Option<&str>) -> Observers {
    node.map(|name| Observers::one(&Arc::from(name)))
        .unwrap_or_default()
}

/// The node whose agent speaks for an address at a time: the node that has it, or the one of the pod that has it.
/// `None` where nobody is known to have it for certain.
pub(super) fn node_of(address: IpAddr, at: Timestamp, inventory: &Inventory) -> Option<&str> {
    match inventory.resolve(address, at) {
        Owner::Pod(index) => inventory.pods.get(index)?.node.as_deref(),
        Owner::Node(index) => inventory.nodes.get(index).map(|node| node.name.as_str()),
        Owner::Service(_) | Owner::Uncertain(_) | Owner::Unknown | Owner::Outside => None,
    }
}
