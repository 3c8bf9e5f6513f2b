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
fn where_the_name_is_not_known_the_address_decides() {
    let unknown = PeerLabels {
        client: pod("gone"),
        server: pod("gone-too"),
        service: Some(("shop".into(), "nothing".into())),
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
