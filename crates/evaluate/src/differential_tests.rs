//! Differential tests: the evaluator is compared with a naive one that has no sets. The naive one decides one
//! connection at a time, in the terms of the API documentation. Inputs are small random clusters; tested
//! are every pair of pods and addresses, and every port at which a result could change.

use super::testing;
use super::{Evaluation, ExcessList, HostNetwork, PeerRef, PolicySets, Span, difference, prove};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_graph::{End, Requirement};
use nanoseg_inventory::{ContainerPort, Inventory, Pod, WorkloadId};
use nanoseg_net::{Direction, Protocol};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One connection: where to, which protocol and port.
#[derive(Clone, Copy)]
struct Probe {
    protocol: Protocol,
    port: u16,
}

fn selector_matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(k, v)| labels.get(k) == Some(v));
    equal
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|expression| {
                let value = labels.get(&expression.key);
                let listed = |v: &String| expression.values.iter().flatten().any(|one| one == v);
                match expression.operator.as_str() {
                    "In" => value.is_some_and(listed),
                    "NotIn" => !value.is_some_and(listed),
                    "Exists" => value.is_some(),
                    _ => value.is_none(),
                }
            })
}

fn port_matches(port: &NetworkPolicyPort, probe: Probe, server: Option<&Pod>) -> bool {
    if port.protocol.as_deref().unwrap_or("TCP") != probe.protocol.as_str() {
        return false;
    }
    match &port.port {
        None => true,
        Some(IntOrString::Int(first)) => {
            let last = port.end_port.unwrap_or(*first);
            (*first..=last).contains(&i32::from(probe.port))
        }
        Some(IntOrString::String(name)) => server.is_some_and(|pod| {
            pod.ports.iter().any(|one| {
                one.name.as_ref() == Some(name)
                    && one.protocol == probe.protocol
                    && one.number == probe.port
            })
        }),
    }
}

struct NaiveEvaluator<'a> {
    inventory: &'a Inventory,
    policies: &'a [NetworkPolicy],
}

impl NaiveEvaluator<'_> {
    fn peer_matches(&self, peer: &NetworkPolicyPeer, policy_ns: &str, far: PeerRef) -> bool {
        if let Some(block) = &peer.ip_block {
            let inside = |address: &IpAddr| {
                let holds = |cidr: &String| cidr.parse::<ipnet::IpNet>().unwrap().contains(address);
                holds(&block.cidr) && !block.except.iter().flatten().any(holds)
            };
            return match far {
                PeerRef::Address(address) => inside(&address),
                PeerRef::Pod(pod) => {
                    let pod = &self.inventory.pods[pod];
                    pod.host_network && pod.addresses.iter().any(inside)
                }
            };
        }
        let PeerRef::Pod(pod) = far else { return false };
        let pod = &self.inventory.pods[pod];
        let namespace = match &peer.namespace_selector {
            None => pod.namespace == policy_ns,
            Some(selector) => {
                selector_matches(selector, &self.inventory.namespaces[&pod.namespace].labels)
            }
        };
        let pods = peer.pod_selector.as_ref();
        !pod.host_network && namespace && pods.is_none_or(|s| selector_matches(s, &pod.labels))
    }

    fn side(&self, direction: Direction, near: PeerRef, far: PeerRef, probe: Probe) -> bool {
        let PeerRef::Pod(near_index) = near else {
            return true;
        };
        let near_pod = &self.inventory.pods[near_index];
        if near_pod.host_network {
            return true;
        }
        let server = if direction == Direction::Ingress {
            near
        } else {
            far
        };
        let server = match server {
            PeerRef::Pod(pod) => Some(&self.inventory.pods[pod]).filter(|pod| !pod.host_network),
            PeerRef::Address(_) => None,
        };
        let mut isolated = false;
        for policy in self.policies {
            let namespace = policy.metadata.namespace.as_deref().unwrap();
            let spec = policy.spec.as_ref().unwrap();
            let selected = spec.pod_selector.as_ref().unwrap();
            if namespace != near_pod.namespace || !selector_matches(selected, &near_pod.labels) {
                continue;
            }
            let rules: Vec<_> = match direction {
                Direction::Ingress => {
                    let rules = spec.ingress.iter().flatten();
                    rules
                        .map(|rule| (rule.from.clone(), rule.ports.clone()))
                        .collect()
                }
                Direction::Egress => {
                    let rules = spec.egress.iter().flatten();
                    rules
                        .map(|rule| (rule.to.clone(), rule.ports.clone()))
                        .collect()
                }
            };
            let applies = match (&spec.policy_types, direction) {
                (Some(types), Direction::Ingress) => types.iter().any(|one| one == "Ingress"),
                (Some(types), Direction::Egress) => types.iter().any(|one| one == "Egress"),
                (None, Direction::Ingress) => true,
                (None, Direction::Egress) => !rules.is_empty(),
            };
            if !applies {
                continue;
            }
            isolated = true;
            for (peers, ports) in rules {
                let (peers, ports) = (peers.unwrap_or_default(), ports.unwrap_or_default());
                let peer = peers.is_empty()
                    || peers
                        .iter()
                        .any(|peer| self.peer_matches(peer, namespace, far));
                let port =
                    ports.is_empty() || ports.iter().any(|port| port_matches(port, probe, server));
                if peer && port {
                    return true;
                }
            }
        }
        !isolated
    }

    fn allowed(&self, client: PeerRef, server: PeerRef, probe: Probe) -> bool {
        if client == server {
            return true;
        }
        if let PeerRef::Pod(server) = server
            && let Some(node) = &self.inventory.pods[server].node
        {
            let own_node = match client {
                PeerRef::Address(address) => {
                    let mut nodes = self.inventory.nodes.iter();
                    nodes.any(|one| one.name == *node && one.addresses.contains(&address))
                }
                PeerRef::Pod(client) => {
                    let client = &self.inventory.pods[client];
                    client.host_network && client.node.as_ref() == Some(node)
                }
            };
            if own_node {
                return true;
            }
        }
        self.side(Direction::Egress, client, server, probe)
            && self.side(Direction::Ingress, server, client, probe)
    }
}

