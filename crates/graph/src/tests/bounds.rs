//! An agent speaks for its node (rule: agent-speaks-for-its-node). In the cluster web is on n1, api and DNS on n2; n3 is a
//! node without pods.

use crate::testing::{START, cluster_with, ip, record, udp};
use crate::{Built, GraphOptions, InventoryListeners, Peer, address_epochs, build};
use nanoseg_finding::Code;
use nanoseg_flow::{
    Aggregate, FlowBatch, FlowRecord, Instance, Observations, Source, Told, Verdict,
};
use nanoseg_inventory::{Inventory, testing};
use nanoseg_net::Timestamp;

const WEB: &str = "10.244.1.5";
const API: &str = "10.244.2.6:8080";
const N3: &str = "172.18.0.4";

fn three_nodes() -> Inventory {
    cluster_with(&[testing::node("n3", "10.244.3.0/24", N3)])
}

/// A batch of a node that observed from ten minutes before the traffic until so many seconds after it.
fn batch(node: &str, until: i64, records: Vec<FlowRecord>) -> FlowBatch {
    let mut instance = [0; 16];
    instance[..node.len()].copy_from_slice(node.as_bytes());
    let told = |record: FlowRecord| FlowRecord {
        told: Some(Told {
            first: record.first,
            last: record.last,
        }),
        ..record
    };
    FlowBatch {
        node: node.into(),
        instance: Instance(instance),
        sequence: (1, 1),
        span: (
            Timestamp::from_secs(START - 600),
            Timestamp::from_secs(START + until),
        ),
        seen: Observations {
            records: records
                .into_iter()
                .map(|record| (Source::Capture, told(record)))
                .collect(),
            ..Observations::default()
        },
    }
}

fn built(batches: Vec<FlowBatch>) -> Built {
    built_in(&three_nodes(), batches)
}

fn built_in(inventory: &Inventory, batches: Vec<FlowBatch>) -> Built {
    let mut all = Aggregate::default();
    for batch in batches {
        all.apply(batch);
    }
    let listeners = InventoryListeners(inventory);
    let seen = all.result(&listeners, &address_epochs(inventory), 1024);
    build(&seen, inventory, GraphOptions::OBSERVED)
}

/// The nodes whose agents were out of bounds.
fn accused(built: &Built) -> Vec<&str> {
    let findings = built.findings.iter();
    let found = findings.filter(|finding| finding.code == Code::AgentOutOfBounds);
    found.map(|finding| finding.subject.as_str()).collect()
}

fn edges(built: &Built) -> Vec<String> {
    let edges = built.graph.edges().into_iter();
    edges
        .map(|(client, server, edge)| format!("{client} → {server} {}", edge.port))
        .collect()
}

fn call() -> FlowRecord {
    record(WEB, API, Verdict::Established)
}

fn with(change: impl FnOnce(&mut FlowRecord), mut record: FlowRecord) -> FlowRecord {
    change(&mut record);
    record
}

#[test]
fn what_an_agent_tells_of_other_nodes_pods_is_no_edge_and_is_reported_with_its_node() {
    let forged = vec![
        call(),
        record("10.244.2.7", API, Verdict::Established),
        record(WEB, "192.0.2.7:443", Verdict::Established),
        record("192.0.2.7", API, Verdict::Established),
        record("192.0.2.7", "10.96.0.20:80", Verdict::Established),
        record(WEB, "10.96.0.20:80", Verdict::Established),
        record("169.254.1.1", API, Verdict::Established),
        record(WEB, "169.254.169.254:80", Verdict::Established),
        record("172.18.0.2", API, Verdict::Established),
        udp(WEB, "10.244.2.53:5353", Verdict::OneWay, 5),
    ];
    // Without a view of n1 and n2 the datagrams that nobody answered may have been flooded.
    for (view, connections) in [(&["n1", "n2"][..], 9), (&[], 8)] {
        let mut batches = vec![batch("n3", 300, forged.clone())];
        batches.extend(view.iter().map(|node| batch(node, 300, Vec::new())));
        let built = built(batches);
        assert_eq!(edges(&built), [""; 0], "{view:?}");
        assert_eq!(accused(&built), ["node n3"], "{view:?}");
        let finding = built
            .findings
            .iter()
            .find(|f| f.code == Code::AgentOutOfBounds);
        let finding = finding.expect("a finding");
        let told = format!("{connections} connections");
        assert!(finding.message.contains(&told), "{finding:?}");
        assert_eq!(finding.samples.len(), 5);
    }
    // An agent on a node with pods is no more believed about those of others.
    let own = built(vec![batch(
        "n1",
        300,
        vec![record("10.244.2.7", API, Verdict::Established)],
    )]);
    assert_eq!((edges(&own), accused(&own)), (vec![], vec!["node n1"]));
}

