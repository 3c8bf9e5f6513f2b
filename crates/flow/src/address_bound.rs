//! What is read from files can have more outside addresses than there is memory for: millions of clients of one server.
//! From some number of records on, the addresses beyond the bound are counted by block (rule: outside-addresses-are-bounded).

use crate::budget::pool::{Pool, Room};
use crate::{ConnectionReport, FlowRecord, Observer, PeerLabels};
use nanoseg_net::{BlockLimits, SECOND, Timestamp};
use rustc_hash::FxHashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

/// So many records are kept as they are, about 640 bytes each: then the bound begins. A run with fewer knows each address.
pub const UNBOUNDED_RECORDS: usize = 20_000;
/// Records of blocks that are kept apart by minute; more are kept apart by hour.
const MAX_MINUTES: usize = 50_000;

/// Everything has room: what is bounded is the number of addresses.
const ROOM: Room = Room {
    all: usize::MAX,
    node: usize::MAX,
};

/// Puts blocks in the place of outside addresses.
#[derive(Debug, Default)]
pub struct AddressBound {
    pool: Pool,
    /// When the first record of a block in a minute, or in an hour, began.
    begun: FxHashMap<u64, Timestamp>,
    hashing: RandomState,
    merged: u64,
}

impl AddressBound {
    /// Puts the block in the place of an outside address beyond the bound, and the time of the first record of the same
    /// block in the same minute in the place of its own, so that they are one record.
    pub fn apply(&mut self, observer: &Observer, record: &mut FlowRecord) {
        let was_plain = record.labels.is_none();
        self.pool
            .bound_addresses(&observer.node, record, BlockLimits::OUTSIDE, ROOM);
        if !was_plain || record.labels.is_none() {
            return;
        }
        self.merged = self.merged.saturating_add(record.connections.max(1));
        let seconds = if self.begun.len() < MAX_MINUTES {
            60
        } else {
            3600
        };
        let mut identity = record.identity();
        identity.began = record.first.nanos().div_euclid(seconds * SECOND);
        let key = self.hashing.hash_one((observer, seconds, identity));
        record.first = *self.begun.entry(key).or_insert(record.first);
    }

    /// As [`AddressBound::apply`], for a connection of a capture: which block stands for its client and its server.
    pub fn ends_of(
        &mut self,
        connection: &ConnectionReport,
    ) -> Option<(IpAddr, IpAddr, Arc<PeerLabels>)> {
        if connection.labels.is_some() || connection.mid_stream {
            return None;
        }
        let mut record = plain(connection);
        self.pool
            .bound_addresses(&Arc::from(""), &mut record, BlockLimits::OUTSIDE, ROOM);
        let labels = record.labels?;
        self.merged = self.merged.saturating_add(1);
        Some((record.client, record.server, labels))
    }

    /// How many connections are counted by block.
    pub fn merged(&self) -> u64 {
        self.merged
    }
}

/// The ends of a connection as a record.
fn plain(connection: &ConnectionReport) -> FlowRecord {
    FlowRecord {
        client: connection.client.ip(),
        server: connection.server.ip(),
        port: connection.server.port(),
        protocol: connection.protocol,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: connection.verdict,
        opening: connection.opening,
        labels: None,
        observers: Default::default(),
        told: None,
        connections: 1,
        datagrams: 0,
        bytes_to_server: 0,
        bytes_to_client: 0,
        first: connection.first,
        last: connection.last,
        windows: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AddressEpochs, Aggregate, ConnectionSink, FlowConfig, NoListeners, Observed, Opening,
        RecordBuilder, Source, Verdict,
    };
    use nanoseg_net::Protocol;

    const CLIENTS: u32 = 60_000;

    fn connection(number: u32) -> ConnectionReport {
        let first = Timestamp::from_secs(1_800_000_000 + i64::from(number / 50));
        let client = IpAddr::from((0x0800_0000 + number * 257).to_be_bytes());
        ConnectionReport {
            client: std::net::SocketAddr::new(client, 40_000),
            server: "10.244.1.5:443".parse().unwrap(),
            protocol: Protocol::Tcp,
            vlan: 0,
            via: None,
            seen_as: None,
            verdict: Verdict::Established,
            opening: Opening::Handshake,
            counted: false,
            labels: None,
            mid_stream: false,
            datagrams: 0,
            bytes_to_server: 1,
            bytes_to_client: 1,
            first,
            last: first,
            windows: Default::default(),
            epochs: [0; 2],
        }
    }

    #[test]
    fn clients_of_a_capture_beyond_the_bound_are_few_records_and_all_are_counted() {
        let mut records = RecordBuilder::new(16).bounded();
        (0..CLIENTS).for_each(|number| records.report(&connection(number)));
        let most = records.len();
        let (records, _) = records.finish();
        assert!(most < UNBOUNDED_RECORDS + 5_000, "{most}");
        assert_eq!(
            records.iter().map(|r| r.connections).sum::<u64>(),
            u64::from(CLIENTS)
        );
    }

    #[test]
    fn clients_of_a_log_beyond_the_bound_are_few_records_and_all_are_counted() {
        let observer = Observer {
            node: Arc::from(""),
            source: Source::FlowLog,
        };
        let mut bound = AddressBound::default();
        let mut aggregate = Aggregate::default();
        for number in 0..CLIENTS {
            let mut record = plain(&connection(number));
            if aggregate.len() >= UNBOUNDED_RECORDS {
                bound.apply(&observer, &mut record);
            }
            let observer = observer.clone();
            aggregate.add_record(Observed { observer, record });
        }
        assert!(
            aggregate.len() < UNBOUNDED_RECORDS + 10_000,
            "{}",
            aggregate.len()
        );
        assert!(bound.merged() > 30_000);
        let seen = aggregate.into_result(
            &NoListeners,
            &AddressEpochs::default(),
            FlowConfig::default().max_failed_targets,
        );
        assert_eq!(
            seen.records.iter().map(|r| r.connections).sum::<u64>(),
            u64::from(CLIENTS)
        );
    }
}
