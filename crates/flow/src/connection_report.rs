//! The report of a connection: made when the connection ends (or leaves the table) and, where traffic is
//! live, also before, with what is new since the last report.

use super::{ActivityWindows, Opening, PeerLabels, Verdict};
use nanoseg_net::{Protocol, Timestamp};
use std::net::SocketAddr;
use std::sync::Arc;

/// One connection: each packet counted once, the legs of a translated one joined. An ongoing connection
/// may be reported several times; then each report holds what is new since the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionReport {
    /// The client's own address, before any SNAT.
    pub client: SocketAddr,
    /// Where it arrived, after any DNAT.
    pub server: SocketAddr,
    pub protocol: Protocol,
    pub vlan: u16,
    /// What the client called, if that was translated.
    pub via: Option<SocketAddr>,
    /// The client's address and port as the server saw them, if the address was translated.
    pub seen_as: Option<SocketAddr>,
    pub verdict: Verdict,
    pub opening: Opening,
    /// An earlier report with the same verdict has counted it.
    pub counted: bool,
    /// What the source reports about the ends, where it knows more than addresses.
    pub labels: Option<Arc<PeerLabels>>,
    /// TCP or SCTP without a handshake: it began before the capture or was silent for long.
    pub mid_stream: bool,
    pub datagrams: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub windows: ActivityWindows,
    /// The epochs of the client's and the server's address at the first packet (rule: owner-at-that-time).
    pub epochs: [u32; 2],
}

/// Receives the connection reports of a [`super::FlowTable`] or of a live source.
pub trait ConnectionSink {
    fn report(&mut self, connection: &ConnectionReport);
}

impl ConnectionSink for Vec<ConnectionReport> {
    fn report(&mut self, connection: &ConnectionReport) {
        self.push(connection.clone());
    }
}
