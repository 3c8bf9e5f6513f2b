//! Which agents saw an edge (rule: edge-has-two-observers). In the cluster web is on n1, api and DNS on n2.

use crate::testing::{START, cluster, record, udp};
use crate::{
    Corroboration, Edge, EdgeKey, GraphOptions, History, InventoryListeners, Outcome, Peer,
    StoredEdge, Views, address_epochs, build,
};
use nanoseg_flow::{Aggregate, FlowRecord, Observed, Observer, Observers, Source, Verdict};
use nanoseg_net::{TimeSpans, Timestamp};

const WEB: &str = "10.244.1.5";
const API: &str = "10.244.2.6:8080";

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

fn told(by: &[(&str, FlowRecord)]) -> Aggregate {
    let mut all = Aggregate::default();
    for (node, record) in by {
        all.add_record(Observed {
            observer: Observer {
                node: (*node).into(),
                source: Source::Conntrack,
            },
            record: record.clone(),
        });
    }
    all
}

/// The edge to that server of a graph of what agents told.
fn edge(by: &[(&str, FlowRecord)], server: &str) -> Edge {
    let inventory = cluster();
    let listeners = InventoryListeners(&inventory);
    let seen = told(by).result(&listeners, &address_epochs(&inventory), 1024);
    let built = build(&seen, &inventory, GraphOptions::OBSERVED);
    let edges = built.graph.edges();
    let mut edges = edges.into_iter().filter(|(_, peer, _)| {
        matches!(peer, Peer::Workload(id) if id.name == server)
            || matches!(peer, Peer::Outside(address) if address.to_string() == server)
    });
    edges.next().expect("an edge").2.clone()
}

/// What each of these nodes' agents observed, from and until so many seconds.
fn views(all: &[(&str, i64, i64)]) -> Views {
    let mut views = Views::new();
    for (node, first, last) in all {
        let view: &mut TimeSpans = views.entry((*node).into()).or_default();
        view.insert(at(*first), at(*last));
    }
    views
}

fn nodes(names: &[&str]) -> Observers {
    names.iter().map(|name| (*name).into()).collect()
}

fn answered(edge: &Edge, views: &Views, now: i64) -> Corroboration {
    edge.corroboration(Outcome::Answered, views, at(now))
}

fn call(verdict: Verdict) -> FlowRecord {
    record(WEB, API, verdict)
}

#[test]
fn an_edge_names_its_observers_and_is_corroborated_by_those_of_both_ends() {
    let both = edge(
        &[
            ("n1", call(Verdict::Established)),
            ("n2", call(Verdict::Established)),
        ],
        "api-a",
    );
    assert_eq!(both.observers, nodes(&["n1", "n2"]));
    assert_eq!(
        answered(&both, &Views::new(), 0),
        Corroboration::BothEnds,
        "whatever is known of views"
    );
    // Both ends are on one node.
    let near = record("10.244.2.7", API, Verdict::Established);
    let own = edge(&[("n2", near)], "api-a");
    assert_eq!(answered(&own, &Views::new(), 0), Corroboration::BothEnds);
}

#[test]
fn what_the_agent_of_the_other_end_should_have_seen_and_did_not_is_one_sided() {
    let forged = edge(&[("n1", call(Verdict::Established))], "api-a");
    let both = views(&[("n1", -600, 300), ("n2", -600, 300)]);
    let one_sided = Corroboration::OneSided(nodes(&["n2"]));
    assert_eq!(answered(&forged, &both, 300), one_sided);
    assert!(!one_sided.is_trusted());
    // The other way round: the server's node tells of a client on another node.
    let forged = edge(&[("n2", call(Verdict::Established))], "api-a");
    let one_sided = Corroboration::OneSided(nodes(&["n1"]));
    assert_eq!(answered(&forged, &both, 300), one_sided);
}

#[test]
fn a_batch_that_is_under_way_makes_nothing_one_sided_and_corroborates_when_it_comes() {
    let early = edge(&[("n1", call(Verdict::Established))], "api-a");
    let waiting = Corroboration::Waiting(nodes(&["n2"]));
    for until in [-300, 0, 30] {
        // The receiver has nothing of the other node from a minute after the connection on.
        let late = views(&[("n1", -600, 900), ("n2", -600, until)]);
        assert_eq!(answered(&early, &late, 900), waiting, "until {until}");
    }
    assert!(!waiting.is_trusted(), "nothing is opened for it meanwhile");
    let late = views(&[("n1", -600, 900), ("n2", -600, 30)]);
    assert_eq!(
        answered(&early, &late, 8 * 24 * 3600),
        Corroboration::OneEnd,
        "the spool explains it no longer: its agent is gone"
    );
}

#[test]
fn where_only_one_end_was_observed_there_is_nothing_to_compare() {
    let alone = edge(&[("n1", call(Verdict::Established))], "api-a");
    let only_one = views(&[("n1", -600, 900)]);
    assert_eq!(answered(&alone, &only_one, 900), Corroboration::OneEnd);
    // Its agent began later, or was away then.
    for view in [&[("n2", 5, 900)][..], &[("n2", -600, -60), ("n2", 90, 900)]] {
        assert_eq!(answered(&alone, &views(view), 900), Corroboration::OneEnd);
    }
    let outside = record(WEB, "192.0.2.7:443", Verdict::Established);
    let both = views(&[("n1", -600, 900), ("n2", -600, 900)]);
    let outside = edge(&[("n1", outside)], "192.0.2.7");
    assert_eq!(answered(&outside, &both, 900), Corroboration::OneEnd);
}

