//! The rules of attribution and learning, each by a small cluster and hand-made flow records.

mod bounds;
mod declared;
mod foreign_endpoints;
mod history;
mod learning;
mod lookups;
mod mesh;
mod observers;
mod peer_labels;
mod resolvers;
mod scans;

use super::testing::{START, cluster, ip, record, udp};
use super::{
    Built, End, EnforcedPorts, GraphOptions, Lesson, Peer, PublicEntryChoice, ServiceEnforcements,
    build, public_entries, public_entry_findings, requirements,
};
use nanoseg_finding::Code;
use nanoseg_flow::{FlowRecord, FlowResult, Opening, Verdict};
use nanoseg_net::Timestamp;
use std::collections::BTreeSet;

fn graph_of(records: &[FlowRecord]) -> Built {
    let seen = FlowResult {
        records: records.to_vec(),
        ..FlowResult::default()
    };
    build(&seen, &cluster(), GraphOptions::default())
}

/// The edges as text, those of `O` first word `+`.
fn edges(built: &Built) -> Vec<String> {
    let sign = |lesson: &Lesson| match lesson {
        Lesson::Learned => "+",
        Lesson::Implied(_) => "implied",
        Lesson::Review(_) => "?",
        Lesson::Ignored(_) => "-",
    };
    let text = |(client, server, edge): (&Peer, &Peer, &super::Edge)| {
        format!(
            "{} {client} → {server} {}/{}",
            sign(&edge.lesson),
            edge.port,
            edge.protocol
        )
    };
    built.graph.edges().into_iter().map(text).collect()
}

