//! Whether two packets of different connections are one packet that was translated in between
//! (rule: copies-are-proven).
//!
//! A checksum proves nothing here: equal bytes have checksums that fit, whoever sent them.

use super::key::{Key, Side};
use super::legs::{Kind, Sighting};
use crate::{AddressKind, Listeners, Translation};
use nanoseg_net::{Protocol, SECOND, Timestamp};
use std::net::SocketAddr;

/// How far apart in time two legs may show the same packet, in nanoseconds.
const TCP_WINDOW: i64 = 2 * SECOND;
const UDP_WINDOW: i64 = SECOND;
/// The same, where nothing but the node that may have forwarded it connects the two. It forwards within a moment.
const MASQUERADE_WINDOW: i64 = SECOND / 20;

/// How much two legs have in common. Where several connections fit, the closest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closeness {
    SameEnds,
    /// Only one end was translated.
    OneEnd,
    NoEnd,
}

/// One leg, from the end that sent the packet.
#[derive(Debug, Clone, Copy)]
struct Way {
    source: SocketAddr,
    destination: SocketAddr,
}

impl Way {
    fn new(key: &Key, sender: u8) -> Way {
        let sender = Side::from(sender);
        Way {
            source: key.endpoint(sender),
            destination: key.endpoint(1 - sender),
        }
    }

    fn turned(self) -> Way {
        Way {
            source: self.destination,
            destination: self.source,
        }
    }

    fn closeness(self, other: Way) -> Closeness {
        match (
            self.source == other.source,
            self.destination == other.destination,
        ) {
            (true, true) => Closeness::SameEnds,
            (false, false) => Closeness::NoEnd,
            _ => Closeness::OneEnd,
        }
    }

    /// The first leg leads to an address under which the second one goes on: of a node that forwards and
    /// masquerades.
    fn goes_on_as(self, next: Way) -> bool {
        self.destination.ip() == next.source.ip()
    }
}

/// How close two sightings in different connections are, if it is proven that they are the same packet: by what the
/// packets contain, or by a translation that is known. One whose source is known to become a node's may be any
/// client's: `taken` connections, which have their leg already, are then not meant.
pub(super) fn same_packet(
    new: (&Sighting, &Key),
    old: (&Sighting, &Key),
    taken: bool,
    listeners: &impl Listeners,
) -> Option<Closeness> {
    let ((new, new_key), (old, old_key)) = (new, old);
    let protocol = new_key.protocol();
    let window = match protocol {
        Protocol::Udp => UDP_WINDOW,
        Protocol::Tcp | Protocol::Sctp => TCP_WINDOW,
    };
    if protocol != old_key.protocol() || (new.time - old.time).abs() > window {
        return None;
    }
    if new_key.vlan() != old_key.vlan() && new_key.vlan() != 0 && old_key.vlan() != 0 {
        return None;
    }
    // Translation keeps the identification; IPv6 has none.
    if new.ip_id != old.ip_id {
        return None;
    }
    let ways = [Way::new(new_key, new.sender), Way::new(old_key, old.sender)];
    let closeness = ways[0].closeness(ways[1]);
    // Tagged on one interface, untagged on another.
    if closeness == Closeness::SameEnds {
        return Some(closeness);
    }
    let at = Timestamp::from_nanos(new.time);
    let known = || {
        let masquerade = !taken && (new.time - old.time).abs() <= MASQUERADE_WINDOW;
        let knowledge = Knowledge {
            listeners,
            protocol,
            at,
            masquerade,
        };
        knowledge.has_translation(ways)
    };
    let proven = packets_prove(new, old, protocol, ways) && !are_own_addresses(ways, at, listeners);
    (proven || known()).then_some(closeness)
}

