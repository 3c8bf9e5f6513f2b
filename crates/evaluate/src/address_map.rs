//! A map from addresses to the connections that are allowed with them: disjoint address sets, each with its
//! own connection set.

use nanoseg_net::{AddressSet, ConnectionSet, Protocol};
use std::net::IpAddr;

/// Addresses and what is allowed with them. The address sets are disjoint and not empty. No two have the same
/// connections, and each has at least one. The order is that of the addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressMap(Vec<(AddressSet, ConnectionSet)>);

impl AddressMap {
    /// Adds `connections` to those that are already allowed with each of `addresses`.
    pub fn add(&mut self, addresses: &AddressSet, connections: &ConnectionSet) {
        if connections.is_empty() {
            return;
        }
        let mut new = addresses.clone();
        let mut parts = Vec::with_capacity(self.0.len() + 1);
        for (set, old) in std::mem::take(&mut self.0) {
            let both = set.intersection(&new);
            if both.is_empty() {
                parts.push((set, old));
                continue;
            }
            parts.push((set.difference(&both), old.clone()));
            new = new.difference(&both);
            parts.push((both, old.union(connections)));
        }
        parts.push((new, connections.clone()));
        self.0 = normal(parts);
    }

    /// Returns what is allowed here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &AddressMap) -> AddressMap {
        self.combine(other, ConnectionSet::difference, true)
    }

    /// Returns what is allowed both here and in `other`.
    #[must_use]
    pub fn intersection(&self, other: &AddressMap) -> AddressMap {
        self.combine(other, ConnectionSet::intersection, false)
    }

    fn combine(
        &self,
        other: &AddressMap,
        join: impl Fn(&ConnectionSet, &ConnectionSet) -> ConnectionSet,
        keep_rest: bool,
    ) -> AddressMap {
        let mut parts = Vec::new();
        for (addresses, connections) in &self.0 {
            let mut rest = addresses.clone();
            for (others, theirs) in &other.0 {
                let both = rest.intersection(others);
                if !both.is_empty() {
                    rest = rest.difference(&both);
                    parts.push((both, join(connections, theirs)));
                }
            }
            if keep_rest {
                parts.push((rest, connections.clone()));
            }
        }
        AddressMap(normal(parts))
    }

    /// Returns the connections that are allowed with `address`.
    pub fn at(&self, address: IpAddr) -> ConnectionSet {
        let part = self.0.iter().find(|(set, _)| set.contains(address));
        part.map(|(_, connections)| connections.clone())
            .unwrap_or_default()
    }

    /// Returns the addresses with which `protocol` on `port` is allowed.
    pub fn with(&self, protocol: Protocol, port: u16) -> AddressSet {
        let parts = self
            .0
            .iter()
            .filter(|(_, set)| set.contains(protocol, port));
        AddressSet::union_all(parts.map(|(addresses, _)| addresses))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the parts, in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = (&AddressSet, &ConnectionSet)> {
        self.0
            .iter()
            .map(|(addresses, connections)| (addresses, connections))
    }
}

/// Removes empty parts, joins parts with the same connections, and sorts.
fn normal(mut parts: Vec<(AddressSet, ConnectionSet)>) -> Vec<(AddressSet, ConnectionSet)> {
    parts.retain(|(addresses, connections)| !addresses.is_empty() && !connections.is_empty());
    parts.sort_unstable_by(|a, b| a.1.cmp(&b.1));
    let mut joined: Vec<(AddressSet, ConnectionSet)> = Vec::with_capacity(parts.len());
    for (addresses, connections) in parts {
        match joined.last_mut() {
            Some(last) if last.1 == connections => last.0 = last.0.union(&addresses),
            _ => joined.push((addresses, connections)),
        }
    }
    joined.sort_unstable();
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(cidr: &str) -> AddressSet {
        AddressSet::from_cidr(cidr.parse().unwrap())
    }

    fn tcp(port: u16) -> ConnectionSet {
        ConnectionSet::one(Protocol::Tcp, port)
    }

    #[test]
    fn overlapping_blocks_add_up_where_they_overlap() {
        let mut map = AddressMap::default();
        map.add(&block("10.0.0.0/8"), &tcp(80));
        map.add(&block("10.1.0.0/16"), &tcp(443));
        assert_eq!(
            map.at("10.1.2.3".parse().unwrap()),
            tcp(80).union(&tcp(443))
        );
        assert_eq!(map.at("10.2.2.3".parse().unwrap()), tcp(80));
        assert!(map.at("11.0.0.0".parse().unwrap()).is_empty());
        assert_eq!(map.with(Protocol::Tcp, 443), block("10.1.0.0/16"));
        assert_eq!(map.with(Protocol::Tcp, 80), block("10.0.0.0/8"));
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let blocks = [
            ("10.0.0.0/8", 80),
            ("10.1.0.0/16", 443),
            ("0.0.0.0/0", 53),
            ("10.0.0.0/9", 80),
        ];
        let (mut forward, mut backward) = (AddressMap::default(), AddressMap::default());
        blocks
            .iter()
            .for_each(|(cidr, port)| forward.add(&block(cidr), &tcp(*port)));
        blocks
            .iter()
            .rev()
            .for_each(|(cidr, port)| backward.add(&block(cidr), &tcp(*port)));
        assert_eq!(forward, backward);
    }

    #[test]
    fn difference_and_intersection_split_a_map() {
        let mut map = AddressMap::default();
        map.add(&block("10.0.0.0/8"), &tcp(80).union(&tcp(81)));
        let mut other = AddressMap::default();
        other.add(&block("10.1.0.0/16"), &tcp(80));
        let (rest, both) = (map.difference(&other), map.intersection(&other));
        assert_eq!(both.with(Protocol::Tcp, 80), block("10.1.0.0/16"));
        assert_eq!(rest.with(Protocol::Tcp, 81), block("10.0.0.0/8"));
        assert_eq!(
            rest.with(Protocol::Tcp, 80),
            block("10.0.0.0/8").difference(&block("10.1.0.0/16"))
        );
        assert!(map.difference(&map).is_empty());
    }
}
