//! What nanoseg's evaluator says of a case.

use super::case::{Case, End, Probe};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg::evaluate::{Evaluation, HostNetwork, PeerRef};
use nanoseg::inventory::{Inventory, Objects, OwnerRule};
use nanoseg::net::{ConnectionSet, Direction};
use nanoseg::plugin::PluginOption;
use nanoseg::policy_kinds::{OtherKind, OtherKindPolicy};
use serde_json::{Value, json};
use std::net::IpAddr;

/// The evaluator with a case.
pub struct Ours {
    evaluation: Evaluation,
    ends: Vec<PeerRef>,
    /// Addresses of each end that is a pod with an own network; none for others.
    addresses: Vec<Vec<IpAddr>>,
}

impl Ours {
    /// The API's own documentation.
    pub fn new(case: &Case, host_network: HostNetwork) -> Ours {
        Ours::of(case, &inventory(case), host_network)
    }

    /// The same on a network plugin, as `--network-plugin` names it.
    pub fn on(case: &Case, profile: &str) -> Ours {
        let mut inventory = inventory(case);
        inventory.take_network_plugin(Some(profile.parse().expect("a profile")));
        Ours::of(case, &inventory, HostNetwork::Exact)
    }

    /// On Cilium, with the options of the case.
    pub fn on_cilium(case: &Case) -> Ours {
        let mut profile = "cilium,enable-sctp=true".to_owned();
        if let Some(modes) = case.options.get("policy-cidr-match-mode") {
            profile = format!("{profile},policy-cidr-match-mode={}", modes.join("+"));
        }
        Ours::on(case, &profile)
    }

    fn of(case: &Case, inventory: &Inventory, host_network: HostNetwork) -> Ours {
        let (network, _) = by_kind(case);
        let evaluation =
            Evaluation::new(inventory, &network, host_network).expect("valid policies");
        let indices = 0..case.pods.len() + case.outside.len();
        let addresses = indices.clone().map(|index| match case.end(index) {
            End::Pod(pod) if !pod.host_network => pod.addresses.clone(),
            _ => Vec::new(),
        });
        Ours {
            addresses: addresses.collect(),
            ends: indices
                .map(|index| end(inventory, case.end(index)))
                .collect(),
            evaluation,
        }
    }

    /// Whether client may open the probe's connection to server.
    pub fn allows(&self, client: usize, server: usize, probe: Probe) -> bool {
        let set = self
            .evaluation
            .allowed(self.ends[client], self.ends[server]);
        set.contains(probe.protocol, probe.port)
    }

    /// The same on a plugin where an ipBlock matches pods too, by their addresses.
    pub fn allows_with_pods_in_blocks(&self, client: usize, server: usize, probe: Probe) -> bool {
        if self.allows(client, server, probe) {
            return true;
        }
        let egress = self.half(Direction::Egress, client, server);
        let ingress = self.half(Direction::Ingress, server, client);
        egress
            .intersection(&ingress)
            .contains(probe.protocol, probe.port)
    }

    /// What the policies of `end` allow it with `peer`, by selectors and by the peer's addresses.
    fn half(&self, direction: Direction, end: usize, peer: usize) -> ConnectionSet {
        let (from, to) = (self.ends[end], self.ends[peer]);
        let PeerRef::Pod(own) = from else {
            return ConnectionSet::all();
        };
        let class = |pod: usize| {
            let mut classes = self.evaluation.classes();
            classes
                .find(|(_, class)| class.pods.contains(&pod))
                .expect("a class")
                .0
        };
        let mut set = match to {
            PeerRef::Pod(peer) => self.evaluation.at_end(class(own), direction, class(peer)),
            PeerRef::Address(_) => match direction {
                Direction::Egress => self.evaluation.allowed(from, to),
                Direction::Ingress => self.evaluation.allowed(to, from),
            },
        };
        for address in &self.addresses[peer] {
            let address = PeerRef::Address(*address);
            let by_address = match direction {
                Direction::Egress => self.evaluation.allowed(from, address),
                Direction::Ingress => self.evaluation.allowed(address, from),
            };
            set = set.union(&by_address);
        }
        set
    }

    /// Why the evaluator says so, for a test that fails.
    pub fn explain(&self, client: usize, server: usize, probe: Probe) -> String {
        let (client, server) = (self.ends[client], self.ends[server]);
        let why = self
            .evaluation
            .explain(client, server, probe.protocol, probe.port);
        format!("{why:#?}")
    }
}

fn end(inventory: &Inventory, end: End<'_>) -> PeerRef {
    match end {
        End::Address(address) => PeerRef::Address(address),
        End::Pod(pod) => {
            let mut pods = inventory.pods.iter();
            let same = |one: &nanoseg::inventory::Pod| {
                one.namespace == pod.namespace && one.name == pod.name
            };
            PeerRef::Pod(pods.position(same).expect("every pod is in the inventory"))
        }
    }
}

/// The policies that are NetworkPolicies, and the others.
fn by_kind(case: &Case) -> (Vec<NetworkPolicy>, Vec<OtherKindPolicy>) {
    let (mut network, mut others) = (Vec::new(), Vec::new());
    for policy in &case.policies {
        let [kind, version] = ["kind", "apiVersion"].map(|field| policy[field].as_str().unwrap());
        let (group, _) = version.split_once('/').expect("a group");
        match OtherKind::of(kind, group) {
            None => network.push(object(policy.clone())),
            Some(kind) => {
                let read = OtherKindPolicy::read(kind, policy).expect("a policy");
                assert!(read.unknown.is_empty(), "{:?} of {policy}", read.unknown);
                others.push(read.policy);
            }
        }
    }
    (network, others)
}

fn inventory(case: &Case) -> Inventory {
    let mut objects = Objects::default();
    for one in &case.namespaces {
        objects.namespaces.push(object(
            json!({"metadata": {"name": one.name, "labels": one.labels}}),
        ));
    }
    for node in &case.nodes {
        let address = |address: &IpAddr| json!({"type": "InternalIP", "address": address});
        let addresses: Vec<Value> = node.addresses.iter().map(address).collect();
        objects.nodes.push(object(json!({
            "metadata": {"name": node.name, "labels": node.labels},
            "status": {"addresses": addresses},
        })));
    }
    for pod in &case.pods {
        let ports: Vec<Value> = pod.ports.iter().map(|port| {
            json!({"name": port.name, "protocol": port.protocol, "containerPort": port.number})
        }).collect();
        let addresses: Vec<Value> = pod.addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let host = case
            .nodes
            .iter()
            .find(|node| node.name == pod.node)
            .map(|node| node.addresses[0]);
        objects.pods.push(object(json!({
            "metadata": {"namespace": pod.namespace, "name": pod.name, "labels": pod.labels},
            "spec": {"nodeName": pod.node, "hostNetwork": pod.host_network,
                     "containers": [{"name": "main", "image": "x", "ports": ports}]},
            "status": {"phase": "Running", "podIP": pod.addresses[0], "podIPs": addresses,
                       "hostIP": host},
        })));
    }
    objects.other_kinds = by_kind(case).1;
    let mut inventory = Inventory::build(&objects, OwnerRule::Literal).0;
    // Cilium's engine judges SCTP; whether its datapath does is an option of the agent.
    let options = &mut inventory.network_plugin.profile.options;
    assert!(options.set(PluginOption::EnableSctp, "true"));
    inventory
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}
