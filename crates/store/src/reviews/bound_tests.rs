//! The store within its bounds, and folding that holds up nobody.

use super::*;
use crate::FlowStore;
use nanoseg_flow::{
    ActivityWindows, AddressEpochs, Aggregate, FlowBatch, FlowRecord, Instance, Loss, NameEntry,
    Observations, Opening, Source, Verdict,
};
use nanoseg_graph::{History, Peer};
use nanoseg_inventory::{Inventory, Objects, OwnerRule};
use nanoseg_net::Protocol;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

const HOUR: i64 = 490_000;
const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn at(hour: i64, seconds: i64) -> Timestamp {
    Timestamp::from_hour(hour).plus_secs(seconds)
}

fn public(i: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(
        0x0b00_0000 + i.wrapping_mul(2_654_435_761) % 0x5000_0000,
    ))
}

fn record(client: IpAddr, at: Timestamp) -> FlowRecord {
    FlowRecord {
        client,
        server: POD,
        port: 443,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        labels: None,
        observers: Default::default(),
        told: None,
        connections: 1,
        datagrams: 0,
        bytes_to_server: 1,
        bytes_to_client: 1,
        first: at,
        last: at,
        windows: ActivityWindows::at(at),
    }
}

struct Stores {
    _folder: tempfile::TempDir,
    path: PathBuf,
    flows: FlowStore,
    reviews: ReviewStore,
    sequence: u64,
}

impl Stores {
    fn new() -> Stores {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nanoseg.sqlite");
        Stores {
            flows: FlowStore::open(&path).unwrap(),
            reviews: ReviewStore::open(&path).unwrap(),
            path,
            _folder: folder,
            sequence: 0,
        }
    }

    fn batch(&mut self, records: impl IntoIterator<Item = FlowRecord>) -> FlowBatch {
        self.sequence += 1;
        let records = records.into_iter().map(|r| (Source::Conntrack, r));
        FlowBatch {
            node: "n1".into(),
            instance: Instance([1; 16]),
            sequence: (self.sequence, self.sequence),
            span: (at(HOUR, 0), at(HOUR, 1)),
            seen: Observations {
                records: records.collect(),
                ..Observations::default()
            },
        }
    }

    fn apply(&mut self, records: impl IntoIterator<Item = FlowRecord>) {
        let batch = self.batch(records);
        self.flows.apply(&batch).unwrap();
    }

    fn lost(&self, loss: Loss) -> u64 {
        self.reviews
            .losses()
            .unwrap()
            .get(&loss)
            .copied()
            .unwrap_or(0)
    }
}

/// One pod, and the outside.
fn inventory() -> Inventory {
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop",
        "creationTimestamp": "2020-01-01T00:00:00Z"}, "spec": {"containers": [{"name": "main"}]},
        "status": {"podIP": "10.0.0.1", "phase": "Running", "startTime": "2020-01-01T00:00:00Z"}}"#;
    let objects = Objects {
        pods: vec![serde_json::from_str(pod).unwrap()],
        ..Objects::default()
    };
    Inventory::build(&objects, OwnerRule::Infer).0
}

fn connections(history: &History) -> u64 {
    history.edges().map(|(_, edge)| edge.connections()).sum()
}

