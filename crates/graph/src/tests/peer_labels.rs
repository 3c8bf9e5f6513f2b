//! Labels that a source gives to the ends, compared with what the addresses show.

use super::{cluster, graph_of, record};
use nanoseg_flow::{FlowRecord, PeerLabel, PeerLabels, PodLabel, Verdict};
use std::sync::Arc;

fn pod(name: &str) -> Option<PeerLabel> {
    Some(PeerLabel::Pod(PodLabel::named("shop", name)))
}

fn labelled(client: &str, server: &str, labels: PeerLabels) -> FlowRecord {
    FlowRecord {
        labels: Some(Arc::new(labels)),
        ..record(client, server, Verdict::Established)
    }
}

/// The edges as `client → server port`.
fn edges(records: &[FlowRecord]) -> Vec<String> {
    let graph = graph_of(records).graph;
    let edges = graph.edges();
    let text = |(client, server, edge): &(&_, &_, &crate::Edge)| {
        let (client, server): (&crate::Peer, &crate::Peer) = (client, server);
        format!("{client} → {server} {}", edge.port)
    };
    edges.iter().map(text).collect()
}

#[test]
fn a_claim_goes_before_the_address_where_the_inventory_knows_the_name() {
    let _ = cluster();
    let both = PeerLabels {
        client: pod("web"),
        server: pod("api-a"),
        service: None,
    };
    // Addresses that nobody has, as after a pod was replaced.
    assert_eq!(
        edges(&[labelled("10.244.1.99", "10.244.2.99:8080", both)]),
        ["shop/web → shop/api-a 8080"]
    );
    let workload = PeerLabels {
        server: Some(PeerLabel::Workload {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: "api-b".into(),
        }),
        ..PeerLabels::default()
    };
    assert_eq!(
        edges(&[labelled("10.244.1.5", "10.244.2.99:8080", workload)]),
        ["shop/web → shop/api-b 8080"],
        "one workload of that name: the kind may differ"
    );
}

#[test]
fn where_no_pod_is_named_the_address_decides() {
    let unknown = PeerLabels {
        service: Some(("shop".into(), "nothing".into())),
        ..PeerLabels::default()
    };
    assert_eq!(
        edges(&[labelled("10.244.1.5", "10.244.2.6:8080", unknown)]),
        ["shop/web → shop/api-a 8080"]
    );
    for other in [
        PeerLabel::World,
        PeerLabel::Host,
        PeerLabel::RemoteNode,
        PeerLabel::ApiServer,
    ] {
        let labels = PeerLabels {
            server: Some(other),
            ..PeerLabels::default()
        };
        assert_eq!(
            edges(&[labelled("10.244.1.5", "10.244.2.6:8080", labels)]),
            ["shop/web → shop/api-a 8080"],
            "a pod's address is a pod's, whatever Cilium takes it for"
        );
    }
}

#[test]
fn a_claimed_service_stands_for_all_that_is_behind_it() {
    let service = PeerLabels {
        service: Some(("shop".into(), "api".into())),
        ..PeerLabels::default()
    };
    assert_eq!(
        edges(&[labelled("10.244.1.5", "10.244.2.6:8080", service)]),
        ["shop/web → shop/api-a 8080", "shop/web → shop/api-b 9090"]
    );
}

#[test]
fn a_name_with_a_star_stands_for_pods_of_one_workload() {
    let star = |name| PeerLabels {
        client: pod(name),
        ..PeerLabels::default()
    };
    assert_eq!(
        edges(&[labelled("10.244.1.99", "10.244.2.6:8080", star("we*"))]),
        ["shop/web → shop/api-a 8080"]
    );
    assert_eq!(
        edges(&[labelled("10.244.1.99", "10.244.2.6:8080", star("api-*"))]),
        ["departed-pod:shop/api-* → shop/api-a 8080"],
        "two workloads begin so"
    );
}

#[test]
fn a_departed_pod_is_its_owner_s_and_never_that_of_who_has_its_address_now() {
    let departed = |label: PodLabel| PeerLabels {
        client: Some(PeerLabel::Pod(label)),
        ..PeerLabels::default()
    };
    let owned = PodLabel {
        owner: Some(("Deployment".into(), "web".into())),
        ..PodLabel::named("shop", "web-gone")
    };
    // The address is api-b's in the snapshot.
    let edge = |address, label| edges(&[labelled(address, "10.244.2.6:8080", departed(label))]);
    assert_eq!(edge("10.244.2.7", owned), ["shop/web → shop/api-a 8080"]);
    assert_eq!(
        edge("10.244.1.99", PodLabel::named("shop", "nobody-x2x7q")),
        ["departed-pod:shop/nobody-x2x7q → shop/api-a 8080"]
    );
    // The address is web's, since before: the log names somebody else, and it was there.
    assert_eq!(
        edge("10.244.1.5", PodLabel::named("shop", "nobody-x2x7q")),
        ["departed-pod:shop/nobody-x2x7q → shop/api-a 8080"]
    );
}

#[test]
fn a_name_without_an_address_is_shown_as_the_name_and_teaches_nothing() {
    let stand_in = nanoseg_flow::stand_in_address("pub").to_string();
    let network = PeerLabels {
        client: Some(PeerLabel::Network { name: "pub".into() }),
        ..PeerLabels::default()
    };
    let built = graph_of(&[labelled(&stand_in, "10.244.2.6:8080", network)]);
    assert_eq!(
        super::edges(&built),
        ["- outside-network:pub → shop/api-a 8080/TCP"]
    );
}

#[test]
fn a_pod_of_another_cluster_is_no_local_pod_and_no_outside_address() {
    let meshed = |address: &str| {
        let label = PodLabel {
            cluster: Some("west".into()),
            ..PodLabel::named("shop", "web")
        };
        let labels = PeerLabels {
            client: Some(PeerLabel::Pod(label)),
            ..PeerLabels::default()
        };
        edges(&[labelled(address, "10.244.2.6:8080", labels)])
    };
    assert_eq!(
        meshed("10.9.1.5"),
        ["other-cluster:west/shop/web → shop/api-a 8080"]
    );
    assert_eq!(
        meshed("10.244.1.5"),
        ["shop/web → shop/api-a 8080"],
        "its own address"
    );
}

#[test]
fn a_host_endpoint_without_an_address_is_the_node_of_its_name() {
    let named = |name: &str| {
        let stand_in = nanoseg_flow::stand_in_address(name).to_string();
        let network = PeerLabels {
            client: Some(PeerLabel::Network { name: name.into() }),
            ..PeerLabels::default()
        };
        edges(&[labelled(&stand_in, "10.244.2.6:8080", network)])
    };
    assert_eq!(named("n1"), ["node:n1 → shop/api-a 8080"]);
    assert_eq!(named("n1-auto-hep"), ["node:n1 → shop/api-a 8080"]);
    assert_eq!(named("n9"), ["outside-network:n9 → shop/api-a 8080"]);
}

#[test]
fn loopback_is_no_peer() {
    let built = graph_of(&[
        record("127.0.0.6", "10.244.2.6:8080", Verdict::Established),
        record("10.244.1.5", "127.0.0.1:15001", Verdict::Established),
        record("::1", "10.244.2.6:8080", Verdict::Established),
    ]);
    assert_eq!(super::edges(&built), Vec::<String>::new());
    assert_eq!(built.skipped.get("loopback"), Some(&3));
}
