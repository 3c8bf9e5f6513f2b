//! Volume by the hour, from the store: which workloads send most, and which suddenly send more or less.

use crate::graph::{Edge, EdgeKey, History};
use crate::inventory::Inventory;
use crate::risk::{Amount, Volumes};
use crate::store::{ReviewStore, ReviewStoreError};

/// How many hours define what is usual.
const HOURS: i64 = 48;
/// How many edges of an hour count, those with most bytes: 48 hours × 2000 × 80 bytes are 8 MiB.
const MOST: usize = 2_000;

/// The last hours. A folded hour is read once; records that come late for it count after the next start.
#[derive(Debug, Default)]
pub struct VolumeReader {
    folded: Volumes,
    /// The first hour that was not read yet.
    next: Option<i64>,
}

impl VolumeReader {
    /// Reads the last two days that the store has, folded or not.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn read(
        &mut self,
        store: &ReviewStore,
        inventory: &Inventory,
    ) -> Result<Volumes, ReviewStoreError> {
        const SECONDS: i64 = 3600;
        let unfolded = store.unfolded_hours()?;
        let last_folded = store.last_hour()?;
        let Some(last) = unfolded.iter().copied().max().max(last_folded) else {
            return Ok(Volumes::default());
        };
        let begin = last - HOURS;
        if let Some(last_folded) = last_folded {
            let next = self.next.unwrap_or(begin).max(begin);
            for hour in next..=last_folded {
                let edges = store.hours(hour..hour + 1)?;
                add_largest(
                    &mut self.folded,
                    hour,
                    edges.iter().map(|one| (&one.key, &one.edge)),
                );
            }
            self.next = Some(last_folded + 1);
        }
        self.folded.forget_before(begin);
        let mut all = self.folded.clone();
        // One hour at a time: together they may be many records.
        for hour in unfolded.into_iter().filter(|hour| *hour >= begin) {
            let records = store.unfolded(hour * SECONDS..(hour + 1) * SECONDS)?;
            add_largest(&mut all, hour, History::fold(&records, inventory).edges());
        }
        Ok(all)
    }
}

/// Adds the edges of an hour with most bytes.
fn add_largest<'e>(
    volumes: &mut Volumes,
    hour: i64,
    edges: impl Iterator<Item = (&'e EdgeKey, &'e Edge)>,
) {
    let bytes = |edge: &Edge| edge.bytes_to_server.saturating_add(edge.bytes_to_client);
    let mut edges: Vec<(&EdgeKey, &Edge)> = edges.collect();
    edges.sort_by_key(|(key, edge)| (std::cmp::Reverse(bytes(edge)), *key));
    for (key, edge) in edges.into_iter().take(MOST) {
        volumes.add(key, hour, Amount::of(edge));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::parse_objects;
    use crate::flow::{
        ActivityWindows, FlowBatch, FlowRecord, Instance, Observations, Opening, Source, Verdict,
    };
    use crate::inventory::{Objects, OwnerRule};
    use crate::net::{Protocol, Timestamp};
    use crate::store::FlowStore;

    const CLUSTER: &str = "
kind: Pod
apiVersion: v1
metadata: {name: web, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {containers: [{name: main}]}
status: {podIP: 10.0.0.1}
---
kind: Pod
apiVersion: v1
metadata: {name: db, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {containers: [{name: main}]}
status: {podIP: 10.0.0.2}
";

    fn record(hour: i64, bytes: u64) -> FlowRecord {
        let at = Timestamp::from_hour(hour).plus_secs(60);
        FlowRecord {
            observers: Default::default(),
            told: None,
            client: [10, 0, 0, 1].into(),
            server: [10, 0, 0, 2].into(),
            port: 5432,
            protocol: Protocol::Tcp,
            via: None,
            seen_as: None,
            client_port: None,
            labels: None,
            verdict: Verdict::Established,
            opening: Opening::Handshake,
            connections: 3,
            datagrams: 0,
            bytes_to_server: 0,
            bytes_to_client: bytes,
            first: at,
            last: at,
            windows: ActivityWindows::at(at),
        }
    }

    #[test]
    fn volume_by_the_hour_is_read_from_folded_and_new_records() {
        // An hour of October 2026: pods own their addresses since January.
        const BEGIN: i64 = 497_000;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nanoseg.db");
        let mut objects = Objects::default();
        parse_objects(CLUSTER.as_bytes(), "cluster", &mut objects).expect("objects");
        let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
        let usual = (0..8).map(|hour| record(BEGIN + hour, 2 << 20));
        let all = usual.chain([record(BEGIN + 8, 300 << 20)]);
        let records: Vec<_> = all.map(|one| (Source::Conntrack, one)).collect();
        let batch = FlowBatch {
            node: "n1".into(),
            instance: Instance([1; 16]),
            sequence: (1, 1),
            span: (Timestamp::from_hour(BEGIN), Timestamp::from_hour(BEGIN + 9)),
            seen: Observations {
                records,
                ..Observations::default()
            },
        };
        let mut flows = FlowStore::open(&path).expect("a store");
        flows.apply(&batch).expect("written");
        drop(flows);
        let mut store = ReviewStore::open(&path).expect("a store");
        let fold = |records: &_| History::fold(records, &inventory);
        let before = Timestamp::from_hour(BEGIN + 5);
        store.fold(before, fold).expect("folded");
        drop(store);
        let store = ReviewStore::open_read_only(&path).expect("a store");
        let mut reader = VolumeReader::default();
        let volumes = reader.read(&store, &inventory).expect("volumes");
        let report = volumes.report(usize::MAX).expect("volume");
        let found = &report.changes;
        assert_eq!(found.len(), 1, "{volumes:?}");
        assert_eq!(found[0].subject(), "shop/web → shop/db 5432/TCP");
        assert_eq!((found[0].usual, found[0].now), (2 << 20, 300 << 20));
        // What was folded is not read again, and everything counts once.
        let again = reader.read(&store, &inventory).expect("volumes");
        assert_eq!(again, volumes);
        let mut store = ReviewStore::open(&path).expect("a store");
        let before = Timestamp::from_hour(BEGIN + 7);
        store.fold(before, fold).expect("folded");
        assert_eq!(reader.read(&store, &inventory).expect("volumes"), volumes);
        let anew = VolumeReader::default().read(&store, &inventory);
        assert_eq!(anew.expect("volumes"), volumes);
    }
}
