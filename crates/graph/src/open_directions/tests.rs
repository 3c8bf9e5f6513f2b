//! Which directions stay open, and what an operator reads about it.

use super::*;
use crate::testing::{START, cluster, record};
use crate::{Certainty, GraphOptions, build};
use nanoseg_flow::{FlowRecord, FlowResult};
use nanoseg_net::TimeSpans;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

fn found(records: Vec<FlowRecord>, vantage: &Vantage, options: IsolationOptions) -> OpenDirections {
    let inventory = cluster();
    let seen = FlowResult {
        records,
        ..FlowResult::default()
    };
    let graph = build(&seen, &inventory, GraphOptions::default()).graph;
    let span = (at(0), at(100));
    let workloads = inventory.workloads.keys();
    OpenDirections::find(&graph, &inventory, vantage, span, workloads, options)
}

fn listed(open: &OpenDirections) -> Vec<String> {
    let open = open.iter();
    open.map(|(id, direction, _)| format!("{id} {direction}"))
        .collect()
}

fn n1() -> Vantage {
    let mut spans = TimeSpans::default();
    spans.insert(at(0), at(100));
    let mut vantage = Vantage::default();
    vantage.add_node("n1", Certainty::Certain, &spans);
    vantage
}

fn call() -> FlowRecord {
    record("10.244.1.5", "10.244.2.6:8080", Verdict::Established)
}

#[test]
fn workloads_on_a_node_that_was_not_in_view_stay_open_in_both_directions() {
    let open = found(vec![call()], &n1(), IsolationOptions::default());
    assert_eq!(
        listed(&open),
        [
            "kube-system/dns ingress",
            "kube-system/dns egress",
            "shop/api-a ingress",
            "shop/api-a egress",
            "shop/api-b ingress",
            "shop/api-b egress",
        ]
    );
    let findings = open.findings();
    assert_eq!(findings.len(), 3);
    assert_eq!(findings[1].code, Code::NotInView);
    assert_eq!(findings[1].subject, "shop/api-a");
    assert_eq!(
        findings[1].message,
        "ingress and egress stays open: 1 of 1 pods were not in view: api-a on n2"
    );
}

#[test]
fn an_operator_may_isolate_what_was_not_in_view() {
    let options = IsolationOptions {
        partial_view: true,
        ..IsolationOptions::default()
    };
    assert!(found(vec![call()], &n1(), options).is_empty());
}

#[test]
fn where_either_node_may_have_been_captured_only_directions_with_traffic_are_isolated() {
    let mut spans = TimeSpans::default();
    spans.insert(at(0), at(100));
    let mut vantage = Vantage::default();
    for node in ["n1", "n2"] {
        vantage.add_node(node, Certainty::Presumed, &spans);
    }
    let all = found(vec![call()], &vantage, IsolationOptions::default());
    let open = listed(&all);
    let findings = all.findings();
    let presumed: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.code == Code::PresumedView)
        .collect();
    assert_eq!(presumed.len(), 2, "{findings:?}");
    assert_eq!(presumed[1].subject, "shop/web");
    assert!(!open.contains(&"shop/web egress".to_owned()), "{open:?}");
    assert!(!open.contains(&"shop/api-a ingress".to_owned()), "{open:?}");
    assert!(open.contains(&"shop/web ingress".to_owned()), "{open:?}");
    assert!(open.contains(&"shop/api-a egress".to_owned()), "{open:?}");
}

#[test]
fn answered_traffic_with_somebody_without_a_name_keeps_its_direction_open() {
    let everywhere = Vantage::everywhere(at(0), at(100));
    let stranger = |verdict| record("10.244.1.5", "10.244.2.200:8080", verdict);
    let open = found(
        vec![stranger(Verdict::Established)],
        &everywhere,
        IsolationOptions::default(),
    );
    assert_eq!(listed(&open), ["shop/web egress"]);
    let findings = open.findings();
    assert_eq!(findings[0].code, Code::UnattributedTraffic);
    assert_eq!(
        findings[0].message,
        "egress stays open: answered traffic with somebody who has no name: 10.244.2.200 8080/TCP (unknown-pod)"
    );
    for verdict in [Verdict::Unanswered, Verdict::Refused, Verdict::Dropped] {
        let open = found(
            vec![stranger(verdict)],
            &everywhere,
            IsolationOptions::default(),
        );
        assert!(open.is_empty(), "{verdict:?} was not answered");
    }
    let options = IsolationOptions {
        unattributed: true,
        ..IsolationOptions::default()
    };
    assert!(found(vec![stranger(Verdict::Established)], &everywhere, options).is_empty());
}

#[test]
fn a_client_without_a_name_keeps_the_ingress_of_its_server_open() {
    let everywhere = Vantage::everywhere(at(0), at(100));
    let stranger = record("10.244.1.200", "10.244.2.6:8080", Verdict::Established);
    let open = found(vec![stranger], &everywhere, IsolationOptions::default());
    assert_eq!(listed(&open), ["shop/api-a ingress"]);
}

#[test]
fn traffic_of_long_ago_is_forgotten() {
    let everywhere = Vantage::everywhere(at(0), at(100));
    let stranger = record("10.244.1.200", "10.244.2.6:8080", Verdict::Established);
    let last = stranger.last;
    let open = || {
        found(
            vec![stranger.clone()],
            &everywhere,
            IsolationOptions::default(),
        )
    };
    let mut kept = open();
    kept.forget_traffic_before(last);
    assert_eq!(kept, open());
    let mut forgotten = open();
    forgotten.forget_traffic_before(last.plus_nanos(1));
    assert!(forgotten.is_empty());
}
