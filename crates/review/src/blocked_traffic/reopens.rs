//! What going back to the revision before would open.

use super::{Change, EffectInputs};
use crate::Intent;
use nanoseg_evaluate::{ConnectionChange, EvaluateError, HostNetwork, Span, difference};
use nanoseg_graph::Peer;
use nanoseg_inventory::Inventory;
use nanoseg_net::{AddressSet, ConnectionSet, Protocol};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Returns true if a rollback would open a connection that the revision was not meant to allow: what it closes stays
/// closed until a person decides.
pub(super) fn reopens(
    change: &Change<'_>,
    inputs: &EffectInputs<'_>,
) -> Result<bool, EvaluateError> {
    let found = difference(
        inputs.inventory,
        change.policies_after,
        change.policies_before,
        HostNetwork::Exact,
    )?;
    let is_meant = |one: &ConnectionChange| is_meant(one, change.intent, inputs);
    Ok(!found.opened.iter().all(is_meant))
}

fn is_meant(one: &ConnectionChange, intent: &Intent, inputs: &EffectInputs<'_>) -> bool {
    let mut meant: BTreeMap<(Protocol, u16), Vec<(&Peer, &Peer)>> = BTreeMap::new();
    for connection in &intent.allows {
        let (client, server) = (&connection.client, &connection.server);
        let (protocol, port) = (connection.protocol, connection.port);
        let edge = inputs.graph.edge(client, server, protocol, port);
        // Some plugins check the port of the Service that was called (rule: service-port-before-translation).
        let of_service = edge.into_iter().flat_map(|edge| &edge.service_ports);
        for port in of_service.copied().chain([port]) {
            let of_port = meant.entry((protocol, port));
            of_port.or_default().push((client, server));
        }
    }
    let left = meant
        .into_iter()
        .filter(|(_, ends)| covers(ends, one, inputs.inventory))
        .map(|((protocol, port), _)| ConnectionSet::one(protocol, port))
        .fold(one.connections.clone(), |left, meant| {
            left.difference(&meant)
        });
    left.is_empty()
}

/// Returns true if these pairs of peers together are all of both ends.
fn covers(ends: &[(&Peer, &Peer)], one: &ConnectionChange, inventory: &Inventory) -> bool {
    let is = |peer: &Peer, span: &Span| matches!((peer, span), (Peer::Workload(a), Span::Workload(b)) if a == b);
    match (&one.client, &one.server) {
        (Span::Workload(_), Span::Workload(_)) => ends
            .iter()
            .any(|(client, server)| is(client, &one.client) && is(server, &one.server)),
        (Span::Addresses(set), Span::Workload(_)) => {
            let theirs = ends.iter().filter(|(_, server)| is(server, &one.server));
            set.is_subset(&addresses(theirs.map(|(client, _)| *client), inventory))
        }
        (Span::Workload(_), Span::Addresses(set)) => {
            let theirs = ends.iter().filter(|(client, _)| is(client, &one.client));
            set.is_subset(&addresses(theirs.map(|(_, server)| *server), inventory))
        }
        _ => false,
    }
}

/// Returns the addresses of peers that are no workloads.
fn addresses<'p>(peers: impl Iterator<Item = &'p Peer>, inventory: &Inventory) -> AddressSet {
    let of_peer = |peer: &Peer| -> Vec<IpAddr> {
        match peer {
            Peer::Outside(address) => vec![*address],
            Peer::Node(name) => {
                let nodes = inventory.nodes.iter().filter(|node| node.name == *name);
                nodes
                    .flat_map(|node| node.addresses.iter().copied())
                    .collect()
            }
            Peer::ApiServer => inventory.api_server.iter().map(|end| end.ip()).collect(),
            Peer::Workload(_) | Peer::Unattributed(_) => Vec::new(),
        }
    };
    let sets: Vec<AddressSet> = peers.flat_map(of_peer).map(AddressSet::one).collect();
    AddressSet::union_all(&sets)
}