#[test]
fn both_ends_agents_speak_for_their_pods_and_addresses_of_their_node() {
    for (node, record) in [
        ("n1", call()),
        ("n2", call()),
        ("n1", record(WEB, "192.0.2.7:443", Verdict::Established)),
        ("n2", record("192.0.2.7", API, Verdict::Established)),
        ("n1", record("172.18.0.2", API, Verdict::Established)),
        ("n1", record("10.244.1.1", API, Verdict::Established)),
    ] {
        let built = built(vec![batch(node, 300, vec![record.clone()])]);
        assert_eq!(accused(&built), [""; 0], "{node} {record:?}");
        assert_eq!(built.graph.edges().len(), 1, "{node} {record:?}");
    }
}

#[test]
fn transit_that_an_end_s_own_agent_saw_as_well_is_no_offence_and_adds_nothing() {
    let outside = record(WEB, "192.0.2.7:443", Verdict::Established);
    // An egress gateway, and a node that passes packets on.
    let gateway = with(|one| one.seen_as = Some(ip(N3)), outside.clone());
    let honest = vec![
        batch("n1", 300, vec![outside.clone(), call()]),
        batch("n3", 300, vec![gateway.clone(), call()]),
    ];
    let built_of_both = built(honest);
    assert_eq!(accused(&built_of_both), [""; 0]);
    let alone = built(vec![batch("n1", 300, vec![outside, call()])]);
    assert_eq!(edges(&built_of_both), edges(&alone));
    let connections = |built: &Built| -> u64 {
        let edges = built.graph.edges();
        edges.iter().map(|(_, _, edge)| edge.connections()).sum()
    };
    assert_eq!(connections(&built_of_both), connections(&alone));
    // Another port of the same peers was not seen by the owner.
    let more = record(WEB, "10.244.2.6:9999", Verdict::Established);
    let forged = built(vec![
        batch("n1", 300, vec![call()]),
        batch("n3", 300, vec![call(), more]),
    ]);
    assert_eq!(accused(&forged), ["node n3"]);
}

#[test]
fn packets_that_a_switch_floods_after_masquerading_are_no_offence() {
    // A pod on n1 asks a resolver as its node; n3 gets a copy on the wire, since the switch does not know the receiver.
    let asked = udp(WEB, "192.0.2.53:53", Verdict::OneWay, 3);
    let asked = with(|one| one.seen_as = Some(ip("172.18.0.2")), asked);
    let copy = udp("172.18.0.2", "192.0.2.53:53", Verdict::OneWay, 3);
    let honest = vec![
        batch("n1", 300, vec![asked.clone()]),
        batch("n3", 300, vec![copy.clone()]),
    ];
    let both = built(honest);
    assert_eq!(accused(&both), [""; 0]);
    assert_eq!(
        edges(&both),
        edges(&built(vec![batch("n1", 300, vec![asked.clone()])]))
    );
    // What n1 did not send is one.
    let other = udp("172.18.0.2", "192.0.2.54:53", Verdict::OneWay, 3);
    let forged = built(vec![
        batch("n1", 300, vec![asked]),
        batch("n3", 300, vec![copy, other]),
    ]);
    assert_eq!(accused(&forged), ["node n3"]);
}

#[test]
fn what_is_sent_to_a_node_that_is_down_is_held_against_no_other() {
    let tried = record("192.0.2.7", "172.18.0.2:30080", Verdict::Unanswered);
    // n1 told nothing of that time: it was down.
    let flooded = built(vec![batch("n3", 300, vec![tried.clone()])]);
    assert_eq!((edges(&flooded), accused(&flooded)), (vec![], vec![]));
    let watched = built(vec![
        batch("n1", 300, Vec::new()),
        batch("n3", 300, vec![tried]),
    ]);
    assert_eq!(accused(&watched), ["node n3"]);
    // Somebody who is down answers nobody.
    let answered = record("192.0.2.7", "172.18.0.2:30080", Verdict::Established);
    let forged = built(vec![batch("n3", 300, vec![answered])]);
    assert_eq!(accused(&forged), ["node n3"]);
}