const KEYS: [&str; 3] = ["app", "tier", "rev"];
const VALUES: [&str; 3] = ["a", "b", "c"];
const PORTS: [u16; 6] = [1, 79, 80, 81, 90, 65535];
const ADDRESSES: [&str; 7] = [
    "0.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.0",
    "172.18.0.1",
    "172.18.0.2",
    "fd00::1",
];
const CIDRS: [(&str, &[&str]); 6] = [
    ("0.0.0.0/0", &["10.0.0.0/24", "172.16.0.0/12"]),
    ("10.0.0.0/24", &["10.0.0.2/32"]),
    ("10.0.0.0/8", &[]),
    ("172.18.0.1/32", &[]),
    ("172.18.0.0/31", &["172.18.0.0/32"]),
    ("fd00::/8", &["fd00::1/128"]),
];

fn a_value() -> impl Strategy<Value = String> {
    prop::sample::select(&VALUES[..]).prop_map(str::to_owned)
}

fn some_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = prop::sample::select(&KEYS[..]).prop_map(str::to_owned);
    prop::collection::btree_map(key, a_value(), 0..3)
}

fn a_selector() -> impl Strategy<Value = serde_json::Value> {
    let operator = prop::sample::select(&["In", "NotIn", "Exists", "DoesNotExist"][..]);
    let key = prop::sample::select(&KEYS[..]);
    let expression =
        (key, operator, prop::collection::vec(a_value(), 1..3)).prop_map(|(key, op, values)| {
            match op {
                "In" | "NotIn" => serde_json::json!({"key": key, "operator": op, "values": values}),
                _ => serde_json::json!({"key": key, "operator": op}),
            }
        });
    let labels = prop::option::weighted(0.5, some_labels());
    (labels, prop::collection::vec(expression, 0..2)).prop_map(|(labels, expressions)| {
        serde_json::json!({"matchLabels": labels, "matchExpressions": expressions})
    })
}

fn a_peer() -> impl Strategy<Value = serde_json::Value> {
    let block = (prop::sample::select(&CIDRS[..]), any::<bool>()).prop_map(|((cidr, except), with)| {
        serde_json::json!({"ipBlock": {"cidr": cidr, "except": if with { except } else { &[] }}})
    });
    prop_oneof![
        1 => block,
        1 => a_selector().prop_map(|pods| serde_json::json!({"podSelector": pods})),
        1 => a_selector().prop_map(|ns| serde_json::json!({"namespaceSelector": ns})),
        1 => (a_selector(), a_selector()).prop_map(|(ns, pods)|
            serde_json::json!({"namespaceSelector": ns, "podSelector": pods})),
    ]
}

