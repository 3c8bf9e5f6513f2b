//! The link identity of packets that addresses sent themselves: the MAC address of a pod, or the index of its
//! interface. An address changes hands only with its interface (rule: owner-at-that-time).
//!
//! Only watched addresses are followed; where there are none, nothing is done for a packet.

use super::{LinkType, Packet};
use nanoseg_net::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Identities remembered at once; what comes later has none.
const MAX_IDENTITIES: usize = 1 << 16;
/// Identities of one address.
const MAX_OF_ADDRESS: usize = 64;

/// Hop limits with which hosts send (Linux 64, Windows 128, network devices 255; 32 of old systems). A packet that
/// still has it has passed no router, so its link-layer source is the sender's own.
const INITIAL_HOPS: [u8; 4] = [32, 64, 128, 255];

/// What the frame of a packet tells about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SenderLink {
    /// `None` where the link layer has none, or one that is made from the IP address.
    pub mac: Option<[u8; 6]>,
    /// The index of the interface that received it (only in Linux cooked captures version 2).
    pub interface: Option<u32>,
}

/// The packets with one link identity, of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSeen {
    pub first: Timestamp,
    pub last: Timestamp,
    pub interface: Option<u32>,
}

/// The signs of all watched addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkSigns {
    /// By address, in the order of their first packets. Identities that several addresses share are left out: they
    /// are those of routers and nodes.
    pub links: BTreeMap<IpAddr, Vec<LinkSeen>>,
    /// Of every address whose interface only it uses, the index.
    pub interfaces: BTreeMap<IpAddr, u32>,
}

/// An identity by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Identity {
    Mac([u8; 6]),
    Interface(u32),
}

/// The senders with one identity.
#[derive(Debug, Clone, Copy, Default)]
struct Senders {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    many: bool,
}

impl Senders {
    fn add(&mut self, address: IpAddr) {
        let known = match address {
            IpAddr::V4(_) => &mut self.v4,
            // Every interface has a link-local address too.
            IpAddr::V6(a) if a.is_unicast_link_local() => return,
            IpAddr::V6(_) => &mut self.v6,
        };
        self.many |= known.get_or_insert(address) != &address;
    }
}

/// Follows the link identities of watched addresses.
#[derive(Debug, Default)]
pub struct LinkWatch {
    watched: FxHashSet<IpAddr>,
    /// Addresses that no interface has: a bridge translates a server's answers on their way through.
    virtual_addresses: FxHashSet<IpAddr>,
    senders: FxHashMap<Identity, Senders>,
    seen: FxHashMap<IpAddr, FxHashMap<SenderLink, (Timestamp, Timestamp)>>,
}

impl LinkWatch {
    /// Watches these addresses.
    pub fn new(watched: impl IntoIterator<Item = IpAddr>) -> Self {
        LinkWatch {
            watched: watched.into_iter().collect(),
            ..LinkWatch::default()
        }
    }

    /// The same; these addresses (of Services) are no senders.
    #[must_use]
    pub fn without(mut self, virtual_addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.virtual_addresses.extend(virtual_addresses);
        self
    }

