//! What a folder and a cluster have in common: volume by the hour, the record.

use crate::cli::record::event;
use crate::graph::{Edge, History};
use crate::inventory::Inventory;
use crate::report::evidence::Event;
use crate::review::record::{Verifier, parse_line};
use crate::risk::Volumes;
use crate::store::ReviewStore;
use std::path::Path;

/// So many hours tell what is usual.
const HOURS: i64 = 48;
const SECONDS: i64 = 3600;

/// Volume by the hour, of the last two days that a copy of the controller's state knows.
pub fn volumes(state: Option<&Path>, inventory: &Inventory) -> anyhow::Result<Volumes> {
    let mut volumes = Volumes::default();
    let Some(path) = state else {
        return Ok(volumes);
    };
    let store = ReviewStore::open_read_only(path)?;
    let hot = store.unfolded(i64::MIN / SECONDS..i64::MAX / SECONDS)?;
    let by_hour = hot.clone().take_hours(i64::MAX / SECONDS);
    let last = by_hour.keys().copied().max();
    let Some(last) = last.max(store.last_hour()?) else {
        return Ok(volumes);
    };
    let bytes = |edge: &Edge| edge.bytes_to_server.saturating_add(edge.bytes_to_client);
    for one in store.hours(last - HOURS..last + 1)? {
        let connections = one.edge.connections();
        volumes.add(&one.key, one.hour, bytes(&one.edge), connections);
    }
    for (hour, records) in by_hour {
        for (key, edge) in History::fold(&records, inventory).edges() {
            volumes.add(key, hour, bytes(edge), edge.connections());
        }
    }
    Ok(volumes)
}

/// The events of a copy of the controller's state, and what is wrong with their chain.
pub fn record(state: Option<&Path>) -> anyhow::Result<(Vec<Event>, Option<String>)> {
    let Some(path) = state else {
        return Ok((Vec::new(), None));
    };
    let store = ReviewStore::open_read_only(path)?;
    let (mut events, mut problem) = (Vec::new(), None);
    let mut verifier = Verifier::default();
    store.record_lines(1, |number, line| {
        match parse_line(line) {
            Ok(entry) => {
                if let Err(found) = verifier.check(&entry) {
                    problem.get_or_insert(format!("entry {} {}", found.sequence, found.fault));
                }
                events.push(event(entry));
            }
            Err(error) => {
                problem.get_or_insert(format!("entry {number}: {error}"));
            }
        }
        true
    })?;
    Ok((events, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::parse_objects;
    use crate::flow::{FlowBatch, FlowRecord, Instance, Opening, Slice, Source, Verdict, Windows};
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
            client: [10, 0, 0, 1].into(),
            server: [10, 0, 0, 2].into(),
            port: 5432,
            protocol: Protocol::Tcp,
            via: None,
            seen_as: None,
            client_port: None,
            claims: None,
            verdict: Verdict::Established,
            opening: Opening::Handshake,
            connections: 3,
            datagrams: 0,
            bytes_to_server: 0,
            bytes_to_client: bytes,
            first: at,
            last: at,
            windows: Windows::at(at),
        }
    }

    #[test]
    fn volume_by_the_hour_is_read_of_folded_and_of_new_records() {
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
            seen: Slice {
                records,
                ..Slice::default()
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
        let volumes = volumes(Some(&path), &inventory).expect("volumes");
        let found = volumes.changes();
        assert_eq!(found.len(), 1, "{volumes:?}");
        assert_eq!(found[0].subject(), "shop/web → shop/db 5432/TCP");
        assert_eq!((found[0].usual, found[0].now), (2 << 20, 300 << 20));
    }
}