fn a_port() -> impl Strategy<Value = serde_json::Value> {
    let protocol = prop::sample::select(&[None, Some("TCP"), Some("UDP"), Some("SCTP")][..]);
    let port = prop_oneof![
        Just(serde_json::json!({})),
        prop::sample::select(&PORTS[..]).prop_map(|port| serde_json::json!({"port": port})),
        Just(serde_json::json!({"port": 80, "endPort": 90})),
        prop::sample::select(&["http", "dns"][..]).prop_map(|n| serde_json::json!({"port": n})),
    ];
    (protocol, port).prop_map(|(protocol, mut port)| {
        if let Some(protocol) = protocol {
            port["protocol"] = protocol.into();
        }
        port
    })
}

fn a_policy() -> impl Strategy<Value = NetworkPolicy> {
    let rules = |side: &'static str| {
        let peers = prop::option::weighted(0.8, prop::collection::vec(a_peer(), 0..3));
        let ports = prop::option::weighted(0.7, prop::collection::vec(a_port(), 0..3));
        let rule = (peers, ports)
            .prop_map(move |(peers, ports)| serde_json::json!({side: peers, "ports": ports}));
        prop::collection::vec(rule, 0..3)
    };
    let types: [Option<&'static [&'static str]>; 4] = [
        None,
        Some(&["Ingress"]),
        Some(&["Egress"]),
        Some(&["Ingress", "Egress"]),
    ];
    let types = prop::sample::select(types.to_vec());
    let namespace = prop::sample::select(&["n0", "n1"][..]);
    (namespace, a_selector(), types, rules("from"), rules("to")).prop_map(
        |(namespace, pods, types, ingress, egress)| {
            let spec = serde_json::json!({
                "podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress,
            });
            let mut policy = NetworkPolicy::default();
            policy.metadata.namespace = Some(namespace.into());
            policy.spec = Some(serde_json::from_value(spec).unwrap());
            policy
        },
    )
}

fn a_cluster() -> impl Strategy<Value = Inventory> {
    let protocol = prop::sample::select(&Protocol::ALL[..]);
    let name = prop::sample::select(&["http", "dns"][..]);
    let port = (name, protocol, prop::sample::select(&PORTS[..]))
        .prop_map(|(name, protocol, number)| testing::port(protocol, name, number));
    let ports = prop::collection::vec(port, 0..3);
    let place = (
        prop::sample::select(&["n0", "n1", "n2"][..]),
        0..2usize,
        prop::bool::weighted(0.2),
    );
    let pod = (place, some_labels(), ports, 0..2usize);
    let namespaces = prop::collection::vec(some_labels(), 3);
    (prop::collection::vec(pod, 1..6), namespaces).prop_map(|(pods, namespaces)| {
        let mut inventory = Inventory::default();
        for (index, labels) in namespaces.into_iter().enumerate() {
            let name = format!("n{index}");
            testing::namespace(&mut inventory, &name, "");
            inventory
                .namespaces
                .get_mut(&name)
                .unwrap()
                .labels
                .extend(labels);
        }
        testing::node(&mut inventory, "node0", "172.18.0.1");
        testing::node(&mut inventory, "node1", "172.18.0.2");
        for ((namespace, node, host), labels, ports, workload) in pods {
            add_pod(
                &mut inventory,
                &format!("{namespace}/w{workload}"),
                node,
                host,
                labels,
                ports,
            );
        }
        inventory
    })
}

