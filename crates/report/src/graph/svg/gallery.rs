//! Graphs of several sizes and shapes, drawn and checked. With `NANOSEG_GALLERY=DIR` the pictures are
//! written there, for a person to look at.

use super::svg;
use crate::graph::Options;
use crate::graph::fixture::{edge, implied, outside, refused, tcp, workload};
use nanoseg_graph::{Edge, Graph, Peer};
use nanoseg_net::Protocol;
use std::collections::BTreeSet;

pub fn show(name: &str, text: &str) {
    if let Some(folder) = std::env::var_os("NANOSEG_GALLERY") {
        let path = std::path::Path::new(&folder).join(format!("{name}.svg"));
        std::fs::write(path, text).unwrap();
    }
}

fn shop(name: &str) -> Peer {
    let kind = match name {
        "postgres" | "redis" => "StatefulSet",
        "batch" => "CronJob",
        "migrate" => "Job",
        "log-agent" => "DaemonSet",
        _ => "Deployment",
    };
    workload("shop", name, kind)
}

/// A shop of fourteen workloads, with a scraper, DNS, outside peers, a scan and a half-open connection.
fn shop_graph() -> Graph {
    let mut graph = Graph::default();
    let prometheus = workload("monitoring", "prometheus", "StatefulSet");
    let coredns = workload("kube-system", "coredns", "Deployment");
    let calls = [
        ("loadgen", "web", 8080),
        ("web", "app", 8080),
        ("web", "feed", 8081),
        ("app", "postgres", 5432),
        ("app", "redis", 6379),
        ("app", "pay", 9000),
        ("app", "pay", 9001),
        ("consumer", "redis", 6379),
        ("consumer", "postgres", 5432),
        ("batch", "postgres", 5432),
        ("migrate", "postgres", 5432),
        ("feed", "redis", 6379),
        ("feed", "search", 9200),
        ("redis", "redis", 16379),
    ];
    for (client, server, port) in calls {
        graph.add_edge(&shop(client), &shop(server), tcp(port));
    }
    for (server, port) in [("app", 9100), ("web", 9100), ("redis", 9121)] {
        graph.add_edge(&prometheus, &shop(server), tcp(port));
    }
    graph.add_edge(&prometheus, &Peer::ApiServer, tcp(6443));
    graph.add_edge(&shop("app"), &outside("203.0.113.9"), tcp(443));
    graph.add_edge(&shop("pay"), &outside("203.0.113.9"), tcp(443));
    graph.add_edge(&shop("pay"), &outside("198.51.100.7"), tcp(8443));
    graph.add_edge(&outside("192.0.2.44"), &shop("web"), tcp(8080));
    graph.add_edge(
        &shop("log-agent"),
        &Peer::Node("worker-1".into()),
        tcp(10250),
    );
    for name in [
        "web", "app", "consumer", "batch", "feed", "pay", "loadgen", "search", "migrate",
    ] {
        graph.add_edge(&shop(name), &coredns, edge(Protocol::Udp, 53));
        graph.add_edge(&shop(name), &coredns, implied(53));
    }
    for last in 1..40 {
        graph.add_edge(
            &shop("batch"),
            &outside(&format!("198.51.100.{}", 100 + last)),
            refused(22),
        );
    }
    graph.add_edge(&shop("pay"), &outside("169.254.169.254"), refused(80));
    let names = BTreeSet::from(["api.payments.example".to_owned()]);
    graph.names.insert("203.0.113.9".parse().unwrap(), names);
    graph
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

/// A cluster of services in tiers: each calls a few of the later ones, mostly of its own namespace.
fn cluster(workloads: usize, namespaces: usize, calls: usize) -> Graph {
    let mut numbers = Numbers(7);
    let peers: Vec<Peer> = (0..workloads)
        .map(|i| {
            let kind = if numbers.below(5) == 0 {
                "StatefulSet"
            } else {
                "Deployment"
            };
            workload(
                &format!("team-{}", i * namespaces / workloads),
                &format!("service-{i}"),
                kind,
            )
        })
        .collect();
    let mut graph = Graph::default();
    let mut seen = BTreeSet::new();
    for _ in 0..calls {
        let client = numbers.below(workloads);
        let size = workloads / namespaces;
        let server = match numbers.below(6) {
            0 => numbers.below(workloads),
            _ => (client / size * size + numbers.below(size)).min(workloads - 1),
        };
        let (client, server) = (client.min(server), client.max(server));
        let port = 8000 + (server % 7) as u16;
        if seen.insert((client, server)) {
            let drawn: Edge = if numbers.below(30) == 0 {
                refused(port)
            } else {
                tcp(port)
            };
            graph.add_edge(&peers[client], &peers[server], drawn);
        }
    }
    for peer in &peers {
        graph.add_edge(
            peer,
            &workload("kube-system", "coredns", "Deployment"),
            edge(Protocol::Udp, 53),
        );
    }
    for index in 0..workloads / 10 {
        graph.add_edge(
            &peers[index * 7 % workloads],
            &outside(&format!("203.0.113.{}", index % 200)),
            tcp(443),
        );
    }
    graph
}

#[test]
fn the_shop_is_drawn() {
    let text = svg(&shop_graph(), Options::default());
    show("shop", &text);
    show(
        "shop-learned",
        &svg(&shop_graph(), Options { only_learned: true }),
    );
    assert!(text.contains(">! 39</text>") && text.contains(">DNS</text>"));
    assert_eq!(
        text.matches(">5432/TCP</text>").count(),
        1,
        "four clients share one pin"
    );
}

#[test]
fn five_peers_are_drawn() {
    let mut graph = Graph::default();
    graph.add_edge(&shop("web"), &shop("app"), tcp(8080));
    graph.add_edge(&shop("app"), &shop("postgres"), tcp(5432));
    graph.add_edge(&shop("app"), &outside("203.0.113.9"), tcp(443));
    graph.add_edge(
        &shop("app"),
        &workload("kube-system", "coredns", "Deployment"),
        edge(Protocol::Udp, 53),
    );
    graph.add_edge(
        &shop("app"),
        &workload("kube-system", "coredns", "Deployment"),
        implied(53),
    );
    show("five", &svg(&graph, Options::default()));
}

#[test]
fn cycles_and_loops_are_drawn() {
    let mut graph = Graph::default();
    for (client, server, port) in [
        ("a", "b", 1),
        ("b", "c", 2),
        ("c", "a", 3),
        ("c", "c", 4),
        ("d", "b", 5),
        ("b", "d", 6),
        ("c", "e", 7),
    ] {
        graph.add_edge(&shop(client), &shop(server), tcp(port * 1000));
    }
    graph.add_edge(
        &workload("z", "lonely", "Pod"),
        &workload("z", "lonely", "Pod"),
        tcp(7946),
    );
    show("cycle", &svg(&graph, Options::default()));
}

#[test]
fn an_empty_graph_and_one_without_edges_are_drawn() {
    show("empty", &svg(&Graph::default(), Options::default()));
    let mut graph = Graph::default();
    for index in 0..13 {
        graph.add_peer(&workload("quiet", &format!("w{index}"), "Deployment"));
    }
    show("quiet", &svg(&graph, Options::default()));
}

#[test]
fn sixty_workloads_are_drawn() {
    show("sixty", &svg(&cluster(60, 5, 90), Options::default()));
}

#[test]
fn five_hundred_workloads_are_drawn_in_time() {
    let graph = cluster(500, 25, 1_500);
    let start = std::time::Instant::now();
    let text = svg(&graph, Options::default());
    let elapsed = start.elapsed();
    println!("500 workloads: {elapsed:?}, {} bytes", text.len());
    show("fivehundred", &text);
    // Unoptimised and beside other tests; optimised it takes well under a second.
    assert!(elapsed.as_secs() < 60, "{elapsed:?}");
}
