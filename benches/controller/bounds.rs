//! The store filled to its bounds: how soon the controller is there again, what memory it takes, and whether decisions wait.

use super::feed::{Feed, record};
use super::objects::World;
use super::process::Controller;
use super::table::Row;
use crate::Options;
use crate::support::kubernetes::Cluster;
use nanoseg::flow::{
    FlowBatch, FlowRecord, HOT_HOURS, Instance, NameEntry, NamedBy, Observations, OtherKind,
    OtherTraffic, Source,
};
use nanoseg::net::Timestamp;
use nanoseg::store::FlowStore;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

/// As the bounds say: `nanoseg::flow::IntakeLimits`.
const PAIRS: u32 = 32_000;
const RECENT: u32 = 60_000;
/// Hours of the backlog, and records in each.
const BACKLOG_HOURS: i64 = 48;
const BACKLOG: u32 = 4_000;
/// What the stolen token sends.
const ATTACK_BYTES: usize = 50 << 20;
const NODES: u32 = 16;

/// Measures all of it.
pub fn run(cluster: &'static Cluster, options: &Options) -> Vec<Row> {
    let world = World::make(cluster, options);
    let controller = Controller::start(cluster, &options.binary);
    let mut rows = Vec::new();
    controller.until("nanoseg_controller_workloads", world.workloads() as f64);
    Feed::new(cluster, controller.listen).learn(&world);
    controller.until(
        "nanoseg_controller_open_proposals",
        world.workloads() as f64,
    );
    world.settle(&controller);

    let before = controller.memory_mib();
    eprintln!(
        "nothing but heartbeats and probes, for {} s",
        options.fill_idle_secs
    );
    idle(cluster, &controller, &world, options.fill_idle_secs);
    rows.push(Row::plain("memory before the idle phase", before, "MiB"));
    let grown = controller.memory_mib() - before;
    rows.push(Row::limit("growth in the idle phase", grown, "MiB", 30.0));

    let folder = controller.stop();
    eprintln!("the store is filled");
    fill(&folder.path().join("nanoseg.sqlite"), &world);

    let (controller, took) = restart(cluster, options, folder, &world);
    rows.push(Row::limit("start with a backlog", took, "s", 10.0));
    let times = world.time_decisions(options.namespaces / 2);
    rows.extend(Row::times(
        "decision → applied while it folds",
        &times,
        Duration::from_secs(1),
    ));
    controller.until("nanoseg_store_folded_hours_total", BACKLOG_HOURS as f64);
    let peak = controller.peak_mib();
    rows.push(Row::limit(
        "memory, the largest until then",
        peak,
        "MiB",
        512.0,
    ));

    let folder = controller.stop();
    let (controller, took) = restart(cluster, options, folder, &world);
    rows.push(Row::limit("start with all edges", took, "s", 10.0));
    eprintln!("a stolen token sends {} MiB", ATTACK_BYTES >> 20);
    let listen = controller.listen;
    let attack = std::thread::spawn(move || attack(Feed::new(cluster, listen).of_run(66)));
    let times = world.time_more_decisions(options.namespaces / 2);
    rows.extend(Row::times(
        "decision → applied under attack",
        &times,
        Duration::from_secs(1),
    ));
    let began = attack.join().expect("it is sent");
    rows.push(Row::plain("the attack took", began, "s"));
    let peak = controller.peak_mib();
    rows.push(Row::limit(
        "memory, the largest under attack",
        peak,
        "MiB",
        512.0,
    ));
    for what in ["pairs", "records", "open-hours", "dns-names", "edges"] {
        let used = controller.labelled("nanoseg_store_used", what);
        let limit = controller.labelled("nanoseg_store_limit", what);
        rows.push(Row::limit(what, used, "", limit));
    }
    rows
}

fn restart(
    cluster: &'static Cluster,
    options: &Options,
    folder: std::sync::Arc<tempfile::TempDir>,
    world: &World,
) -> (Controller, f64) {
    let began = Instant::now();
    let controller = Controller::start_with(cluster, &options.binary, folder);
    controller.until("nanoseg_controller_workloads", world.workloads() as f64);
    (controller, began.elapsed().as_secs_f64())
}

