//! What an entry of the kernel's table means: the verdict of the connection, its ends and direction, how
//! much it carried. The verdicts are those that the capture pipeline gives (`flow/table/outcome.rs`).

use super::event::{
    Counter, Event, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, Kind,
    Tuple, sctp, tcp,
};
use nanoseg_flow::{Endpoints, OtherKind, Verdict, is_probable_answer};
use nanoseg_net::{Protocol, SECOND};
use std::net::IpAddr;

/// Without other evidence, an unanswered SYN whose entry was gone sooner was refused, in seconds: the
/// kernel keeps it for 120 s (net.netfilter.nf_conntrack_tcp_timeout_syn_sent), and a RST kills it.
const REFUSED_WITHIN: i64 = 30;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Connection(Protocol),
    /// No policy can express it.
    Other(OtherKind),
    /// It never leaves the node, and no policy applies to it.
    Loopback,
}

/// How an entry began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// With its first packet.
    Seen,
    /// In the middle: which side opened it is not known.
    PickedUp,
}

pub(super) fn subject(event: &Event) -> Subject {
    let Tuple {
        source,
        destination,
    } = event.original;
    if is_loopback(source.ip()) && is_loopback(event.reply.source.ip()) {
        return Subject::Loopback;
    }
    let protocol = match event.protocol {
        IPPROTO_TCP => Protocol::Tcp,
        IPPROTO_UDP => Protocol::Udp,
        IPPROTO_SCTP => Protocol::Sctp,
        IPPROTO_ICMP | IPPROTO_ICMPV6 => return Subject::Other(OtherKind::Icmp),
        other => return Subject::Other(OtherKind::Protocol(other)),
    };
    match destination.ip() {
        IpAddr::V4(address) if address.is_multicast() || address.is_broadcast() => {
            Subject::Other(OtherKind::Group(protocol))
        }
        IpAddr::V6(address) if address.is_multicast() => Subject::Other(OtherKind::Group(protocol)),
        _ => Subject::Connection(protocol),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// How the entry began, as far as a message shows it.
pub(super) fn beginning(event: &Event, protocol: Protocol) -> Beginning {
    let middle = match (protocol, event.state) {
        (Protocol::Tcp, Some(state)) => {
            event.liberal || event.kind == Kind::New && state == tcp::ESTABLISHED
        }
        // An INIT makes COOKIE_WAIT; heartbeats of a further path make HEARTBEAT_SENT.
        (Protocol::Sctp, Some(state)) => event.kind == Kind::New && state > sctp::COOKIE_ECHOED,
        _ => false,
    };
    if middle {
        Beginning::PickedUp
    } else {
        Beginning::Seen
    }
}

/// Returns true if both sides took part.
pub(super) fn is_established(event: &Event, protocol: Protocol, began: Beginning) -> bool {
    let replied = event.status.seen_reply();
    let reached = |first: u8, last: u8| {
        event
            .state
            .is_some_and(|state| (first..=last).contains(&state))
    };
    match protocol {
        Protocol::Udp => replied,
        _ if event.status.assured() => true,
        // An answer to what was no SYN is part of a connection; a RST would have ended the entry.
        Protocol::Tcp if began == Beginning::PickedUp => replied,
        Protocol::Tcp => replied && reached(tcp::ESTABLISHED, tcp::TIME_WAIT),
        Protocol::Sctp => replied && reached(sctp::ESTABLISHED, sctp::SHUTDOWN_ACK_SENT),
    }
}

/// The verdict of an open connection that was not answered for some time. `None`: a stray segment.
pub(super) fn waiting_verdict(protocol: Protocol, began: Beginning) -> Option<Verdict> {
    match (protocol, began) {
        (Protocol::Udp, _) | (Protocol::Sctp, Beginning::PickedUp) => Some(Verdict::OneWay),
        (_, Beginning::Seen) => Some(Verdict::Unanswered),
        (Protocol::Tcp, Beginning::PickedUp) => None,
    }
}

/// The verdict of a connection that has ended after `age` nanoseconds. `None`: a stray segment.
pub(super) fn final_verdict(
    event: &Event,
    protocol: Protocol,
    began: Beginning,
    age: i64,
) -> Option<Verdict> {
    if is_established(event, protocol, began) {
        return Some(Verdict::Established);
    }
    let replied = event.status.seen_reply();
    let refused = match protocol {
        Protocol::Udp => false,
        // ABORT, as the only answer.
        Protocol::Sctp => replied && event.state == Some(sctp::CLOSED),
        // A lone SYN-ACK is what a spoofed SYN makes too: half-open is unanswered.
        Protocol::Tcp if replied => false,
        Protocol::Tcp => is_refused(event, age),
    };
    match waiting_verdict(protocol, began) {
        Some(_) if refused => Some(Verdict::Refused),
        verdict => verdict,
    }
}

/// Returns true if a TCP connection that the kernel calls unreplied ended by a RST: that kills the entry at once
/// and is not taken for a reply (nf_conntrack_proto_tcp.c, `nf_conntrack_tcp_packet`).
fn is_refused(event: &Event, age: i64) -> bool {
    match (event.counters, event.state, event.timeout) {
        (Some([_, reply]), ..) => reply.packets > 0,
        (None, Some(state), _) => state == tcp::CLOSE,
        // Older kernels report no state at the end; what was killed had time left.
        (None, None, Some(left)) => left > 0,
        (None, None, None) => age < REFUSED_WITHIN * SECOND,
    }
}

/// Returns true if the first packet that was seen may have been an answer.
pub(super) fn is_probable_udp_answer(event: &Event, protocol: Protocol) -> bool {
    let Tuple {
        source,
        destination,
    } = event.original;
    protocol == Protocol::Udp && is_probable_answer(source, destination)
}

/// Both ends, and whether they are turned: whether the sender of the reply direction is the client.
///
/// The original source is the client and the reply's source is the server; each sees the other under
/// the address that the kernel put in its place. An entry that was picked up in the middle is turned by
/// [`Endpoints::is_turned_if_undecided`].
pub(super) fn endpoints(event: &Event, began: Beginning) -> (Endpoints, bool) {
    let original = [event.original.source, event.reply.destination];
    let reply = [event.reply.source, event.original.destination];
    let endpoints = Endpoints::new(original, reply);
    if began == Beginning::PickedUp && endpoints.is_turned_if_undecided() {
        (Endpoints::new(reply, original), true)
    } else {
        (endpoints, false)
    }
}

/// Payload bytes of one direction: the kernel counts from the IP header on. Exact for UDP; for TCP
/// estimated with the header that Linux sends, 20 bytes and the timestamps of RFC 7323; for SCTP with the
/// common header and that of one DATA chunk (RFC 9260).
pub(super) fn payload(counter: Counter, protocol: Protocol, v6: bool) -> u64 {
    let ip = if v6 { 40 } else { 20 };
    let transport = match protocol {
        Protocol::Tcp => 32,
        Protocol::Udp => 8,
        Protocol::Sctp => 28,
    };
    counter
        .bytes
        .saturating_sub(counter.packets.saturating_mul(ip + transport))
}

/// How long an entry of this kind is silent before it expires, in seconds, by the kernel's
/// defaults (`tcp_timeouts`, `udp_timeouts`): its last packet came so long before.
pub(super) fn silence_before_end(event: &Event, protocol: Protocol) -> i64 {
    if event.timeout.is_some_and(|left| left > 0) {
        return 0;
    }
    match (protocol, event.state) {
        (Protocol::Udp, _) if event.status.assured() => 120,
        (Protocol::Udp, _) => 30,
        (Protocol::Tcp, Some(tcp::CLOSE)) | (Protocol::Sctp, _) => 10,
        (Protocol::Tcp, _) => 120,
    }
}
