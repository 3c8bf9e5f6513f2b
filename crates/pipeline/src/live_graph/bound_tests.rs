//! Memory that does not grow with time (rule: bounded-memory, folding-holds-up-nobody).

use super::*;
use nanoseg_flow::{Instance, Observations, Source, Verdict};
use nanoseg_graph::testing::{START, cluster, record};
use nanoseg_graph::{EdgeKey, Lesson};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(START + seconds)
}

fn batch(number: u64, seconds: i64, records: Vec<FlowRecord>) -> FlowBatch {
    let records = records.into_iter().map(|record| {
        let at = at(seconds);
        let record = FlowRecord {
            first: at,
            last: at,
            ..record
        };
        (Source::Conntrack, record)
    });
    FlowBatch {
        node: "n1".into(),
        instance: Instance([3; 16]),
        sequence: (number, number),
        span: (at(seconds), at(seconds)),
        seen: Observations {
            records: records.collect(),
            ..Observations::default()
        },
    }
}

fn calls() -> Vec<FlowRecord> {
    let verdicts = [Verdict::Established, Verdict::Refused];
    let call = |verdict| record("10.244.1.5", "10.244.2.6:8080", verdict);
    verdicts.map(call).into()
}

/// An hour of calls, each second one of each kind, with what a controller does once a minute.
fn an_hour(tidy: bool) -> LiveGraph {
    let inventory = cluster();
    let mut live = LiveGraph::default();
    for second in 0..3600 {
        live.apply(batch(second as u64 + 1, second, calls()));
        if tidy && second % 60 == 59 {
            live.tidy(&inventory, at(second), at(-3600), 1000);
        }
    }
    live
}

fn lessons(live: &mut LiveGraph) -> BTreeMap<EdgeKey, (Lesson, u64, u64)> {
    let graph = live
        .build(&Arc::new(cluster()), GraphOptions::default())
        .graph;
    let edges = graph.edges().into_iter().map(|(client, server, edge)| {
        let key = (client.clone(), server.clone(), edge.protocol, edge.port);
        let bytes = edge.bytes_to_server + edge.bytes_to_client;
        (key, (edge.lesson.clone(), edge.connections(), bytes))
    });
    edges.collect()
}

#[test]
fn an_idle_controller_keeps_as_many_records_after_an_hour_as_after_half_an_hour() {
    let mut tidied = an_hour(true);
    let mut plain = an_hour(false);
    assert_eq!(plain.hot().records().count(), 7200);
    let kept = tidied.hot().records().count();
    // Two pairs: of the hour one each, of 17 minutes one each, and each second of the last four minutes.
    assert!(kept <= 2 * (1 + 18 + 4 * 60), "{kept} records");
    assert_eq!(
        lessons(&mut tidied),
        lessons(&mut plain),
        "the graph is the same"
    );
}

#[test]
fn recent_traffic_is_known_by_the_minute_for_as_long_as_a_change_is_watched() {
    let live = an_hour(true);
    let inventory = cluster();
    for minutes in [2, 10, 15] {
        let recent = live.recent(at(3600 - 60 * minutes), &inventory);
        let connections: u64 = recent
            .edges()
            .iter()
            .map(|(_, _, edge)| edge.connections())
            .sum();
        let expected = 2 * 60 * (minutes as u64);
        assert!(
            (expected - 120..=expected).contains(&connections),
            "{connections} of {expected}"
        );
    }
}

#[test]
fn what_the_store_folded_takes_the_place_of_its_records() {
    let inventory = cluster();
    let (mut live, mut reference) = (an_hour(true), an_hour(true));
    for live in [&mut live, &mut reference] {
        live.apply(batch(9_000, 7200, calls()));
    }
    let hour = at(0).hour();
    let before = lessons(&mut reference);
    let mut of_hour = reference.hot().clone().take_hours(at(7200).hour());
    let folded = of_hour
        .iter_mut()
        .map(|(hour, records)| (*hour, History::fold(records, &inventory)));
    live.take_folded(&folded.collect(), 1000);
    assert!(live.hot().records().all(|(_, record)| record.hour() > hour));
    assert_eq!(lessons(&mut live), before);
    // What came for it while it was folded goes with the next round: the store has it.
    live.apply(batch(9_001, 10, calls()));
    live.forget_hours(hour + 1);
    assert_eq!(lessons(&mut live), before);
}

#[test]
fn beyond_their_number_and_their_time_edges_are_forgotten() {
    let inventory = cluster();
    let mut live = an_hour(true);
    let hours = live.hot().clone().take_hours(i64::MAX);
    let folded = hours
        .iter()
        .map(|(hour, records)| (*hour, History::fold(records, &inventory)));
    live.take_folded(&folded.collect(), 1000);
    assert!(live.history().edges().count() > 0);
    live.tidy(&inventory, at(7200), at(3000), 1000);
    assert!(live.history().edges().count() > 0, "seen since");
    live.tidy(&inventory, at(7200), at(3000), 0);
    assert_eq!(live.history().edges().count(), 0, "no room");
}