fn add_pod(
    inventory: &mut Inventory,
    name: &str,
    node: usize,
    host: bool,
    labels: BTreeMap<String, String>,
    ports: Vec<ContainerPort>,
) {
    let pod = testing::pod(inventory, name, "");
    (pod.labels, pod.ports, pod.host_network) = (labels, ports, host);
    pod.node = Some(format!("node{node}"));
    if host {
        pod.addresses = vec![IpAddr::from([172, 18, 0, node as u8 + 1])];
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_allowed_set_equals_the_naive_result_of_each_probe(
        inventory in a_cluster(),
        policies in prop::collection::vec(a_policy(), 0..5),
    ) {
        let evaluation = Evaluation::new(&inventory, &policies, HostNetwork::Exact).unwrap();
        let naive = NaiveEvaluator { inventory: &inventory, policies: &policies };
        let pods = (0..inventory.pods.len()).map(PeerRef::Pod);
        let addresses = ADDRESSES.iter().map(|text| PeerRef::Address(text.parse().unwrap()));
        let peers: Vec<PeerRef> = pods.chain(addresses).collect();
        for client in &peers {
            for server in &peers {
                let set = evaluation.allowed(*client, *server);
                for protocol in Protocol::ALL {
                    for port in PORTS {
                        let expected = naive.allowed(*client, *server, Probe { protocol, port });
                        prop_assert_eq!(
                            set.contains(protocol, port), expected,
                            "{:?} to {:?} {} {}: {}", client, server, protocol, port, set
                        );
                        let why = evaluation.explain(*client, *server, protocol, port);
                        prop_assert_eq!(why.allowed, expected, "{:?}", why);
                    }
                }
            }
        }
    }

    #[test]
    fn the_result_of_a_class_equals_the_result_of_each_of_its_pods(
        inventory in a_cluster(),
        policies in prop::collection::vec(a_policy(), 0..5),
    ) {
        let evaluation = Evaluation::new(&inventory, &policies, HostNetwork::Exact).unwrap();
        let mut listed = BTreeMap::new();
        evaluation.for_each_pair(|client, server, set| { listed.insert((client, server), set); });
        for (client, from) in evaluation.classes() {
            for address in ADDRESSES.iter().map(|text| text.parse::<IpAddr>().unwrap()) {
                if !evaluation.everywhere().contains(address) {
                    continue;
                }
                let map = evaluation.addresses(client, Direction::Egress);
                let pod = PeerRef::Pod(from.pods[0]);
                prop_assert_eq!(map.at(address), evaluation.allowed(pod, PeerRef::Address(address)));
            }
            for (server, to) in evaluation.classes() {
                let set = listed.get(&(client, server)).cloned().unwrap_or_default();
                for (a, b) in from.pods.iter().flat_map(|a| to.pods.iter().map(move |b| (*a, *b))) {
                    let own_node = from.host_network && inventory.pods[a].node == inventory.pods[b].node;
                    if a != b && !own_node && !from.host_network && !to.host_network {
                        let one = evaluation.allowed(PeerRef::Pod(a), PeerRef::Pod(b));
                        prop_assert_eq!(&one, &set);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// A change is listed if and only if some pod of the client gained or lost a connection to a pod of the server.
    #[test]
    fn a_difference_equals_the_naive_results_before_and_after(
        inventory in a_cluster(),
        before in prop::collection::vec(a_policy(), 0..4),
        after in prop::collection::vec(a_policy(), 0..4),
    ) {
        let found = difference(&inventory, &before, &after, HostNetwork::Exact).unwrap();
        let hosts = |id: &WorkloadId| inventory.pods.iter().any(|pod| &pod.workload == id && pod.host_network);
        let was = NaiveEvaluator { inventory: &inventory, policies: &before };
        let is = NaiveEvaluator { inventory: &inventory, policies: &after };
        for (list, first, second) in [(&found.opened, &was, &is), (&found.closed, &is, &was)] {
            for (client, server) in inventory.workloads.keys().flat_map(|a| inventory.workloads.keys().map(move |b| (a, b))) {
                // For hostNetwork ends a probe of single pods has another result: a node reaches its own pods.
                if client == server || hosts(client) || hosts(server) {
                    continue;
                }
                let pods = |id: &WorkloadId| -> Vec<PeerRef> {
                    let all = inventory.pods.iter().enumerate();
                    all.filter(|(_, pod)| &pod.workload == id).map(|(index, _)| PeerRef::Pod(index)).collect()
                };
                let (from, to) = (pods(client), pods(server));
                for (protocol, port) in Protocol::ALL.iter().flat_map(|p| PORTS.iter().map(move |port| (*p, *port))) {
                    let probe = Probe { protocol, port };
                    let expected = from.iter().any(|a| to.iter().any(|b| {
                        !first.allowed(*a, *b, probe) && second.allowed(*a, *b, probe)
                    }));
                    let listed = list.iter().any(|change| {
                        change.client == Span::Workload(client.clone())
                            && change.server == Span::Workload(server.clone())
                            && change.connections.contains(protocol, port)
                    });
                    prop_assert_eq!(listed, expected, "{} to {} {} {}", client, server, protocol, port);
                }
            }
        }
    }
}

/// Returns true if a proof lists one connection between two different workloads.
fn is_listed(list: &ExcessList, client: &WorkloadId, server: &WorkloadId, probe: Probe) -> bool {
    let end = |id: &WorkloadId| Span::Workload(id.clone());
    list.entries.iter().any(|entry| {
        entry.client == end(client)
            && entry.server == end(server)
            && entry.connections.contains(probe.protocol, probe.port)
    })
}

fn is_open(list: &ExcessList, client: &WorkloadId, server: &WorkloadId) -> bool {
    let end = |id: &WorkloadId| Span::Workload(id.clone());
    list.entries.iter().any(|entry| {
        (entry.client == end(client) && entry.server == Span::Anything)
            || (entry.client == Span::Anything && entry.server == end(server))
    })
}

fn a_requirement() -> impl Strategy<Value = (usize, usize, Protocol, u16)> {
    let protocol = prop::sample::select(&Protocol::ALL[..]);
    (
        0..6usize,
        0..6usize,
        protocol,
        prop::sample::select(&PORTS[..]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_proof_equals_the_naive_results_of_all_probes(
        mut inventory in a_cluster(),
        policies in prop::collection::vec(a_policy(), 0..5),
        existing in 0..3usize,
        needs in prop::collection::vec(a_requirement(), 0..6),
        managed in prop::collection::vec(any::<bool>(), 6),
    ) {
        for pod in &mut inventory.pods {
            pod.host_network = false;
        }
        let ids: Vec<WorkloadId> = inventory.workloads.keys().cloned().collect();
        let (generated, old) = policies.split_at(policies.len().saturating_sub(existing));
        let needs: Vec<Requirement> = needs
            .iter()
            .filter(|(client, server, ..)| client % ids.len() != server % ids.len())
            .map(|(client, server, protocol, port)| Requirement {
                client: End::Workload(ids[client % ids.len()].clone()),
                server: End::Workload(ids[server % ids.len()].clone()),
                protocol: *protocol,
                port: *port,
                label: None,
                outside: false,
                edge: 0,
            })
            .collect();
        let managed: BTreeSet<WorkloadId> =
            ids.iter().zip(&managed).filter(|(_, chosen)| **chosen).map(|(id, _)| id.clone()).collect();
        let proof = prove(&inventory, PolicySets { generated, existing: old, ..PolicySets::default() }, &needs, &managed).unwrap();
        let all = NaiveEvaluator { inventory: &inventory, policies: &policies };
        let alone = NaiveEvaluator { inventory: &inventory, policies: generated };
        let pairs = |client: &WorkloadId, server: &WorkloadId| -> Vec<(PeerRef, PeerRef)> {
            let (from, to) = (&inventory.workloads[client].pods, &inventory.workloads[server].pods);
            from.iter().flat_map(|a| to.iter().map(|b| (PeerRef::Pod(*a), PeerRef::Pod(*b)))).collect()
        };
        for (index, need) in needs.iter().enumerate() {
            let (End::Workload(client), End::Workload(server)) = (&need.client, &need.server) else {
                unreachable!()
            };
            let probe = Probe { protocol: need.protocol, port: need.port };
            let sound = pairs(client, server).into_iter().all(|(a, b)| all.allowed(a, b, probe));
            prop_assert_eq!(sound, proof.blocked.iter().chain(&proof.blocked_by_existing).all(|blocked| blocked.requirement != index));
        }
        for (client, server) in ids.iter().flat_map(|a| ids.iter().map(move |b| (a, b))) {
            let counted = managed.contains(client) || managed.contains(server);
            if client == server || is_open(&proof.excess, client, server) {
                continue;
            }
            for probe in Protocol::ALL.iter().flat_map(|protocol| {
                PORTS.iter().map(|port| Probe { protocol: *protocol, port: *port })
            }) {
                let needed = needs.iter().any(|need| {
                    need.client == End::Workload(client.clone())
                        && need.server == End::Workload(server.clone())
                        && (need.protocol, need.port) == (probe.protocol, probe.port)
                });
                let mut by_generated = false;
                let mut by_existing = false;
                for (a, b) in pairs(client, server) {
                    if counted && !needed && all.allowed(a, b, probe) {
                        if alone.allowed(a, b, probe) {
                            by_generated = true;
                        } else {
                            by_existing = true;
                        }
                    }
                }
                prop_assert_eq!(is_listed(&proof.excess, client, server, probe), by_generated);
                prop_assert_eq!(
                    is_listed(&proof.excess_by_existing, client, server, probe), by_existing
                );
            }
        }
    }
}