fn codes(built: &Built) -> Vec<Code> {
    built.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_service_is_not_a_peer_all_its_ready_endpoints_are_on_their_own_ports() {
    let built = graph_of(&[record("10.244.1.5", "10.96.0.20:80", Verdict::Established)]);
    assert_eq!(
        edges(&built),
        [
            "+ shop/web → shop/api-a 8080/TCP",
            "+ shop/web → shop/api-b 9090/TCP"
        ]
    );
}

#[test]
fn a_translated_connection_gives_the_same_edges_in_whichever_order_its_legs_came() {
    let direct = FlowRecord {
        via: Some("10.96.0.20:80".parse().expect("valid")),
        ..record("10.244.1.5", "10.244.2.6:8080", Verdict::Established)
    };
    let turned = FlowRecord {
        via: Some("10.244.2.6:8080".parse().expect("valid")),
        ..record("10.244.1.5", "10.96.0.20:80", Verdict::Established)
    };
    let expected = [
        "+ shop/web → shop/api-a 8080/TCP",
        "+ shop/web → shop/api-b 9090/TCP",
    ];
    assert_eq!(edges(&graph_of(&[direct])), expected);
    assert_eq!(edges(&graph_of(&[turned])), expected);
}

#[test]
fn a_service_without_endpoints_is_a_finding_and_its_edge_never_teaches() {
    let built = graph_of(&[record("10.244.1.5", "10.96.0.30:80", Verdict::Established)]);
    assert_eq!(
        edges(&built),
        ["- shop/web → service-without-endpoints:shop/empty 80/TCP"]
    );
    let finding = |code| built.findings.iter().find(|finding| finding.code == code);
    // It has a selector in no snapshot, and no slice: nothing tells what stands behind it.
    let unknown = finding(Code::UnknownEndpoints).expect("a finding");
    assert_eq!(unknown.subject, "shop/empty:80");
    assert!(finding(Code::ServiceWithoutEndpoints).is_none());
}

#[test]
fn the_api_server_is_its_endpoint_not_its_cluster_address() {
    let built = graph_of(&[record("10.244.1.5", "10.96.0.1:443", Verdict::Established)]);
    assert_eq!(edges(&built), ["+ shop/web → api-server 6443/TCP"]);
    let all = requirements(&built.graph, &cluster(), &ServiceEnforcements::default());
    assert_eq!(all[0].server, End::Addresses([ip("172.18.0.9")].into()));
    assert_eq!(all[0].port, 6443);
}

#[test]
fn traffic_of_a_node_to_its_own_pods_never_becomes_an_edge() {
    let probe = record("10.244.1.1", "10.244.1.5:8080", Verdict::Established);
    let from_internal_ip = record("172.18.0.2", "10.244.1.5:8080", Verdict::Established);
    let built = graph_of(&[probe, from_internal_ip]);
    assert!(edges(&built).is_empty());
    assert_eq!(built.skipped["node-to-own-pod"], 2);
    let other_node = graph_of(&[record(
        "172.18.0.3",
        "10.244.1.5:8080",
        Verdict::Established,
    )]);
    assert_eq!(edges(&other_node), ["+ node:n2 → shop/web 8080/TCP"]);
}

#[test]
fn a_node_port_is_required_from_every_node_and_from_the_client_whichever_leg_was_seen() {
    let both = FlowRecord {
        via: Some("172.18.0.2:30080".parse().expect("valid")),
        seen_as: Some(ip("172.18.0.2")),
        ..record("203.0.113.7", "10.244.2.6:8080", Verdict::Established)
    };
    let at_the_node = record("203.0.113.7", "172.18.0.2:30080", Verdict::Established);
    let inventory = cluster();
    let clients = |records: &[FlowRecord]| {
        let graph = graph_of(records).graph;
        let all = requirements(&graph, &inventory, &ServiceEnforcements::default());
        let clients: BTreeSet<End> = all.into_iter().map(|one| one.client).collect();
        clients
    };
    let nodes = End::Addresses(inventory.node_addresses());
    let itself = End::Addresses(BTreeSet::from([ip("203.0.113.7")]));
    for seen in [&both, &at_the_node] {
        let built = graph_of(std::slice::from_ref(seen));
        assert_eq!(
            edges(&built),
            [
                "+ outside:203.0.113.7 → shop/api-a 8080/TCP",
                "+ outside:203.0.113.7 → shop/api-b 9090/TCP"
            ]
        );
        assert_eq!(
            clients(std::slice::from_ref(seen)),
            BTreeSet::from([nodes.clone(), itself.clone()])
        );
        assert!(codes(&built).contains(&Code::NodePortFromNodes));
    }
    // Behind the node that masqueraded it: nobody knows the client.
    let behind = record("172.18.0.2", "10.244.2.6:8080", Verdict::Established);
    assert_eq!(
        clients(std::slice::from_ref(&behind)),
        BTreeSet::from([nodes.clone()])
    );
    assert_eq!(
        clients(&[behind, at_the_node]),
        BTreeSet::from([nodes, itself])
    );
}

#[test]
fn an_address_of_the_pod_range_without_an_owner_is_a_finding_and_never_learned() {
    let built = graph_of(&[record(
        "10.244.1.5",
        "10.244.2.200:80",
        Verdict::Established,
    )]);
    assert_eq!(
        edges(&built),
        ["- shop/web → unknown-pod:10.244.2.200 80/TCP"]
    );
    assert!(codes(&built).contains(&Code::UnknownPod));
    assert!(requirements(&built.graph, &cluster(), &ServiceEnforcements::default()).is_empty());
    let from = graph_of(&[record(
        "10.244.2.200",
        "10.244.1.5:80",
        Verdict::Established,
    )]);
    assert_eq!(
        edges(&from),
        ["- unknown-pod:10.244.2.200 → shop/web 80/TCP"]
    );
}

#[test]
fn only_real_conversations_teach() {
    for verdict in [Verdict::Unanswered, Verdict::Refused, Verdict::Dropped] {
        let built = graph_of(&[record("10.244.1.5", "10.244.2.6:8080", verdict)]);
        assert_eq!(
            edges(&built),
            ["- shop/web → shop/api-a 8080/TCP"],
            "{verdict:?}"
        );
    }
}

#[test]
fn one_way_udp_teaches_where_it_repeats_to_a_declared_port() {
    let cases = [
        ("10.244.2.53:5353", 2, "+"),
        ("10.244.2.53:5353", 1, "?"),
        ("10.244.2.53:9999", 9, "?"),
    ];
    for (server, datagrams, sign) in cases {
        let built = graph_of(&[udp("10.244.1.5", server, Verdict::OneWay, datagrams)]);
        assert!(
            edges(&built)[0].starts_with(sign),
            "{server} {datagrams}: {:?}",
            edges(&built)
        );
    }
}

#[test]
fn dns_over_udp_implies_dns_over_tcp_on_the_servers_own_port() {
    let built = graph_of(&[udp("10.244.1.5", "10.96.0.10:53", Verdict::Established, 2)]);
    assert_eq!(
        edges(&built),
        [
            "implied shop/web → kube-system/dns 5353/TCP",
            "+ shop/web → kube-system/dns 5353/UDP"
        ]
    );
    let seen = [udp("10.244.1.5", "10.96.0.10:53", Verdict::Established, 2)];
    let seen = FlowResult {
        records: seen.to_vec(),
        ..FlowResult::default()
    };
    let without = build(&seen, &cluster(), GraphOptions::OBSERVED);
    assert_eq!(edges(&without), ["+ shop/web → kube-system/dns 5353/UDP"]);
}

#[test]
fn a_scan_is_one_finding_and_teaches_only_what_answered() {
    let mut records: Vec<FlowRecord> = (1..40)
        .map(|port| {
            record(
                "10.244.1.5",
                &format!("10.244.2.6:{port}"),
                Verdict::Refused,
            )
        })
        .collect();
    records.push(record(
        "10.244.1.5",
        "10.244.2.6:8080",
        Verdict::Established,
    ));
    let built = graph_of(&records);
    assert_eq!(edges(&built), ["+ shop/web → shop/api-a 8080/TCP"]);
    let scans: Vec<_> = built
        .findings
        .iter()
        .filter(|f| f.code == Code::PortScan)
        .collect();
    assert_eq!(scans.len(), 1);
    assert!(
        scans[0].message.contains("1 address on 39 ports"),
        "{}",
        scans[0].message
    );
}

#[test]
fn a_call_to_the_metadata_service_is_a_finding() {
    let built = graph_of(&[record(
        "10.244.1.5",
        "169.254.169.254:80",
        Verdict::Unanswered,
    )]);
    let finding = built
        .findings
        .iter()
        .find(|f| f.code == Code::MetadataService)
        .expect("a finding");
    assert_eq!(
        finding.message,
        "called 169.254.169.254:80, unanswered; not allowed"
    );
}

#[test]
fn an_undecided_connection_is_turned_to_the_port_that_more_peers_use_and_marked() {
    let undecided = |client: &str, client_port: u16, server: &str| FlowRecord {
        opening: Opening::Undecided,
        client_port: Some(client_port),
        ..record(client, server, Verdict::Established)
    };
    // Two pods talk to port 40001 of api-a; their own ports are lower.
    let built = graph_of(&[
        undecided("10.244.1.5", 33000, "10.244.2.6:40001"),
        undecided("10.244.2.6", 40001, "10.244.2.7:33001"),
    ]);
    assert_eq!(
        edges(&built),
        [
            "+ shop/api-b → shop/api-a 40001/TCP",
            "+ shop/web → shop/api-a 40001/TCP"
        ]
    );
    assert!(built.graph.edges().iter().all(|(_, _, edge)| edge.inferred));
    assert!(codes(&built).contains(&Code::InferredDirection));
    // No fact distinguishes them: the lower port is the server's.
    let lower = graph_of(&[undecided("10.244.1.5", 8080, "10.244.2.6:40001")]);
    assert_eq!(edges(&lower), ["+ shop/api-a → shop/web 8080/TCP"]);
}

#[test]
fn the_order_of_records_does_not_matter() {
    let mut records = vec![
        record("10.244.1.5", "10.96.0.20:80", Verdict::Established),
        record("10.244.2.6", "203.0.113.9:443", Verdict::Established),
        udp("10.244.1.5", "10.96.0.10:53", Verdict::Established, 1),
        record("10.244.1.5", "10.244.2.200:80", Verdict::Unanswered),
    ];
    let forward = graph_of(&records);
    records.reverse();
    let backward = graph_of(&records);
    assert_eq!(forward.graph.edges(), backward.graph.edges());
    assert_eq!(forward.findings, backward.findings);
}

#[test]
fn plugins_that_check_before_translation_need_the_service_port_too() {
    let built = graph_of(&[record("10.244.1.5", "10.96.0.20:80", Verdict::Established)]);
    let ports = |enforcement: EnforcedPorts| -> Vec<u16> {
        requirements(&built.graph, &cluster(), &enforcement.into())
            .iter()
            .map(|r| r.port)
            .collect()
    };
    assert_eq!(ports(EnforcedPorts::Pod), [8080, 9090]);
    assert_eq!(ports(EnforcedPorts::Either), [80, 8080, 80, 9090]);
}

#[test]
fn a_port_whose_clients_on_the_internet_keep_changing_is_a_public_entry() {
    let call = |client: &str, at: i64, connections: u64| FlowRecord {
        first: Timestamp::from_secs(START + at),
        last: Timestamp::from_secs(START + 1000),
        connections,
        ..record(client, "10.244.1.5:443", Verdict::Established)
    };
    let entries = |records: &[FlowRecord]| public_entries(&graph_of(records).graph);
    // Each seen once; the third is private and does not count.
    let once = |client| call(client, 0, 1);
    assert_eq!(
        entries(&["198.51.100.1", "198.51.100.2", "192.168.7.7"].map(once)),
        []
    );
    let found = entries(&["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(once));
    assert_eq!(
        (found[0].port, found[0].clients.len(), found[0].once),
        (443, 3, 3)
    );
    // The same partners all the time are no public.
    let often = |client: &str| call(client, 0, 50);
    let mut partners = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
        .map(often)
        .to_vec();
    assert_eq!(entries(&partners), []);
    // One more near the end, and there will be others.
    partners.push(call("198.51.100.4", 900, 50));
    assert_eq!(entries(&partners)[0].late, 1);
    let built = graph_of(&partners);
    let named = |f: &&nanoseg_finding::Finding| f.code == Code::PublicEntry;
    let finding = built.findings.iter().find(named).expect("a finding");
    assert_eq!(finding.subject, "shop/web");
    assert!(
        finding
            .message
            .contains("4 clients on the internet were seen"),
        "{finding:?}"
    );
    // An entry whose ingress stays open is closed to nobody.
    let open = public_entry_findings(&entries(&partners), PublicEntryChoice::Seen, |_| true);
    assert!(
        open[0].message.contains("stays open") && !open[0].message.contains("closed"),
        "{open:?}"
    );
    // Ten are a public of their own, however often each called.
    let many: Vec<FlowRecord> = (1..=10)
        .map(|n| often(&format!("198.51.100.{n}")))
        .collect();
    assert_eq!(entries(&many).len(), 1);
    // Nobody was answered.
    let refused = many.into_iter().map(|one| FlowRecord {
        verdict: Verdict::Refused,
        ..one
    });
    assert_eq!(entries(&refused.collect::<Vec<_>>()), []);
}
