//! Small random clusters with random traffic, and the connections that must be allowed, derived from the plan itself
//! and not by nanoseg.

use nanoseg::inventory::{Inventory, Objects, OwnerRule};
use nanoseg::net::Protocol;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

const NAMESPACES: [&str; 2] = ["shop", "lab"];
pub const PORTS: [u16; 4] = [80, 8080, 5432, 40001];
/// Outside addresses; the fourth and fifth never connect and are never called. Then those of the nodes: a pod's gateway
/// and the node's own.
pub const OUTSIDE: [&str; 9] = [
    "192.0.2.1",
    "192.0.2.2",
    "203.0.113.7",
    "192.0.2.3",
    "8.8.8.8",
    "172.18.0.1",
    "172.18.0.2",
    "10.244.1.1",
    "10.244.2.1",
];
const CALLED_OUTSIDE: usize = 3;
const NODES: std::ops::Range<usize> = 5..9;

#[derive(Debug, Clone)]
pub struct Plan {
    pub workloads: Vec<Workload>,
    pub calls: Vec<Call>,
    /// All datagrams have the same bytes and no identification, and all calls come within a second
    /// (rule: copies-are-proven).
    pub equal: bool,
}

#[derive(Debug, Clone)]
pub struct Workload {
    pub namespace: usize,
    pub pods: usize,
    pub labels: BTreeMap<String, String>,
    /// The target port of its Service on port 80.
    pub service: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub client: End,
    pub server: Called,
    pub protocol: Protocol,
    pub port: u16,
    pub how: How,
    /// Seconds after the start.
    pub at: u32,
}

/// A pod (workload, replica) or an outside address. Numbers wrap around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Pod(usize, usize),
    Outside(usize),
}

#[derive(Debug, Clone, Copy)]
pub enum Called {
    End(End),
    /// The Service of a workload, translated to this replica.
    Service(usize, usize),
    /// The node port of a workload's Service, at a node, for this replica.
    NodePort(usize, usize, Leg),
}

/// Which part of a connection through a node port is seen. Each node masquerades what comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The client at the node that it entered.
    Client,
    /// That node in front of a pod of the other one.
    Node,
    /// Both, as one connection.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Answered,
    Unanswered,
    Refused,
}

/// The peer of a connection: a workload by its index, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Workload(usize),
    Address(IpAddr),
}

/// A connection that must be allowed.
pub type Required = (Who, Who, Protocol, u16);

/// Plans in which every workload has a unique label, so that exact policies exist.
pub fn told_apart() -> impl Strategy<Value = Plan> {
    plan(true)
}

/// Plans in which labels may be equal or absent.
pub fn any_labels() -> impl Strategy<Value = Plan> {
    plan(false)
}

pub fn call() -> impl Strategy<Value = Call> {
    let pod = || (any::<usize>(), any::<usize>()).prop_map(|(w, p)| End::Pod(w, p));
    let outside = || (0..CALLED_OUTSIDE).prop_map(End::Outside);
    let client = prop_oneof![4 => pod(), 1 => outside()];
    let leg = prop::sample::select(&[Leg::Client, Leg::Node, Leg::Both][..]);
    let server = prop_oneof![
        4 => pod().prop_map(Called::End),
        1 => outside().prop_map(Called::End),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(w, p)| Called::Service(w, p)),
        1 => (any::<usize>(), any::<usize>(), leg).prop_map(|(w, p, leg)| Called::NodePort(w, p, leg)),
    ];
    let protocol =
        prop_oneof![4 => Just(Protocol::Tcp), 2 => Just(Protocol::Udp), 1 => Just(Protocol::Sctp)];
    let how =
        prop_oneof![5 => Just(How::Answered), 1 => Just(How::Unanswered), 1 => Just(How::Refused)];
    (
        client,
        server,
        protocol,
        prop::sample::select(&PORTS[..]),
        how,
        0u32..600,
    )
        .prop_map(|(client, server, protocol, port, how, at)| Call {
            client,
            server,
            protocol,
            port,
            how,
            at,
        })
}

