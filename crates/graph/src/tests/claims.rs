//! What a source says stands at the ends, against what the addresses say.

use super::{cluster, graph_of, record};
use nanoseg_flow::{Claim, Claims, FlowRecord, Verdict};
use std::sync::Arc;

fn pod(name: &str) -> Option<Claim> {
    Some(Claim::Pod {
        namespace: "shop".into(),
        name: name.into(),
    })
}

fn claimed(client: &str, server: &str, claims: Claims) -> FlowRecord {
    FlowRecord {
        claims: Some(Arc::new(claims)),
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
    let both = Claims {
        client: pod("web"),
        server: pod("api-a"),
        service: None,
    };
    // Addresses that nobody has, as after a pod was replaced.
    assert_eq!(
        edges(&[claimed("10.244.1.99", "10.244.2.99:8080", both)]),
        ["shop/web → shop/api-a 8080"]
    );
    let workload = Claims {
        server: Some(Claim::Workload {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: "api-b".into(),
        }),
        ..Claims::default()
    };
    assert_eq!(
        edges(&[claimed("10.244.1.5", "10.244.2.99:8080", workload)]),
        ["shop/web → shop/api-b 8080"],
        "one workload of that name: the kind may differ"
    );
}

#[test]
fn where_the_name_is_not_known_the_address_decides() {
    let unknown = Claims {
        client: pod("gone"),
        server: pod("gone-too"),
        service: Some(("shop".into(), "nothing".into())),
    };
    assert_eq!(
        edges(&[claimed("10.244.1.5", "10.244.2.6:8080", unknown)]),
        ["shop/web → shop/api-a 8080"]
    );
    for other in [
        Claim::World,
        Claim::Host,
        Claim::RemoteNode,
        Claim::ApiServer,
    ] {
        let claims = Claims {
            server: Some(other),
            ..Claims::default()
        };
        assert_eq!(
            edges(&[claimed("10.244.1.5", "10.244.2.6:8080", claims)]),
            ["shop/web → shop/api-a 8080"],
            "a pod's address is a pod's, whatever Cilium takes it for"
        );
    }
}

#[test]
fn a_claimed_service_stands_for_all_that_is_behind_it() {
    let service = Claims {
        service: Some(("shop".into(), "api".into())),
        ..Claims::default()
    };
    assert_eq!(
        edges(&[claimed("10.244.1.5", "10.244.2.6:8080", service)]),
        ["shop/web → shop/api-a 8080", "shop/web → shop/api-b 9090"]
    );
}

#[test]
fn a_name_with_a_star_stands_for_pods_of_one_workload() {
    let star = |name| Claims {
        client: pod(name),
        ..Claims::default()
    };
    assert_eq!(
        edges(&[claimed("10.244.1.99", "10.244.2.6:8080", star("we*"))]),
        ["shop/web → shop/api-a 8080"]
    );
    assert_eq!(
        edges(&[claimed("10.244.1.99", "10.244.2.6:8080", star("api-*"))]),
        ["unknown-pod:10.244.1.99 → shop/api-a 8080"],
        "two workloads begin so"
    );
}