#[test]
fn what_is_of_files_has_no_observers_and_is_trusted_as_its_operator_is() {
    let file = edge(&[("", call(Verdict::Established))], "api-a");
    assert!(file.observers.is_empty());
    let views = views(&[("n1", -600, 900), ("n2", -600, 900)]);
    let found = answered(&file, &views, 900);
    assert_eq!(found, Corroboration::NotOfAgents);
    assert!(found.is_trusted());
}

#[test]
fn who_saw_it_fail_does_not_confirm_that_it_was_answered() {
    let contradicted = edge(
        &[
            ("n1", call(Verdict::Established)),
            ("n2", call(Verdict::Refused)),
        ],
        "api-a",
    );
    let views = views(&[("n1", -600, 300), ("n2", -600, 300)]);
    let one_sided = Corroboration::OneSided(nodes(&["n2"]));
    assert_eq!(answered(&contradicted, &views, 300), one_sided);
    let failed = contradicted.corroboration(Outcome::Failed, &views, at(300));
    assert_eq!(failed, Corroboration::OneSided(nodes(&["n1"])));
}

#[test]
fn a_service_s_address_is_nowhere_so_the_nodes_behind_it_have_to_tell() {
    let called = udp(WEB, "10.96.0.10:53", Verdict::Established, 2);
    let views = views(&[("n1", -600, 300), ("n2", -600, 300)]);
    let alone = edge(&[("n1", called.clone())], "dns");
    let one_sided = Corroboration::OneSided(nodes(&["n2"]));
    assert_eq!(answered(&alone, &views, 300), one_sided);
    let arrived = udp(WEB, "10.244.2.53:5353", Verdict::Established, 2);
    let both = edge(&[("n1", called), ("n2", arrived)], "dns");
    assert_eq!(answered(&both, &views, 300), Corroboration::BothEnds);
}

#[test]
fn a_stored_edge_keeps_its_observers_and_one_of_an_earlier_version_has_none() {
    let inventory = cluster();
    let by = [("n1", call(Verdict::Established))];
    let folded = History::fold(&told(&by), &inventory);
    let (_, edge): (&EdgeKey, &Edge) = folded.edges().next().expect("an edge");
    let text = serde_json::to_string(&StoredEdge(edge.clone())).expect("JSON");
    let read: StoredEdge = serde_json::from_str(&text).expect("an edge");
    assert_eq!(read.0, *edge);
    let views = views(&[("n1", -600, 300), ("n2", -600, 300)]);
    let one_sided = Corroboration::OneSided(nodes(&["n2"]));
    assert_eq!(answered(&read.0, &views, 300), one_sided);

    let mut earlier: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let parts = earlier.as_object_mut().expect("an object");
    parts.remove("sightings").expect("sightings");
    let shown = parts.get_mut("edge").and_then(|edge| edge.as_object_mut());
    shown
        .expect("an edge")
        .remove("observers")
        .expect("observers");
    let read: StoredEdge = serde_json::from_value(earlier).expect("an edge");
    let found = answered(&read.0, &views, 300);
    assert_eq!(found, Corroboration::NotOfAgents);
}

/// The nodes that should have seen the answered connections of each client of api-a and did not.
fn one_sided(by: &[(&str, FlowRecord)], views: &Views) -> Vec<(String, Observers)> {
    let inventory = cluster();
    let listeners = InventoryListeners(&inventory);
    let mut seen = told(by).result(&listeners, &address_epochs(&inventory), 1024);
    seen.views = views.clone();
    let mut graph = build(&seen, &inventory, GraphOptions::OBSERVED).graph;
    graph.corroborate(views, at(10_000));
    let edges = graph.edges().into_iter();
    let of_api =
        edges.filter(|(_, server, _)| matches!(server, Peer::Workload(id) if id.name == "api-a"));
    of_api
        .map(|(client, _, edge)| (client.to_string(), edge.one_sided.clone()))
        .collect()
}

#[test]
fn a_client_that_comes_through_a_node_and_that_node_confirm_each_other() {
    let from = |client: &str, verdict| record(client, API, verdict);
    let customer = ("n1", from("203.0.113.9", Verdict::Established));
    let masqueraded = ("n2", from("172.18.0.2", Verdict::Established));
    let views = views(&[("n1", -600, 600), ("n2", -600, 600)]);
    let none = Observers::default;
    assert_eq!(
        one_sided(&[customer.clone(), masqueraded.clone()], &views),
        [
            ("node:n1".to_owned(), none()),
            ("outside:203.0.113.9".to_owned(), none())
        ]
    );
    // Either alone is not confirmed by anybody, nor by a call that was not answered.
    let n1 = || nodes(&["n1"]);
    assert_eq!(
        one_sided(std::slice::from_ref(&masqueraded), &views),
        [("node:n1".to_owned(), n1())]
    );
    assert_eq!(
        one_sided(&[customer], &views),
        [("outside:203.0.113.9".to_owned(), nodes(&["n2"]))]
    );
    let refused = ("n1", from("203.0.113.9", Verdict::Refused));
    let told = one_sided(&[refused, masqueraded.clone()], &views);
    assert!(told.contains(&("node:n1".to_owned(), n1())), "{told:?}");
    // A client of another server confirms nothing.
    let elsewhere = record("203.0.113.9", "10.244.2.7:9090", Verdict::Established);
    let told = one_sided(&[("n1", elsewhere), masqueraded], &views);
    assert_eq!(told, [("node:n1".to_owned(), n1())]);
}
