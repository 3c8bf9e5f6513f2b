//! Outside addresses beyond the bound become blocks (rule: outside-addresses-are-bounded): an edge to a block is one to
//! somebody who has no name, with all counts of the addresses in it.

use super::edge::Edge;
use super::edge_key::{EdgeKey, Edges};
use super::peer::Peer;
use super::{Unattributed, UnattributedReason};
use ipnet::IpNet;
use nanoseg_flow::{is_stand_in, stand_in_address};
use nanoseg_net::{AddressBlocks, BlockLimits, Protocol};
use std::collections::BTreeMap;

/// One port of a workload with its outside clients, or one workload with the outside servers that it calls at a port;
/// and the same for clients and servers that nobody can name, by the reason.
type Fan<'a> = (&'a Peer, Protocol, u16, bool, UnattributedReason);

/// The peer of a block: somebody who has no name, for that reason. The address is a stand-in.
fn block_peer(block: IpNet, reason: UnattributedReason) -> Peer {
    let name = block.to_string();
    Peer::Unattributed(Unattributed {
        address: stand_in_address(&name),
        name: Some(name),
        reason,
    })
}

/// What an end is counted by, where there may be too many such: the address or its block, and why it has no name.
fn countable(peer: &Peer) -> Option<(IpNet, UnattributedReason)> {
    match peer {
        Peer::Outside(address) => Some((IpNet::from(*address), UnattributedReason::OutsideBlock)),
        Peer::Unattributed(who) => Some((who.block()?, who.reason)),
        Peer::Workload(_) | Peer::ApiServer | Peer::Node(_) => None,
    }
}

/// Which edges are to be counted by a block: the key of each, and the key of the edge with the block in its place.
pub fn beyond_bound<'k>(
    keys: impl Iterator<Item = &'k EdgeKey>,
    limits: BlockLimits,
) -> Vec<(EdgeKey, EdgeKey)> {
    let mut fans: BTreeMap<Fan<'k>, Vec<(IpNet, &'k EdgeKey)>> = BTreeMap::new();
    for key in keys {
        let (client, server, protocol, port) = key;
        for (near, far, of_clients) in [(server, client, true), (client, server, false)] {
            if let (Peer::Workload(_), Some((block, reason))) = (near, countable(far)) {
                let fan = (near, *protocol, *port, of_clients, reason);
                fans.entry(fan).or_default().push((block, key));
            }
        }
    }
    let mut moves = Vec::new();
    for ((_, _, _, of_clients, reason), members) in fans {
        if members.len() <= limits.addresses {
            continue;
        }
        let mut blocks = AddressBlocks::new(limits);
        members
            .iter()
            .for_each(|(block, _)| blocks.add_block(*block, ()));
        for (block, key) in members {
            let place = blocks.place_of_block(block);
            if place == block {
                continue;
            }
            let (mut client, mut server, protocol, port) = key.clone();
            let far = if of_clients { &mut client } else { &mut server };
            *far = block_peer(place, reason);
            moves.push((key.clone(), (client, server, protocol, port)));
        }
    }
    moves
}

/// Puts blocks in the place of the outside addresses beyond the bound.
pub(super) fn bound(edges: &mut Edges) {
    for (from, to) in beyond_bound(edges.keys(), BlockLimits::OUTSIDE) {
        if let Some(edge) = edges.remove(&from) {
            add_to_block(edges, to, edge);
        }
    }
}

fn add_to_block(edges: &mut Edges, key: EdgeKey, edge: Edge) {
    let known = edges
        .entry(key.clone())
        .or_insert_with(|| Edge::new(key.2, key.3));
    let is_new = known.first.is_none();
    known.merge(&edge, &key.0, &key.1);
    if is_new {
        known.inferred = edge.inferred;
    }
}

impl Peer {
    /// The outside address as a block of one, or the block of such addresses (rule: outside-addresses-are-bounded).
    pub fn outside_block(&self) -> Option<IpNet> {
        match self {
            Peer::Outside(address) => Some(IpNet::from(*address)),
            Peer::Unattributed(who) if who.reason == UnattributedReason::OutsideBlock => {
                who.block()
            }
            _ => None,
        }
    }
}