#[test]
fn while_the_owner_s_batch_may_be_under_way_a_node_in_between_is_not_accused() {
    let early = built(vec![
        batch("n3", 300, vec![call()]),
        batch("n1", 10, Vec::new()),
        batch("n2", -60, Vec::new()),
    ]);
    assert_eq!((edges(&early), accused(&early)), (vec![], vec![]));
    let silent = built(vec![
        batch("n3", 300, vec![call()]),
        batch("n1", 300, Vec::new()),
        batch("n2", 300, Vec::new()),
    ]);
    assert_eq!(accused(&silent), ["node n3"]);
}

#[test]
fn a_pod_that_nobody_knows_yet_is_held_against_nobody_and_counts_once_it_is_known() {
    let new = record("10.244.1.99", API, Verdict::Established);
    let told = || vec![batch("n1", 300, vec![new.clone()])];
    let unknown = built(told());
    assert_eq!((edges(&unknown), accused(&unknown)), (vec![], vec![]));
    let new_pod = testing::pod("shop", "new", "10.244.1.99", "n1", "app: new");
    let inventory = cluster_with(&[new_pod]);
    let known = built_in(&inventory, told());
    assert_eq!(edges(&known), ["shop/new → shop/api-a 8080"]);
    // With nobody of another node at the other end it is as it always was.
    let outside = record("10.244.1.99", "192.0.2.7:443", Verdict::Established);
    let built = built(vec![batch("n1", 300, vec![outside])]);
    let peers: Vec<&Peer> = built.graph.peers().collect();
    assert!(
        matches!(peers[..], [Peer::Outside(_), Peer::Unattributed(_)]),
        "{peers:?}"
    );
}

#[test]
fn a_node_that_translates_speaks_for_what_was_called_at_it_if_the_translation_is_known() {
    let through = |called: &str| {
        let arrived = record("192.0.2.9", API, Verdict::Established);
        with(
            |one| {
                one.via = Some(called.parse().expect("an address"));
                one.seen_as = Some(ip(N3));
            },
            arrived,
        )
    };
    let honest = built(vec![batch("n3", 300, vec![through("172.18.0.4:30080")])]);
    assert_eq!(accused(&honest), [""; 0]);
    assert!(!edges(&honest).is_empty());
    // No Service has that node port.
    let forged = built(vec![batch("n3", 300, vec![through("172.18.0.4:30999")])]);
    assert_eq!(
        (edges(&forged), accused(&forged)),
        (vec![], vec!["node n3"])
    );
}

#[test]
fn a_node_cannot_make_what_others_told_of_a_part_of_its_own_connections() {
    // What n1 and n2 tell of web would be explained away: as seen after a translation, or before one.
    let own = record(N3, API, Verdict::Established);
    let as_web = with(|one| one.seen_as = Some(ip(WEB)), own);
    let mine = record(WEB, "172.18.0.4:9000", Verdict::Established);
    let called_api = with(|one| one.via = Some(API.parse().expect("an address")), mine);
    for forged in [as_web, called_api] {
        let built = built(vec![
            batch("n1", 300, vec![call()]),
            batch("n2", 300, vec![call()]),
            batch("n3", 300, vec![forged.clone()]),
        ]);
        assert_eq!(edges(&built), ["shop/web → shop/api-a 8080"], "{forged:?}");
    }
}

#[test]
fn what_was_not_told_by_an_agent_is_the_operator_s_to_judge() {
    let mut all = Aggregate::default();
    let seen = Observations {
        records: vec![(Source::Hubble, call())],
        ..Observations::default()
    };
    all.add(&"n3".into(), seen);
    let inventory = three_nodes();
    let seen = all.result(
        &InventoryListeners(&inventory),
        &address_epochs(&inventory),
        1024,
    );
    let built = build(&seen, &inventory, GraphOptions::OBSERVED);
    assert_eq!(edges(&built), ["shop/web → shop/api-a 8080"]);
}
