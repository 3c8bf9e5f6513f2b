//! One frame, decoded as far as ports and TCP flags. Plain values, no borrow, no allocation.

use nanoseg_net::{Protocol, Timestamp};
use std::net::IpAddr;

/// A decoded packet: the innermost IP packet of a frame, tunnels unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub time: Timestamp,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// The IPv4 identification field, 0 for IPv6: survives NAT, so it helps to recognise copies.
    pub ip_id: u16,
    /// VLAN ids and tunnel ids folded into one number, 0 for none: the same 5-tuple in two VLANs is
    /// two connections. Overlay ids (VNI) are left out: the same packet is seen inside and outside.
    pub vlan: u16,
    /// The IPv4 time to live or IPv6 hop limit. Address translation happens where packets are
    /// routed, which lowers it: so it distinguishes the legs of one connection from a scanner's probes that
    /// look alike, and which leg came first.
    pub ttl: u8,
    /// Which capture or interface shows it, counted from 1; 0: not known. A place shows a packet that was sent once
    /// only once, or again within a moment.
    pub place: u16,
    /// Sent to all hosts or to a group: an IP multicast or broadcast address, or a link-layer broadcast.
    pub group: bool,
    pub transport: Transport,
}

/// What stands after the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp {
        source_port: u16,
        destination_port: u16,
        flags: TcpFlags,
        sequence: u32,
        acknowledgment: u32,
        /// Payload bytes by the IP header's length (not by what the snap length left).
        payload: u32,
        /// The timestamp option's TSval of a SYN or SYN-ACK, else 0: with the sequence number it
        /// recognises the same SYN before and after NAT.
        timestamp: u32,
    },
    Udp {
        source_port: u16,
        destination_port: u16,
        payload: u32,
        /// Hash of the captured payload's first bytes and its length: the same datagram before and
        /// after NAT has the same one.
        fingerprint: u32,
    },
    Sctp {
        source_port: u16,
        destination_port: u16,
        chunk: SctpChunk,
        payload: u32,
        verification_tag: u32,
        /// Hash of the first chunk's start (initiate tag, TSN): the same packet has the same one.
        fingerprint: u32,
    },
    /// Any other IP protocol, by its IANA number (ICMP is 1): no NetworkPolicy can express it.
    Other(u8),
    Unreachable(IcmpUnreachable),
}

/// TCP flags as the header has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The sender sends no more data.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Resets the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment number is valid.
    pub const ACK: u8 = 0x10;

    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }
}

/// The first chunk of an SCTP packet, as far as it shows a connection's state (RFC 9260 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SctpChunk {
    Init,
    InitAck,
    Abort,
    Shutdown,
    Data,
    Other,
}

/// An ICMP or ICMPv6 "destination unreachable", with the packet it complains about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpUnreachable {
    pub protocol: Protocol,
    /// The original packet's sender: the client, if it was the first packet.
    pub original_source: (IpAddr, u16),
    pub original_destination: (IpAddr, u16),
}
