//! What is reported of a connection: when it ends (or leaves the table), and, where traffic is live, what is
//! new of it until then.

use super::{Opening, PeerLabels, Verdict, Windows};
use nanoseg_net::{Protocol, Timestamp};
use std::net::SocketAddr;
use std::sync::Arc;

/// One connection, each of its packets counted once, translations on the way joined. A connection that
/// goes on may be reported several times: then each report holds what came since the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionReport {
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
    /// An earlier report with the same verdict has counted it.
    pub counted: bool,
    /// What the source itself says stands at the ends.
    pub claims: Option<Arc<PeerLabels>>,
    /// TCP or SCTP without a handshake: it began before the capture or was silent for long.
    pub mid_stream: bool,
    pub datagrams: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub windows: Windows,
    /// The epochs of the client's and the server's address at the first packet (rule: owner-at-that-time).
    pub epochs: [u32; 2],
}

/// Where a [`super::FlowTable`], or a live source, hands what it reports of connections.
pub trait ConnectionSink {
    fn report(&mut self, connection: &ConnectionReport);
}

impl ConnectionSink for Vec<ConnectionReport> {
    fn report(&mut self, connection: &ConnectionReport) {
        self.push(connection.clone());
    }
}
