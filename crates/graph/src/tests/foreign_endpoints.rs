//! What whoever may write Services in a namespace can make of others' addresses (rule: foreign-endpoint): nothing.

use super::{codes, edges};
use crate::testing::{ip, record, udp};
use crate::{
    Built, EnforcedPorts, GraphOptions, IsolationOptions, OpenDirections, Peer,
    ServiceEnforcements, Vantage, build, requirements,
};
use nanoseg_finding::Code;
use nanoseg_flow::{FlowRecord, FlowResult, Verdict};
use nanoseg_inventory::{Inventory, testing};

/// Namespace `shop` with `api` (10.244.2.6) and a scraped `db` (10.244.2.7); namespace `evil` with a pod `mal`
/// (10.244.1.66) and whatever `more` is.
fn cluster(more: &[String]) -> Inventory {
    let mut documents = vec![
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
        testing::pod("shop", "api", "10.244.2.6", "n2", "app: api"),
        testing::pod("shop", "db", "10.244.2.7", "n2", "app: db"),
        testing::pod("evil", "mal", "10.244.1.66", "n1", "app: mal"),
        service("default", "kubernetes", "10.96.0.1", 443, ""),
        slice(
            "default",
            "kubernetes",
            "kubernetes",
            6443,
            "TCP",
            "172.18.0.9",
        ),
        service("shop", "api", "10.96.0.20", 80, ""),
        slice("shop", "api-x", "api", 8080, "TCP", "10.244.2.6"),
    ];
    documents.extend(more.iter().cloned());
    testing::inventory(&documents.join("\n---\n")).0
}

fn service(namespace: &str, name: &str, address: &str, port: u16, extra: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{namespace: {namespace}, name: {name}}}\n\
         spec: {{clusterIP: {address}, clusterIPs: [{address}], {extra} ports: [{{port: {port}, protocol: TCP}}]}}"
    )
}

fn slice(
    namespace: &str,
    name: &str,
    of: &str,
    port: u16,
    protocol: &str,
    address: &str,
) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: {namespace}, name: {name}, \
         labels: {{kubernetes.io/service-name: {of}}}}}\naddressType: IPv4\n\
         ports: [{{port: {port}, protocol: {protocol}}}]\nendpoints: [{{addresses: [{address}]}}]"
    )
}

fn graph_of(records: &[FlowRecord], inventory: &Inventory) -> Built {
    let seen = FlowResult {
        records: records.to_vec(),
        ..FlowResult::default()
    };
    build(&seen, inventory, GraphOptions::default())
}

fn through(record: FlowRecord, called: &str) -> FlowRecord {
    FlowRecord {
        via: Some(called.parse().expect("a socket")),
        ..record
    }
}

#[test]
fn a_slice_with_another_namespaces_pod_opens_nothing_but_the_own_endpoints() {
    let inventory = cluster(&[
        service("evil", "trap", "10.96.0.66", 80, ""),
        slice("evil", "trap-a", "trap", 8080, "TCP", "10.244.1.66"),
        slice("evil", "trap-b", "trap", 5432, "TCP", "10.244.2.7"),
        slice("evil", "trap-c", "trap", 10250, "TCP", "172.18.0.3"),
        slice("evil", "trap-d", "trap", 6443, "TCP", "172.18.0.9"),
        slice("evil", "trap-e", "trap", 25, "TCP", "203.0.113.66"),
        slice("evil", "trap-f", "trap", 99, "TCP", "10.244.2.99"),
    ]);
    let built = graph_of(
        &[record("10.244.2.6", "10.96.0.66:80", Verdict::Established)],
        &inventory,
    );
    assert_eq!(edges(&built), ["+ shop/api → evil/mal 8080/TCP"]);
}

#[test]
fn where_all_endpoints_are_foreign_a_call_goes_to_nobody_known_and_opens_no_direction_of_theirs() {
    let inventory = cluster(&[
        service("evil", "trap", "10.96.0.66", 80, ""),
        slice("evil", "trap-b", "trap", 5432, "TCP", "10.244.2.7"),
    ]);
    let call = record("10.244.1.66", "10.96.0.66:80", Verdict::Established);
    let built = graph_of(&[call], &inventory);
    assert_eq!(
        edges(&built),
        ["- evil/mal → foreign-endpoint:evil/trap 80/TCP"]
    );
    assert!(codes(&built).contains(&Code::ForeignEndpoint));
    let span = built.graph.span().expect("an edge");
    let vantage = Vantage::everywhere(span.0, span.1);
    let workloads = inventory.workloads.keys();
    let options = IsolationOptions::default();
    let open = OpenDirections::find(&built.graph, &inventory, &vantage, span, workloads, options);
    let open: Vec<String> = open
        .iter()
        .map(|(id, direction, _)| format!("{id} {direction}"))
        .collect();
    assert_eq!(open, ["evil/mal egress"]);
}

