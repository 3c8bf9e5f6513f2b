//! Names of outside addresses: by resolvers, and by nobody else (rule: dns-names-outside-addresses).

use crate::testing::{ip, record};
use crate::{
    DRIFT_BATCH, DnsEvidence, GraphOptions, MAX_DRIFT_PER_NAME, NameDrifts, StoredEdge, build,
};
use nanoseg_flow::{FlowResult, NameTable, NamedBy, Verdict};
use nanoseg_inventory::{Inventory, testing};
use nanoseg_net::Timestamp;

const WEB: &str = "203.0.113.66";
const ASKED: i64 = 1_799_999_990;

fn cluster() -> Inventory {
    let service = |namespace: &str, name: &str, address: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{namespace: {namespace}, name: {name}}}\n\
             spec: {{clusterIP: {address}, clusterIPs: [{address}], externalIPs: [192.0.2.77], ports: [{{name: dns, port: 53, protocol: UDP}}]}}"
        )
    };
    let asking = |name: &str, address: &str, spec: &str| {
        testing::pod("shop", name, address, "n1", &format!("app: {name}"))
            .replace("nodeName: n1,", &format!("nodeName: n1, {spec}"))
    };
    let dns = "k8s-app: kube-dns";
    let documents = [
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
        testing::pod("kube-system", "dns", "10.244.2.53", "n2", dns),
        // The same labels and the same Service, in a namespace of somebody.
        testing::pod("evil", "dns", "10.244.1.53", "n1", dns),
        testing::pod("evil", "host", "10.244.2.9", "n2", "app: host").replace(
            "image: i}",
            "image: i, ports: [{containerPort: 53, hostPort: 53, protocol: UDP}]}",
        ),
        service("kube-system", "kube-dns", "10.96.0.10"),
        service("evil", "kube-dns", "10.96.0.66"),
        asking("plain", "10.244.1.5", ""),
        asking(
            "own",
            "10.244.1.6",
            "dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.53, 10.244.1.53]},",
        ),
        asking("of-node", "10.244.1.7", "dnsPolicy: Default,"),
    ];
    testing::inventory(&documents.join("\n---\n")).0
}

