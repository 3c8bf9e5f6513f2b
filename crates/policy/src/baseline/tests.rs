//! The baseline of a small cluster.

use super::{BaselineOptions, baseline};
use crate::testing::{id, inventory};
use nanoseg_graph::{Edge, Graph, Lesson, Peer};
use nanoseg_inventory::Inventory;
use nanoseg_net::Protocol;

fn graph(edges: &[(&str, &str, u16, Protocol)]) -> Graph {
    let mut graph = Graph::default();
    let peer = |text: &str| match text.parse() {
        Ok(address) => Peer::Outside(address),
        Err(_) => Peer::Workload(id(text)),
    };
    for (client, server, port, protocol) in edges {
        let mut edge = Edge::new(*protocol, *port);
        edge.lesson = Lesson::Learned;
        edge.tally.dns = *port == 53;
        graph.add_edge(&peer(client), &peer(server), edge);
    }
    graph
}

fn tenants(cluster: &mut Inventory, of: &[(&str, &str)]) {
    for (namespace, tenant) in of {
        let namespace = cluster.namespaces.get_mut(*namespace).unwrap();
        namespace.labels.insert("tenant".into(), (*tenant).into());
    }
}

#[test]
fn metadata_is_closed_but_for_who_uses_it_and_tenants_but_for_what_was_observed() {
    let mut cluster = inventory(&["red/web", "red/db", "blue/app", "kube-system/coredns"]);
    tenants(&mut cluster, &[("red", "red"), ("blue", "blue")]);
    let graph = graph(&[
        ("red/web", "red/db", 5432, Protocol::Tcp),
        ("red/web", "kube-system/coredns", 53, Protocol::Udp),
        ("blue/app", "red/web", 8080, Protocol::Tcp),
        ("blue/app", "169.254.169.254", 80, Protocol::Tcp),
    ]);
    let options = BaselineOptions {
        tenant_label: Some("tenant".into()),
    };
    let written = baseline(&graph, &cluster, &options);
    let text: Vec<String> = written.policies.iter().map(|one| one.render()).collect();
    let text = text.join("---\n");
    assert_eq!(text, include_str!("tests/baseline.yaml"), "{text}");
}

#[test]
fn without_a_tenant_label_no_tenant_is_isolated() {
    let cluster = inventory(&["red/web"]);
    let written = baseline(&graph(&[]), &cluster, &BaselineOptions::default());
    let names: Vec<String> = written.policies.iter().map(|one| one.name()).collect();
    assert_eq!(names, ["nanoseg-metadata"]);
}

#[test]
fn a_resolver_of_somebody_is_not_opened_to_everybody() {
    let cluster = inventory(&["red/web", "red/dns"]);
    let graph = graph(&[("red/web", "red/dns", 53, Protocol::Udp)]);
    let written = baseline(&graph, &cluster, &BaselineOptions::default());
    assert_eq!(written.policies.len(), 1, "the metadata service");
}

#[test]
fn names_of_policies_are_unique() {
    let cluster = inventory(&["a-b/c", "a/b-c"]);
    let graph = graph(&[
        ("a-b/c", "169.254.169.254", 80, Protocol::Tcp),
        ("a/b-c", "169.254.169.254", 80, Protocol::Tcp),
    ]);
    let written = baseline(&graph, &cluster, &BaselineOptions::default());
    let names: Vec<String> = written.policies.iter().map(|one| one.name()).collect();
    assert_eq!(
        names,
        [
            "nanoseg-metadata-a-b-c",
            "nanoseg-metadata-a-b-c-2",
            "nanoseg-metadata"
        ]
    );
}