#[test]
fn what_was_seen_to_arrive_at_a_foreign_pod_is_allowed_as_it_was_seen() {
    let inventory = cluster(&[
        service("evil", "trap", "10.96.0.66", 22, "type: NodePort,")
            .replace("{port: 22,", "{port: 22, nodePort: 30022,"),
        slice("evil", "trap-b", "trap", 5432, "TCP", "10.244.2.7"),
    ]);
    let by_cluster_ip = record("10.244.1.66", "10.244.2.7:5432", Verdict::Established);
    let by_node_port = FlowRecord {
        seen_as: Some(ip("172.18.0.3")),
        ..record("192.0.2.9", "10.244.2.7:5432", Verdict::Established)
    };
    let built = graph_of(
        &[
            through(by_cluster_ip, "10.96.0.66:22"),
            through(by_node_port, "172.18.0.3:30022"),
        ],
        &inventory,
    );
    assert_eq!(
        edges(&built),
        [
            "+ evil/mal → shop/db 5432/TCP",
            "+ outside:192.0.2.9 → shop/db 5432/TCP"
        ]
    );
    let enforcement = ServiceEnforcements::from(EnforcedPorts::Either);
    let all = requirements(&built.graph, &inventory, &enforcement);
    let to_victim = all
        .iter()
        .filter(|one| format!("{:?}", one.server).contains("db"));
    let text: Vec<String> = to_victim
        .map(|one| format!("{:?} {}", one.client, one.port))
        .collect();
    assert!(text.iter().all(|line| line.ends_with(" 5432")), "{text:?}");
    assert!(
        !format!("{text:?}").contains("172.18.0.2"),
        "the node it was seen as: {text:?}"
    );
}

#[test]
fn one_outside_address_alone_behind_a_service_is_where_its_neighbours_calls_arrive() {
    let database = service("shop", "database", "10.96.0.67", 5432, "");
    let at = |name: &str, address: &str| slice("shop", name, "database", 5432, "TCP", address);
    let edges_of = |client: &str, slices: &[String]| {
        let more = [std::slice::from_ref(&database), slices].concat();
        let call = record(client, "10.96.0.67:5432", Verdict::Established);
        edges(&graph_of(&[call], &cluster(&more)))
    };
    let (one, other) = (at("a", "192.0.2.50"), at("b", "203.0.113.66"));
    let to_nobody = |client: &str| format!("- {client} → foreign-endpoint:shop/database 5432/TCP");
    assert_eq!(
        edges_of("10.244.2.6", std::slice::from_ref(&one)),
        ["+ shop/api → outside:192.0.2.50 5432/TCP"]
    );
    assert_eq!(
        edges_of("10.244.2.6", &[one.clone(), other]),
        [to_nobody("shop/api")],
        "which?"
    );
    assert_eq!(
        edges_of("10.244.1.66", &[one]),
        [to_nobody("evil/mal")],
        "not a neighbour"
    );
}

#[test]
fn a_foreign_slice_makes_no_pod_exposed_no_port_declared_and_nobody_a_resolver() {
    let more = [
        service("evil", "dns", "10.96.0.66", 53, "type: NodePort,").replace(
            "{port: 53, protocol: TCP",
            "{port: 53, nodePort: 30053, protocol: UDP",
        ),
        slice("evil", "dns-a", "dns", 9100, "UDP", "10.244.2.7"),
        service("evil", "web", "10.96.0.67", 80, "type: NodePort,")
            .replace("{port: 80,", "{port: 80, nodePort: 30080,"),
        slice("evil", "web-a", "web", 9100, "TCP", "10.244.2.7"),
    ];
    let records = [
        udp("10.244.2.6", "10.244.2.7:9100", Verdict::Established, 4),
        udp("10.244.1.66", "10.244.2.7:9100", Verdict::OneWay, 4),
        record("172.18.0.2", "10.244.2.7:9100", Verdict::Established),
    ];
    let (plain, forged) = (cluster(&[]), cluster(&more));
    let [plain_graph, graph] = [&plain, &forged].map(|inventory| graph_of(&records, inventory));
    assert_eq!(edges(&graph), edges(&plain_graph));
    let node = Peer::Node("n1".into());
    for (client, _, edge) in graph.graph.edges() {
        assert!(*client != node || edge.enforced_from.is_empty());
    }
}

#[test]
fn only_the_api_servers_own_object_tells_where_the_api_server_is() {
    let inventory = cluster(&[slice(
        "default",
        "more",
        "kubernetes",
        5432,
        "TCP",
        "10.244.2.7",
    )]);
    let built = graph_of(
        &[record("10.244.2.6", "10.96.0.1:443", Verdict::Established)],
        &inventory,
    );
    assert_eq!(edges(&built), ["+ shop/api → api-server 6443/TCP"]);
}

