//! Random clusters.

use super::case::{Case, Labels, Namespace, Node, Pod, Port, Probe};
use fastrand::Rng;
use nanoseg::net::Protocol;
use std::net::IpAddr;

/// What a cluster may have.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Pods and nodes have an IPv6 address beside the other.
    pub ipv6: bool,
    pub host_network: bool,
    /// Every pod has a label that no other has.
    pub own_label: bool,
    /// Every pod and namespace has a label of every key.
    pub every_key: bool,
    /// A pod has a port's name once, not once for each protocol.
    pub one_protocol_each_name: bool,
}

pub const KEYS: [&str; 3] = ["app", "tier", "rev"];
pub const VALUES: [&str; 3] = ["a", "b", "c"];
pub const NAMES: [&str; 3] = ["http", "dns", "admin"];
/// Ports at which results can change: ends of ranges, their neighbours, and the numbers of named ports.
pub const PORTS: [u16; 8] = [1, 79, 80, 81, 85, 90, 91, 65535];

/// Makes a cluster without policies, with all pairs and probes.
pub fn cluster(rng: &mut Rng, shape: Shape) -> Case {
    let mut case = Case::default();
    for index in 0..3 {
        let name = format!("n{index}");
        let mut labels = labels(rng, shape.every_key);
        labels.insert("kubernetes.io/metadata.name".into(), name.clone());
        case.namespaces.push(Namespace { name, labels });
    }
    for index in 0..2 + rng.usize(0..2) {
        case.nodes.push(node(rng, shape, index as u8));
    }
    for index in 0..2 + rng.usize(0..6) {
        let pod = pod(rng, shape, &case.nodes, index as u16);
        case.pods.push(pod);
    }
    case.outside = outside(shape, &case.nodes);
    case.pairs = case.all_pairs();
    let probes = Protocol::ALL
        .into_iter()
        .flat_map(|protocol| PORTS.map(|port| Probe { protocol, port }));
    case.probes = probes.collect();
    case
}

/// Labels of some keys, or of all.
pub fn labels(rng: &mut Rng, every_key: bool) -> Labels {
    let mut labels = Labels::new();
    for key in KEYS {
        if every_key || rng.bool() {
            labels.insert(key.into(), one(rng, &VALUES).into());
        }
    }
    labels
}

/// Returns one of a list.
pub fn one<T: Copy>(rng: &mut Rng, list: &[T]) -> T {
    list[rng.usize(0..list.len())]
}

/// True `percent` times of a hundred.
pub fn often(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(0..100) < percent
}

fn node(rng: &mut Rng, shape: Shape, index: u8) -> Node {
    let mut addresses = vec![IpAddr::from([172, 18, 0, index + 1])];
    if shape.ipv6 {
        addresses.push(v6("fd00:18::", u16::from(index) + 1));
    }
    Node {
        name: format!("node{index}"),
        labels: labels(rng, shape.every_key),
        addresses,
    }
}

fn pod(rng: &mut Rng, shape: Shape, nodes: &[Node], index: u16) -> Pod {
    let node = &nodes[rng.usize(0..nodes.len())];
    let host_network = shape.host_network && often(rng, 15);
    let mut addresses = vec![IpAddr::from([10, 244, rng.u8(0..2), index as u8 + 1])];
    if shape.ipv6 {
        addresses.push(v6("fd00:244::", index + 1));
    }
    if host_network {
        addresses.clone_from(&node.addresses);
    }
    let mut labels = labels(rng, shape.every_key);
    if shape.own_label {
        labels.insert("own".into(), format!("p{index}"));
    }
    Pod {
        namespace: one(rng, &["n0", "n1", "n2"]).into(),
        name: format!("p{index}"),
        labels,
        node: node.name.clone(),
        host_network,
        addresses,
        ports: ports(rng, shape),
    }
}

fn ports(rng: &mut Rng, shape: Shape) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for _ in 0..rng.usize(0..4) {
        let port = Port {
            name: one(rng, &NAMES).into(),
            protocol: one(rng, &Protocol::ALL),
            number: one(rng, &PORTS),
        };
        let same = |other: &Port| {
            other.name == port.name
                && (shape.one_protocol_each_name || other.protocol == port.protocol)
        };
        if !ports.iter().any(same) {
            ports.push(port);
        }
    }
    ports
}

/// Addresses inside and outside of the blocks of policies, and those of the nodes.
fn outside(shape: Shape, nodes: &[Node]) -> Vec<IpAddr> {
    let mut outside: Vec<IpAddr> = ["198.51.100.1", "198.51.100.200", "203.0.113.7", "10.0.0.5"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    if shape.ipv6 {
        outside
            .extend(["2001:db8::1", "2001:db8:1::1"].map(|text| text.parse::<IpAddr>().unwrap()));
    }
    outside.extend(nodes.iter().flat_map(|node| node.addresses.iter().copied()));
    outside
}

fn v6(prefix: &str, last: u16) -> IpAddr {
    format!("{prefix}{last:x}").parse().unwrap()
}
