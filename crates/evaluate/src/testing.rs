//! Small clusters for the tests of this crate.

use super::{Evaluation, HostNetwork, PeerRef};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::{
    ContainerPort, Inventory, Namespace, Node, OtherKinds, Owned, Pod, Workload, WorkloadId,
};
use nanoseg_net::{ConnectionSet, Protocol};
use nanoseg_policy_kinds::{OtherKind, OtherKindPolicy};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

pub fn id(text: &str) -> WorkloadId {
    let (namespace, name) = text.split_once('/').unwrap();
    WorkloadId {
        namespace: namespace.into(),
        name: name.into(),
        kind: "Deployment".into(),
    }
}

/// Adds a namespace with labels such as `team=a,env=prod`.
pub fn namespace(inventory: &mut Inventory, name: &str, text: &str) {
    let mut labels = labels(text);
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
    inventory.namespaces.insert(
        name.into(),
        Namespace {
            name: name.into(),
            labels,
        },
    );
}

/// Adds a pod of the workload of the same name.
pub fn pod<'a>(inventory: &'a mut Inventory, name: &str, text: &str) -> &'a mut Pod {
    let workload = id(name);
    let index = inventory.pods.len();
    let entry = inventory
        .workloads
        .entry(workload.clone())
        .or_insert_with(|| Workload::new(workload.clone()));
    entry.pods.push(index);
    inventory.pods.push(Pod {
        namespace: workload.namespace.clone(),
        name: format!("{}-{index}", workload.name),
        labels: labels(text),
        workload,
        node: None,
        host_network: false,
        addresses: vec![IpAddr::from([10, 244, 0, index as u8 + 1])],
        host_ports: Vec::new(),
        ports: Vec::new(),
        owned: Owned::default(),
        network_up: None,
        own_resolvers: Default::default(),
        claimed_owner: None,
        template: false,
    });
    inventory.pods.last_mut().unwrap()
}

pub fn node(inventory: &mut Inventory, name: &str, address: &str) {
    inventory.nodes.push(Node {
        name: name.into(),
        addresses: [address.parse().unwrap()].into(),
        ..Node::default()
    });
}

pub fn port(protocol: Protocol, name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        protocol,
        number,
    }
}

/// A policy in namespace `shop` from the YAML of its spec.
pub fn policy(spec: &str) -> NetworkPolicy {
    named_policy("shop/p", spec)
}

pub fn named_policy(name: &str, spec: &str) -> NetworkPolicy {
    let (namespace, name) = name.split_once('/').unwrap();
    let mut policy = NetworkPolicy::default();
    policy.metadata.namespace = Some(namespace.into());
    policy.metadata.name = Some(name.into());
    policy.spec = Some(serde_yaml::from_str(spec).unwrap());
    policy
}

pub fn evaluate(inventory: &Inventory, policies: &[NetworkPolicy]) -> Evaluation {
    Evaluation::new(inventory, policies, HostNetwork::Exact).unwrap()
}

/// Returns what pod `client` may open to pod `server`, as text.
pub fn allowed(evaluation: &Evaluation, client: usize, server: usize) -> String {
    evaluation
        .allowed(PeerRef::Pod(client), PeerRef::Pod(server))
        .to_string()
}

pub fn from_address(evaluation: &Evaluation, client: &str, server: usize) -> ConnectionSet {
    evaluation.allowed(
        PeerRef::Address(client.parse().unwrap()),
        PeerRef::Pod(server),
    )
}

pub fn to_address(evaluation: &Evaluation, client: usize, server: &str) -> ConnectionSet {
    evaluation.allowed(
        PeerRef::Pod(client),
        PeerRef::Address(server.parse().unwrap()),
    )
}

/// A policy of another kind from the YAML of its object.
pub fn other_policy(text: &str) -> OtherKindPolicy {
    let object: serde_json::Value = serde_yaml::from_str(text).unwrap();
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    let group = text("apiVersion").split_once('/').unwrap().0.to_owned();
    let kind = OtherKind::of(&text("kind"), &group).unwrap();
    let read = OtherKindPolicy::read(kind, &object).unwrap();
    assert_eq!(read.unknown, [""; 0]);
    read.policy
}

/// Puts policies of other kinds in force, one YAML document each.
pub fn in_force(inventory: &mut Inventory, text: &str) {
    let documents = text.split("---").filter(|one| !one.trim().is_empty());
    let policies = documents.map(other_policy).collect();
    inventory.other_kinds = Arc::new(OtherKinds {
        policies,
        names: inventory.other_kinds.names.clone(),
    });
}
