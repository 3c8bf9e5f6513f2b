//! Folded parts of the time come to the same as the whole.

use crate::testing::{START, cluster, record, seen, udp};
use crate::{
    Edge, EdgeKey, FoldedScan, Graph, GraphOptions, History, InventoryListeners, Lesson, Peer,
    StoredEdge, address_epochs, build, build_after,
};
use nanoseg_flow::{Aggregate, FlowRecord, NoListeners, Observations, Source, Verdict};
use nanoseg_net::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn aggregate<'r>(seen: impl IntoIterator<Item = &'r (&'static str, FlowRecord)>) -> Aggregate {
    let mut all = Aggregate::default();
    for (node, record) in seen {
        let records = vec![(Source::Conntrack, record.clone())];
        let slice = Observations {
            records,
            ..Observations::default()
        };
        all.add(&(*node).into(), slice);
    }
    all
}

/// The part of an edge that must be the same: all but the samples, which are of each part, and how many datagrams
/// more than two there were (a record without a count stands for one per connection).
fn compared(edge: &Edge) -> Edge {
    Edge {
        evidence: Vec::new(),
        evidence_total: 0,
        tally: Default::default(),
        ..edge.clone()
    }
}

fn edges(history: &History) -> BTreeMap<EdgeKey, Edge> {
    let edges = history.edges();
    edges
        .map(|(key, edge)| (key.clone(), compared(edge)))
        .collect()
}

fn lessons(graph: &Graph) -> Vec<(Peer, Peer, Edge)> {
    let edges = graph.edges().into_iter();
    edges
        .map(|(client, server, edge)| (client.clone(), server.clone(), compared(edge)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn hours_folded_in_any_order_come_to_what_all_records_come_to(
        seen in vec(seen(), 0..40), order in Just([0i64, 1, 2]).prop_shuffle(),
    ) {
        let inventory = cluster();
        let all = aggregate(&seen);
        let whole = History::fold(&all, &inventory);
        let mut merged = History::default();
        for hour in order {
            let of_hour = seen.iter().filter(|(_, r)| r.hour() == START / 3600 + hour);
            merged.merge(&History::fold(&aggregate(of_hour), &inventory));
        }
        prop_assert_eq!(edges(&merged), edges(&whole));
        let epochs = address_epochs(&inventory);
        let listeners = InventoryListeners(&inventory);
        let options = GraphOptions::default();
        let rest = aggregate(seen.iter().filter(|(_, r)| r.hour() == START / 3600));
        let late = aggregate(seen.iter().filter(|(_, r)| r.hour() != START / 3600));
        let built = build(&all.result(&listeners, &epochs, 1024), &inventory, options);
        let after = build_after(
            &History::fold(&late, &inventory), &rest.result(&listeners, &epochs, 1024), &inventory, options,
        );
        prop_assert_eq!(lessons(&after.graph), lessons(&built.graph));
    }

    #[test]
    fn merging_is_the_same_in_any_order_and_grouping(parts in vec(vec(seen(), 0..12), 3)) {
        let inventory = cluster();
        let [a, b, c] = [0, 1, 2].map(|n| History::fold(&aggregate(&parts[n]), &inventory));
        let merged = |parts: &[&History]| {
            let mut all = History::default();
            parts.iter().for_each(|part| all.merge(part));
            all
        };
        let (left, right) = (merged(&[&merged(&[&a, &b]), &c]), merged(&[&a, &merged(&[&b, &c])]));
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(&left, &merged(&[&c, &b, &a]));
    }

    #[test]
    fn an_edge_is_kept_whole(seen in vec(seen(), 1..20)) {
        let history = History::fold(&aggregate(&seen), &cluster());
        for (_, edge) in history.edges() {
            let text = serde_json::to_string(&StoredEdge(edge.clone())).expect("JSON");
            let StoredEdge(read) = serde_json::from_str(&text).expect("an edge");
            prop_assert_eq!(&read, edge);
        }
    }
}

#[test]
fn datagrams_of_two_hours_teach_together() {
    let inventory = cluster();
    let one = |secs: i64| {
        let first = Timestamp::from_secs(START + secs);
        let record = FlowRecord {
            first,
            last: first,
            connections: 1,
            ..udp("10.244.2.6", "10.244.2.53:5353", Verdict::OneWay, 1)
        };
        History::fold(&aggregate(&[("n1", record)]), &inventory)
    };
    let mut history = one(0);
    let lesson = |history: &History| {
        let (_, edge) = history.edges().next().expect("an edge");
        edge.lesson.clone()
    };
    assert!(matches!(lesson(&history), Lesson::Review(_)));
    history.merge(&one(3600));
    assert_eq!(lesson(&history), Lesson::Learned);
}

#[test]
fn a_scan_over_hours_is_found_and_one_that_was_folded_is_still_told() {
    let inventory = cluster();
    let tries = |ports: std::ops::Range<u16>, hour: i64| {
        let records: Vec<_> = ports
            .map(|port| {
                let server = format!("10.244.2.7:{port}");
                let first = Timestamp::from_secs(START + hour * 3600);
                let failed = record("10.244.1.5", &server, Verdict::Refused);
                let last = first;
                (
                    "n1",
                    FlowRecord {
                        first,
                        last,
                        ..failed
                    },
                )
            })
            .collect();
        aggregate(&records)
    };
    let nothing = Aggregate::default().result(&NoListeners, &Default::default(), 1);
    let findings = |history: &History| {
        let built = build_after(history, &nothing, &inventory, GraphOptions::default());
        let scans = built.findings.iter();
        let scans = scans.filter(|finding| finding.code == nanoseg_finding::Code::PortScan);
        (built.graph.edges().len(), scans.count())
    };
    let mut slow = History::fold(&tries(1000..1010, 0), &inventory);
    assert_eq!(findings(&slow), (10, 0));
    slow.merge(&History::fold(&tries(2000..2010, 1), &inventory));
    assert_eq!(findings(&slow), (0, 1), "ten an hour");
    let fast = History::fold(&tries(1000..1020, 0), &inventory);
    assert_eq!(fast.edges().count(), 0);
    assert_eq!(findings(&fast), (0, 1));
}

#[test]
fn a_scan_keeps_a_bounded_number_of_targets_and_counts_the_rest() {
    let part = |from: u16| FoldedScan {
        failed: (0..1000)
            .map(|n| ([10, 0, 0, 1], from + n).into())
            .collect(),
        more: 5,
        last: Timestamp::from_secs(START),
        told_by: Default::default(),
    };
    let mut scan = part(1);
    scan.merge(&part(2001));
    assert_eq!((scan.failed.len(), scan.more), (1024, 10 + 976));
}

#[test]
fn edges_of_workloads_that_are_gone_are_no_part_of_the_graph() {
    let inventory = cluster();
    let seen = [(
        "n1",
        record("10.244.1.5", "10.244.2.6:8080", Verdict::Established),
    )];
    let history = History::fold(&aggregate(&seen), &inventory);
    let nothing = Aggregate::default().result(&NoListeners, &Default::default(), 1);
    let edges = |inventory| {
        let built = build_after(&history, &nothing, inventory, GraphOptions::default());
        built.graph.edges().len()
    };
    assert_eq!(edges(&inventory), 1);
    assert_eq!(edges(&nanoseg_inventory::Inventory::default()), 0);
}
