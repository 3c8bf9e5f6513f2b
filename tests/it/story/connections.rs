//! Connections that were observed and must keep working, and connections that were never observed and must not work.
//! Each one is really opened.

use super::shop::{CUSTOMER, Shop};
use crate::support::kubernetes::{Cluster, Outcome, Pod};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// An edge of samples/shop/truth.yaml.
#[derive(Debug, Clone, Deserialize)]
pub struct Edge {
    pub client: String,
    pub server: String,
    pub protocol: String,
    pub port: u16,
}

/// samples/shop/truth.yaml, with the fields that are needed here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Truth {
    edges: Vec<Edge>,
    implied: Vec<Edge>,
}

/// Returns the edges that must be learned, and the implied ones: DNS over TCP.
pub fn truth() -> (Vec<Edge>, Vec<Edge>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop/truth.yaml");
    let text = std::fs::read_to_string(path).expect("truth.yaml");
    let truth: Truth = serde_yaml::from_str(&text).expect("a truth");
    (truth.edges, truth.implied)
}

/// Connections that nobody makes, none of them from `feed` or to `broker`, which step 7 is about: client, server, protocol and port of the pods (or of the outside).
pub const NEVER: [(&str, &str, &str, u16); 22] = [
    ("shop/web", "shop/postgres", "TCP", 5432),
    ("shop/web", "shop/redis", "TCP", 6379),
    ("shop/web", "outside:203.0.113.10", "TCP", 443),
    ("shop/web", "monitoring/statsd", "UDP", 9125),
    ("shop/loadgen", "shop/app", "TCP", 8080),
    ("shop/loadgen", "shop/postgres", "TCP", 5432),
    ("shop/quotes", "shop/redis", "TCP", 6379),
    ("shop/quotes", "monitoring/statsd", "UDP", 9125),
    ("shop/consumer", "shop/postgres", "TCP", 5432),
    ("shop/consumer", "outside:203.0.113.10", "TCP", 443),
    ("shop/pay", "shop/redis", "TCP", 6379),
    ("shop/pay", "outside:203.0.113.53", "UDP", 53),
    ("shop/app", "shop/quotes", "TCP", 40001),
    ("shop/app", "shop/web", "TCP", 8080),
    ("shop/app", "monitoring/prometheus", "TCP", 9090),
    ("shop/postgres", "outside:203.0.113.10", "TCP", 443),
    ("shop/redis", "shop/postgres", "TCP", 5432),
    ("shop/legacy", "shop/postgres", "TCP", 5432),
    ("monitoring/prometheus", "shop/app", "TCP", 8080),
    ("monitoring/statsd", "shop/app", "TCP", 9102),
    ("kube-system/coredns", "shop/app", "TCP", 8080),
    ("outside:198.51.100.7", "shop/app", "TCP", 8080),
];

/// One attempt to connect.
pub struct Attempt {
    pub words: String,
    client: Client,
    address: String,
    port: u16,
    how: How,
}

enum Client {
    Pod(Pod),
    Customer(&'static Cluster),
}

enum How {
    Tcp,
    /// A DNS query, which must be answered.
    Query,
    /// A datagram, which must appear in the log of one of these pods.
    Datagram(Vec<Pod>),
}

/// Returns all attempts for a connection: to each pod, and through each Service in front of it.
pub fn attempts(cluster: &'static Cluster, shop: &Shop, edge: &Edge) -> Vec<Attempt> {
    let Edge {
        client,
        server,
        protocol,
        port,
    } = edge;
    let targets = match server.split_once(':') {
        Some(("outside", address)) => vec![(address.to_owned(), *port)],
        Some(("node", name)) => {
            let node = cluster.nodes().iter().find(|node| node.name == name);
            vec![(node.expect("a node").address.clone(), *port)]
        }
        // Through the NodePort if there is one; ClusterIPs are not reachable from outside.
        _ if client.starts_with("outside:") && server == "shop/web" => vec![shop.front()],
        _ if client.starts_with("outside:") => {
            let pods = shop.pods(server).into_iter();
            pods.map(|pod| (pod.address, *port)).collect()
        }
        _ => shop.ways(server, *port),
    };
    let how = || match (protocol.as_str(), port) {
        ("TCP", _) => How::Tcp,
        (_, 53) => How::Query,
        _ => How::Datagram(shop.pods(server)),
    };
    let client = || {
        if client.starts_with("outside:") {
            Client::Customer(cluster)
        } else {
            Client::Pod(shop.pod(client))
        }
    };
    let attempt = |(address, to): (String, u16)| Attempt {
        words: format!(
            "{} → {server} {port}/{protocol} at {address}:{to}",
            edge.client
        ),
        client: client(),
        address,
        port: to,
        how: how(),
    };
    targets.into_iter().map(attempt).collect()
}

impl Attempt {
    /// Makes the attempt. Returns `None` if it succeeded, otherwise what happened instead.
    pub fn make(&self) -> Option<String> {
        match (&self.client, &self.how) {
            (Client::Customer(cluster), _) => self.call_as_customer(cluster),
            (Client::Pod(pod), How::Tcp) => match pod.connect(&self.address, self.port) {
                Outcome::Connected => None,
                other => Some(format!("{other:?}")),
            },
            (Client::Pod(pod), How::Query) => pod
                .inside(|| query(&self.address))
                .err()
                .map(|e| e.to_string()),
            (Client::Pod(pod), How::Datagram(servers)) => self.tell(pod, servers),
        }
    }

    /// Repeats the attempt until it succeeds, or until it fails. Returns the time that this took.
    ///
    /// # Errors
    /// Returns the last result.
    pub fn until(&self, works: bool, patience: Duration) -> Result<Duration, String> {
        let begun = Instant::now();
        loop {
            let lack = self.make();
            if lack.is_none() == works {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > patience {
                let happened = lack.unwrap_or_else(|| "it worked".to_owned());
                return Err(format!("{}: {happened}", self.words));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn call_as_customer(&self, cluster: &Cluster) -> Option<String> {
        let script = "import socket,sys; socket.create_connection((sys.argv[2], int(sys.argv[3])), 0.9, (sys.argv[1], 0))";
        let mut command: Command = cluster.command("/usr/bin/python3");
        command.args([
            "-c",
            script,
            CUSTOMER,
            &self.address,
            &self.port.to_string(),
        ]);
        let output = command.output().expect("python starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then(|| said.lines().last().unwrap_or("failed").to_owned())
    }

    fn tell(&self, pod: &Pod, servers: &[Pod]) -> Option<String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let word = format!("attempt-{number} of {}", pod.name);
        let target: SocketAddr = format!("{}:{}", self.address, self.port)
            .parse()
            .expect("an address");
        let sent = pod.inside(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.send_to(word.as_bytes(), target)
        });
        if let Err(error) = sent {
            return Some(error.to_string());
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            if servers
                .iter()
                .any(|server| server.log("main").contains(&word))
            {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some("the datagram did not arrive".to_owned())
    }
}

/// A DNS query for a name that only the upstream server knows.
fn query(server: &str) -> std::io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(900)))?;
    socket.connect((server, 53))?;
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["api", "payments", "example"] {
        packet.push(u8::try_from(label.len()).expect("short"));
        packet.extend(label.bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    socket.send(&packet)?;
    let mut answer = [0; 512];
    socket.recv(&mut answer).map(drop)
}
