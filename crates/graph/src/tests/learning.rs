//! What counts as a sample of the learning estimate (rule: learning-estimate), and what a workload waits for.

use super::super::testing::record;
use super::super::{Asked, Estimate, Missing, Progress, estimate};
use super::graph_of;
use nanoseg_flow::{ActivityWindows, FlowRecord, Verdict};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;

/// When the observation of these tests began, in seconds: at a whole hour, and a whole window of any length used here.
const BEGIN: i64 = 1_800_000_000 / 8192 * 8192;
const HOUR: i64 = 3600;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(BEGIN + secs)
}

/// A connection from the client to `api-a` that was open from and to so many seconds after the begin.
fn open(client: &str, from: i64, until: i64) -> FlowRecord {
    FlowRecord {
        first: at(from),
        last: at(until),
        windows: ActivityWindows::span(at(from), at(until)),
        ..record(client, "10.244.2.6:8080", Verdict::Established)
    }
}

/// The estimate of `shop/api-a` after so many seconds of observation.
fn estimated(records: &[FlowRecord], secs: i64) -> Estimate {
    let graph = graph_of(records).graph;
    let mut learning = estimate(&graph, at(0), at(secs));
    let id = WorkloadId {
        namespace: "shop".into(),
        name: "api-a".into(),
        kind: "Pod".into(),
    };
    learning.workloads.remove(&id).expect("an estimate")
}

fn missing(records: &[FlowRecord], secs: i64) -> Vec<Missing> {
    let asked = Asked {
        coverage: 0.95,
        secs_left: 0,
    };
    Progress::of(Some(&estimated(records, secs)), asked).missing
}

#[test]
fn one_pooled_connection_is_seen_in_every_window_that_it_lives_through() {
    let pooled = estimated(&[open("10.244.1.5", 0, 3 * HOUR)], 3 * HOUR);
    assert_eq!((pooled.connections, pooled.clients), (1, 1));
    assert!(pooled.is_meaningful(), "{pooled:?}");
    assert_eq!(pooled.coverage, 1.0);
    assert_eq!(missing(&[open("10.244.1.5", 0, 3 * HOUR)], 3 * HOUR), []);
}

#[test]
fn one_short_connection_in_three_hours_says_nothing_and_waits_for_a_second() {
    let short = [open("10.244.1.5", 0, 5)];
    assert!(!estimated(&short, 3 * HOUR).is_meaningful());
    let found = missing(&short, 3 * HOUR);
    let [Missing::SecondSight { once, of, secs, .. }] = found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((once, of, secs), (1, 1, None), "it is over");
}

#[test]
fn a_connection_that_has_just_begun_waits_for_the_next_window() {
    let young = [open("10.244.1.5", 3 * HOUR - 30, 3 * HOUR)];
    let found = missing(&young, 3 * HOUR);
    let [
        Missing::SecondSight {
            window_secs, secs, ..
        },
    ] = found[..]
    else {
        panic!("{found:?}");
    };
    let window = i64::try_from(window_secs).expect("a window");
    let left = secs.expect("it is in use");
    assert!((1..=window).contains(&left), "{left} of {window}");
    assert_eq!((BEGIN + 3 * HOUR + left) % window, 0, "the window's end");
}

#[test]
fn distinct_clients_are_samples_too() {
    // Both edges of the client were used once, at the same time.
    let once = |client: &str| {
        [
            open(client, 100, 101),
            FlowRecord {
                port: 9090,
                ..open(client, 100, 101)
            },
        ]
    };
    let alone = estimated(&once("10.244.1.5"), 3 * HOUR);
    assert_eq!(alone.seen_once, 2);
    let with_others: Vec<FlowRecord> = ["10.244.1.5", "10.244.2.7"]
        .iter()
        .flat_map(|client| once(client))
        .collect();
    // Another workload's pod has edges of its own.
    assert_eq!(estimated(&with_others, 3 * HOUR).seen_once, 4);
    // Two addresses of one client are two pods.
    let mut twice = graph_of(&once("10.244.1.5")).graph;
    let peers: Vec<_> = twice
        .edges()
        .into_iter()
        .map(|(c, s, e)| (c.clone(), s.clone(), e.clone()))
        .collect();
    let mut graph = super::super::Graph::default();
    for (client, server, mut edge) in peers {
        edge.clients
            .insert("10.244.1.6".parse().expect("an address"));
        graph.add_edge(&client, &server, edge);
    }
    std::mem::swap(&mut twice, &mut graph);
    let learning = estimate(&twice, at(0), at(3 * HOUR));
    assert_eq!(learning.overall.seen_once, 0);
    assert_eq!(learning.overall.clients, 2);
}

#[test]
fn a_young_observation_waits_for_windows_and_a_silent_workload_for_traffic() {
    let found = missing(&[open("10.244.1.5", 0, 4)], 4);
    assert!(
        matches!(
            found[0],
            Missing::Windows {
                passed: 5,
                wanted: 8,
                secs: 3,
                ..
            }
        ),
        "{found:?}"
    );
    let asked = Asked {
        coverage: 0.95,
        secs_left: 60,
    };
    let silent = Progress::of(None, asked);
    assert_eq!(
        silent.missing,
        [Missing::Traffic, Missing::Duration { secs: 60 }]
    );
}

#[test]
fn attempts_that_failed_are_no_samples() {
    let mut refused = open("10.244.1.5", 0, 3 * HOUR);
    refused.verdict = Verdict::Refused;
    let both = [refused, open("10.244.1.5", 10, 11)];
    let estimate = estimated(&both, 3 * HOUR);
    assert_eq!((estimate.seen_once, estimate.connections), (1, 1));
    assert!(!estimate.is_meaningful(), "{estimate:?}");
}
