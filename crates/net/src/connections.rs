//! Exact sets of connections: a port set for each protocol that a NetworkPolicy can name.

use super::{PortSet, Protocol};
use serde::{Serialize, Serializer};
use std::fmt;

/// A set of (protocol, server port). ICMP and other protocols are outside of it: NetworkPolicy does
/// not define them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionSet {
    /// In the order of [`Protocol::ALL`].
    ports: [PortSet; 3],
}

impl ConnectionSet {
    /// Every port of every protocol.
    pub fn all() -> Self {
        ConnectionSet {
            ports: std::array::from_fn(|_| PortSet::all()),
        }
    }

    /// The ports of one protocol.
    pub fn of(protocol: Protocol, ports: PortSet) -> Self {
        let mut set = ConnectionSet::default();
        *set.slot(protocol) = ports;
        set
    }

    /// One port of one protocol.
    pub fn one(protocol: Protocol, port: u16) -> Self {
        Self::of(protocol, PortSet::one(port))
    }

    /// Returns true if no connection is in the set.
    pub fn is_empty(&self) -> bool {
        self.ports.iter().all(PortSet::is_empty)
    }

    /// Returns true if every port of every protocol is in the set.
    pub fn is_all(&self) -> bool {
        self.ports.iter().all(PortSet::is_all)
    }

    /// Returns true if the port of the protocol is in the set.
    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.ports(protocol).contains(port)
    }

    /// The ports of `protocol`.
    pub fn ports(&self, protocol: Protocol) -> &PortSet {
        let [tcp, udp, sctp] = &self.ports;
        match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
            Protocol::Sctp => sctp,
        }
    }

    /// The protocols with at least one port, and their ports.
    pub fn iter(&self) -> impl Iterator<Item = (Protocol, &PortSet)> {
        Protocol::ALL
            .into_iter()
            .zip(&self.ports)
            .filter(|(_, ports)| !ports.is_empty())
    }

    /// How many (protocol, port) pairs.
    pub fn count(&self) -> u32 {
        self.ports.iter().map(PortSet::count).sum()
    }

    /// The connections that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, PortSet::union)
    }

    /// The connections that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, PortSet::intersection)
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, PortSet::difference)
    }

    fn zip(&self, other: &Self, join: impl Fn(&PortSet, &PortSet) -> PortSet) -> Self {
        let mut set = ConnectionSet::default();
        for protocol in Protocol::ALL {
            *set.slot(protocol) = join(self.ports(protocol), other.ports(protocol));
        }
        set
    }

    fn slot(&mut self, protocol: Protocol) -> &mut PortSet {
        let [tcp, udp, sctp] = &mut self.ports;
        match protocol {
            Protocol::Tcp => tcp,
            Protocol::Udp => udp,
            Protocol::Sctp => sctp,
        }
    }
}

impl Serialize for ConnectionSet {
    /// As text, the way people read it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ConnectionSet {
    /// As np-guard's `connlist` prints it: `TCP 80,443,8000-8100,UDP 53`, protocols in the order of
    /// the alphabet, `All Connections`, `No Connections`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.pad("All Connections");
        }
        if self.is_empty() {
            return f.pad("No Connections");
        }
        let mut separator = "";
        for protocol in [Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
            let ports = self.ports(protocol);
            if !ports.is_empty() {
                write!(f, "{separator}{protocol} {ports}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> ConnectionSet {
        let tcp: PortSet = [80, 443].into_iter().collect();
        ConnectionSet::of(Protocol::Tcp, tcp.union(&PortSet::range(8000, 8100)))
            .union(&ConnectionSet::one(Protocol::Udp, 53))
    }

    #[test]
    fn connections_print_as_the_field_prints_them() {
        assert_eq!(mixed().to_string(), "TCP 80,443,8000-8100,UDP 53");
        let sctp = mixed().union(&ConnectionSet::one(Protocol::Sctp, 9));
        assert_eq!(sctp.to_string(), "SCTP 9,TCP 80,443,8000-8100,UDP 53");
        assert_eq!(ConnectionSet::all().to_string(), "All Connections");
        assert_eq!(ConnectionSet::default().to_string(), "No Connections");
    }

    #[test]
    fn protocols_do_not_mix() {
        assert!(mixed().contains(Protocol::Udp, 53));
        assert!(!mixed().contains(Protocol::Tcp, 53));
        let udp = ConnectionSet::of(Protocol::Udp, PortSet::all());
        assert_eq!(
            mixed().intersection(&udp),
            ConnectionSet::one(Protocol::Udp, 53)
        );
    }

    #[test]
    fn taking_everything_away_leaves_nothing() {
        assert!(mixed().difference(&ConnectionSet::all()).is_empty());
        assert_eq!(
            ConnectionSet::all().difference(&mixed()).union(&mixed()),
            ConnectionSet::all()
        );
        assert_eq!(ConnectionSet::all().count(), 3 * 65535);
    }

    #[test]
    fn only_protocols_with_ports_are_iterated() {
        let protocols: Vec<_> = mixed().iter().map(|(protocol, _)| protocol).collect();
        assert_eq!(protocols, [Protocol::Tcp, Protocol::Udp]);
    }
}
