//! The content of one line or object of a flow log of any format.

use super::parsed_line::ParsedLine;
use super::uniflow::Uniflow;
use nanoseg_flow::{ConnectionReport, Loss, OtherKind, OtherTraffic};
use nanoseg_net::Timestamp;
use std::net::IpAddr;

/// One thing that a line says.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Line(Box<ParsedLine>),
    /// Both directions of a connection.
    Connection(Box<ConnectionReport>),
    /// One direction of a connection.
    Uniflow(Box<Uniflow>),
    /// Nothing of a connection; the reason.
    Skipped(&'static str),
    /// Without what makes a connection: what is missing.
    Incomplete(&'static str),
    Lost(Loss, u64),
    /// Who observed what the line says: a node's name or address.
    Observer(String, Timestamp, Timestamp),
}

impl Entry {
    /// Traffic that no policy can express (rule: inexpressible-is-reported), by its IANA protocol number.
    pub fn other(source: IpAddr, destination: IpAddr, protocol: u8, packets: u64) -> Entry {
        let kind = match protocol {
            1 | 58 => OtherKind::Icmp,
            number => OtherKind::Protocol(number),
        };
        Entry::Line(Box::new(ParsedLine::Other(OtherTraffic {
            source,
            destination,
            kind,
            packets: packets.max(1),
        })))
    }
}
