//! Several slices put together to one, each identity once and in order, and cut into pieces of bounded
//! size. Nothing is lost: applying the result gives the same as applying the parts.

use super::{
    FlowRecord, NameEntry, NamedBy, OtherKind, OtherTraffic, PeerLabel, PeerLabels, RecordIdentity,
};
use super::{Observations, ScanSummary, Source};
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How large a piece may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservationLimits {
    pub max_records: usize,
    /// Bytes of its message, by an estimate from above.
    pub max_bytes: usize,
}

impl Default for ObservationLimits {
    /// gRPC accepts messages up to 4 MiB by default; the rest is for the batch's own fields.
    fn default() -> Self {
        ObservationLimits {
            max_records: 20_000,
            max_bytes: 4 * 1024 * 1024 - 4096,
        }
    }
}

/// An address, a name of it, who asked, and who answered.
type NameKey = (IpAddr, Box<str>, IpAddr, NamedBy);

/// Slices put together.
#[derive(Debug, Clone, Default)]
pub struct MergedObservations {
    records: BTreeMap<(Source, RecordIdentity), FlowRecord>,
    scans: Vec<ScanSummary>,
    /// By address, name, who asked and who answered: from when until when.
    names: BTreeMap<NameKey, (Timestamp, Timestamp)>,
    other: BTreeMap<(IpAddr, IpAddr, OtherKind), u64>,
    losses: BTreeMap<super::Loss, u64>,
    node_addresses: BTreeSet<IpAddr>,
}

impl MergedObservations {
    /// Adds observations. Returns the number of records that were merged into others.
    pub fn add(&mut self, more: Observations) -> u64 {
        let mut merged = 0;
        for (source, record) in more.records {
            merged += u64::from(self.add_record(source, record));
        }
        self.scans.extend(more.scans);
        for (address, entry) in more.names {
            let span = self
                .names
                .entry((address, entry.name, entry.client, entry.by))
                .or_insert((entry.from, entry.until));
            *span = (span.0.min(entry.from), span.1.max(entry.until));
        }
        for traffic in more.other {
            let key = (traffic.source, traffic.destination, traffic.kind);
            let packets = self.other.entry(key).or_default();
            *packets = packets.saturating_add(traffic.packets);
        }
        for (loss, count) in more.losses {
            let sum = self.losses.entry(loss).or_default();
            *sum = sum.saturating_add(count);
        }
        if !more.node_addresses.is_empty() {
            self.node_addresses = more.node_addresses;
        }
        merged
    }

    /// Adds a record. Returns true if it was merged into another.
    pub fn add_record(&mut self, source: Source, record: FlowRecord) -> bool {
        use std::collections::btree_map::Entry;
        match self.records.entry((source, record.identity())) {
            Entry::Occupied(known) => {
                known.into_mut().absorb(&record);
                true
            }
            Entry::Vacant(place) => {
                place.insert(record);
                false
            }
        }
    }

    /// How many items it holds, losses left out.
    pub fn len(&self) -> usize {
        self.records.len() + self.scans.len() + self.names.len() + self.other.len()
    }

    /// Returns true if there are neither items nor losses.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.losses.is_empty()
    }

    /// All of it, in order.
    pub fn into_observations(mut self) -> Observations {
        self.scans.sort();
        Observations {
            records: self
                .records
                .into_iter()
                .map(|((source, _), record)| (source, record))
                .collect(),
            scans: self.scans,
            names: self
                .names
                .into_iter()
                .map(|((address, name, client, by), (from, until))| {
                    let entry = NameEntry {
                        name,
                        client,
                        by,
                        from,
                        until,
                    };
                    (address, entry)
                })
                .collect(),
            other: self
                .other
                .into_iter()
                .map(|((source, destination, kind), packets)| OtherTraffic {
                    source,
                    destination,
                    kind,
                    packets,
                })
                .collect(),
            losses: self.losses,
            node_addresses: self.node_addresses,
        }
    }

    /// All of it in order, in pieces within `limits`; none if it is empty. Losses and the node's addresses are in the first.
    pub fn into_chunks(self, limits: ObservationLimits) -> Vec<Observations> {
        let all = self.into_observations();
        if all.is_empty() {
            return Vec::new();
        }
        let mut pieces = Pieces {
            limits,
            done: Vec::new(),
            bytes: all.losses.len() * LOSS_BYTES + all.node_addresses.len() * ADDRESS_BYTES,
            open: Observations {
                losses: all.losses,
                node_addresses: all.node_addresses,
                ..Observations::default()
            },
        };
        for (source, record) in all.records {
            pieces.make_room(record_bytes(&record));
            pieces.open.records.push((source, record));
        }
        for scan in all.scans {
            pieces.make_room(SCAN_BYTES + scan.samples.len() * TARGET_BYTES);
            pieces.open.scans.push(scan);
        }
        for (address, entry) in all.names {
            pieces.make_room(NAME_BYTES + entry.name.len());
            pieces.open.names.push((address, entry));
        }
        for traffic in all.other {
            pieces.make_room(OTHER_BYTES);
            pieces.open.other.push(traffic);
        }
        pieces.done.push(pieces.open);
        pieces.done
    }
}

