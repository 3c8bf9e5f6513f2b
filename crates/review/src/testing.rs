//! A small cluster and edges for the tests of this room.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use nanoseg_flow::Verdict;
use nanoseg_graph::{Edge, Graph, Lesson, Peer};
use nanoseg_inventory::{Inventory, WorkloadId, testing};
use nanoseg_net::{Protocol, Timestamp};
use std::collections::BTreeMap;

/// Seconds.
pub const DAY: i64 = 86_400;

/// Seconds after time 0 of the tests.
pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

/// Two nodes; shop: web, api (behind Service `api`, 80 → 8080), db (declares 5432), job; ops: probe,
/// spare. All are bare pods, labelled `app: NAME`.
pub fn cluster() -> Inventory {
    let pod = |namespace: &str, name: &str, address: &str| {
        testing::pod(namespace, name, address, "n1", &format!("app: {name}"))
    };
    let documents = [
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
        pod("shop", "web", "10.244.1.5"),
        pod("shop", "api", "10.244.1.6"),
        pod("shop", "db", "10.244.1.7").replace(
            "image: i}",
            "image: i, ports: [{containerPort: 5432, protocol: TCP}]}",
        ),
        pod("shop", "job", "10.244.1.8"),
        pod("ops", "probe", "10.244.1.9"),
        pod("ops", "spare", "10.244.1.10"),
        "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: api}\n\
         spec: {clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], ports: [{port: 80, protocol: TCP}]}"
            .to_owned(),
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: shop, name: api-0, \
         labels: {kubernetes.io/service-name: api}}\naddressType: IPv4\nports: [{port: 8080, protocol: TCP}]\n\
         endpoints: [{addresses: [10.244.1.6]}]"
            .to_owned(),
    ];
    testing::inventory(&documents.join("\n---\n")).0
}

pub fn id(text: &str) -> WorkloadId {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    WorkloadId {
        namespace: namespace.into(),
        name: name.into(),
        kind: "Pod".into(),
    }
}

/// `namespace/name`, or an outside address.
pub fn peer(text: &str) -> Peer {
    match text.parse() {
        Ok(address) => Peer::Outside(address),
        Err(_) => Peer::Workload(id(text)),
    }
}

/// `client server port`, the verdicts, and the first and last second.
pub type Sketch<'a> = (&'a str, &'a [(Verdict, u64)], i64, i64);

/// Builds a graph of these edges, all TCP.
pub fn graph(edges: &[Sketch<'_>]) -> Graph {
    let mut graph = Graph::default();
    for (ends, verdicts, first, last) in edges {
        let mut words = ends.split(' ');
        let mut next = || words.next().expect("client server port");
        let (client, server, port) = (next(), next(), next());
        let mut edge = Edge::new(Protocol::Tcp, port.parse().expect("a port"));
        edge.verdicts = verdicts.iter().copied().collect::<BTreeMap<_, _>>();
        edge.lesson = if edge.verdicts.contains_key(&Verdict::Established) {
            Lesson::Learned
        } else {
            Lesson::Ignored("unanswered".into())
        };
        (edge.first, edge.last) = (Some(at(*first)), Some(at(*last)));
        graph.add_edge(&peer(client), &peer(server), edge);
    }
    graph
}

pub fn spec(yaml: &str) -> NetworkPolicySpec {
    serde_yaml::from_str(yaml).expect("a spec")
}

/// A policy `namespace/name`.
pub fn policy(name: &str, yaml: &str) -> NetworkPolicy {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let mut policy = NetworkPolicy::default();
    policy.metadata.namespace = Some(namespace.into());
    policy.metadata.name = Some(name.into());
    policy.spec = Some(spec(yaml));
    policy
}

/// A policy that selects `app: NAME` in both directions and has these rules.
pub fn of(name: &str, rules: &str) -> NetworkPolicy {
    let (_, app) = name.split_once('/').expect("namespace/name");
    let yaml = format!(
        "{{podSelector: {{matchLabels: {{app: {app}}}}}, policyTypes: [Ingress, Egress], {rules}}}"
    );
    policy(name, &yaml)
}
