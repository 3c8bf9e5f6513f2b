//! Small inventories and requirements for the tests of this crate.

use nanoseg_graph::{End, Requirement};
use nanoseg_inventory::{Inventory, Namespace, Node, Owned, Pod, Workload, WorkloadId};
use nanoseg_net::Protocol;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `namespace/name`, a Deployment, or `namespace/name/Kind`.
pub(super) fn id(text: &str) -> WorkloadId {
    let mut parts = text.split('/');
    let mut next = || parts.next().map(str::to_string);
    WorkloadId {
        namespace: next().unwrap(),
        name: next().unwrap(),
        kind: next().unwrap_or("Deployment".to_string()),
    }
}

/// `a=b,c=d`
pub(super) fn labels(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// A workload with one pod for each set of labels.
pub(super) fn add(inventory: &mut Inventory, workload: &str, match_labels: &str, pods: &[&str]) {
    let id = id(workload);
    let entry = inventory
        .workloads
        .entry(id.clone())
        .or_insert_with(|| Workload {
            match_labels: labels(match_labels),
            ..Workload::new(id.clone())
        });
    for pod in pods {
        let number = inventory.pods.len();
        entry.pods.push(number);
        inventory.pods.push(Pod {
            namespace: id.namespace.clone(),
            name: format!("{}-{number}", id.name),
            labels: labels(pod),
            workload: id.clone(),
            node: None,
            host_network: false,
            addresses: Vec::new(),
            host_ports: Vec::new(),
            ports: Vec::new(),
            owned: Owned::default(),
            network_up: None,
            own_resolvers: Default::default(),
            claimed_owner: None,
            template: false,
        });
    }
    let namespace = Namespace {
        name: id.namespace.clone(),
        labels: BTreeMap::new(),
    };
    inventory.namespaces.insert(id.namespace, namespace);
}

/// Workloads whose one pod carries `app=<name>`.
pub(super) fn inventory(workloads: &[&str]) -> Inventory {
    let mut inventory = Inventory::default();
    for workload in workloads {
        let app = format!("app={}", id(workload).name);
        add(&mut inventory, workload, &app, &[&app]);
    }
    inventory
}

pub(super) fn add_node(inventory: &mut Inventory, name: &str, addresses: &[&str]) {
    inventory.nodes.push(Node {
        name: name.to_string(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ingress: Default::default(),
        pod_cidrs: Vec::new(),
    });
}

/// A workload as `namespace/name`, or addresses as `1.2.3.4 5.6.7.8`.
pub(super) fn end(text: &str) -> End {
    let addresses: Result<_, _> = text.split(' ').map(str::parse::<IpAddr>).collect();
    match addresses {
        Ok(addresses) => End::Addresses(addresses),
        Err(_) => End::Workload(id(text)),
    }
}

/// Returns true if a label denotes addresses of the cluster itself.
fn of_cluster(label: &str) -> bool {
    label == "API server" || label.contains("node")
}

/// Parses one requirement per line: `client > server PORT/PROTOCOL # label`. Its edge is the index of the line.
pub(super) fn requirements(text: &str) -> Vec<Requirement> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(edge, line)| {
            let (rest, label) = match line.split_once(" # ") {
                Some((rest, label)) => (rest, Some(label.to_string())),
                None => (line, None),
            };
            let (client, rest) = rest.split_once(" > ").unwrap();
            let (server, port) = rest.rsplit_once(' ').unwrap();
            let (port, protocol) = port.split_once('/').unwrap();
            Requirement {
                client: end(client),
                server: end(server),
                protocol: Protocol::parse(protocol).unwrap(),
                port: port.parse().unwrap(),
                outside: label.as_deref().is_none_or(|label| !of_cluster(label)),
                label,
                edge,
            }
        })
        .collect()
}
