//! Scans are told by the node of the scanner (rule: scan-is-told-by-its-node). In the cluster web is on n1, api on n2.

use crate::testing::{cluster, record};
use crate::{Built, GraphOptions, History, InventoryListeners, address_epochs, build};
use nanoseg_finding::Code;
use nanoseg_flow::{Aggregate, FlowRecord, Observed, Observer, Source, Verdict};

const WEB: &str = "10.244.1.5";

fn told(by: &[(&str, Vec<FlowRecord>)]) -> Aggregate {
    let mut all = Aggregate::default();
    for (node, record) in by
        .iter()
        .flat_map(|(node, all)| all.iter().map(move |r| (node, r)))
    {
        all.add_record(Observed {
            observer: Observer {
                node: (*node).into(),
                source: Source::Capture,
            },
            record: record.clone(),
        });
    }
    all
}

fn built(by: &[(&str, Vec<FlowRecord>)]) -> Built {
    let inventory = cluster();
    let listeners = InventoryListeners(&inventory);
    let seen = told(by).result(&listeners, &address_epochs(&inventory), 1024);
    build(&seen, &inventory, GraphOptions::OBSERVED)
}

/// What a client tried at so many ports of a server, without an answer.
fn scan(client: &str, server: &str, ports: std::ops::Range<u16>) -> Vec<FlowRecord> {
    let tried = ports.map(|port| record(client, &format!("{server}:{port}"), Verdict::Unanswered));
    tried.collect()
}

fn scans(built: &Built) -> Vec<(String, String)> {
    let findings = built.findings.iter();
    let scans = findings.filter(|finding| finding.code == Code::PortScan);
    scans
        .map(|finding| (finding.subject.clone(), finding.message.clone()))
        .collect()
}

fn edges(built: &Built) -> Vec<String> {
    let edges = built.graph.edges().into_iter();
    edges
        .map(|(client, server, edge)| format!("{client} → {server} {}", edge.port))
        .collect()
}

#[test]
fn a_scan_that_the_client_s_own_node_tells_of_is_a_finding_about_it_that_names_the_node() {
    let built = built(&[("n1", scan(WEB, "10.244.2.6", 1..40))]);
    let found = scans(&built);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "shop/web");
    assert!(found[0].1.ends_with("; told by n1"), "{}", found[0].1);
    assert!(edges(&built).is_empty());
}

#[test]
fn a_scan_that_another_node_alone_tells_of_stops_nothing_of_the_client_s() {
    // n1 saw that web tried one port of the database; n2 claims that it tried forty.
    let violation = record(WEB, "192.0.2.7:5432", Verdict::Unanswered);
    let built = built(&[
        ("n1", vec![violation]),
        ("n2", scan(WEB, "10.244.2.6", 1..40)),
    ]);
    let found = scans(&built);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "shop/web (told by n2 only)");
    let kept = edges(&built);
    assert_eq!(
        kept,
        ["shop/web → outside:192.0.2.7 5432"],
        "what n1 saw stays"
    );
    // Also once it is folded.
    let folded = History::fold(&told(&[("n2", scan(WEB, "10.244.2.6", 1..40))]), &cluster());
    let nodes = folded.scans().values().map(|scan| scan.told_by.to_string());
    assert_eq!(nodes.collect::<Vec<_>>(), ["n2"]);
}

#[test]
fn of_a_client_without_a_node_a_node_removes_only_what_it_alone_saw() {
    let outside = "192.0.2.66";
    let tried = record(outside, "10.244.1.5:443", Verdict::Unanswered);
    let forged = built(&[
        ("n1", vec![tried.clone()]),
        ("n2", scan(outside, "10.244.2.6", 1..40)),
    ]);
    assert_eq!(edges(&forged), ["outside:192.0.2.66 → shop/web 443"]);
    assert_eq!(scans(&forged).len(), 1);
    // Two nodes each saw enough: whichever of them lies, it is a scan.
    let shown = built(&[
        ("n1", scan(outside, "10.244.1.5", 1..40)),
        ("n2", scan(outside, "10.244.2.6", 1..40)),
    ]);
    assert!(edges(&shown).is_empty(), "{:?}", edges(&shown));
}
