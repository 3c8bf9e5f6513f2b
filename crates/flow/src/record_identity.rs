//! Which flow records have one identity, and how their counts are merged. The counts of one
//! identity add up in any order.

use super::{FlowRecord, Opening, PeerLabels, ScanSummary, Told, Verdict};
use nanoseg_net::{Protocol, SECOND};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Records are distinguished by when the first of their connections began, to this many seconds: an address
/// may belong to someone else afterwards (rule: owner-at-that-time), and a record is attributed at its start.
pub(super) const BEGAN_SECONDS: i64 = 1;

/// What two records must share to be merged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordIdentity {
    pub client: IpAddr,
    pub server: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
    pub via: Option<SocketAddr>,
    pub seen_as: Option<IpAddr>,
    pub client_port: Option<u16>,
    pub verdict: Verdict,
    pub opening: Opening,
    pub labels: Option<Arc<PeerLabels>>,
    /// When its connections began, in units of [`BEGAN_SECONDS`] since the Unix epoch.
    pub began: i64,
}

impl RecordIdentity {
    /// No identity between these ends comes before this one.
    pub(super) fn first_between(client: IpAddr, server: IpAddr) -> RecordIdentity {
        RecordIdentity {
            client,
            server,
            port: 0,
            protocol: Protocol::Tcp,
            via: None,
            seen_as: None,
            client_port: None,
            verdict: Verdict::Established,
            opening: Opening::Handshake,
            labels: None,
            began: i64::MIN,
        }
    }
}

impl FlowRecord {
    /// The unit of time in which its connections began.
    pub fn began(&self) -> i64 {
        self.first.nanos().div_euclid(BEGAN_SECONDS * SECOND)
    }

    /// The hour in which its connections began, in hours since the Unix epoch.
    pub fn hour(&self) -> i64 {
        self.began().div_euclid(3600 / BEGAN_SECONDS)
    }

    /// What the record shares with the records that are merged with it.
    pub fn identity(&self) -> RecordIdentity {
        RecordIdentity {
            client: self.client,
            server: self.server,
            port: self.port,
            protocol: self.protocol,
            via: self.via,
            seen_as: self.seen_as,
            client_port: self.client_port,
            verdict: self.verdict,
            opening: self.opening,
            labels: self.labels.clone(),
            began: self.began(),
        }
    }

    /// Adds the counts of a record with the same identity.
    pub fn absorb(&mut self, other: &FlowRecord) {
        self.connections = match self.client_port {
            // One connection, identified by its ports, however often it is seen.
            Some(_) => self.connections.max(other.connections),
            None => self.connections.saturating_add(other.connections),
        };
        self.datagrams = self.datagrams.saturating_add(other.datagrams);
        self.bytes_to_server = self.bytes_to_server.saturating_add(other.bytes_to_server);
        self.bytes_to_client = self.bytes_to_client.saturating_add(other.bytes_to_client);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.windows.merge(&other.windows);
        self.observers.extend(&other.observers);
        self.told = Told::merge(self.told, other.told);
    }

    /// The same record with client and server exchanged. `None` if the client's port is not known.
    pub fn turned(&self) -> Option<FlowRecord> {
        Some(FlowRecord {
            client: self.server,
            server: self.client,
            port: self.client_port?,
            client_port: Some(self.port),
            // The address that the other end saw is known without its port.
            via: None,
            seen_as: None,
            labels: self.labels.as_ref().map(|labels| {
                Arc::new(PeerLabels {
                    client: labels.server.clone(),
                    server: labels.client.clone(),
                    service: None,
                })
            }),
            bytes_to_server: self.bytes_to_client,
            bytes_to_client: self.bytes_to_server,
            ..self.clone()
        })
    }
}

/// Targets named in one summary.
const SAMPLES: usize = 16;

impl ScanSummary {
    /// The same summary with its targets in order and none twice, as [`ScanSummary::absorb`] leaves them.
    pub fn in_order(mut self) -> ScanSummary {
        self.samples.sort();
        self.samples.dedup();
        self.samples.truncate(SAMPLES);
        self
    }

    /// Adds another summary of the same client. It is not known which addresses and ports of
    /// several summaries are the same, so the largest number stands.
    pub fn absorb(&mut self, other: ScanSummary) {
        self.connections = self.connections.saturating_add(other.connections);
        self.addresses = self.addresses.max(other.addresses);
        self.ports = self.ports.max(other.ports);
        self.samples.extend(other.samples);
        self.samples.sort();
        self.samples.dedup();
        self.samples.truncate(SAMPLES);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}