/// The names of `WEB` after `client` called it, where `asker` was told one of it.
fn names(client: &str, asker: &str, by: NamedBy) -> Vec<String> {
    let mut names = NameTable::default();
    names.learn(
        ip(WEB),
        "bank.example",
        (ip(asker), by),
        Timestamp::from_secs(ASKED),
        60,
    );
    let call = record(client, &format!("{WEB}:443"), Verdict::Established);
    let seen = FlowResult {
        records: vec![call],
        names,
        ..FlowResult::default()
    };
    let graph = build(&seen, &cluster(), GraphOptions::default()).graph;
    graph
        .names
        .get(&ip(WEB))
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

#[test]
fn only_a_resolver_gives_names() {
    let by = |address: &str| NamedBy::Resolver(ip(address));
    let (plain, own, of_node) = ("10.244.1.5", "10.244.1.6", "10.244.1.7");
    let cases = [
        (plain, by("10.96.0.10"), true, "the cluster's Service"),
        (plain, by("10.244.2.53"), true, "its pod"),
        (plain, by("169.254.20.10"), true, "NodeLocal DNSCache"),
        (
            "10.244.2.53",
            by("192.0.2.53"),
            true,
            "whom the cluster's resolver asks",
        ),
        (plain, NamedBy::Source, true, "Hubble"),
        (
            plain,
            by("10.96.0.66"),
            false,
            "a Service of the same name elsewhere",
        ),
        (
            plain,
            by("10.244.1.53"),
            false,
            "a pod with the same labels elsewhere",
        ),
        (plain, by("192.0.2.53"), false, "somebody outside"),
        (
            plain,
            by("192.0.2.77"),
            false,
            "an external address of the cluster's Service",
        ),
        (
            plain,
            NamedBy::Unknown,
            false,
            "an older agent does not say who",
        ),
        (own, by("192.0.2.53"), true, "its own resolver"),
        (own, by("10.244.1.53"), true, "a pod that it names itself"),
        (own, by("192.0.2.54"), false, "none of its own"),
        (of_node, by("192.0.2.54"), true, "its node's resolver"),
        (of_node, by("172.18.0.2"), true, "a resolver on its node"),
        (
            of_node,
            by("172.18.0.3"),
            false,
            "a pod behind a port of a node",
        ),
        (
            of_node,
            by("10.244.1.53"),
            false,
            "a pod is no node's resolver",
        ),
    ];
    for (asker, by, expected, who) in cases {
        assert_eq!(!names(asker, asker, by).is_empty(), expected, "{who}");
    }
}

#[test]
fn what_a_client_s_own_resolver_says_names_nothing_for_others() {
    let own = NamedBy::Resolver(ip("192.0.2.53"));
    assert!(names("10.244.1.5", "10.244.1.6", own).is_empty());
    let of_cluster = NamedBy::Resolver(ip("10.96.0.10"));
    assert_eq!(
        names("10.244.1.5", "10.244.1.6", of_cluster),
        ["bank.example"]
    );
}

/// The names on the edge of `client` to `WEB`, where `asker` was told one of it.
fn looked_up(client: &str, asker: &str, by: NamedBy, asked: i64) -> Vec<String> {
    let mut names = NameTable::default();
    let at = Timestamp::from_secs(asked);
    names.learn(ip(WEB), "bank.example", (ip(asker), by), at, 60);
    let call = record(client, &format!("{WEB}:443"), Verdict::Established);
    let seen = FlowResult {
        records: vec![call],
        names,
        ..FlowResult::default()
    };
    let graph = build(&seen, &cluster(), GraphOptions::default()).graph;
    let evidence = DnsEvidence::of(&graph);
    let found: Vec<String> = (0..graph.taught().len())
        .flat_map(|edge| evidence.names(edge).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for (_, _, edge) in graph.taught() {
        let text = serde_json::to_string(&StoredEdge(edge.clone())).unwrap();
        let StoredEdge(read) = serde_json::from_str(&text).unwrap();
        assert_eq!(read.looked_up, edge.looked_up, "the store keeps them");
    }
    found
}

#[test]
fn an_edge_keeps_the_names_that_its_own_client_asked_for() {
    let cluster_dns = NamedBy::Resolver(ip("10.96.0.10"));
    let stranger = NamedBy::Resolver(ip("10.96.0.66"));
    let own = looked_up("10.244.1.5", "10.244.1.5", cluster_dns, ASKED);
    assert_eq!(own, ["bank.example"]);
    let of_others = looked_up("10.244.1.5", "10.244.1.6", cluster_dns, ASKED);
    assert!(
        of_others.is_empty(),
        "the client has the address from elsewhere"
    );
    let of_a_stranger = looked_up("10.244.1.5", "10.244.1.5", stranger, ASKED);
    assert!(of_a_stranger.is_empty(), "he may name nobody");
    let afterwards = looked_up("10.244.1.5", "10.244.1.5", cluster_dns, ASKED + 100_000);
    assert!(afterwards.is_empty(), "it called before it asked");
}

const LATER: i64 = ASKED + 6_700;

/// What `shop/plain` was told of its bank, and called.
fn drifts(told: &[(&str, &str, NamedBy, i64)], now: i64) -> NameDrifts {
    let cluster_dns = NamedBy::Resolver(ip("10.96.0.10"));
    let mut names = NameTable::default();
    let mut learn = |address: &str, asker: &str, by: NamedBy, at: i64| {
        let at = Timestamp::from_secs(at);
        names.learn(ip(address), "bank.example", (ip(asker), by), at, 60);
    };
    learn(WEB, "10.244.1.5", cluster_dns, ASKED);
    for (address, asker, by, at) in told {
        learn(address, asker, *by, *at);
    }
    let seen = FlowResult {
        records: vec![record(
            "10.244.1.5",
            &format!("{WEB}:443"),
            Verdict::Established,
        )],
        names: names.clone(),
        ..FlowResult::default()
    };
    let inventory = cluster();
    let graph = build(&seen, &inventory, GraphOptions::default()).graph;
    let now = Timestamp::from_secs(now);
    NameDrifts::find(&graph, &inventory, &names, |_| true, now)
}

#[test]
fn a_name_that_moved_has_other_addresses_than_the_edge() {
    let by = NamedBy::Resolver(ip("10.96.0.10"));
    let told = [("203.0.113.67", "10.244.1.5", by, LATER)];
    let found = drifts(&told, LATER + 30).found;
    assert!(
        found.is_empty(),
        "addresses of the same ten minutes come together"
    );
    let found = drifts(&told, LATER + DRIFT_BATCH).found;
    let [one] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(one.client.to_string(), "shop/plain");
    assert_eq!((one.name.as_str(), one.port), ("bank.example", 443));
    assert_eq!(one.address, ip("203.0.113.67"));
    assert!(!one.is_current, "its answer held for a minute");
}

#[test]
fn nobody_else_can_move_a_name_of_a_client() {
    let by = NamedBy::Resolver(ip("10.96.0.10"));
    let stranger = NamedBy::Resolver(ip("10.96.0.66"));
    for (address, asker, by) in [
        ("203.0.113.67", "10.244.1.6", by), // told to another workload
        ("203.0.113.67", "10.244.1.5", stranger), // by nobody who may name
        ("10.244.1.6", "10.244.1.5", by),   // a pod
        ("172.18.0.2", "10.244.1.5", by),   // a node
        ("192.168.7.7", "10.244.1.5", by),  // a private address of a public name
        ("169.254.169.254", "10.244.1.5", by),
        ("127.0.0.1", "10.244.1.5", by),
        (WEB, "10.244.1.5", by), // called already
    ] {
        let found = drifts(&[(address, asker, by, LATER)], LATER + DRIFT_BATCH);
        assert_eq!(found, NameDrifts::default(), "{address} {asker}");
    }
}

#[test]
fn a_name_with_thousands_of_addresses_is_bounded_and_says_so() {
    let by = NamedBy::Resolver(ip("10.96.0.10"));
    let addresses: Vec<String> = (0..200).map(|n| format!("198.51.100.{n}")).collect();
    let told: Vec<_> = addresses
        .iter()
        .map(|one| (one.as_str(), "10.244.1.5", by, LATER))
        .collect();
    let found = drifts(&told, LATER + DRIFT_BATCH);
    assert_eq!(found.found.len(), MAX_DRIFT_PER_NAME);
    let left_out: Vec<usize> = found.left_out.values().copied().collect();
    assert_eq!(left_out, [200 - MAX_DRIFT_PER_NAME]);
}
