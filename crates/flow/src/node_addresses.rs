//! The addresses of each node's own interfaces, as its agent tells them: the gateway of its pods is one, from which
//! probes and masqueraded traffic come, and no object of Kubernetes may have it (rule: node-by-address).

use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// How many addresses a node tells at most. A node has some; one for each pod would be tens.
pub const MAX_NODE_ADDRESSES: usize = 64;
/// Of how many nodes they are kept; Kubernetes supports 5000 nodes in a cluster.
const MAX_NODES: usize = 8192;

/// What each node's agent told last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeAddresses(BTreeMap<Arc<str>, (Timestamp, BTreeSet<IpAddr>)>);

impl NodeAddresses {
    /// Notes what the agent of `node` told at a time. What was told later stays, in whatever order it comes; nothing told
    /// is no news. Returns true if the addresses changed.
    pub fn note(&mut self, node: &Arc<str>, at: Timestamp, addresses: &BTreeSet<IpAddr>) -> bool {
        if addresses.is_empty() {
            return false;
        }
        if let Some(known) = self.0.get_mut(node) {
            if (at, addresses) <= (known.0, &known.1) {
                return false;
            }
            known.0 = at;
            let is_new = known.1 != *addresses;
            if is_new {
                known.1.clone_from(addresses);
            }
            return is_new;
        }
        let has_room = self.0.len() < MAX_NODES;
        if has_room {
            self.0.insert(node.clone(), (at, addresses.clone()));
        }
        has_room
    }

    /// Notes all that another one has.
    pub fn merge(&mut self, other: &NodeAddresses) {
        for (node, (at, addresses)) in &other.0 {
            self.note(node, *at, addresses);
        }
    }

    /// What a node told last, and when.
    pub fn of(&self, node: &str) -> Option<(Timestamp, &BTreeSet<IpAddr>)> {
        let (at, addresses) = self.0.get(node)?;
        Some((*at, addresses))
    }

    /// The addresses of all nodes, by node.
    pub fn by_node(&self) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let nodes = self.0.iter();
        nodes
            .map(|(node, (_, addresses))| (node.to_string(), addresses.clone()))
            .collect()
    }
}

/// Takes out of what an agent tells the addresses that no peer can have: loopback, link-local, multicast and none.
pub fn is_of_node(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_link_local
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
        || super::is_stand_in(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_was_told_last_counts_in_whatever_order_it_comes() {
        let (one, two) = (Arc::from("node-1"), Arc::from("node-2"));
        let told = [
            (&one, 1, set(&["10.0.0.1"])),
            (&one, 3, set(&["10.0.1.1"])),
            (&one, 2, set(&["10.0.2.1"])),
            (&one, 4, set(&[])),
            (&two, 1, set(&["10.0.3.1"])),
        ];
        let mut known = NodeAddresses::default();
        let mut reversed = NodeAddresses::default();
        for (node, at, addresses) in &told {
            known.note(node, Timestamp::from_secs(*at), addresses);
        }
        for (node, at, addresses) in told.iter().rev() {
            reversed.note(node, Timestamp::from_secs(*at), addresses);
        }
        assert_eq!(known, reversed);
        let last = known.of("node-1").unwrap();
        assert_eq!(last, (Timestamp::from_secs(3), &set(&["10.0.1.1"])));
        assert_eq!(known.by_node().len(), 2);
        // The same again is no news.
        assert!(!known.note(&one, Timestamp::from_secs(9), &set(&["10.0.1.1"])));
    }

    #[test]
    fn there_is_room_for_so_many_nodes_and_no_more() {
        let mut known = NodeAddresses::default();
        for number in 0..MAX_NODES + 10 {
            let node = Arc::from(format!("node-{number}"));
            known.note(&node, Timestamp::from_secs(1), &set(&["10.0.0.1"]));
        }
        assert_eq!(known.by_node().len(), MAX_NODES);
    }

    #[test]
    fn addresses_that_no_peer_can_have_are_none_of_a_node() {
        for (text, expected) in [
            ("10.244.0.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("fe80::1", false),
            ("::1", false),
            ("224.0.0.1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_of_node(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
