//! What the snapshot declares is used: ingress proxies, DaemonSets on the host network, pods that slices name.

use super::super::testing::record;
use super::super::{Built, GraphOptions, build};
use super::edges;
use nanoseg_flow::{FlowRecord, FlowResult, PeerLabel, PeerLabels, PodLabel, Verdict};
use nanoseg_inventory::{Inventory, testing};

fn inventory(documents: &[String]) -> Inventory {
    testing::inventory(&documents.join("\n---\n")).0
}

fn graph(inventory: &Inventory, records: &[FlowRecord]) -> Built {
    let seen = FlowResult {
        records: records.to_vec(),
        ..FlowResult::default()
    };
    build(&seen, inventory, GraphOptions::default())
}

fn nodes() -> Vec<String> {
    vec![
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
        testing::pod("shop", "web", "10.244.1.5", "n1", "app: web"),
    ]
}

fn enforced_from(built: &Built) -> Vec<String> {
    let edges = built.graph.edges();
    let addresses = edges.iter().flat_map(|(_, _, edge)| &edge.enforced_from);
    addresses.map(ToString::to_string).collect()
}

#[test]
fn the_ingress_proxies_of_all_nodes_are_one_client() {
    let cilium = |name: &str, net: u8| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNode\nmetadata: {{name: {name}}}\n\
             spec: {{ingress: {{ipV4: 10.244.{net}.200}}, health: {{ipv4: 10.244.{net}.201}}}}"
        )
    };
    let mut documents = nodes();
    documents.extend([cilium("n1", 1), cilium("n2", 2)]);
    let cluster = inventory(&documents);
    // On the pod's own node, where a kubelet's probe would be no edge.
    let built = graph(
        &cluster,
        &[
            record("10.244.1.200", "10.244.1.5:8080", Verdict::Established),
            record("10.244.1.201", "10.244.1.5:4240", Verdict::Established),
        ],
    );
    assert_eq!(edges(&built), ["+ node:n1 → shop/web 8080/TCP"]);
    assert_eq!(enforced_from(&built), ["10.244.1.200", "10.244.2.200"]);
}

#[test]
fn a_client_that_a_log_names_as_a_daemon_set_on_the_host_network_is_all_its_nodes() {
    let pod = |name: &str, node: &str, address: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: ops, name: {name}, labels: {{app: agent}}, ownerReferences: \
             [{{apiVersion: apps/v1, kind: DaemonSet, name: agent, uid: u, controller: true}}]}}\n\
             spec: {{nodeName: {node}, hostNetwork: true, containers: [{{name: c, image: i}}]}}\n\
             status: {{phase: Running, podIP: {address}, hostIP: {address}, startTime: '2026-01-01T00:00:00Z'}}"
        )
    };
    let mut documents = nodes();
    documents.extend([
        pod("agent-a", "n1", "172.18.0.2"),
        pod("agent-b", "n2", "172.18.0.3"),
    ]);
    let cluster = inventory(&documents);
    let named = FlowRecord {
        labels: Some(std::sync::Arc::new(PeerLabels {
            client: Some(PeerLabel::Pod(PodLabel {
                namespace: "ops".into(),
                name: "agent-b".into(),
                ..PodLabel::default()
            })),
            ..PeerLabels::default()
        })),
        ..record("172.18.0.3", "10.244.1.5:8080", Verdict::Established)
    };
    let from: Vec<String> = enforced_from(&graph(&cluster, &[named]));
    assert!(from.contains(&"172.18.0.2".to_owned()), "{from:?}");
    assert!(from.contains(&"172.18.0.3".to_owned()), "{from:?}");
}

#[test]
fn a_pod_that_only_a_slice_names_is_no_outside_address() {
    let mut documents = nodes();
    documents.push(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: other, name: db-a, \
         labels: {kubernetes.io/service-name: db}}\nports: [{port: 5432, protocol: TCP}]\n\
         endpoints: [{addresses: [10.50.0.7], targetRef: {kind: Pod, name: db-0}}, {addresses: [10.60.0.7]}]"
            .to_owned(),
    );
    let mut cluster = inventory(&documents);
    cluster.partial = false;
    let built = graph(
        &cluster,
        &[
            record("10.244.1.5", "10.50.0.7:5432", Verdict::Established),
            record("10.244.1.5", "10.60.0.7:5432", Verdict::Established),
        ],
    );
    assert_eq!(
        edges(&built),
        [
            "+ shop/web → outside:10.60.0.7 5432/TCP",
            "- shop/web → unknown-pod:10.50.0.7 5432/TCP"
        ]
    );
}
