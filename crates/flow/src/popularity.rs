//! The last resort of the direction rule (rule: direction-inferred): where no packet and no known listener shows
//! who opened a connection, the port that more peers talk to is the server's, else the lower port.

use super::{FlowRecord, Opening, infer_server};
use nanoseg_net::Protocol;
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

type Endpoint = (IpAddr, Protocol, u16);

/// How many peers talk to each endpoint of an undecided record.
#[derive(Debug, Clone, Default)]
pub struct Popularity {
    peers: FxHashMap<Endpoint, FxHashSet<IpAddr>>,
}

impl Popularity {
    /// Counts over all records, in whatever order they are.
    pub fn of(records: &[FlowRecord]) -> Self {
        let mut peers: FxHashMap<Endpoint, FxHashSet<IpAddr>> = FxHashMap::default();
        for record in records {
            if let Some(client_port) = undecided_port(record) {
                peers
                    .entry((record.client, record.protocol, client_port))
                    .or_default();
                peers
                    .entry((record.server, record.protocol, record.port))
                    .or_default();
            }
        }
        if peers.is_empty() {
            return Popularity::default();
        }
        for record in records {
            if let Some(seen) = peers.get_mut(&(record.server, record.protocol, record.port)) {
                seen.insert(record.client);
            }
            if let Some(client_port) = undecided_port(record)
                && let Some(seen) = peers.get_mut(&(record.client, record.protocol, client_port))
            {
                seen.insert(record.server);
            }
        }
        Popularity { peers }
    }

    /// The record with a client and a server. One that was decided stays as it is; another keeps
    /// [`Opening::Undecided`] as the mark that it was inferred.
    pub fn decide<'r>(&self, record: &'r FlowRecord) -> Cow<'r, FlowRecord> {
        let Some(client_port) = undecided_port(record) else {
            return Cow::Borrowed(record);
        };
        let ends = [(record.client, client_port), (record.server, record.port)];
        let count = |(address, port)| {
            self.peers
                .get(&(address, record.protocol, port))
                .map_or(0, FxHashSet::len)
        };
        match infer_server(ends.map(SocketAddr::from), ends.map(count)) {
            0 => record.turned().map_or(Cow::Borrowed(record), Cow::Owned),
            _ => Cow::Borrowed(record),
        }
    }
}

/// The port at the end that is put as the client's, of an undecided record.
fn undecided_port(record: &FlowRecord) -> Option<u16> {
    record
        .client_port
        .filter(|_| record.opening == Opening::Undecided)
}
