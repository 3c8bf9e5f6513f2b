use crate::testing::{allowed, evaluate, id, node, pod, policy};
use crate::{Managed, PolicySets, prove_each_way};
use nanoseg_inventory::Inventory;
use nanoseg_plugin::{ClusterPlugin, NetworkPlugin, Profile};
use std::collections::BTreeSet;

/// 0: shop/web (10.244.0.1), 1: shop/db (10.244.0.2), 2: shop/agent on the network of node n1 (172.18.0.2).
fn cluster(profile: &str) -> Inventory {
    let mut inventory = Inventory::default();
    node(&mut inventory, "n1", "172.18.0.2");
    pod(&mut inventory, "shop/web", "app=web");
    pod(&mut inventory, "shop/db", "app=db");
    let agent = pod(&mut inventory, "shop/agent", "app=agent");
    agent.host_network = true;
    agent.addresses = vec!["172.18.0.2".parse().unwrap()];
    inventory.network_plugin = ClusterPlugin::said(profile.parse::<Profile>().unwrap());
    inventory
}

fn web_to(inventory: &Inventory, cidr: &str, server: usize) -> String {
    let policy = policy(&format!(
        "{{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress],
        egress: [{{to: [{{ipBlock: {{cidr: {cidr}}}}}], ports: [{{port: 80}}]}}]}}"
    ));
    allowed(&evaluate(inventory, &[policy]), 0, server)
}

#[test]
fn an_ip_block_matches_of_the_cluster_what_the_plugin_lets_it_match() {
    const ALLOWED: &str = "TCP 80";
    const NOT: &str = "No Connections";
    for (profile, pods, nodes) in [
        ("spec", NOT, ALLOWED),
        ("calico", ALLOWED, ALLOWED),
        ("kube-router", ALLOWED, ALLOWED),
        ("cilium", NOT, NOT),
        ("cilium,policy-cidr-match-mode=nodes", NOT, ALLOWED),
        ("cilium,policy-cidr-match-mode=nodes+pods", ALLOWED, ALLOWED),
        ("azure-cilium", NOT, NOT),
    ] {
        let inventory = cluster(profile);
        for cidr in ["0.0.0.0/0", "10.244.0.2/32"] {
            assert_eq!(web_to(&inventory, cidr, 1), pods, "{profile} {cidr}");
        }
        assert_eq!(web_to(&inventory, "10.244.0.7/32", 1), NOT, "{profile}");
        assert_eq!(web_to(&inventory, "172.18.0.2/32", 2), nodes, "{profile}");
        // `tests/it/oracle/known.rs::blocks_match_nodes_in_cilium_if_told_but_not_a_block_of_everything`.
        let world = profile == "cilium,policy-cidr-match-mode=nodes";
        let nodes = if world { NOT } else { nodes };
        assert_eq!(web_to(&inventory, "0.0.0.0/0", 2), nodes, "{profile}");
    }
}

#[test]
fn rules_of_a_direction_that_policy_types_do_not_name_count_where_the_plugin_lets_them() {
    let policy = policy(
        "{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{}],
        ingress: [{ports: [{port: 80}]}]}",
    );
    for (profile, expected) in [
        ("spec", "All Connections"),
        ("calico", "All Connections"),
        ("cilium", "TCP 80"),
    ] {
        let evaluation = evaluate(&cluster(profile), std::slice::from_ref(&policy));
        assert_eq!(allowed(&evaluation, 0, 1), expected, "{profile}");
    }
}

#[test]
fn one_pod_of_a_workload_may_be_in_a_block_and_another_not() {
    let mut inventory = cluster("calico");
    pod(&mut inventory, "shop/db", "app=db");
    assert_eq!(web_to(&inventory, "10.244.0.2/32", 1), "TCP 80");
    assert_eq!(web_to(&inventory, "10.244.0.2/32", 3), "No Connections");
}

#[test]
fn a_plugin_without_sctp_honours_no_rule_for_it() {
    let policy = policy(
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
        egress: [{to: [{podSelector: {}}], ports: [{port: 80, protocol: SCTP}]}]}",
    );
    let of = |profile: &str| {
        allowed(
            &evaluate(&cluster(profile), std::slice::from_ref(&policy)),
            0,
            1,
        )
    };
    assert_eq!(of("spec"), "SCTP 80");
    assert_eq!(of("cilium"), "No Connections");
    assert_eq!(of("cilium,enable-sctp=true"), "SCTP 80");
}

#[test]
fn where_nothing_is_enforced_everything_is_excess() {
    let deny = policy("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let managed = BTreeSet::from([id("shop/web")]);
    let managed = Managed {
        ingress: &managed,
        egress: &managed,
    };
    let excess = |profile: &str| {
        let inventory = cluster(profile);
        let policies = std::slice::from_ref(&deny);
        let proof = prove_each_way(&inventory, PolicySets::only(policies), &[], managed).unwrap();
        assert!(proof.is_sound());
        let entries = proof.excess.entries.iter();
        entries.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(excess("calico").is_empty());
    let all = excess(NetworkPlugin::None.name());
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().all(|line| line.contains("anything")), "{all:?}");
}

#[test]
fn without_ranges_a_range_is_its_first_port() {
    let policy = policy(
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
        egress: [{to: [{podSelector: {}}], ports: [{port: 80, endPort: 90}]}]}",
    );
    let of = |profile: &str| {
        let policies = std::slice::from_ref(&policy);
        allowed(&evaluate(&cluster(profile), policies), 0, 1)
    };
    assert_eq!(of("cilium"), "TCP 80-90");
    assert_eq!(of("cilium,end-port=false"), "TCP 80");
}
