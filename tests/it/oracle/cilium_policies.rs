//! Random policies of Cilium's kinds.

use super::cluster::{KEYS, PORTS, VALUES, often, one};
use fastrand::Rng;
use serde_json::{Value, json};

const CIDRS: [&str; 8] = [
    "0.0.0.0/0",
    "198.51.100.0/24",
    "203.0.113.7/32",
    "10.0.0.0/8",
    "10.244.0.0/16",
    "172.18.0.0/16",
    "::/0",
    "2001:db8::/32",
];

const ENTITIES: [&str; 8] = [
    "all",
    "world",
    "world-ipv4",
    "cluster",
    "host",
    "remote-node",
    "health",
    "none",
];

/// Makes up to five policies.
pub fn cilium_policies(rng: &mut Rng) -> Vec<Value> {
    let count = 1 + rng.usize(0..5);
    (0..count).map(|index| policy(rng, index)).collect()
}

fn policy(rng: &mut Rng, index: usize) -> Value {
    let mut metadata = json!({"name": format!("cilium{index}")});
    let clusterwide = often(rng, 30);
    if !clusterwide {
        metadata["namespace"] = one(rng, &["n0", "n1", "n2"]).into();
    }
    let mut object = json!({
        "apiVersion": "cilium.io/v2",
        "kind": if clusterwide { "CiliumClusterwideNetworkPolicy" } else { "CiliumNetworkPolicy" },
        "metadata": metadata,
    });
    if often(rng, 20) {
        let count = 1 + rng.usize(0..2);
        object["specs"] = (0..count).map(|_| spec(rng)).collect();
    } else {
        object["spec"] = spec(rng);
    }
    object
}

fn spec(rng: &mut Rng) -> Value {
    let subject = if often(rng, 40) {
        json!({})
    } else {
        selector(rng)
    };
    let mut spec = json!({"endpointSelector": subject});
    let fields = [
        ("ingress", "from", 60),
        ("egress", "to", 60),
        ("ingressDeny", "from", 25),
        ("egressDeny", "to", 25),
    ];
    for (field, side, percent) in fields {
        if often(rng, percent) {
            let count = 1 + rng.usize(0..2);
            spec[field] = (0..count).map(|_| rule(rng, side)).collect();
        }
    }
    if fields.iter().all(|(field, ..)| spec.get(field).is_none()) {
        spec["ingress"] = json!([{}]);
    }
    if often(rng, 30) {
        spec["enableDefaultDeny"] = json!({"ingress": rng.bool(), "egress": rng.bool()});
    }
    spec
}

fn rule(rng: &mut Rng, side: &str) -> Value {
    let mut rule = json!({});
    match rng.u8(0..10) {
        0..=3 => {
            let count = usize::from(!often(rng, 10)) + rng.usize(0..2);
            rule[format!("{side}Endpoints")] = (0..count).map(|_| selector(rng)).collect();
        }
        4 | 5 => rule[format!("{side}Entities")] = json!([one(rng, &ENTITIES)]),
        6 => rule[format!("{side}CIDR")] = json!([one(rng, &CIDRS)]),
        7 => rule[format!("{side}CIDRSet")] = json!([cidr_set(rng)]),
        _ => {}
    }
    if often(rng, 60) {
        let count = 1 + rng.usize(0..2);
        let ports: Vec<Value> = (0..count).map(|_| port(rng)).collect();
        rule["toPorts"] = json!([{"ports": ports}]);
    }
    rule
}

fn cidr_set(rng: &mut Rng) -> Value {
    let (cidr, except) = one(
        rng,
        &[
            ("0.0.0.0/0", "198.51.100.0/25"),
            ("198.51.100.0/24", "198.51.100.200/32"),
            ("10.0.0.0/8", "10.0.0.4/30"),
            ("::/0", "2001:db8:1::/48"),
        ],
    );
    if rng.bool() {
        json!({"cidr": cidr, "except": [except]})
    } else {
        json!({"cidr": cidr})
    }
}

/// Makes a selector of endpoints, some of them by labels of their namespaces.
fn selector(rng: &mut Rng) -> Value {
    let key = |rng: &mut Rng| {
        let key = one(rng, &KEYS);
        match rng.u8(0..6) {
            0 => format!("k8s:{key}"),
            1 => format!("k8s:io.cilium.k8s.namespace.labels.{key}"),
            2 => format!("any:{key}"),
            _ => key.to_owned(),
        }
    };
    let mut selector = json!({});
    if often(rng, 50) {
        selector["matchLabels"] = if often(rng, 25) {
            json!({"k8s:io.kubernetes.pod.namespace": one(rng, &["n0", "n1", "n2"])})
        } else {
            json!({key(rng): one(rng, &VALUES)})
        };
    }
    if often(rng, 30) {
        let operator = one(rng, &["In", "NotIn", "Exists", "DoesNotExist"]);
        let mut expression = json!({"key": key(rng), "operator": operator});
        if operator.ends_with("In") {
            let count = 1 + rng.usize(0..2);
            expression["values"] = (0..count).map(|_| one(rng, &VALUES)).collect();
        }
        selector["matchExpressions"] = json!([expression]);
    }
    selector
}

fn port(rng: &mut Rng) -> Value {
    let protocol = one(rng, &["TCP", "UDP", "SCTP", "ANY"]);
    match rng.u8(0..6) {
        0 => json!({"port": "0", "protocol": protocol}),
        1 => json!({"port": "80", "endPort": 90, "protocol": protocol}),
        2 => json!({"port": one(rng, &super::cluster::NAMES), "protocol": protocol}),
        3 => json!({"port": one(rng, &PORTS).to_string()}),
        _ => json!({"port": one(rng, &PORTS).to_string(), "protocol": protocol}),
    }
}