/// Returns true if the packets themselves show that they are one.
///
/// Translation happens where packets are routed, which lowers the time to live. (A bridge that translates
/// does not route; then a TCP packet needs an identification, which a client does not give out twice.)
/// Equal datagrams are no proof: many clients send the same bytes to one server, and a resolver asks
/// several servers at once. They need both, and a way from one leg to the other.
fn packets_prove(new: &Sighting, old: &Sighting, protocol: Protocol, [a, b]: [Way; 2]) -> bool {
    let (routed, identified) = (new.ttl != old.ttl, new.ip_id != 0);
    let shared = a.source == b.source || a.destination == b.destination;
    match (protocol, new.kind) {
        (Protocol::Udp, _) => {
            let goes_on = |a: Way, b: Way| a.goes_on_as(b) || b.goes_on_as(a);
            let linked = shared || goes_on(a, b) || goes_on(a.turned(), b.turned());
            routed && identified && linked
        }
        (_, Kind::Strong) => routed || identified,
        (Protocol::Tcp, Kind::Weak) => (routed || identified) && shared,
        // The first chunk has the initiate tag or the TSN, which begin at random.
        (Protocol::Sctp, Kind::Weak) => (routed && shared) || identified,
    }
}

/// Returns true if both sources, or both destinations, are different pods' own addresses: no translation puts one
/// in the other's place.
fn are_own_addresses([a, b]: [Way; 2], at: Timestamp, listeners: &impl Listeners) -> bool {
    let own = |end: SocketAddr| listeners.kind(end.ip(), at) == Some(AddressKind::Pod);
    let differ = |a: SocketAddr, b: SocketAddr| a.ip() != b.ip() && own(a) && own(b);
    differ(a.source, b.source) || differ(a.destination, b.destination)
}

/// What is known about translations at one time.
struct Knowledge<'l, L> {
    listeners: &'l L,
    protocol: Protocol,
    at: Timestamp,
    /// A client's address may have become a node's on the way between the two legs: then they came at about the
    /// same time, and neither has another leg.
    masquerade: bool,
}

impl<L: Listeners> Knowledge<'_, L> {
    fn kind(&self, end: SocketAddr) -> Option<AddressKind> {
        self.listeners.kind(end.ip(), self.at)
    }

    fn is_same_node(&self, one: SocketAddr, other: SocketAddr) -> bool {
        self.listeners.is_same_node(one.ip(), other.ip(), self.at)
    }

    /// Returns true if it is known that one leg's addresses become the other's: for a request or, turned, a reply,
    /// and in either order, since clocks differ.
    fn has_translation(&self, [a, b]: [Way; 2]) -> bool {
        let (a_back, b_back) = (a.turned(), b.turned());
        self.leads(a, b)
            || self.leads(b, a)
            || self.leads(a_back, b_back)
            || self.leads(b_back, a_back)
    }

    /// Returns true if a request on the way `front` is known to go on as `back`.
    fn leads(&self, front: Way, back: Way) -> bool {
        let same_client = front.source == back.source;
        // Another port of the client is another socket of it.
        if !same_client && (front.source.ip() == back.source.ip() || !self.masquerade) {
            return false;
        }
        if front.destination == back.destination {
            return self.leaves_the_pod_network(front, back);
        }
        let translation =
            self.listeners
                .translation(self.protocol, front.destination, back.destination, self.at);
        translation.is_some_and(|known| same_client || self.is_masqueraded(known, front, back))
    }

    /// Returns true if a pod called what is not in the pod network, and its own node masquerades it. A node that
    /// called a pod for itself is a client of its own.
    fn leaves_the_pod_network(&self, front: Way, back: Way) -> bool {
        let leaves = matches!(
            self.kind(back.destination),
            Some(AddressKind::Node | AddressKind::Outside)
        );
        leaves
            && self.kind(front.source) == Some(AddressKind::Pod)
            && self.kind(back.source) == Some(AddressKind::Node)
            && self.is_same_node(front.source, back.source)
    }

    /// Returns true if a node may have put its address in the client's place while it translated the destination.
    fn is_masqueraded(&self, translation: Translation, front: Way, back: Way) -> bool {
        let client = self.kind(front.source);
        let possible = match translation {
            Translation::Masqueraded => true,
            // Only where the client is not of the pod network, or is sent back to itself.
            Translation::Direct => {
                client == Some(AddressKind::Outside) || front.source.ip() == back.destination.ip()
            }
        };
        possible
            && self.kind(back.source) == Some(AddressKind::Node)
            && match self.kind(front.destination) {
                // A node masquerades what it was called for; for other addresses, that of the pod does.
                Some(AddressKind::Node) => self.is_same_node(front.destination, back.source),
                _ if client == Some(AddressKind::Pod) => {
                    self.is_same_node(front.source, back.source)
                }
                _ => true,
            }
    }
}

#[cfg(test)]
mod tests;