#[test]
fn external_addresses_that_are_somebodys_change_no_call_of_them() {
    let claims = "externalIPs: [10.96.0.20, 172.18.0.9, 10.244.2.7, 203.0.113.7],";
    let inventory = cluster(&[
        service("aaa", "trap", "10.96.0.66", 443, claims),
        service("aaa", "trap80", "10.96.0.67", 80, claims),
        testing::pod("aaa", "mal", "10.244.1.67", "n1", "app: mal"),
        slice("aaa", "trap-a", "trap", 8443, "TCP", "10.244.1.67"),
        slice("aaa", "trap80-a", "trap80", 8443, "TCP", "10.244.1.67"),
    ]);
    let calls = [
        record("10.244.2.7", "10.96.0.20:80", Verdict::Established),
        record("10.244.2.6", "172.18.0.9:443", Verdict::Established),
        record("10.244.2.6", "203.0.113.7:443", Verdict::Established),
        record("10.244.1.67", "203.0.113.7:443", Verdict::Established),
        through(
            record("10.244.2.7", "10.244.1.67:8443", Verdict::Established),
            "203.0.113.7:443",
        ),
    ];
    let built = graph_of(&calls, &inventory);
    assert_eq!(
        edges(&built),
        [
            "+ aaa/mal → aaa/mal 8443/TCP",
            "+ shop/api → outside:172.18.0.9 443/TCP",
            "+ shop/api → outside:203.0.113.7 443/TCP",
            "+ shop/db → aaa/mal 8443/TCP",
            "+ shop/db → shop/api 8080/TCP",
        ]
    );
}

#[test]
fn each_service_with_foreign_addresses_is_a_finding_that_says_whose_they_are() {
    let yaml = [
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::pod("shop", "db", "10.244.1.7", "n1", "app: db"),
        testing::pod("evil", "mal", "10.244.1.66", "n1", "app: mal"),
        service("default", "kubernetes", "10.96.0.1", 443, ""),
        slice(
            "default",
            "kubernetes",
            "kubernetes",
            6443,
            "TCP",
            "172.18.0.9",
        ),
        service("evil", "trap", "10.96.0.66", 80, "selector: {app: mal},"),
        slice("evil", "a", "trap", 80, "TCP", "10.244.1.66"),
        slice("evil", "b", "trap", 5432, "TCP", "10.244.1.7"),
        slice("evil", "c", "trap", 10250, "TCP", "172.18.0.2"),
        slice("evil", "d", "trap", 6443, "TCP", "172.18.0.9"),
        slice("evil", "e", "trap", 25, "TCP", "203.0.113.66"),
        service("shop", "database", "10.96.0.67", 5432, ""),
        slice("shop", "database-a", "database", 5432, "TCP", "192.0.2.50"),
        service(
            "evil",
            "claim",
            "10.96.0.68",
            443,
            "externalIPs: [172.18.0.9, 10.244.1.7, 198.51.100.3],",
        ),
    ];
    let findings = testing::inventory(&yaml.join("\n---\n")).1;
    let foreign = findings
        .iter()
        .filter(|one| one.code == Code::ForeignEndpoint);
    let told: Vec<(&str, Vec<String>)> = foreign
        .map(|one| (one.subject.as_str(), one.samples.clone()))
        .collect();
    let samples = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            (
                "evil/claim",
                samples(&[
                    "10.244.1.7 is of the ranges of pods and Services",
                    "172.18.0.9 is the API server's"
                ])
            ),
            (
                "evil/trap",
                samples(&[
                    "10.244.1.7:5432: pod shop/db",
                    "172.18.0.2:10250: node n1",
                    "172.18.0.9:6443: the API server",
                    "203.0.113.66:25: outside address",
                ])
            ),
        ]
    );
}

#[test]
fn a_slice_that_gives_an_outside_address_to_a_pod_that_is_not_there_makes_it_no_pods() {
    let named = |namespace: &str, address: &str| {
        slice(namespace, "trap-a", "trap", 443, "TCP", address).replace(
            &format!("addresses: [{address}]"),
            &format!("addresses: [{address}], targetRef: {{kind: Pod, name: ghost}}"),
        )
    };
    for (namespace, address) in [("evil", "192.168.9.9"), ("empty", "203.0.113.7")] {
        let inventory = cluster(&[
            service(namespace, "trap", "10.96.0.66", 443, ""),
            named(namespace, address),
        ]);
        let call = record(
            "10.244.2.6",
            &format!("{address}:443"),
            Verdict::Established,
        );
        let expected = format!("+ shop/api → outside:{address} 443/TCP");
        assert_eq!(edges(&graph_of(&[call], &inventory)), [expected]);
    }
}