fn plan(own_label: bool) -> impl Strategy<Value = Plan> {
    let extra = prop::collection::btree_map(
        prop::sample::select(&["tier", "app.kubernetes.io/name", "team"][..]),
        prop::sample::select(&["a", "b"][..]),
        0..=3,
    );
    let service = prop::option::of(prop::sample::select(&PORTS[..]));
    let workload = (0..NAMESPACES.len(), 1usize..=2, extra, service);
    (
        prop::collection::vec(workload, 1..=5),
        prop::collection::vec(call(), 0..=14),
        any::<bool>(),
    )
        .prop_map(move |(workloads, calls, equal)| {
            let build = |(number, (namespace, pods, extra, service)): (usize, _)| {
                let extra: BTreeMap<&str, &str> = extra;
                let mut labels: BTreeMap<String, String> = extra
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect();
                if own_label {
                    labels.insert("app".into(), format!("w{number}"));
                }
                Workload {
                    namespace,
                    pods,
                    labels,
                    service,
                }
            };
            Plan {
                workloads: workloads.into_iter().enumerate().map(build).collect(),
                calls,
                equal,
            }
        })
}

impl Plan {
    pub fn namespace(&self, workload: usize) -> &'static str {
        NAMESPACES[self.workloads[workload].namespace]
    }

    /// Returns workload, namespace and labels of every pod.
    pub fn pods(&self) -> Vec<(usize, IpAddr)> {
        let replicas = |(w, plan): (usize, &Workload)| {
            (0..plan.pods)
                .map(move |p| (w, pod_address(w, p)))
                .collect::<Vec<_>>()
        };
        self.workloads
            .iter()
            .enumerate()
            .flat_map(replicas)
            .collect()
    }

    /// What the calls teach, (rule: only-conversations-teach, all-ready-endpoints).
    pub fn required(&self) -> BTreeSet<Required> {
        self.calls
            .iter()
            .flat_map(|call| self.required_by(call))
            .collect()
    }

    pub fn required_by(&self, call: &Call) -> Vec<Required> {
        let Some((client, _, _)) = self.resolve(call) else {
            return Vec::new();
        };
        if call.how != How::Answered {
            return Vec::new();
        }
        let client_is = self.who(call.client);
        match call.server {
            Called::End(server) => {
                vec![(client_is, self.who(server), call.protocol, call.port)]
            }
            // A call of the client's own pod is excluded by its address; any other endpoint may be chosen.
            Called::Service(workload, _) => {
                let workload = workload % self.workloads.len();
                let target = self.workloads[workload].service.unwrap_or(0);
                let others = (0..self.workloads[workload].pods)
                    .any(|p| pod_address(workload, p) != client.ip());
                let required = (client_is, Who::Workload(workload), call.protocol, target);
                if others { vec![required] } else { Vec::new() }
            }
            // In front of a pod on the node that was entered the plugin sees the client, elsewhere that node, and the next
            // connection may enter any.
            Called::NodePort(workload, _, leg) => {
                let workload = workload % self.workloads.len();
                let target = self.workloads[workload].service.unwrap_or(0);
                let nodes = OUTSIDE[NODES].iter();
                let nodes = nodes.map(|node| Who::Address(node.parse().expect("an address")));
                let itself = (leg != Leg::Node).then_some(client_is);
                nodes
                    .chain(itself)
                    .map(|who| (who, Who::Workload(workload), call.protocol, target))
                    .collect()
            }
        }
    }

    /// The edges of a call that was answered: the client as it was seen.
    pub fn edges_of(&self, call: &Call) -> Vec<Required> {
        let Called::NodePort(workload, ..) = call.server else {
            return self.required_by(call);
        };
        let (Some((client, ..)), How::Answered) = (self.resolve(call), call.how) else {
            return Vec::new();
        };
        let workload = workload % self.workloads.len();
        let target = self.workloads[workload].service.unwrap_or(0);
        let client = Who::Address(client.ip());
        vec![(client, Who::Workload(workload), call.protocol, target)]
    }

    /// `traffic.txt` of the calls, in their order.
    pub fn traffic(&self) -> String {
        let lines = self
            .calls
            .iter()
            .enumerate()
            .filter_map(|(number, call)| self.line(number, call));
        lines.collect()
    }

    fn line(&self, number: usize, call: &Call) -> Option<String> {
        let (mut client, called, arrived) = self.resolve(call)?;
        client.set_port(20_000 + number as u16);
        let mut dnat = if called == arrived {
            String::new()
        } else {
            format!("dnat {arrived} ")
        };
        if let Called::NodePort(_, _, Leg::Both) = call.server {
            let port = 40_100 + number;
            dnat.push_str(&format!("snat {}:{port} ", called.ip()));
        }
        let protocol = call.protocol.as_str().to_lowercase();
        let how = match (call.how, call.protocol) {
            (How::Answered, _) => "connect",
            // Repeated datagrams without an answer teach too; scenarios test those.
            (How::Refused | How::Unanswered, Protocol::Udp) => "unreachable",
            (How::Unanswered, _) => "unanswered",
            (How::Refused, _) => "refused",
        };
        Some(if self.equal {
            let at = format!("{}.{:03}", call.at / 1000, call.at % 1000);
            format!("{at} {protocol} {client} > {called} {dnat}{how} same no-id\n")
        } else {
            format!("{} {protocol} {client} > {called} {dnat}{how}\n", call.at)
        })
    }

    /// Returns the client, the called address and the address after translation. Returns `None` for calls that never
    /// appear on a network.
    fn resolve(&self, call: &Call) -> Option<(SocketAddr, SocketAddr, SocketAddr)> {
        let mut client = SocketAddr::new(self.address(call.client), 0);
        let (called, arrived) = match call.server {
            Called::NodePort(workload, pod, leg) => {
                let workload = workload % self.workloads.len();
                let plan = &self.workloads[workload];
                let address = pod_address(workload, pod % plan.pods);
                // Another node than the pod's: what a node sends to its own pods needs no rule.
                let node = IpAddr::from([172, 18, 0, 2 - (pod % plan.pods % 2) as u8]);
                let arrived = SocketAddr::new(address, plan.service?);
                let called = SocketAddr::new(node, node_port(workload, call.protocol));
                // What fails on the way through a node says nothing of the same client's direct calls.
                if !matches!(call.client, End::Outside(_)) || call.how != How::Answered {
                    return None;
                }
                match leg {
                    Leg::Client => return Some((client, called, called)),
                    Leg::Node => {
                        client.set_ip(node);
                        return Some((client, arrived, arrived));
                    }
                    Leg::Both => return Some((client, called, arrived)),
                }
            }
            Called::End(end) => {
                let server = SocketAddr::new(self.address(end), call.port);
                (server, server)
            }
            Called::Service(workload, pod) => {
                let workload = workload % self.workloads.len();
                let plan = &self.workloads[workload];
                let address = pod_address(workload, pod % plan.pods);
                (
                    SocketAddr::new(service_address(workload), 80),
                    SocketAddr::new(address, plan.service?),
                )
            }
        };
        let outside = |address: IpAddr| !address.to_string().starts_with("10.");
        let possible = client.ip() != arrived.ip()
            && !(outside(client.ip()) && (outside(arrived.ip()) || called != arrived));
        possible.then_some((client, called, arrived))
    }

    fn address(&self, end: End) -> IpAddr {
        match end {
            End::Pod(workload, pod) => {
                let workload = workload % self.workloads.len();
                pod_address(workload, pod % self.workloads[workload].pods)
            }
            End::Outside(number) => OUTSIDE[number].parse().expect("an address"),
        }
    }

    fn who(&self, end: End) -> Who {
        match end {
            End::Pod(workload, _) => Who::Workload(workload % self.workloads.len()),
            End::Outside(_) => Who::Address(self.address(end)),
        }
    }

    pub fn inventory(&self, reversed: bool) -> Inventory {
        let mut objects = self.objects();
        if reversed {
            objects.pods.reverse();
            objects.deployments.reverse();
            objects.replica_sets.reverse();
            objects.services.reverse();
            objects.endpoint_slices.reverse();
            objects.nodes.reverse();
            objects.namespaces.reverse();
        }
        Inventory::build(&objects, OwnerRule::Infer).0
    }

    fn objects(&self) -> Objects {
        let mut objects = Objects {
            snapshots: 1,
            ..Objects::default()
        };
        for name in NAMESPACES {
            objects
                .namespaces
                .push(typed(json!({"metadata": {"name": name}})));
        }
        for node in [1, 2] {
            let cidr = format!("10.244.{node}.0/24");
            objects.nodes.push(typed(json!({
                "metadata": {"name": format!("n{node}")},
                "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
                "status": {"addresses": [{"type": "InternalIP", "address": format!("172.18.0.{node}")}]},
            })));
        }
        for number in 0..self.workloads.len() {
            self.add_workload(number, &mut objects);
        }
        objects
    }

    fn add_workload(&self, number: usize, objects: &mut Objects) {
        let (plan, namespace) = (&self.workloads[number], self.namespace(number));
        let (name, set) = (format!("w{number}"), format!("w{number}-5d8f"));
        let meta = |name: &str| json!({"name": name, "namespace": namespace});
        let spec = json!({"selector": {"matchLabels": plan.labels}, "template": {"metadata": {"labels": plan.labels}, "spec": {"containers": [{"name": "c"}]}}});
        objects
            .deployments
            .push(typed(json!({"metadata": meta(&name), "spec": spec})));
        let owned = |kind: &str, owner: &str, own: &str| {
            json!({"name": own, "namespace": namespace, "labels": plan.labels,
                   "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": owner, "controller": true}]})
        };
        objects.replica_sets.push(typed(
            json!({"metadata": owned("Deployment", &name, &set), "spec": spec}),
        ));
        let mut endpoints = Vec::new();
        for pod in 0..plan.pods {
            let address = pod_address(number, pod);
            let pod_name = format!("{set}-{pod}");
            endpoints.push(json!({"addresses": [address], "conditions": {"ready": true},
                                  "targetRef": {"kind": "Pod", "name": pod_name, "namespace": namespace}}));
            objects.pods.push(typed(json!({
                "metadata": owned("ReplicaSet", &set, &pod_name),
                "spec": {"nodeName": format!("n{}", 1 + pod % 2), "containers": [{"name": "c"}]},
                "status": {"phase": "Running", "podIP": address, "startTime": "2026-03-02T09:00:00Z"},
            })));
        }
        let Some(target) = plan.service else { return };
        let (mut ports, mut slice_ports) = (Vec::new(), Vec::new());
        for protocol in Protocol::ALL {
            let port_name = protocol.as_str().to_lowercase();
            ports.push(json!({"name": port_name, "protocol": protocol.as_str(), "port": 80, "targetPort": target,
                              "nodePort": node_port(number, protocol)}));
            slice_ports
                .push(json!({"name": port_name, "protocol": protocol.as_str(), "port": target}));
        }
        let address = service_address(number);
        objects.services.push(typed(
            json!({"metadata": meta(&name), "spec": {"type": "NodePort", "clusterIP": address, "clusterIPs": [address], "ports": ports}}),
        ));
        objects.endpoint_slices.push(typed(json!({
            "metadata": {"name": format!("{name}-x"), "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": slice_ports,
        })));
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a Kubernetes object")
}

fn pod_address(workload: usize, pod: usize) -> IpAddr {
    IpAddr::from([
        10,
        244,
        1 + (pod % 2) as u8,
        10 + (workload * 4 + pod) as u8,
    ])
}

/// The own address of a node.
pub fn node_address(name: &str) -> IpAddr {
    let number = name[1..].parse().expect("a number");
    IpAddr::from([172, 18, 0, number])
}

fn node_port(workload: usize, protocol: Protocol) -> u16 {
    let place = Protocol::ALL.iter().position(|one| *one == protocol);
    30_000 + (workload * Protocol::ALL.len() + place.unwrap_or(0)) as u16
}

fn service_address(workload: usize) -> IpAddr {
    IpAddr::from([10, 96, 0, 20 + workload as u8])
}