/// What agents of a quiet cluster send: every pod is probed, and calls something, every ten seconds.
fn idle(cluster: &'static Cluster, controller: &Controller, world: &World, seconds: u64) {
    let mut feed = Feed::new(cluster, controller.listen).of_run(9);
    let began = Instant::now();
    while began.elapsed().as_secs() < seconds {
        let now: Timestamp = jiff::Timestamp::now().into();
        let calls = world.namespaces().flat_map(|place| place.calls(8080));
        let records = calls.map(|edge| (Source::Conntrack, record(edge, now)));
        let seen = Observations {
            records: records.collect(),
            ..Observations::default()
        };
        feed.send_all(now, seen);
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn v4(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(bits))
}

/// Writes as much as a controller takes in, and hours that were not folded.
fn fill(path: &Path, world: &World) {
    let mut store = FlowStore::open(path).expect("the store");
    let now: Timestamp = jiff::Timestamp::now().into();
    let servers: Vec<IpAddr> = world
        .namespaces()
        .flat_map(|place| place.calls(8080))
        .map(|(_, server, _)| server)
        .collect();
    // Clients of a private network beside the cluster.
    let pair = |i: u32, at: Timestamp| {
        let server = servers[i as usize % servers.len()];
        record((v4(0xac10_0000 + i), server, 443), at)
    };
    let mut batches = Vec::new();
    let mut sequence = 0;
    let mut batch = |node: u32, records: Vec<FlowRecord>| {
        sequence += 1;
        batches.push(FlowBatch {
            node: format!("n{node}").into(),
            instance: Instance([50; 16]),
            sequence: (sequence, sequence),
            span: (now, now),
            seen: Observations {
                records: records
                    .into_iter()
                    .map(|r| (Source::Conntrack, r))
                    .collect(),
                ..Observations::default()
            },
        });
    };
    for age in 0..=HOT_HOURS {
        let at = Timestamp::from_hour(now.hour() - age).plus_secs(1);
        for node in 0..NODES {
            let share = PAIRS / NODES;
            batch(
                node,
                (0..share).map(|i| pair(node * share + i, at)).collect(),
            );
        }
    }
    for second in 0..RECENT / 100 {
        let at = now.plus_secs(-i64::from(second));
        batch(second % NODES, (0..100).map(|i| pair(i, at)).collect());
    }
    for age in 1..=BACKLOG_HOURS {
        let at = Timestamp::from_hour(now.hour() - HOT_HOURS - age).plus_secs(1);
        let base = 40_000 + age as u32 * BACKLOG;
        batch(0, (0..BACKLOG).map(|i| pair(base + i, at)).collect());
    }
    for some in batches.chunks(8) {
        store.apply_all(some).expect("room");
    }
}

/// Outside clients, names, times and ports without end. Returns how long it took, in seconds.
fn attack(mut feed: Feed) -> f64 {
    let began = Instant::now();
    let (mut sent, mut round) = (0, 0u32);
    while sent < ATTACK_BYTES {
        let now: Timestamp = jiff::Timestamp::now().into();
        let id = |i: u32| round * 20_000 + i;
        let records = (0..15_000).map(|i| {
            let hours = i64::from(id(i) % 8760);
            let at = if i % 2 == 0 {
                now
            } else {
                now.plus_secs(-3600 * hours)
            };
            let client = v4(0x0b00_0000 + id(i).wrapping_mul(2_654_435_761) % 0x5000_0000);
            (
                Source::Conntrack,
                record((client, v4(0x0a80_0001 + i % 50), 443), at),
            )
        });
        let names = (0..10_000).map(|i| {
            let name = format!("{}.a-rather-long-name.example", id(i)).into_boxed_str();
            let entry = NameEntry {
                name,
                client: v4(0x0a80_0001),
                by: NamedBy::Resolver(v4(0x0a60_000a)),
                from: now,
                until: now,
            };
            (v4(0x0b00_0000 + id(i) % 1000), entry)
        });
        let other = (0..2_000).map(|i| OtherTraffic {
            source: v4(0x0b00_0000 + id(i)),
            destination: v4(0x0a80_0001),
            kind: OtherKind::Icmp,
            packets: 1,
        });
        let seen = Observations {
            records: records.collect(),
            names: names.collect(),
            other: other.collect(),
            ..Observations::default()
        };
        sent += feed.send_all(now, seen);
        round += 1;
    }
    began.elapsed().as_secs_f64()
}
