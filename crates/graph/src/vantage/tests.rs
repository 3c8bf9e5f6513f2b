//! What sources had in view, and on which node a capture was taken.

use super::*;
use crate::testing::ip;
use nanoseg_inventory::testing;
use std::net::IpAddr;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: api}\n\
     spec: {clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], ports: [{port: 80, protocol: TCP}]}";

/// web and cache on n1, api on n2, db on n3; a second cache on n2.
fn cluster() -> Inventory {
    let documents = [
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
        testing::node("n3", "10.244.3.0/24", "172.18.0.4"),
        testing::pod("shop", "web", "10.244.1.5", "n1", "app: web"),
        testing::pod("shop", "cache-1", "10.244.1.6", "n1", "app: cache"),
        testing::pod("shop", "cache-2", "10.244.2.6", "n2", "app: cache"),
        testing::pod("shop", "api", "10.244.2.5", "n2", "app: api"),
        testing::pod("shop", "db", "10.244.3.5", "n3", "app: db"),
        SERVICE.to_owned(),
    ];
    testing::inventory(&documents.join("\n---\n")).0
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

/// `certain | presumed` nodes of a capture with packets between these addresses.
fn nodes(pairs: &[(&str, &str)], known: &[&str]) -> String {
    nodes_in(pairs, known, false)
}

fn nodes_in(pairs: &[(&str, &str)], known: &[&str], may_be_of_several: bool) -> String {
    let pairs: Vec<(IpAddr, IpAddr)> = pairs.iter().map(|(a, b)| (ip(a), ip(b))).collect();
    let known = known.iter().map(|node| (*node).to_owned()).collect();
    let found = nodes_of_capture(&pairs, &cluster(), &known, at(0), may_be_of_several);
    let list = |nodes: BTreeSet<String>| nodes.into_iter().collect::<Vec<_>>().join(" ");
    format!("{} | {}", list(found.certain), list(found.presumed))
}

#[test]
fn packets_that_never_leave_a_node_show_it() {
    for (what, pair) in [
        (
            "a probe from the pod-side gateway",
            ("10.244.1.1", "10.244.1.5"),
        ),
        (
            "a probe from the node's address",
            ("172.18.0.2", "10.244.1.5"),
        ),
        ("two pods of one node", ("10.244.1.5", "10.244.1.6")),
        ("a Service before translation", ("10.244.1.5", "10.96.0.20")),
        ("a link-local address", ("169.254.169.254", "10.244.1.5")),
        ("an outside address", ("10.244.1.5", "203.0.113.7")),
        ("a node port from outside", ("203.0.113.7", "172.18.0.2")),
    ] {
        assert_eq!(nodes(&[pair], &[]), "n1 | ", "{what}");
    }
}

#[test]
fn packets_between_two_nodes_show_neither() {
    assert_eq!(nodes(&[("10.244.1.5", "10.244.2.5")], &[]), " | n1 n2");
    assert_eq!(nodes(&[("10.244.1.5", "172.18.0.3")], &[]), " | n1 n2");
}

#[test]
fn a_node_that_was_captured_for_certain_explains_packets_to_others() {
    let probe = ("10.244.1.1", "10.244.1.5");
    let call = ("10.244.1.5", "10.244.2.5");
    assert_eq!(nodes(&[call, probe], &[]), "n1 | ");
    assert_eq!(nodes(&[call], &["n1"]), "n1 | ", "by another capture");
    assert_eq!(nodes(&[call], &["n3"]), " | n1 n2");
}

#[test]
fn the_only_node_that_explains_all_packets_is_the_one() {
    let calls = [("10.244.1.5", "10.244.2.5"), ("10.244.1.5", "10.244.3.5")];
    assert_eq!(nodes(&calls, &[]), "n1 | ");
}

#[test]
fn what_may_be_of_several_nodes_need_not_be_of_the_one_that_explains_all() {
    let calls = [("10.244.1.5", "10.244.2.5"), ("10.244.1.5", "10.244.3.5")];
    assert_eq!(nodes_in(&calls, &[], true), " | n1");
    let probe = ("10.244.1.1", "10.244.1.5");
    assert_eq!(nodes_in(&[probe, calls[0]], &[], true), "n1 | ");
}

#[test]
fn while_somebody_is_unknown_the_one_that_explains_the_others_is_presumed() {
    let calls = [("10.244.1.5", "10.244.2.5"), ("10.244.1.5", "10.244.3.5")];
    for stranger in [
        ("10.244.3.99", "10.244.2.5"),
        ("10.244.3.99", "10.96.0.20"),
        ("10.244.3.99", "203.0.113.7"),
    ] {
        assert_eq!(nodes(&[calls[0], calls[1], stranger], &[]), " | n1");
    }
    let explained = ("10.244.3.99", "10.244.1.5");
    assert_eq!(nodes(&[calls[0], calls[1], explained], &[]), "n1 | ");
}

#[test]
fn where_no_single_node_explains_all_packets_any_may_have_been_captured() {
    let calls = [
        ("10.244.1.5", "10.244.2.5"),
        ("10.244.2.5", "10.244.3.5"),
        ("10.244.1.5", "10.244.3.5"),
    ];
    assert_eq!(nodes(&calls, &[]), " | n1 n2 n3");
}

#[test]
fn packets_of_nobody_known_show_nothing() {
    assert_eq!(nodes(&[("10.244.1.99", "10.244.1.5")], &[]), " | ");
    assert_eq!(nodes(&[("203.0.113.7", "127.0.0.1")], &[]), " | ");
}

fn in_view(vantage: &Vantage, workload: &str) -> InView {
    let cluster = cluster();
    let mut workloads = cluster.workloads.values();
    let workload = workloads.find(|w| w.id.name.starts_with(workload));
    vantage.of(workload.expect("a workload"), &cluster, (at(0), at(100)))
}

fn on(nodes: &[(&str, Certainty, i64, i64)]) -> Vantage {
    let mut vantage = Vantage::default();
    for (node, certainty, first, last) in nodes {
        let mut spans = TimeSpans::default();
        spans.insert(at(*first), at(*last));
        vantage.add_node(node, *certainty, &spans);
    }
    vantage
}

#[test]
fn a_pod_is_in_view_if_its_node_was_at_some_time_of_its_life() {
    let n1 = on(&[("n1", Certainty::Certain, 0, 40)]);
    let web = in_view(&n1, "web");
    assert_eq!(
        (web.pods, web.certain, web.pod_secs, web.secs_in_view),
        (1, 1, 100, 40)
    );
    let api = in_view(&n1, "api");
    assert_eq!((api.pods, api.certain, api.secs_in_view), (1, 0, 0));
    assert_eq!(api.not_certain[0].node.as_deref(), Some("n2"));
    let elsewhen = on(&[("n1", Certainty::Certain, 200, 300)]);
    assert_eq!(in_view(&elsewhen, "web").certain, 0);
}

#[test]
fn a_presumed_view_is_not_a_certain_one() {
    let presumed = on(&[("n1", Certainty::Presumed, 0, 100)]);
    let web = in_view(&presumed, "web");
    assert_eq!((web.certain, web.secs_in_view), (0, 100));
    assert!(web.not_certain[0].presumed);
}

#[test]
fn all_nodes_are_in_view_where_the_source_sees_all() {
    let everywhere = Vantage::everywhere(at(0), at(100));
    assert_eq!(in_view(&everywhere, "db").certain, 1);
    assert!(everywhere.unseen_nodes(&cluster()).is_empty());
    let n1 = on(&[("n1", Certainty::Certain, 0, 100)]);
    let unseen: Vec<String> = n1.unseen_nodes(&cluster()).into_iter().collect();
    assert_eq!(unseen, ["n2", "n3"]);
}

#[test]
fn what_two_sources_had_in_view_adds_up() {
    let mut both = on(&[("n1", Certainty::Certain, 0, 10)]);
    both.merge(&on(&[
        ("n1", Certainty::Certain, 50, 60),
        ("n2", Certainty::Presumed, 0, 100),
    ]));
    assert_eq!(in_view(&both, "web").secs_in_view, 20);
    assert_eq!(in_view(&both, "api").not_certain.len(), 1);
    assert_eq!(both.nodes().count(), 1);
}