    /// Returns true if there is anything to watch.
    pub fn is_active(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Notes a packet and the frame that it came in.
    pub fn note(&mut self, link: LinkType, frame: &[u8], packet: &Packet) {
        let is_sender = INITIAL_HOPS.contains(&packet.ttl) && !packet.group;
        if !is_sender || self.virtual_addresses.contains(&packet.source) {
            return;
        }
        let Some(sender) = sender_link(link, frame, packet.source) else {
            return;
        };
        let mac = sender.mac.map(Identity::Mac);
        for identity in [mac, sender.interface.map(Identity::Interface)] {
            let Some(identity) = identity else { continue };
            if self.senders.len() < MAX_IDENTITIES || self.senders.contains_key(&identity) {
                let senders = self.senders.entry(identity).or_default();
                senders.add(packet.source);
            }
        }
        if !self.watched.contains(&packet.source) {
            return;
        }
        let seen = self.seen.entry(packet.source).or_default();
        if seen.len() < MAX_OF_ADDRESS || seen.contains_key(&sender) {
            let (first, last) = seen.entry(sender).or_insert((packet.time, packet.time));
            *first = packet.time.min(*first);
            *last = packet.time.max(*last);
        }
    }

    /// What was seen.
    pub fn finish(self) -> LinkSigns {
        let own = |identity: Identity| {
            let senders = self.senders.get(&identity)?;
            (!senders.many).then_some(identity)
        };
        let mut signs = LinkSigns::default();
        for (address, seen) in &self.seen {
            let mut of_address: FxHashMap<Identity, LinkSeen> = FxHashMap::default();
            for (sender, (first, last)) in seen {
                let interface = sender
                    .interface
                    .filter(|index| own(Identity::Interface(*index)).is_some());
                let mac = sender.mac.and_then(|mac| own(Identity::Mac(mac)));
                let Some(identity) = mac.or(interface.map(Identity::Interface)) else {
                    continue;
                };
                let link = of_address.entry(identity).or_insert(LinkSeen {
                    first: *first,
                    last: *last,
                    interface,
                });
                link.first = link.first.min(*first);
                link.last = link.last.max(*last);
                link.interface = link.interface.or(interface);
            }
            let mut links: Vec<LinkSeen> = of_address.into_values().collect();
            links.sort_by_key(|link| (link.first, link.last, link.interface));
            if !links.is_empty() {
                signs.links.insert(*address, links);
            }
        }
        for (identity, senders) in &self.senders {
            if let (Identity::Interface(index), false) = (identity, senders.many) {
                let addresses = [senders.v4, senders.v6].into_iter().flatten();
                for address in addresses {
                    // The latest, where it had several.
                    let known = signs.interfaces.entry(address).or_default();
                    *known = (*known).max(*index);
                }
            }
        }
        signs
    }
}

/// The link identity of a frame's sender, if `source` sent the frame's own IP packet (and not one inside a tunnel)
/// and the capture does not say that this host sent it on.
pub fn sender_link(link: LinkType, frame: &[u8], source: IpAddr) -> Option<SenderLink> {
    let (mac, interface, kind, packet) = match link {
        LinkType::ETHERNET => {
            let (kind, packet) = untagged(be16(frame, 12)?, frame.get(14..)?)?;
            (*frame.get(6..)?.first_chunk()?, None, kind, packet)
        }
        // Packet type 4: sent by this host, here on its way out to somebody else (LINKTYPE_LINUX_SLL).
        LinkType::LINUX_SLL if be16(frame, 0)? != 4 && be16(frame, 4)? == 6 => {
            let (kind, packet) = untagged(be16(frame, 14)?, frame.get(16..)?)?;
            (*frame.get(6..)?.first_chunk()?, None, kind, packet)
        }
        LinkType::LINUX_SLL2 if *frame.get(10)? != 4 => {
            let (kind, packet) = untagged(be16(frame, 0)?, frame.get(20..)?)?;
            let index = u32::from_be_bytes(*frame.get(4..)?.first_chunk()?);
            let mac = match frame.get(11)? {
                6 => *frame.get(12..)?.first_chunk()?,
                _ => [0; 6],
            };
            (mac, Some(index), kind, packet)
        }
        _ => return None,
    };
    let outer = match kind {
        0x0800 => IpAddr::from(*packet.get(12..)?.first_chunk::<4>()?),
        0x86dd => IpAddr::from(*packet.get(8..)?.first_chunk::<16>()?),
        _ => return None,
    };
    let mac = Some(mac).filter(|mac| mac != &[0; 6] && !is_made_from(mac, source));
    let sender = SenderLink {
        mac,
        interface: interface.filter(|index| *index != 0),
    };
    (outer == source && (mac.is_some() || sender.interface.is_some())).then_some(sender)
}

/// OVN-Kubernetes and older bridge plugins make a MAC address from the IPv4 address: it does not change with the
/// owner.
fn is_made_from(mac: &[u8; 6], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => mac.ends_with(&a.octets()),
        IpAddr::V6(a) => a.octets().ends_with(&mac[2..]),
    }
}

