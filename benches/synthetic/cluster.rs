//! The generated cluster: its workloads, and which of them connect to which.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Range;

/// The size of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterSize {
    pub pods: usize,
    pub workloads: usize,
    pub namespaces: usize,
    /// The number of other workloads that each workload calls.
    pub calls: usize,
}

/// A Deployment with one Service in front of it.
#[derive(Debug, Clone)]
pub struct Workload {
    pub namespace: usize,
    pub name: String,
    /// The Deployment's `matchLabels`. Every third workload shares its first label with its
    /// neighbour, so that no single label is exact.
    pub selector: Vec<(&'static str, String)>,
    /// The port on which its containers listen, and the Service's `targetPort`.
    pub port: u16,
    pub service_port: u16,
    pub cluster_ip: Ipv4Addr,
    /// The indices of its pods in [`Cluster::pods`]. Never empty.
    pub pods: Range<usize>,
}

#[derive(Debug, Clone)]
pub struct Pod {
    pub workload: usize,
    pub name: String,
    pub address: Ipv4Addr,
    pub node: usize,
}

/// The whole cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub namespaces: Vec<String>,
    pub nodes: usize,
    pub workloads: Vec<Workload>,
    pub pods: Vec<Pod>,
    /// Client workload → server workload. Every pair is unique, and none is a workload with itself.
    pub edges: Vec<(usize, usize)>,
}

/// Pods per node. The kubelet's default limit is 110; a cluster is rarely that full.
const PODS_PER_NODE: usize = 50;
const PORTS: [(u16, u16); 8] = [
    (8080, 80),
    (8443, 443),
    (3000, 80),
    (5432, 5432),
    (6379, 6379),
    (9090, 9090),
    (50051, 50051),
    (9092, 9092),
];
const TIERS: [&str; 3] = ["frontend", "backend", "store"];

impl Cluster {
    /// Plans a cluster. Requires `pods >= workloads > calls`, and at least one namespace.
    pub fn plan(size: ClusterSize, random: &mut fastrand::Rng) -> Cluster {
        let counts = pods_per_workload(size, random);
        let mut cluster = Cluster {
            namespaces: (0..size.namespaces)
                .map(|n| format!("team-{n:02}"))
                .collect(),
            nodes: size.pods.div_ceil(PODS_PER_NODE),
            workloads: Vec::with_capacity(size.workloads),
            pods: Vec::with_capacity(size.pods),
            edges: edges(size, random),
        };
        for (number, count) in counts.into_iter().enumerate() {
            let first = cluster.pods.len();
            let workload = workload(number, size.namespaces, first..first + count, random);
            for _ in 0..count {
                let place = cluster.pods.len();
                // As the scheduler does it, the pods of one workload are on different nodes.
                let node = place % cluster.nodes;
                cluster.pods.push(Pod {
                    workload: number,
                    name: format!(
                        "{}-{}-{}",
                        workload.name,
                        template_hash(number),
                        suffix(random)
                    ),
                    address: node_address(node, 10 + place / cluster.nodes),
                    node,
                });
            }
            cluster.workloads.push(workload);
        }
        cluster
    }
}

/// Returns an address in a node's podCIDR: `10.128.0.0/9`, split into a /24 per node.
pub fn node_address(node: usize, host: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a80_0000 + ((node as u32) << 8) + host as u32)
}

/// The `pod-template-hash` of a workload's ReplicaSet.
pub fn template_hash(workload: usize) -> String {
    format!(
        "{:010x}",
        (workload as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
    )
}

/// Gives each workload one pod and distributes the others at random: most workloads have a few, some many.
fn pods_per_workload(size: ClusterSize, random: &mut fastrand::Rng) -> Vec<usize> {
    let mut counts = vec![1; size.workloads];
    for _ in size.workloads..size.pods {
        counts[random.usize(..size.workloads)] += 1;
    }
    counts
}

fn workload(
    number: usize,
    namespaces: usize,
    pods: Range<usize>,
    random: &mut fastrand::Rng,
) -> Workload {
    let (port, service_port) = PORTS[random.usize(..PORTS.len())];
    let (namespace, inside) = (number % namespaces, number / namespaces);
    let tier = TIERS[inside % TIERS.len()];
    let (name, selector) = if inside % 3 == 2 {
        let name = format!("app-{inside:03}");
        (name.clone(), vec![("app.kubernetes.io/name", name)])
    } else {
        let pair = inside - inside % 3;
        let labels = vec![
            ("app", format!("shop-{pair:03}")),
            ("tier", tier.to_string()),
        ];
        (format!("shop-{pair:03}-{tier}"), labels)
    };
    Workload {
        namespace,
        name,
        selector,
        port,
        service_port,
        // 10.96.0.1 is default/kubernetes.
        cluster_ip: Ipv4Addr::from(0x0a60_0000 + 10 + number as u32),
        pods,
    }
}

/// Makes each workload call `size.calls` others. Some are called by many (u² prefers low numbers).
fn edges(size: ClusterSize, random: &mut fastrand::Rng) -> Vec<(usize, usize)> {
    let mut edges = Vec::with_capacity(size.workloads * size.calls);
    for client in 0..size.workloads {
        let mut servers = BTreeSet::new();
        while servers.len() < size.calls {
            let server = skewed(size.workloads, random);
            if server != client {
                servers.insert(server);
            }
        }
        edges.extend(servers.into_iter().map(|server| (client, server)));
    }
    random.shuffle(&mut edges);
    edges
}

/// Returns a random number below `limit`. The rarest number is half as likely as the average, so that each occurs.
pub fn skewed(limit: usize, random: &mut fastrand::Rng) -> usize {
    let unit = random.f64();
    ((unit * unit * limit as f64) as usize).min(limit - 1)
}

/// Returns five characters such as the ReplicaSet controller appends, from its alphabet.
fn suffix(random: &mut fastrand::Rng) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..5)
        .map(|_| char::from(ALPHABET[random.usize(..ALPHABET.len())]))
        .collect()
}