#[test]
fn records_are_folded_in_steps_between_which_every_reader_sees_everything_once() {
    let mut stores = Stores::new();
    let inventory = inventory();
    let fold = |records: &Aggregate| History::fold(records, &inventory);
    let hours = 40;
    for hour in 0..hours {
        let records = (0..200).map(|i| record(public(i % 20), at(HOUR + hour, i64::from(i))));
        stores.apply(records);
    }
    let end = Timestamp::from_hour(HOUR + hours);
    let mut steps = 0;
    while let Some(step) = stores.reviews.fold_step(end, fold).unwrap() {
        assert!(step.records <= 5_200, "{} records", step.records);
        steps += 1;
        loop {
            let history = stores.reviews.history().unwrap();
            let hot = stores.reviews.unfolded(i64::MIN..i64::MAX).unwrap();
            assert_eq!(connections(&history) + connections(&fold(&hot)), 8_000);
            let by_hour = stores.reviews.hours(i64::MIN..i64::MAX).unwrap();
            let by_hour: u64 = by_hour.iter().map(|one| one.edge.connections()).sum();
            assert_eq!(by_hour, connections(&history));
            if stores.reviews.add_backlog(150).unwrap() == 0 {
                break;
            }
        }
    }
    assert!(steps > 1, "many hours, but not all, are one step");
    assert_eq!(stores.reviews.size().unwrap().backlog, 0);
}

#[test]
fn records_that_come_while_an_hour_is_folded_are_folded_with_it_next_time() {
    let mut stores = Stores::new();
    let inventory = inventory();
    stores.apply([record(public(1), at(HOUR, 1))]);
    let late = stores.batch([record(public(2), at(HOUR, 2))]);
    let end = Timestamp::from_hour(HOUR + 1);
    let Stores { flows, reviews, .. } = &mut stores;
    let step = reviews.fold_step(end, |records| {
        // Another connection writes meanwhile, and does not wait.
        flows.apply(&late).unwrap();
        History::fold(records, &inventory)
    });
    assert_eq!(step.unwrap().unwrap().records, 0, "nothing happened");
    let fold = |records: &Aggregate| History::fold(records, &inventory);
    let summary = reviews.fold(end, fold).unwrap();
    assert_eq!((summary.records, summary.edges), (2, 2));
}

#[test]
fn a_store_of_too_many_clients_comes_within_its_bounds_and_loses_no_count() {
    let mut stores = Stores::new();
    let inventory = inventory();
    for hour in 0..6u32 {
        let clients =
            (0..400).map(|i| record(public(hour * 400 + i), at(HOUR + i64::from(hour), 1)));
        stores.apply(clients);
    }
    let fold = |records: &Aggregate| History::fold(records, &inventory);
    stores
        .reviews
        .fold(Timestamp::from_hour(HOUR + 6), fold)
        .unwrap();
    assert_eq!(stores.reviews.size().unwrap().edges, 2400);
    let forgotten = stores.reviews.bound(StoreLimits::default()).unwrap();
    assert!(forgotten.moved > 1800, "{forgotten:?}");
    let history = stores.reviews.history().unwrap();
    assert_eq!(connections(&history), 2400);
    let singles = history
        .edges()
        .filter(|((client, ..), _)| matches!(client, Peer::Outside(_)));
    assert_eq!(singles.count(), 512);
    assert_eq!(
        stores.reviews.bound(StoreLimits::default()).unwrap(),
        Forgotten::default()
    );
}

#[test]
fn beyond_its_room_the_store_forgets_what_was_seen_longest_ago_and_says_so() {
    let mut stores = Stores::new();
    let inventory = inventory();
    for hour in 0..10 {
        let clients = (0..20).map(|i| record(public(hour * 20 + i), at(HOUR + i64::from(hour), 1)));
        stores.apply(clients);
    }
    let fold = |records: &Aggregate| History::fold(records, &inventory);
    stores
        .reviews
        .fold(Timestamp::from_hour(HOUR + 10), fold)
        .unwrap();
    let limits = StoreLimits {
        edges: 60,
        hour_edges: 100,
        ..StoreLimits::default()
    };
    let forgotten = stores.reviews.bound(limits).unwrap();
    assert_eq!((forgotten.edges, forgotten.hour_edges), (140, 120));
    assert_eq!(stores.lost(Loss::EdgeForgotten), 260);
    let history = stores.reviews.history().unwrap();
    let oldest = history.span().unwrap().0;
    assert_eq!(oldest, at(HOUR + 7, 1), "the latest stay");
    let hours = stores.reviews.hours(i64::MIN..i64::MAX).unwrap();
    assert_eq!(hours.len(), 80);
    assert!(hours.iter().all(|one| one.hour >= HOUR + 6));
}

