//! Random NetworkPolicies, as an API server has them: `policyTypes` is always there.

use super::cluster::{KEYS, NAMES, VALUES, often, one};
use fastrand::Rng;
use serde_json::{Value, json};

/// What policies may have.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// `NotIn`, which matches objects without the key too.
    pub not_in: bool,
    pub ipv6: bool,
    /// Named ports in egress rules with ipBlocks.
    pub named_ports_to_blocks: bool,
    /// Named ports in any egress rule.
    pub named_egress_ports: bool,
    /// Rules of a direction that `policyTypes` does not name.
    pub idle_rules: bool,
}

const BLOCKS: [(&str, &[&str]); 9] = [
    ("0.0.0.0/0", &["10.0.0.0/8", "172.16.0.0/12"]),
    ("0.0.0.0/0", &["198.51.100.0/25"]),
    ("198.51.100.0/24", &["198.51.100.200/32"]),
    ("10.0.0.0/8", &["10.244.1.0/24"]),
    ("10.244.0.0/16", &["10.244.0.2/32", "10.244.0.4/31"]),
    ("172.18.0.0/16", &["172.18.0.2/32"]),
    ("172.18.0.1/32", &[]),
    ("203.0.113.7/32", &[]),
    ("128.0.0.0/1", &["192.0.0.0/2"]),
];

const BLOCKS_V6: [(&str, &[&str]); 4] = [
    ("::/0", &["fd00::/8"]),
    ("2001:db8::/32", &["2001:db8:1::/48"]),
    ("fd00::/8", &["fd00:244::2/128"]),
    ("fd00:18::1/128", &[]),
];

const TYPES: [&[&str]; 4] = [
    &["Ingress"],
    &["Egress"],
    &["Ingress", "Egress"],
    &["Ingress", "Egress"],
];

/// Makes up to seven policies.
pub fn policies(rng: &mut Rng, rules: Rules) -> Vec<Value> {
    let count = 1 + rng.usize(0..7);
    (0..count).map(|index| policy(rng, rules, index)).collect()
}

fn policy(rng: &mut Rng, rules: Rules, index: usize) -> Value {
    let types = one(rng, &TYPES);
    let subject = if often(rng, 40) {
        json!({})
    } else {
        selector(rng, rules)
    };
    let mut spec = json!({"podSelector": subject, "policyTypes": types});
    for (direction, field, side) in [("Ingress", "ingress", "from"), ("Egress", "egress", "to")] {
        if types.contains(&direction) || (rules.idle_rules && often(rng, 20)) {
            let count = rng.usize(0..4);
            spec[field] = (0..count).map(|_| rule(rng, rules, side)).collect();
        }
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": format!("policy{index}"), "namespace": one(rng, &["n0", "n1", "n2"])},
        "spec": spec,
    })
}

fn rule(rng: &mut Rng, rules: Rules, side: &str) -> Value {
    let mut rule = json!({});
    let mut blocks = false;
    if often(rng, 80) {
        let peers: Vec<Value> = (0..rng.usize(0..4)).map(|_| peer(rng, rules)).collect();
        blocks = peers.iter().any(|peer| peer.get("ipBlock").is_some());
        rule[side] = peers.into();
    }
    if often(rng, 70) {
        let named = side == "from"
            || (rules.named_egress_ports && (rules.named_ports_to_blocks || !blocks));
        let count = rng.usize(0..4);
        rule["ports"] = (0..count).map(|_| port(rng, named)).collect();
    }
    rule
}

fn peer(rng: &mut Rng, rules: Rules) -> Value {
    match rng.u8(0..5) {
        0 | 1 => {
            let v6 = rules.ipv6 && often(rng, 30);
            let (cidr, except) = if v6 {
                one(rng, &BLOCKS_V6)
            } else {
                one(rng, &BLOCKS)
            };
            let except = if rng.bool() { except } else { &[] };
            json!({"ipBlock": {"cidr": cidr, "except": except}})
        }
        2 => json!({"podSelector": selector(rng, rules)}),
        3 => json!({"namespaceSelector": selector(rng, rules)}),
        _ => {
            json!({"namespaceSelector": selector(rng, rules), "podSelector": selector(rng, rules)})
        }
    }
}

/// Makes a label selector; a quarter of them are empty.
pub fn selector(rng: &mut Rng, rules: Rules) -> Value {
    let mut selector = json!({});
    if often(rng, 50) {
        selector["matchLabels"] = json!({one(rng, &KEYS): one(rng, &VALUES)});
    }
    if often(rng, 40) {
        let operators = ["In", "Exists", "DoesNotExist", "NotIn"];
        let operator = one(rng, &operators[..3 + usize::from(rules.not_in)]);
        let mut expression = json!({"key": one(rng, &KEYS), "operator": operator});
        if operator.ends_with("In") {
            let count = 1 + rng.usize(0..2);
            expression["values"] = (0..count).map(|_| one(rng, &VALUES)).collect();
        }
        selector["matchExpressions"] = json!([expression]);
    }
    selector
}

fn port(rng: &mut Rng, named: bool) -> Value {
    let mut port = match rng.u8(0..8) {
        0 => json!({}),
        1 => json!({"port": 80, "endPort": 90}),
        2 => json!({"port": 1, "endPort": 65535}),
        3 | 4 if named => json!({"port": one(rng, &NAMES)}),
        _ => json!({"port": one(rng, &super::cluster::PORTS)}),
    };
    match rng.u8(0..4) {
        0 => {}
        1 => port["protocol"] = "TCP".into(),
        2 => port["protocol"] = "UDP".into(),
        _ => port["protocol"] = "SCTP".into(),
    }
    port
}
