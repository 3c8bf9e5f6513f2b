//! Which directions stay open, and what an operator reads about it.

use super::*;
use crate::testing::{START, cluster, record};
use crate::{Certainty, GraphOptions, build};
use nanoseg_flow::{FlowRecord, FlowResult, PeerLabel, PeerLabels, PodLabel};
use nanoseg_net::TimeSpans;
use std::sync::Arc;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

fn found(records: Vec<FlowRecord>, vantage: &Vantage, options: IsolationOptions) -> OpenDirections {
    found_in(&cluster(), records, vantage, options)
}

fn found_in(
    inventory: &Inventory,
    records: Vec<FlowRecord>,
    vantage: &Vantage,
    options: IsolationOptions,
) -> OpenDirections {
    let seen = FlowResult {
        records,
        ..FlowResult::default()
    };
    let graph = build(&seen, inventory, GraphOptions::default()).graph;
    let span = (at(0), at(100));
    let workloads = inventory.workloads.keys();
    OpenDirections::find(&graph, inventory, vantage, span, workloads, options)
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
        "ingress and egress stay open: 1 of 1 pods were not in view: api-a on n2"
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

/// The record with the name that a log gives its client.
fn from(pod: &str, record: FlowRecord) -> FlowRecord {
    let labels = PeerLabels {
        client: Some(PeerLabel::Pod(PodLabel::named("shop", pod))),
        ..PeerLabels::default()
    };
    FlowRecord {
        labels: Some(Arc::new(labels)),
        ..record
    }
}

#[test]
fn what_else_is_seen_of_an_address_that_a_log_names_is_perhaps_of_that_workload() {
    let everywhere = Vantage::everywhere(at(0), at(100));
    let stranger = |server| record("10.244.2.200", server, Verdict::Established);
    let records = vec![
        from("web", stranger("10.244.2.6:8080")),
        stranger("10.244.2.7:9090"),
    ];
    let open = found(records, &everywhere, IsolationOptions::default());
    assert_eq!(listed(&open), ["shop/api-b ingress", "shop/web egress"]);
    assert_eq!(
        open.findings()[1].message,
        "egress stays open: answered traffic of an address that perhaps was its own then: shop/api-b 9090/TCP (unknown-pod)"
    );
    // With its name it is the workload's for certain.
    let named = vec![from("web", stranger("10.244.2.6:8080"))];
    assert!(found(named, &everywhere, IsolationOptions::default()).is_empty());
}

#[test]
fn a_pod_that_only_a_log_names_counts_for_what_was_in_view() {
    let stranger = record("10.244.2.200", "10.244.1.5:8080", Verdict::Established);
    let open = found(
        vec![from("web", stranger.clone())],
        &n1(),
        IsolationOptions::default(),
    );
    let findings = open.findings();
    let of_web = findings.iter().find(|one| one.subject == "shop/web");
    assert_eq!(
        of_web.map(|one| one.message.as_str()),
        Some(
            "ingress and egress stay open: 1 of 2 pods were not in view: one at 10.244.2.200 that only a log names on n2"
        )
    );
    let everywhere = Vantage::everywhere(at(0), at(100));
    let named = vec![from("web", stranger)];
    assert!(found(named, &everywhere, IsolationOptions::default()).is_empty());
}

#[test]
fn a_service_without_endpoints_keeps_open_whom_it_selects() {
    let everywhere = Vantage::everywhere(at(0), at(100));
    let call = record("10.244.1.5", "10.96.0.30:80", Verdict::Established);
    let mut inventory = cluster();
    let open = |inventory: &Inventory| {
        let call = vec![call.clone()];
        listed(&found_in(
            inventory,
            call,
            &everywhere,
            IsolationOptions::default(),
        ))
    };
    assert_eq!(open(&inventory), ["shop/web egress"]);
    for service in &mut inventory.services {
        if service.name == "empty" {
            service.selector = [("app".to_owned(), "a".to_owned())].into();
        }
    }
    assert_eq!(open(&inventory), ["shop/api-a ingress", "shop/web egress"]);
}
