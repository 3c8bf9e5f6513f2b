//! github.com/cilium/cilium v1.20.2, `pkg/policy`: what the agent computes for each endpoint on its node. An ipBlock
//! matches no pod there, and no node unless `policy-cidr-match-mode` says so.

use super::admin_policies::{as_admin_network_policy, cluster_network_policies};
use super::case::{Case, Probe};
use super::cilium_policies::cilium_policies;
use super::cluster::{Shape, cluster};
use super::compare::{Judge, Plan, compare};
use super::network_policies::{Rules, policies};
use super::ours::Ours;
use fastrand::Rng;
use serde_json::Value;

const RULES: Rules = Rules {
    not_in: true,
    ipv6: true,
    named_ports_to_blocks: true,
    named_egress_ports: true,
    idle_rules: true,
};

fn make(rng: &mut Rng) -> Case {
    let ipv6 = rng.bool();
    let shape = Shape {
        ipv6,
        host_network: true,
        // Pods with the same labels are one identity there, and have one port of a name.
        own_label: true,
        every_key: false,
        // pkg/types/portmap.go, NamedPortMap: a name has one port.
        one_protocol_each_name: true,
    };
    let rules = Rules { ipv6, ..RULES };
    let mut case = cluster(rng, shape);
    case.policies = policies(rng, rules);
    case
}

/// The same with nodes that ipBlocks match.
fn make_matching_nodes(rng: &mut Rng) -> Case {
    let mut case = make(rng);
    case.options
        .insert("policy-cidr-match-mode".into(), vec!["nodes".into()]);
    case
}

pub fn judge(case: &Case) -> Judge {
    let ours = Ours::on_cilium(case);
    let ends = case.pods.len() + case.outside.len();
    // With its addresses as labels, the host is one identity still: what matches one of them matches all.
    let others: Vec<Vec<usize>> = (0..ends).map(|end| ends_of_same_node(case, end)).collect();
    let node_of: Vec<Option<String>> = case.pods.iter().map(|pod| Some(pod.node.clone())).collect();
    let own = (0..ends).map(|end| case.node(end).map(|node| node.name.clone()));
    let own: Vec<Option<String>> = own.collect();
    Box::new(move |client, server, probe: Probe| {
        if own[server].is_some() && node_of.get(client) == Some(&own[server]) {
            let mut addresses = others[server].iter();
            return Some(addresses.any(|server| ours.allows(client, *server, probe)));
        }
        Some(ours.allows(client, server, probe))
    })
}

fn ends_of_same_node(case: &Case, end: usize) -> Vec<usize> {
    let Some(node) = case.node(end) else {
        return vec![end];
    };
    let outside = case.pods.len()..case.pods.len() + case.outside.len();
    let same = outside.filter(|other| case.node(*other).is_some_and(|one| one.name == node.name));
    same.chain([end]).collect()
}

fn explain(case: &Case, pair: (usize, usize), probe: Probe) -> String {
    Ours::on_cilium(case).explain(pair.0, pair.1, probe)
}

#[test]
fn cilium_and_the_evaluator_say_the_same_of_network_policies() {
    compare(&Plan {
        oracle: "cilium-policy",
        make: &make,
        judge: &judge,
        explain: &explain,
    });
}

#[test]
fn cilium_whose_blocks_match_nodes_and_the_evaluator_say_the_same() {
    let make = &make_matching_nodes;
    compare(&Plan {
        oracle: "cilium-policy",
        make,
        judge: &judge,
        explain: &explain,
    });
}

/// ClusterNetworkPolicies of both tiers around NetworkPolicies.
fn make_with_admin_policies(rng: &mut Rng) -> Case {
    let mut case = make(rng);
    let mut admin = cluster_network_policies(rng, RULES);
    if rng.bool() {
        case.policies.clear();
    } else {
        // `an_accept_of_the_baseline_opens_what_a_network_policy_closes_in_cilium`
        case.policies.truncate(2);
        let baseline = admin
            .iter_mut()
            .filter(|one| one["spec"]["tier"] == "Baseline");
        baseline.for_each(|one| replace_action(one, "Accept", "Deny"));
    }
    case.policies.extend(admin);
    case
}

fn replace_action(policy: &mut Value, action: &str, by: &str) {
    for field in ["/spec/ingress", "/spec/egress"] {
        let rules = policy.pointer_mut(field).and_then(Value::as_array_mut);
        let rules = rules.into_iter().flatten();
        for rule in rules.filter(|rule| rule["action"] == action) {
            rule["action"] = by.into();
        }
    }
}

/// Cilium's own kinds, some beside NetworkPolicies.
fn make_with_cilium_policies(rng: &mut Rng) -> Case {
    let mut case = make(rng);
    case.policies.truncate(usize::from(rng.bool()));
    case.policies.extend(cilium_policies(rng));
    case
}

#[test]
fn cilium_and_the_evaluator_say_the_same_of_cluster_network_policies() {
    let make = &make_with_admin_policies;
    compare(&Plan {
        oracle: "cilium-policy",
        make,
        judge: &judge,
        explain: &explain,
    });
}

#[test]
fn cilium_and_the_evaluator_say_the_same_of_its_own_policies() {
    let make = &make_with_cilium_policies;
    compare(&Plan {
        oracle: "cilium-policy",
        make,
        judge: &judge,
        explain: &explain,
    });
}

/// The same with AdminNetworkPolicies and one BaselineAdminNetworkPolicy for the evaluator; Cilium reads them as
/// ClusterNetworkPolicies, which have replaced them and mean the same.
#[test]
fn cilium_and_the_evaluator_say_the_same_of_admin_network_policies() {
    compare(&Plan {
        oracle: "cilium-policy",
        make: &make_with_older_admin_policies,
        judge: &|case| judge(&with_admin_network_policies(case)),
        explain: &|case, pair, probe| explain(&with_admin_network_policies(case), pair, probe),
    });
}

/// No more than the older kinds can say: one policy of the baseline, without `Pass`.
fn make_with_older_admin_policies(rng: &mut Rng) -> Case {
    let mut case = make_with_admin_policies(rng);
    let is_baseline = |policy: &Value| policy["spec"]["tier"] == "Baseline";
    let first = case.policies.iter().position(is_baseline);
    let mut index = 0..;
    case.policies.retain(|policy| {
        let here = index.next();
        !is_baseline(policy) || here == first
    });
    let baseline = case
        .policies
        .iter_mut()
        .filter(|policy| is_baseline(policy));
    baseline.for_each(|policy| replace_action(policy, "Pass", "Deny"));
    case
}

fn with_admin_network_policies(case: &Case) -> Case {
    let mut case = case.clone();
    for policy in &mut case.policies {
        if policy["kind"] == "ClusterNetworkPolicy" {
            *policy = as_admin_network_policy(policy);
        }
    }
    case
}