impl Unattributed {
    /// The address, or the block that it is counted by. `None`: it has a name.
    pub fn block(&self) -> Option<IpNet> {
        match self.name.as_deref() {
            None => Some(IpNet::from(self.address)),
            Some(name) if is_stand_in(self.address) => name.parse().ok(),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lesson, PublicEntryChoice, public_entries, public_entry_findings};
    use nanoseg_flow::Verdict;
    use nanoseg_inventory::WorkloadId;
    use nanoseg_net::Timestamp;
    use std::net::{IpAddr, Ipv4Addr};

    fn web() -> Peer {
        Peer::Workload(WorkloadId {
            namespace: "shop".into(),
            name: "web".into(),
            kind: "Deployment".into(),
        })
    }

    fn edge(at: i64) -> Edge {
        let mut edge = Edge::new(Protocol::Tcp, 443);
        edge.verdicts.insert(Verdict::Established, 2);
        edge.bytes_to_client = 10;
        edge.first = Some(Timestamp::from_secs(at));
        edge.last = edge.first;
        edge.tally.opening_seen = true;
        edge.settle(&Peer::ApiServer, &web());
        edge
    }

    fn clients(range: std::ops::Range<u32>) -> Edges {
        let key = |i: u32| {
            let address = 0x0b00_0000 + i.wrapping_mul(2_654_435_761) % 0x5000_0000;
            let client = Peer::Outside(IpAddr::V4(Ipv4Addr::from(address)));
            ((client, web(), Protocol::Tcp, 443), edge(i.into()))
        };
        range.map(key).collect()
    }

    fn connections(edges: &Edges) -> u64 {
        edges.values().map(Edge::connections).sum()
    }

    #[test]
    fn many_clients_of_one_port_become_blocks_with_all_their_counts() {
        let mut edges = clients(0..20_000);
        bound(&mut edges);
        assert!(
            edges.len() <= BlockLimits::OUTSIDE.total(),
            "{}",
            edges.len()
        );
        assert_eq!(connections(&edges), 40_000);
        let singles = edges.keys().filter(|key| matches!(key.0, Peer::Outside(_)));
        assert_eq!(singles.count(), BlockLimits::OUTSIDE.addresses);
        let internet = "0.0.0.0/0".parse().unwrap();
        let internet = block_peer(internet, UnattributedReason::OutsideBlock);
        let rest = &edges[&(internet, web(), Protocol::Tcp, 443)];
        assert!(
            matches!(rest.lesson, Lesson::Ignored(_)),
            "a block never teaches"
        );
        assert!(!rest.inferred && rest.evidence.len() <= Edge::MAX_EVIDENCE);
    }

    #[test]
    fn in_parts_and_in_any_order_the_same_edges_come_out() {
        let mut whole = clients(0..3_000);
        bound(&mut whole);
        let mut parts = clients(1_500..3_000);
        bound(&mut parts);
        for (key, edge) in clients(0..1_500) {
            parts.insert(key, edge);
            if parts.len().is_multiple_of(700) {
                bound(&mut parts);
            }
        }
        bound(&mut parts);
        assert_eq!(
            parts.keys().collect::<Vec<_>>(),
            whole.keys().collect::<Vec<_>>()
        );
        assert_eq!(connections(&parts), connections(&whole));
        assert!(
            whole
                .iter()
                .all(|(key, edge)| parts[key].verdicts == edge.verdicts)
        );
    }

    #[test]
    fn few_clients_and_other_peers_stay_as_they_are() {
        let mut edges = clients(0..512);
        edges.insert((web(), Peer::ApiServer, Protocol::Tcp, 443), edge(0));
        let before = edges.clone();
        bound(&mut edges);
        assert_eq!(edges, before);
    }

    #[test]
    fn addresses_that_nobody_can_name_are_bounded_as_well_and_keep_their_reason() {
        let unknown = |(key, edge): (EdgeKey, Edge)| {
            let Peer::Outside(address) = key.0 else {
                panic!("an outside client");
            };
            let reason = UnattributedReason::UnknownPod;
            let client = Peer::Unattributed(Unattributed::at(address, reason));
            ((client, key.1, key.2, key.3), edge)
        };
        let mut edges: Edges = clients(0..20_000).into_iter().map(unknown).collect();
        bound(&mut edges);
        assert!(
            edges.len() <= BlockLimits::OUTSIDE.total(),
            "{}",
            edges.len()
        );
        assert_eq!(connections(&edges), 40_000);
        let same = |key: &EdgeKey| matches!(&key.0, Peer::Unattributed(who) if who.reason == UnattributedReason::UnknownPod);
        assert!(edges.keys().all(same));
    }

    #[test]
    fn blocks_make_a_port_a_public_entry() {
        let mut edges = clients(0..5_000);
        bound(&mut edges);
        let mut graph = crate::Graph::default();
        for ((client, server, ..), edge) in &edges {
            graph.add_edge(client, server, edge.clone());
        }
        let entries = public_entries(&graph);
        assert_eq!(entries.len(), 1);
        assert!(entries[0].blocks > 0);
        let told = public_entry_findings(&entries, PublicEntryChoice::Seen, |_| true);
        assert!(
            told[0]
                .message
                .contains("512 clients on the internet were seen, and many more"),
            "{}",
            told[0].message
        );
    }
}
