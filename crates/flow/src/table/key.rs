//! The key of a connection: both endpoints without direction, protocol and VLAN.

use nanoseg_net::Protocol;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which of a key's two endpoints: the lower one or the higher one.
pub(super) type Side = usize;

/// A 5-tuple without direction, and the VLAN. IPv4 addresses are held as IPv4-mapped IPv6 ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Upper and lower half of each address.
    addresses: [[u64; 2]; 2],
    /// Port of side 0, port of side 1, VLAN, protocol, from the lowest bits up.
    rest: u64,
}

const MAPPED: u64 = 0xffff << 32;

#[inline(always)]
fn halves(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(v4) => [0, MAPPED | u64::from(u32::from(v4))],
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            [(bits >> 64) as u64, bits as u64]
        }
    }
}

fn address([high, low]: [u64; 2]) -> IpAddr {
    if high == 0 && low >> 32 == 0xffff {
        IpAddr::V4(Ipv4Addr::from(low as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)))
    }
}

impl Key {
    /// The key of a packet, and the side that sent it.
    #[inline(always)]
    pub fn new(
        protocol: Protocol,
        vlan: u16,
        source: (IpAddr, u16),
        destination: (IpAddr, u16),
    ) -> (Key, Side) {
        let (from, to) = (halves(source.0), halves(destination.0));
        let rest = u64::from(vlan) << 32 | (protocol as u64) << 48;
        if (from, source.1) <= (to, destination.1) {
            let ports = u64::from(source.1) | u64::from(destination.1) << 16;
            (
                Key {
                    addresses: [from, to],
                    rest: rest | ports,
                },
                0,
            )
        } else {
            let ports = u64::from(destination.1) | u64::from(source.1) << 16;
            (
                Key {
                    addresses: [to, from],
                    rest: rest | ports,
                },
                1,
            )
        }
    }

    /// The transport protocol.
    pub fn protocol(&self) -> Protocol {
        match self.rest >> 48 {
            0 => Protocol::Tcp,
            1 => Protocol::Udp,
            _ => Protocol::Sctp,
        }
    }

    /// The VLAN number, 0 for none.
    pub fn vlan(&self) -> u16 {
        (self.rest >> 32) as u16
    }

    /// One side's address and port.
    pub fn endpoint(&self, side: Side) -> SocketAddr {
        let port = if side == 0 {
            self.rest as u16
        } else {
            (self.rest >> 16) as u16
        };
        SocketAddr::new(address(self.addresses[side & 1]), port)
    }
}

/// Hashes keys, with secrets of this process, so that nobody can send packets whose keys collide.
#[derive(Debug, Clone)]
pub(super) struct KeyHasher {
    secrets: [u64; 2],
}

impl KeyHasher {
    pub fn new() -> Self {
        let state = std::hash::RandomState::new();
        KeyHasher {
            secrets: [state.hash_one(0u8) | 1, state.hash_one(1u8) | 1],
        }
    }

    /// The hash of a key; it differs from process to process.
    #[inline(always)]
    pub fn hash(&self, key: &Key) -> u32 {
        let [[high0, low0], [high1, low1]] = key.addresses;
        let mut hash = fold(low0 ^ self.secrets[0], low1 ^ self.secrets[1]);
        hash = fold(hash ^ key.rest, self.secrets[1]);
        if high0 | high1 != 0 {
            hash = fold(hash ^ high0, high1 ^ self.secrets[0]);
        }
        (hash >> 32) as u32
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_the_same_key_and_other_sides() {
        for (a, b) in [
            ("10.0.0.2:80", "10.0.0.1:4000"),
            ("[fd00::2]:1", "[fd00::2]:2"),
        ] {
            let (a, b): (SocketAddr, SocketAddr) = (a.parse().unwrap(), b.parse().unwrap());
            let (a, b) = ((a.ip(), a.port()), (b.ip(), b.port()));
            let (there, side) = Key::new(Protocol::Sctp, 7, a, b);
            let (back, other) = Key::new(Protocol::Sctp, 7, b, a);
            assert_eq!((there, side), (back, 1 - other));
            assert_eq!(there.endpoint(side), SocketAddr::from(a));
            assert_eq!(there.endpoint(other), SocketAddr::from(b));
            assert_eq!((there.protocol(), there.vlan()), (Protocol::Sctp, 7));
            assert_ne!(there, Key::new(Protocol::Sctp, 8, a, b).0);
        }
    }
}