/// EtherType and packet behind up to two VLAN tags.
fn untagged(mut kind: u16, mut packet: &[u8]) -> Option<(u16, &[u8])> {
    for _ in 0..2 {
        if matches!(kind, 0x8100 | 0x88a8) {
            kind = be16(packet, 2)?;
            packet = packet.get(4..)?;
        }
    }
    Some((kind, packet))
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TcpFlags, Transport};

    const OLD: [u8; 6] = [0x7a, 0, 0, 0, 0, 1];
    const NEW: [u8; 6] = [0x7a, 0, 0, 0, 0, 2];

    fn packet(source: [u8; 4], ttl: u8, seconds: i64) -> Packet {
        Packet {
            time: Timestamp::from_secs(seconds),
            source: source.into(),
            destination: [10, 244, 1, 20].into(),
            ip_id: 0,
            vlan: 0,
            ttl,
            group: false,
            place: 0,
            transport: Transport::Tcp {
                source_port: 1,
                destination_port: 2,
                flags: TcpFlags(TcpFlags::SYN),
                sequence: 0,
                acknowledgment: 0,
                payload: 0,
                timestamp: 0,
            },
        }
    }

    fn ip(source: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0x45; 12];
        bytes.extend(source);
        bytes.extend([10, 244, 1, 20]);
        bytes
    }

    fn ethernet(mac: [u8; 6], source: [u8; 4]) -> Vec<u8> {
        [&[2; 6][..], &mac, &[8, 0], &ip(source)].concat()
    }

    fn cooked(interface: u8, kind: u8, mac: [u8; 6], source: [u8; 4]) -> Vec<u8> {
        let head = [8, 0, 0, 0, 0, 0, 0, interface, 0, 1, kind, 6];
        [&head[..], &mac, &[0; 2], &ip(source)].concat()
    }

    const A: [u8; 4] = [10, 244, 1, 50];
    const B: [u8; 4] = [10, 244, 1, 51];

    fn times(signs: &LinkSigns) -> Vec<(i64, i64)> {
        let links = signs.links.get(&IpAddr::from(A));
        let seconds = |time: Timestamp| time.nanos() / nanoseg_net::SECOND;
        links
            .into_iter()
            .flatten()
            .map(|link| (seconds(link.first), seconds(link.last)))
            .collect()
    }

    fn watch(frames: &[(LinkType, Vec<u8>, Packet)]) -> LinkSigns {
        let mut watch = LinkWatch::new([IpAddr::from(A)]);
        for (link, frame, packet) in frames {
            watch.note(*link, frame, packet);
        }
        watch.finish()
    }

    #[test]
    fn an_address_has_a_link_for_each_mac_address_that_only_it_sends_with() {
        let frame = |mac, seconds| (LinkType::ETHERNET, ethernet(mac, A), packet(A, 64, seconds));
        let signs = watch(&[frame(OLD, 1), frame(OLD, 5), frame(NEW, 9)]);
        assert_eq!(times(&signs), [(1, 5), (9, 9)]);
    }

    #[test]
    fn a_mac_address_of_several_senders_a_router_or_one_made_from_the_address_is_none() {
        let of = |source| {
            (
                LinkType::ETHERNET,
                ethernet(OLD, source),
                packet(source, 64, 1),
            )
        };
        assert_eq!(times(&watch(&[of(A), of(B)])), []);
        let routed = (LinkType::ETHERNET, ethernet(OLD, A), packet(A, 63, 1));
        assert_eq!(times(&watch(&[routed])), []);
        let made = [0x0a, 0x58, 10, 244, 1, 50];
        let made = (LinkType::ETHERNET, ethernet(made, A), packet(A, 64, 1));
        assert_eq!(times(&watch(&[made])), []);
    }

    #[test]
    fn a_packet_inside_a_tunnel_tells_nothing_of_the_outer_link() {
        let tunnel = (LinkType::ETHERNET, ethernet(OLD, B), packet(A, 64, 1));
        assert_eq!(times(&watch(&[tunnel])), []);
    }

    #[test]
    fn a_cooked_capture_has_the_interface_and_what_the_host_sends_on_does_not_count() {
        let made = [0x0a, 0x58, 10, 244, 1, 50];
        let frame = |interface, kind, source, seconds| {
            let bytes = cooked(interface, kind, made, source);
            (LinkType::LINUX_SLL2, bytes, packet(source, 64, seconds))
        };
        // At the pod's interface, at the bridge (which others use too), and out to another pod.
        let signs = watch(&[
            frame(12, 3, A, 1),
            frame(3, 0, A, 2),
            frame(3, 0, B, 2),
            frame(20, 4, A, 3),
            frame(31, 3, A, 9),
        ]);
        assert_eq!(times(&signs), [(1, 1), (9, 9)]);
        let links = &signs.links[&IpAddr::from(A)];
        assert_eq!(links[0].interface, Some(12));
    }
}