struct Pieces {
    limits: ObservationLimits,
    done: Vec<Observations>,
    open: Observations,
    bytes: usize,
}

impl Pieces {
    /// Begins a new piece if one more item of `bytes` goes beyond the limits.
    fn make_room(&mut self, bytes: usize) {
        let full = self.open.records.len() >= self.limits.max_records
            || self.bytes + bytes > self.limits.max_bytes;
        if full && !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
            self.bytes = 0;
        }
        self.bytes += bytes;
    }
}

// Bytes of proto/nanoseg/flows/v1/flows.proto's messages at most, each with its tag and length.
const ADDRESS_BYTES: usize = 18;
const LOSS_BYTES: usize = 48;
const SCAN_BYTES: usize = 96;
const TARGET_BYTES: usize = 36;
const NAME_BYTES: usize = 96;
const OTHER_BYTES: usize = 64;
const RECORD_BYTES: usize = 200;

fn record_bytes(record: &FlowRecord) -> usize {
    RECORD_BYTES + record.labels.as_deref().map_or(0, labels_bytes)
}

fn labels_bytes(labels: &PeerLabels) -> usize {
    let label = |label: &Option<PeerLabel>| match label {
        Some(PeerLabel::Pod(pod)) => {
            let owner = pod.owner.as_ref();
            let owner = owner.map_or(0, |(kind, name)| kind.len() + name.len());
            let labels: usize = pod.labels.iter().map(|label| label.len() + 4).sum();
            let cluster = pod.cluster.as_ref().map_or(0, String::len);
            pod.namespace.len() + pod.name.len() + owner + labels + cluster + 40
        }
        Some(PeerLabel::Network { name }) => name.len() + 12,
        Some(PeerLabel::Workload {
            namespace,
            kind,
            name,
        }) => namespace.len() + kind.len() + name.len() + 32,
        _ => 8,
    };
    let service = labels
        .service
        .as_ref()
        .map_or(0, |(namespace, name)| namespace.len() + name.len() + 16);
    16 + label(&labels.client) + label(&labels.server) + service
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActivityWindows, Loss, Opening, Verdict};
    use nanoseg_net::Protocol;

    fn record(client: u8, port: u16, at: i64) -> FlowRecord {
        let first = Timestamp::from_secs(at);
        FlowRecord {
            observers: Default::default(),
            told: None,
            client: IpAddr::from([10, 0, 0, client]),
            server: IpAddr::from([10, 0, 1, 1]),
            port,
            protocol: Protocol::Tcp,
            via: None,
            seen_as: None,
            client_port: None,
            verdict: Verdict::Established,
            opening: Opening::Handshake,
            labels: None,
            connections: 1,
            datagrams: 0,
            bytes_to_server: 10,
            bytes_to_client: 20,
            first,
            last: first,
            windows: ActivityWindows::at(first),
        }
    }

    #[test]
    fn one_identity_is_one_record_and_another_time_is_another() {
        let mut merged = MergedObservations::default();
        for at in [0, 0, 0, 1] {
            merged.add_record(Source::Conntrack, record(1, 80, at));
        }
        merged.add_record(Source::Capture, record(1, 80, 0));
        let slice = merged.into_observations();
        let records: Vec<_> = slice
            .records
            .iter()
            .map(|(source, r)| (*source, r.connections, r.bytes_to_server))
            .collect();
        assert_eq!(
            records,
            [
                (Source::Capture, 1, 10),
                (Source::Conntrack, 3, 30),
                (Source::Conntrack, 1, 10)
            ]
        );
    }

    #[test]
    fn pieces_keep_within_their_limits_and_hold_everything() {
        let mut merged = MergedObservations::default();
        for client in 0..250 {
            merged.add_record(Source::Conntrack, record(client, 80, 0));
        }
        let mut slice = Observations::default();
        slice.lose(Loss::ClockStepped, 1);
        merged.add(slice);
        let limits = ObservationLimits {
            max_records: 100,
            max_bytes: 1 << 20,
        };
        let sizes = |pieces: Vec<Observations>| -> Vec<usize> {
            pieces.iter().map(|piece| piece.records.len()).collect()
        };
        let pieces = merged.clone().into_chunks(limits);
        assert_eq!(pieces[0].losses[&Loss::ClockStepped], 1);
        assert_eq!(sizes(pieces), [100, 100, 50]);
        let limits = ObservationLimits {
            max_records: 1000,
            max_bytes: 120 * RECORD_BYTES,
        };
        assert_eq!(sizes(merged.into_chunks(limits)), [119, 120, 11]);
        assert!(MergedObservations::default().into_chunks(limits).is_empty());
    }
}
