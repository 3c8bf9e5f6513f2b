//! Random policies of an administrator: ClusterNetworkPolicies, and the older kinds that say the same in other words.

use super::cluster::{NAMES, PORTS, often, one};
use super::network_policies::{Rules, selector};
use fastrand::Rng;
use serde_json::{Value, json};

/// Blocks outside of the cluster: what a block is to pods and nodes differs between plugins.
const NETWORKS: [&str; 5] = [
    "198.51.100.0/24",
    "198.51.100.200/32",
    "203.0.113.7/32",
    "10.0.0.0/28",
    "2001:db8::/32",
];

/// Makes up to five policies of different priorities.
pub fn cluster_network_policies(rng: &mut Rng, rules: Rules) -> Vec<Value> {
    let mut priorities: Vec<u16> = (0..20).collect();
    rng.shuffle(&mut priorities);
    priorities.truncate(1 + rng.usize(0..5));
    let policies = priorities.into_iter().enumerate();
    policies
        .map(|(index, priority)| policy(rng, rules, index, priority))
        .collect()
}

fn policy(rng: &mut Rng, rules: Rules, index: usize, priority: u16) -> Value {
    let mut spec = json!({
        "tier": one(rng, &["Admin", "Admin", "Baseline"]),
        "priority": priority,
        "subject": if rng.bool() { json!({"namespaces": {}}) } else { pods(rng, rules) },
    });
    for (field, side) in [("ingress", "from"), ("egress", "to")] {
        if often(rng, 70) {
            let count = 1 + rng.usize(0..3);
            spec[field] = (0..count).map(|_| rule(rng, rules, side)).collect();
        }
    }
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": format!("admin{index}")},
        "spec": spec,
    })
}

/// Makes a peer. With Cilium namespaces alone, by a selector that asks for no label, are more than pods
/// (`a_selector_of_namespaces_that_asks_for_no_label_is_everybody_in_cilium`).
fn peer(rng: &mut Rng, rules: Rules) -> Value {
    let mut peer = pods(rng, rules);
    let asks_for_none =
        |one: &Value| one["operator"] == "NotIn" || one["operator"] == "DoesNotExist";
    if let Some(expressions) = peer.pointer_mut("/namespaces/matchExpressions")
        && expressions
            .as_array()
            .is_some_and(|all| all.iter().any(asks_for_none))
    {
        peer["namespaces"]["matchLabels"] = json!({"kubernetes.io/metadata.name": "n1"});
    }
    peer
}

/// Makes what selects pods: all of some namespaces, or some.
fn pods(rng: &mut Rng, rules: Rules) -> Value {
    let namespaces = selector(rng, rules);
    if rng.bool() {
        return json!({"namespaces": namespaces});
    }
    json!({"pods": {"namespaceSelector": namespaces, "podSelector": selector(rng, rules)}})
}

fn rule(rng: &mut Rng, rules: Rules, side: &str) -> Value {
    let mut rule = json!({"action": one(rng, &["Accept", "Deny", "Deny", "Pass"])});
    let mut peers = Vec::new();
    for _ in 0..1 + rng.usize(0..2) {
        let networks = side == "to" && often(rng, 30);
        peers.push(if networks {
            json!({"networks": [one(rng, &NETWORKS), "192.0.2.0/24"]})
        } else {
            peer(rng, rules)
        });
    }
    rule[side] = peers.into();
    if often(rng, 45) {
        let named = rules.named_egress_ports || side == "from";
        let count = 1 + rng.usize(0..2);
        rule["protocols"] = (0..count).map(|_| protocol(rng, named)).collect();
    }
    rule
}

fn protocol(rng: &mut Rng, named: bool) -> Value {
    if named && often(rng, 20) {
        return json!({"destinationNamedPort": one(rng, &NAMES)});
    }
    let port = match rng.u8(0..4) {
        0 => json!({}),
        1 => json!({"destinationPort": {"range": {"start": 80, "end": 90}}}),
        _ => json!({"destinationPort": {"number": one(rng, &PORTS)}}),
    };
    json!({one(rng, &["tcp", "udp", "sctp"]): port})
}

/// Returns the AdminNetworkPolicy or BaselineAdminNetworkPolicy that says the same (`apis/v1alpha1` of network-policy-api).
pub fn as_admin_network_policy(policy: &Value) -> Value {
    let is_admin = policy["spec"]["tier"] == "Admin";
    let mut spec = json!({"subject": policy["spec"]["subject"]});
    if is_admin {
        spec["priority"] = policy["spec"]["priority"].clone();
    }
    for field in ["ingress", "egress"] {
        let rules = policy["spec"][field].as_array().into_iter().flatten();
        let rules: Vec<Value> = rules.map(as_older_rule).collect();
        if !rules.is_empty() {
            spec[field] = rules.into();
        }
    }
    let name = if is_admin {
        policy["metadata"]["name"].clone()
    } else {
        json!("default")
    };
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": if is_admin { "AdminNetworkPolicy" } else { "BaselineAdminNetworkPolicy" },
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn as_older_rule(rule: &Value) -> Value {
    let mut older = rule.clone();
    if older["action"] == "Accept" {
        older["action"] = "Allow".into();
    }
    let rule = older.as_object_mut().expect("a rule");
    if let Some(Value::Array(protocols)) = rule.remove("protocols") {
        let ports = protocols.iter().map(as_older_port).collect();
        rule.insert("ports".into(), ports);
    }
    older
}

fn as_older_port(protocol: &Value) -> Value {
    let all = protocol.as_object().expect("a protocol");
    let (name, ports) = all.iter().next().expect("a protocol");
    if name == "destinationNamedPort" {
        return json!({"namedPort": ports});
    }
    let name = name.to_uppercase();
    let port = &ports["destinationPort"];
    if let Some(number) = port.get("number") {
        return json!({"portNumber": {"protocol": name, "port": number}});
    }
    let (start, end) = match port.get("range") {
        Some(range) => (range["start"].clone(), range["end"].clone()),
        None => (json!(1), json!(65535)),
    };
    json!({"portRange": {"protocol": name, "start": start, "end": end}})
}
