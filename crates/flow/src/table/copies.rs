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
    let known = || is_known_translation(ways, protocol, taken, at, listeners);
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

/// Returns true if it is known that one leg's addresses become the other's: for a request or, turned, a reply,
/// and in either order, since clocks differ.
fn is_known_translation(
    [a, b]: [Way; 2],
    protocol: Protocol,
    taken: bool,
    at: Timestamp,
    listeners: &impl Listeners,
) -> bool {
    let becomes = |front: Way, back: Way| {
        (front.source == back.source || !taken) && becomes(front, back, protocol, at, listeners)
    };
    becomes(a, b)
        || becomes(b, a)
        || becomes(a.turned(), b.turned())
        || becomes(b.turned(), a.turned())
}

/// Returns true if a request on the way `front` is known to go on as `back`.
fn becomes(
    front: Way,
    back: Way,
    protocol: Protocol,
    at: Timestamp,
    listeners: &impl Listeners,
) -> bool {
    let kind = |end: SocketAddr| listeners.kind(end.ip(), at);
    let is_masqueraded = || kind(back.source) == Some(AddressKind::Node);
    if front.destination == back.destination {
        // Of pods that call what is not in the pod network. A node that called a pod for itself is a client of
        // its own.
        return kind(front.source) == Some(AddressKind::Pod)
            && is_masqueraded()
            && matches!(
                kind(back.destination),
                Some(AddressKind::Node | AddressKind::Outside)
            );
    }
    let Some(translation) =
        listeners.translation(protocol, front.destination, back.destination, at)
    else {
        return false;
    };
    if front.source.ip() == back.source.ip() {
        // Another port is another socket of the client.
        return front.source == back.source;
    }
    let masquerades = match translation {
        Translation::Masqueraded => true,
        // Only where the client is not of the pod network, or is sent back to itself.
        Translation::Direct => {
            kind(front.source) == Some(AddressKind::Outside)
                || front.source.ip() == back.destination.ip()
        }
    };
    masquerades && is_masqueraded()
}

#[cfg(test)]
mod tests;
