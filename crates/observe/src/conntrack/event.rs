//! One event: a message of the kernel about one entry of its connection-tracking table.

use std::net::SocketAddr;

/// What happened to the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    New,
    Update,
    Destroy,
    /// Nothing: it was listed by a dump.
    Dumped,
}

/// The addresses and ports of one direction. The ports are 0 where the protocol has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// Status bits (linux/netfilter/nf_conntrack_common.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Status(pub u32);

impl Status {
    const SEEN_REPLY: u32 = 1 << 1;
    const ASSURED: u32 = 1 << 2;

    /// Packets went both ways.
    pub fn seen_reply(self) -> bool {
        self.0 & Status::SEEN_REPLY != 0
    }

    /// It went on after the first answer; TCP: the handshake is complete.
    pub fn assured(self) -> bool {
        self.0 & Status::ASSURED != 0
    }
}

/// Packets and bytes of one direction, bytes with the headers from IP on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// The content of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub kind: Kind,
    /// The IP protocol's number.
    pub protocol: u8,
    pub original: Tuple,
    pub reply: Tuple,
    pub status: Status,
    /// State of TCP ([`tcp`]) or SCTP ([`sctp`]), where the message has it.
    pub state: Option<u8>,
    /// TCP: the kernel picked it up in the middle (IP_CT_TCP_FLAG_BE_LIBERAL on the original side is
    /// set where the first packet was no SYN: nf_conntrack_proto_tcp.c, `tcp_new`).
    pub liberal: bool,
    /// Original and reply direction; only with the sysctl `net.netfilter.nf_conntrack_acct`.
    pub counters: Option<[Counter; 2]>,
    /// When the entry was made, in nanoseconds since the Unix epoch by the node's clock; only with
    /// the sysctl `net.netfilter.nf_conntrack_timestamp`.
    pub started: Option<u64>,
    /// Seconds until the entry expires.
    pub timeout: Option<u32>,
    pub id: u32,
    /// The zone, of whichever direction.
    pub zone: u16,
}

/// States of TCP (linux/netfilter/nf_conntrack_tcp.h).
pub(super) mod tcp {
    pub const ESTABLISHED: u8 = 3;
    pub const TIME_WAIT: u8 = 7;
    pub const CLOSE: u8 = 8;
}

/// States of SCTP (linux/netfilter/nf_conntrack_sctp.h).
pub(super) mod sctp {
    pub const CLOSED: u8 = 1;
    pub const COOKIE_ECHOED: u8 = 3;
    pub const ESTABLISHED: u8 = 4;
    pub const SHUTDOWN_ACK_SENT: u8 = 7;
}

pub(super) const IPPROTO_ICMP: u8 = 1;
pub(super) const IPPROTO_TCP: u8 = 6;
pub(super) const IPPROTO_UDP: u8 = 17;
pub(super) const IPPROTO_ICMPV6: u8 = 58;
pub(super) const IPPROTO_SCTP: u8 = 132;
