//! A connection that has ended (or left the table), with everything that could be found out.

use super::{Opening, Verdict, Windows};
use crate::net::{Protocol, Timestamp};
use std::net::SocketAddr;

/// One connection, each of its packets counted once, translations on the way joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedConnection {
    /// The client's own address, before any SNAT.
    pub client: SocketAddr,
    /// Where it arrived, after any DNAT.
    pub server: SocketAddr,
    pub protocol: Protocol,
    pub vlan: u16,
    /// What the client had called, if that was translated.
    pub via: Option<SocketAddr>,
    /// The client's address and port as the server saw them, if the address was translated.
    pub seen_as: Option<SocketAddr>,
    pub verdict: Verdict,
    pub opening: Opening,
    /// TCP or SCTP without a handshake: it began before the capture or was silent for long.
    pub mid_stream: bool,
    pub datagrams: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub windows: Windows,
    /// The epochs of the client's and the server's address at the first packet (DESIGN §4.4).
    pub epochs: [u32; 2],
}

/// Where a [`super::FlowTable`] hands connections when they end.
pub trait ConnectionSink {
    fn ended(&mut self, connection: &EndedConnection);
}

impl ConnectionSink for Vec<EndedConnection> {
    fn ended(&mut self, connection: &EndedConnection) {
        self.push(connection.clone());
    }
}