#[test]
fn edges_of_all_time_go_with_the_retention() {
    let mut stores = Stores::new();
    let inventory = inventory();
    stores.apply([
        record(public(1), at(HOUR, 1)),
        record(public(2), at(HOUR + 5, 1)),
    ]);
    let fold = |records: &Aggregate| History::fold(records, &inventory);
    stores
        .reviews
        .fold(Timestamp::from_hour(HOUR + 6), fold)
        .unwrap();
    stores
        .reviews
        .forget_hours(Timestamp::from_hour(HOUR + 3))
        .unwrap();
    let history = stores.reviews.history().unwrap();
    assert_eq!(history.edges().count(), 1);
    assert_eq!(stores.reviews.hours(i64::MIN..i64::MAX).unwrap().len(), 1);
}

#[test]
fn runs_and_gaps_of_a_node_are_bounded_and_gaps_that_close_are_a_loss() {
    let mut stores = Stores::new();
    for gap in 0..300u64 {
        let mut batch = stores.batch([]);
        batch.sequence = (1 + gap * 2, 1 + gap * 2);
        stores.flows.apply(&batch).unwrap();
    }
    for run in 0..50u8 {
        let mut batch = stores.batch([]);
        batch.instance = Instance([100 + run; 16]);
        stores.flows.apply(&batch).unwrap();
    }
    let forgotten = stores.reviews.bound(StoreLimits::default()).unwrap();
    let applied = stores.flows.load().unwrap();
    assert!(
        applied.applied().len() <= 33,
        "{} runs",
        applied.applied().len()
    );
    let most = applied
        .applied()
        .values()
        .map(|set| set.intervals().count())
        .max();
    assert!(most <= Some(256), "{most:?} intervals");
    assert_eq!(stores.lost(Loss::BatchForgotten), forgotten.batches);
}

#[test]
fn names_beyond_the_room_go_oldest_first() {
    let mut stores = Stores::new();
    let mut batch = stores.batch([]);
    let name = |i: i64| NameEntry {
        name: format!("{i}.example").into(),
        client: POD,
        by: nanoseg_flow::NamedBy::Source,
        from: at(HOUR, i),
        until: at(HOUR, i),
    };
    batch.seen.names = (0..100).map(|i| (public(1), name(i))).collect();
    stores.flows.apply(&batch).unwrap();
    let limits = StoreLimits {
        names: 50,
        ..StoreLimits::default()
    };
    assert_eq!(stores.reviews.bound(limits).unwrap().names, 55);
    assert_eq!(stores.lost(Loss::NameDropped), 55);
    let names = stores.flows.load().unwrap();
    assert!(names.names().names_of(public(1)).contains("99.example"));
}

#[test]
fn records_of_a_minute_become_one_on_the_disk_and_nothing_is_lost_of_them() {
    let mut stores = Stores::new();
    stores.apply((0..120).map(|i| record(public(1), at(HOUR, i))));
    stores.apply([record(public(2), at(HOUR, 30))]);
    let seconds = HOUR * 3600..(HOUR + 1) * 3600;
    let epochs = AddressEpochs::default();
    let fewer = stores
        .reviews
        .condense(seconds.clone(), &epochs, at(HOUR, 300))
        .unwrap();
    assert_eq!(fewer, 118);
    let all = FlowStore::open_read_only(&stores.path)
        .unwrap()
        .load()
        .unwrap();
    assert_eq!(all.records().count(), 3);
    let count: u64 = all.records().map(|(_, record)| record.connections).sum();
    assert_eq!(count, 121);
    assert_eq!(
        stores
            .reviews
            .condense(seconds, &epochs, at(HOUR, 300))
            .unwrap(),
        0
    );
}
