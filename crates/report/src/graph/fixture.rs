//! Small graphs for the tests of this room.

use nanoseg_flow::{Opening, Verdict};
use nanoseg_graph::{Edge, Evidence, Graph, Lesson, Peer, Unattributed, UnattributedReason};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Protocol, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A name with what breaks one format or another.
pub const HOSTILE: &str = "=cmd|' /C calc'!A0";
const HOSTILE_NAMESPACE: &str = "\"]\n<script>alert(1)</script>,`|\\N";

pub fn workload(namespace: &str, name: &str, kind: &str) -> Peer {
    Peer::Workload(WorkloadId {
        namespace: namespace.into(),
        name: name.into(),
        kind: kind.into(),
    })
}

pub fn outside(address: &str) -> Peer {
    Peer::Outside(address.parse().unwrap())
}

/// 2026-01-05T10:00:00Z plus minutes.
pub fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_secs(1_767_607_200 + 60 * minutes)
}

/// A learned edge of three connections.
pub fn edge(protocol: Protocol, port: u16) -> Edge {
    Edge {
        lesson: Lesson::Learned,
        verdicts: BTreeMap::from([(Verdict::Established, 3)]),
        bytes_to_server: 300,
        bytes_to_client: 3000,
        first: Some(minute(0)),
        last: Some(minute(5)),
        ..Edge::new(protocol, port)
    }
}

pub fn tcp(port: u16) -> Edge {
    edge(Protocol::Tcp, port)
}

pub fn implied(port: u16) -> Edge {
    Edge {
        lesson: Lesson::Implied("DNS over TCP (RFC 7766)".into()),
        verdicts: BTreeMap::new(),
        bytes_to_server: 0,
        bytes_to_client: 0,
        first: None,
        last: None,
        ..tcp(port)
    }
}

pub fn refused(port: u16) -> Edge {
    Edge {
        lesson: Lesson::Ignored("refused".into()),
        verdicts: BTreeMap::from([(Verdict::Refused, 1)]),
        bytes_to_server: 0,
        bytes_to_client: 0,
        ..tcp(port)
    }
}

/// Six peers, eight edges, each kind of line once; `backward` inserts them in the other order.
pub fn shop(backward: bool) -> Graph {
    let (web, app) = (
        workload("shop", "web", "Deployment"),
        workload("shop", "app", "Deployment"),
    );
    let redis = workload("shop", "redis", "StatefulSet");
    let prometheus = workload("monitoring", "prometheus", "Deployment");
    let mut called = tcp(8080);
    called.services = BTreeSet::from(["shop/app:80".to_owned()]);
    called.evidence_total = 1;
    called.evidence = vec![Evidence {
        client: "10.1.0.2".parse().unwrap(),
        server: "10.1.0.3".parse().unwrap(),
        port: 8080,
        via: Some("10.96.0.7:80".parse().unwrap()),
        seen_as: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        connections: 3,
        first: minute(0),
        last: minute(5),
    }];
    let mut edges = vec![
        (web.clone(), app.clone(), called),
        (app.clone(), redis.clone(), tcp(6379)),
        (app.clone(), redis.clone(), tcp(6380)),
        (app.clone(), outside("203.0.113.9"), tcp(443)),
        (app.clone(), app, tcp(7000)),
        (prometheus, web.clone(), tcp(9090)),
        (
            web.clone(),
            Peer::Unattributed(Unattributed::at(
                "10.1.9.9".parse().unwrap(),
                UnattributedReason::UnknownPod,
            )),
            implied(53),
        ),
        (web, redis, refused(22)),
    ];
    if backward {
        edges.reverse();
    }
    let mut graph = Graph::default();
    for (client, server, edge) in edges {
        graph.add_edge(&client, &server, edge);
    }
    let names = BTreeSet::from(["api.pay.example".to_owned()]);
    graph.names.insert("203.0.113.9".parse().unwrap(), names);
    graph
}

/// One edge between peers with names that try to break out of every format.
pub fn hostile() -> Graph {
    let mut graph = Graph::default();
    let client = workload(HOSTILE_NAMESPACE, "=2+5\x1b[2J", "Dep\"loy<b>");
    graph.add_edge(&client, &outside("203.0.113.9"), refused(443));
    graph.names.insert(
        "203.0.113.9".parse().unwrap(),
        BTreeSet::from([HOSTILE.to_owned()]),
    );
    graph
}
