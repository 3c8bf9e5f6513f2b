//! The last resort of the direction rule (DESIGN §4.1): where no packet and no known listener tells
//! who opened a connection, the port that more peers talk to is the server's, else the lower port.

use super::{FlowRecord, Opening, infer_server};
use crate::net::Protocol;
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::{IpAddr, SocketAddr};

type Endpoint = (IpAddr, Protocol, u16);

/// Gives every record a client and a server. Records that were decided stay as they are; the others
/// keep [`Opening::Undecided`] as the mark that they were inferred. The order does not matter.
pub fn decide_all(records: &[FlowRecord]) -> Vec<FlowRecord> {
    let mut peers: FxHashMap<Endpoint, FxHashSet<IpAddr>> = FxHashMap::default();
    for record in records {
        if let Opening::Undecided { client_port } = record.opening {
            peers
                .entry((record.client, record.protocol, client_port))
                .or_default();
            peers
                .entry((record.server, record.protocol, record.port))
                .or_default();
        }
    }
    if peers.is_empty() {
        return records.to_vec();
    }
    for record in records {
        if let Some(seen) = peers.get_mut(&(record.server, record.protocol, record.port)) {
            seen.insert(record.client);
        }
        if let Opening::Undecided { client_port } = record.opening
            && let Some(seen) = peers.get_mut(&(record.client, record.protocol, client_port))
        {
            seen.insert(record.server);
        }
    }
    let count = |endpoint: &Endpoint| peers.get(endpoint).map_or(0, FxHashSet::len);
    records
        .iter()
        .map(|record| match record.opening {
            Opening::Undecided { client_port } => {
                let client = (record.client, record.protocol, client_port);
                let server = (record.server, record.protocol, record.port);
                let ends = [(record.client, client_port), (record.server, record.port)];
                let peers = [count(&client), count(&server)];
                let swap = infer_server(ends.map(SocketAddr::from), peers) == 0;
                if swap {
                    turned(record, client_port)
                } else {
                    record.clone()
                }
            }
            _ => record.clone(),
        })
        .collect()
}

/// The same record seen from the other side.
fn turned(record: &FlowRecord, client_port: u16) -> FlowRecord {
    FlowRecord {
        client: record.server,
        server: record.client,
        port: client_port,
        opening: Opening::Undecided {
            client_port: record.port,
        },
        bytes_to_server: record.bytes_to_client,
        bytes_to_client: record.bytes_to_server,
        via: None,
        seen_as: None,
        ..record.clone()
    }
}
