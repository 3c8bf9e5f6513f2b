//! A small cluster and any traffic in it, for tests.

use nanoseg_flow::{ActivityWindows, FlowRecord, Opening, Verdict};
use nanoseg_inventory::{Inventory, testing};
use nanoseg_net::{Protocol, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, SocketAddr};

/// Two nodes; web on n1 (10.244.1.5), two more pods behind Service `api` (10.244.2.6 and .7, 8080 and
/// 9090), DNS (10.244.2.53), the API server at 172.18.0.9:6443.
pub fn cluster() -> Inventory {
    cluster_with(&[])
}

/// The same with more objects.
pub fn cluster_with(more: &[String]) -> Inventory {
    let service = |namespace: &str, name: &str, ip: &str, port: u16, extra: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{namespace: {namespace}, name: {name}}}\n\
             spec: {{clusterIP: {ip}, clusterIPs: [{ip}], {extra} ports: [{{port: {port}, protocol: PROTO}}]}}"
        )
    };
    let slice = |namespace: &str, name: &str, index: u8, port: u16, address: &str| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: {namespace}, name: {name}-{index}, \
             labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\nports: [{{port: {port}, protocol: PROTO}}]\n\
             endpoints: [{{addresses: [{address}]}}]"
        )
    };
    let tcp = |text: String| text.replace("PROTO", "TCP");
    let udp = |text: String| text.replace("PROTO", "UDP");
    let exposed = "type: NodePort, externalTrafficPolicy: Cluster,";
    let documents = [
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
        testing::pod("shop", "web", "10.244.1.5", "n1", "app: web"),
        testing::pod("shop", "api-a", "10.244.2.6", "n2", "app: a"),
        testing::pod("shop", "api-b", "10.244.2.7", "n2", "app: b"),
        testing::pod("kube-system", "dns", "10.244.2.53", "n2", "k8s-app: dns"),
        tcp(service("shop", "api", "10.96.0.20", 80, exposed))
            .replace("{port: 80,", "{port: 80, nodePort: 30080,"),
        tcp(slice("shop", "api", 0, 8080, "10.244.2.6")),
        tcp(slice("shop", "api", 1, 9090, "10.244.2.7")),
        udp(service("kube-system", "dns", "10.96.0.10", 53, "")),
        udp(slice("kube-system", "dns", 0, 5353, "10.244.2.53")),
        tcp(service("shop", "empty", "10.96.0.30", 80, "")),
        tcp(service("default", "kubernetes", "10.96.0.1", 443, "")),
        tcp(slice("default", "kubernetes", 0, 6443, "172.18.0.9")),
    ];
    let documents = [&documents[..], more].concat();
    testing::inventory(&documents.join("\n---\n")).0
}

/// Parses an address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A TCP record of one connection; the server is `address:port`.
pub fn record(client: &str, server: &str, verdict: Verdict) -> FlowRecord {
    let server: SocketAddr = server.parse().expect("an address and port");
    let first = Timestamp::from_secs(1_800_000_000);
    FlowRecord {
        observers: Default::default(),
        told: None,
        client: ip(client),
        server: server.ip(),
        port: server.port(),
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        labels: None,
        verdict,
        opening: Opening::Handshake,
        connections: 1,
        datagrams: 0,
        bytes_to_server: 10,
        bytes_to_client: 20,
        first,
        last: first.plus_secs(1),
        windows: ActivityWindows::at(first),
    }
}

/// A UDP record with this many datagrams.
pub fn udp(client: &str, server: &str, verdict: Verdict, datagrams: u64) -> FlowRecord {
    FlowRecord {
        protocol: Protocol::Udp,
        opening: Opening::FirstPacket,
        datagrams,
        ..record(client, server, verdict)
    }
}

/// The start of an hour.
pub const START: i64 = 1_800_000_000;

/// A record of the cluster of [`cluster`], within three hours: who saw it, and what.
pub fn seen() -> impl Strategy<Value = (&'static str, FlowRecord)> {
    let ends = select(vec![
        ("10.244.1.5", "10.244.2.6:8080", None),
        ("10.244.1.5", "10.244.2.6:8080", Some("10.96.0.20:80")),
        ("10.244.1.5", "10.244.2.7:9090", Some("10.96.0.20:80")),
        ("10.244.1.5", "10.244.2.7:9999", None),
        ("10.244.2.6", "10.244.2.7:9090", None),
        ("10.244.1.5", "192.0.2.7:443", None),
        ("192.0.2.9", "10.244.2.6:8080", None),
        ("10.244.1.99", "10.244.2.6:8080", None),
        ("10.244.2.7", "172.18.0.9:6443", Some("10.96.0.1:443")),
    ]);
    let datagrams = select(vec![
        ("10.244.1.5", "10.244.2.53:5353", None),
        ("10.244.1.5", "10.244.2.53:5353", Some("10.96.0.10:53")),
        ("10.244.2.6", "10.244.2.7:7000", None),
    ]);
    let verdicts = select(vec![
        Verdict::Established,
        Verdict::Established,
        Verdict::Refused,
        Verdict::Unanswered,
        Verdict::Dropped,
    ]);
    let tcp = (ends, verdicts).prop_map(|((client, server, via), verdict)| FlowRecord {
        via: via.map(|via: &str| via.parse().expect("a socket")),
        ..record(client, server, verdict)
    });
    let one_way = (
        datagrams,
        select(vec![Verdict::Established, Verdict::OneWay]),
        0u64..3,
    )
        .prop_map(|((client, server, via), verdict, count)| FlowRecord {
            via: via.map(|via: &str| via.parse().expect("a socket")),
            ..udp(client, server, verdict, count)
        });
    let node = select(vec!["n1", "n2"]);
    (
        node,
        prop_oneof![tcp, one_way],
        0i64..3 * 3600,
        0i64..5000,
        1u64..4,
    )
        .prop_map(|(node, record, at, lasts, connections)| {
            let first = Timestamp::from_secs(START + at);
            let mut windows = ActivityWindows::at(first);
            windows.mark(first.plus_secs(lasts));
            let record = FlowRecord {
                first,
                last: first.plus_secs(lasts),
                windows,
                connections,
                bytes_to_server: connections * 10,
                bytes_to_client: connections * 20,
                ..record
            };
            (node, record)
        })
}
