//! Tests of each single rule of the NetworkPolicy API. The operators of selectors are tested in `selector`.

use super::testing::*;
use super::{ClassId, EvaluateError, Evaluation, HostNetwork, PeerRef};
use nanoseg_inventory::Inventory;
use nanoseg_net::{Direction, Protocol};
use std::net::IpAddr;

const ALL: &str = "All Connections";
const NONE: &str = "No Connections";

/// shop: 0 web (app=web), 1 db (app=db), 2 job (no labels); ops (team=ops): 3 probe (app=web).
fn shop() -> Inventory {
    let mut inventory = Inventory::default();
    namespace(&mut inventory, "shop", "team=shop");
    namespace(&mut inventory, "ops", "team=ops");
    pod(&mut inventory, "shop/web", "app=web");
    pod(&mut inventory, "shop/db", "app=db").ports = vec![
        port(Protocol::Tcp, "sql", 5432),
        port(Protocol::Udp, "stats", 8125),
    ];
    pod(&mut inventory, "shop/job", "");
    pod(&mut inventory, "ops/probe", "app=web");
    inventory
}

fn one(spec: &str) -> Evaluation {
    evaluate(&shop(), &[policy(spec)])
}

#[test]
fn without_policies_everything_is_allowed() {
    let evaluation = evaluate(&shop(), &[]);
    for (client, server) in [(0, 1), (1, 0), (3, 2)] {
        assert_eq!(allowed(&evaluation, client, server), ALL);
    }
    assert!(from_address(&evaluation, "8.8.8.8", 0).is_all());
}

#[test]
fn a_policy_isolates_only_the_pods_it_selects() {
    let evaluation = one("{podSelector: {matchLabels: {app: db}}}");
    assert_eq!(allowed(&evaluation, 0, 1), NONE);
    assert_eq!(allowed(&evaluation, 1, 0), ALL);
    assert_eq!(allowed(&evaluation, 3, 0), ALL);
}

#[test]
fn an_empty_or_absent_pod_selector_selects_the_whole_namespace_and_no_other() {
    for spec in ["{podSelector: {}}", "{}"] {
        let evaluation = one(spec);
        for server in 0..3 {
            assert_eq!(allowed(&evaluation, 3, server), NONE);
        }
        assert_eq!(allowed(&evaluation, 0, 3), ALL);
    }
}

#[test]
fn without_policy_types_ingress_always_counts_and_egress_only_with_rules() {
    let class = ClassId(1);
    let evaluation = one("{podSelector: {matchLabels: {app: db}}, ingress: []}");
    assert!(evaluation.isolated(class, Direction::Ingress));
    assert!(!evaluation.isolated(class, Direction::Egress));
    let evaluation = one("{podSelector: {matchLabels: {app: db}}, egress: [{}]}");
    assert!(evaluation.isolated(class, Direction::Ingress));
    assert!(evaluation.isolated(class, Direction::Egress));
    assert_eq!(allowed(&evaluation, 1, 0), ALL);
    assert_eq!(allowed(&evaluation, 0, 1), NONE);
}

#[test]
fn rules_of_a_direction_outside_the_policy_types_do_nothing() {
    let evaluation = one("{podSelector: {}, policyTypes: [Egress], ingress: [{}]}");
    assert!(!evaluation.isolated(ClassId(0), Direction::Ingress));
    assert_eq!(allowed(&evaluation, 0, 3), NONE);
    assert_eq!(allowed(&evaluation, 3, 0), ALL);
}

#[test]
fn a_connection_needs_both_egress_and_ingress() {
    let egress = policy(
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
          egress: [{ports: [{port: 80, endPort: 90}]}]}",
    );
    let ingress = policy(
        "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress],
          ingress: [{ports: [{port: 85, endPort: 99}]}]}",
    );
    let evaluation = evaluate(&shop(), &[egress, ingress]);
    assert_eq!(allowed(&evaluation, 0, 1), "TCP 85-90");
}

#[test]
fn the_rules_of_all_policies_are_combined() {
    let web = "{podSelector: {matchLabels: {app: db}},
        ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}]}]}";
    let all = "{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 2}]}]}";
    let evaluation = evaluate(&shop(), &[policy(web), policy(all)]);
    assert_eq!(allowed(&evaluation, 0, 1), "TCP 1-2");
    assert_eq!(allowed(&evaluation, 2, 1), "TCP 2");
    assert_eq!(allowed(&evaluation, 3, 1), NONE);
}

#[test]
fn an_empty_rule_allows_every_peer_and_port() {
    for rule in ["{}", "{from: []}", "{from: [], ports: []}"] {
        let evaluation = one(&format!("{{podSelector: {{}}, ingress: [{rule}]}}"));
        assert_eq!(allowed(&evaluation, 3, 0), ALL);
        assert!(from_address(&evaluation, "2001:db8::1", 0).is_all());
    }
}

#[test]
fn a_pod_selector_alone_matches_pods_of_the_policys_own_namespace() {
    let evaluation =
        one("{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}");
    assert_eq!(allowed(&evaluation, 0, 1), ALL);
    assert_eq!(allowed(&evaluation, 3, 1), NONE);
}

#[test]
fn a_namespace_selector_alone_matches_all_pods_of_the_namespaces() {
    let evaluation = one(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}]}]}",
    );
    assert_eq!(allowed(&evaluation, 3, 1), ALL);
    assert_eq!(allowed(&evaluation, 0, 1), NONE);
}

#[test]
fn an_empty_namespace_selector_matches_all_namespaces_but_no_address() {
    let evaluation = one("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}");
    assert_eq!(allowed(&evaluation, 3, 1), ALL);
    assert!(from_address(&evaluation, "8.8.8.8", 1).is_empty());
}

#[test]
fn both_selectors_in_one_peer_must_both_match() {
    let evaluation = one(
        "{podSelector: {}, ingress: [{from: [
        {namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: db}}}]}]}",
    );
    assert_eq!(allowed(&evaluation, 3, 1), NONE);
    let evaluation = one("{podSelector: {}, ingress: [{from: [
        {namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: web}}}]}]}");
    assert_eq!(allowed(&evaluation, 3, 1), ALL);
    assert_eq!(allowed(&evaluation, 0, 1), NONE);
}

#[test]
fn the_selectors_of_two_peers_are_alternatives() {
    let evaluation = one("{podSelector: {}, ingress: [{from: [
        {namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: web}}}]}]}");
    assert_eq!(allowed(&evaluation, 3, 1), ALL);
    assert_eq!(allowed(&evaluation, 0, 1), ALL);
    assert_eq!(allowed(&evaluation, 2, 1), NONE);
}

#[test]
fn namespaces_have_their_name_as_a_label_even_if_the_snapshot_lacks_it() {
    let mut inventory = shop();
    inventory.namespaces.clear();
    let spec = "{podSelector: {}, ingress: [{from: [
        {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}]}]}";
    let evaluation = evaluate(&inventory, &[policy(spec)]);
    assert_eq!(allowed(&evaluation, 3, 1), ALL);
    assert_eq!(allowed(&evaluation, 0, 1), NONE);
}

#[test]
fn the_default_protocol_is_tcp() {
    let evaluation = one("{podSelector: {}, ingress: [{ports: [{port: 80}]}]}");
    assert_eq!(allowed(&evaluation, 3, 0), "TCP 80");
    let evaluation = one("{podSelector: {}, ingress: [{ports: [{protocol: SCTP}, {}]}]}");
    assert_eq!(allowed(&evaluation, 3, 0), "SCTP 1-65535,TCP 1-65535");
}

#[test]
fn end_port_makes_a_range() {
    let evaluation =
        one("{podSelector: {}, ingress: [{ports: [{port: 100, endPort: 200, protocol: UDP}]}]}");
    assert_eq!(allowed(&evaluation, 3, 0), "UDP 100-200");
}

#[test]
fn a_named_port_is_looked_up_in_the_server_pod() {
    let mut inventory = shop();
    inventory.pods[0].ports = vec![port(Protocol::Tcp, "sql", 3306)];
    let ingress = policy("{podSelector: {}, ingress: [{ports: [{port: sql}]}]}");
    let evaluation = evaluate(&inventory, std::slice::from_ref(&ingress));
    assert_eq!(allowed(&evaluation, 3, 0), "TCP 3306");
    assert_eq!(allowed(&evaluation, 3, 1), "TCP 5432");
    assert_eq!(allowed(&evaluation, 3, 2), NONE);
    assert_eq!(
        from_address(&evaluation, "8.8.8.8", 1).to_string(),
        "TCP 5432"
    );
    let egress =
        policy("{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: sql}]}]}");
    let evaluation = evaluate(&inventory, &[egress]);
    assert_eq!(allowed(&evaluation, 2, 0), "TCP 3306");
    assert_eq!(allowed(&evaluation, 2, 1), "TCP 5432");
    assert_eq!(allowed(&evaluation, 2, 3), NONE);
}

#[test]
fn a_named_port_must_match_the_protocol_too() {
    let evaluation = one("{podSelector: {}, ingress: [{ports: [{port: stats}]}]}");
    assert_eq!(allowed(&evaluation, 3, 1), NONE);
    let evaluation = one("{podSelector: {}, ingress: [{ports: [{port: stats, protocol: UDP}]}]}");
    assert_eq!(allowed(&evaluation, 3, 1), "UDP 8125");
}

#[test]
fn a_named_port_of_an_ip_block_peer_matches_nothing() {
    let evaluation = one("{podSelector: {}, policyTypes: [Egress],
        egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: sql}, {port: 443}]}]}");
    assert_eq!(to_address(&evaluation, 0, "8.8.8.8").to_string(), "TCP 443");
}

#[test]
fn an_ip_block_allows_its_addresses_without_the_exceptions() {
    let evaluation = one("{podSelector: {}, ingress: [{from: [
        {ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}, {ipBlock: {cidr: '2001:db8::/32'}}]}]}");
    assert!(from_address(&evaluation, "192.0.2.127", 0).is_all());
    assert!(from_address(&evaluation, "192.0.2.128", 0).is_empty());
    assert!(from_address(&evaluation, "2001:db8:1::", 0).is_all());
    assert!(from_address(&evaluation, "2001:db9::", 0).is_empty());
}

#[test]
fn an_exception_of_one_block_does_not_affect_another() {
    let evaluation = one("{podSelector: {}, ingress: [{from: [
        {ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}, {ipBlock: {cidr: 192.0.2.200/32}}]}]}");
    assert!(from_address(&evaluation, "192.0.2.200", 0).is_all());
    assert!(from_address(&evaluation, "192.0.2.201", 0).is_empty());
}

#[test]
fn an_ip_block_does_not_match_pods() {
    let evaluation = one("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}");
    assert_eq!(allowed(&evaluation, 3, 0), NONE);
    assert!(
        from_address(&evaluation, "10.244.0.4", 0).is_all(),
        "the address as such is in it"
    );
}

#[test]
fn outside_ranges_are_exact_and_disjoint() {
    let evaluation = one("{podSelector: {}, ingress: [
        {from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 80}]},
        {from: [{ipBlock: {cidr: 192.0.2.0/25}}], ports: [{port: 81}]}]}");
    let map = evaluation.addresses(ClassId(0), Direction::Ingress);
    let lines: Vec<String> = map
        .iter()
        .map(|(set, ports)| format!("{set}: {ports}"))
        .collect();
    assert_eq!(
        lines,
        [
            "192.0.2.0-192.0.2.127: TCP 80-81",
            "192.0.2.128-192.0.2.255: TCP 80"
        ]
    );
    let open = evaluation.addresses(ClassId(0), Direction::Egress);
    assert_eq!(open.iter().count(), 1);
    assert!(open.at("8.8.8.8".parse().unwrap()).is_all());
}

#[test]
fn a_pod_reaches_itself_but_not_its_replica() {
    let mut inventory = shop();
    pod(&mut inventory, "shop/db", "app=db").ports = inventory.pods[1].ports.clone();
    let evaluation = evaluate(
        &inventory,
        &[policy("{podSelector: {}, policyTypes: [Ingress, Egress]}")],
    );
    assert_eq!(allowed(&evaluation, 1, 1), ALL);
    assert_eq!(allowed(&evaluation, 1, 4), NONE);
}

/// shop, and 4: agent, a hostNetwork pod of ops on node n1; db runs on n1, web on n2.
fn with_nodes() -> Inventory {
    let mut inventory = shop();
    node(&mut inventory, "n1", "172.18.0.2");
    node(&mut inventory, "n2", "172.18.0.3");
    inventory.pods[0].node = Some("n2".into());
    inventory.pods[1].node = Some("n1".into());
    let agent = pod(&mut inventory, "ops/agent", "app=web");
    agent.host_network = true;
    agent.node = Some("n1".into());
    agent.addresses = vec!["172.18.0.2".parse().unwrap()];
    inventory
}

#[test]
fn no_policy_selects_a_host_network_pod() {
    let deny = named_policy("ops/p", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let evaluation = evaluate(&with_nodes(), &[deny]);
    assert_eq!(allowed(&evaluation, 0, 4), ALL);
    assert_eq!(allowed(&evaluation, 4, 0), ALL);
    assert_eq!(allowed(&evaluation, 0, 3), NONE);
}

#[test]
fn a_host_network_peer_is_its_nodes_address_not_its_labels() {
    let labels = policy(
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [
        {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]}]}",
    );
    let evaluation = evaluate(&with_nodes(), &[labels]);
    assert_eq!(allowed(&evaluation, 3, 0), ALL);
    assert_eq!(allowed(&evaluation, 4, 0), NONE);
    let block = policy(
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress],
        ingress: [{from: [{ipBlock: {cidr: 172.18.0.2/32}}], ports: [{port: 80}]}],
        egress: [{to: [{ipBlock: {cidr: 172.18.0.2/32}}], ports: [{port: 81}]}]}",
    );
    let evaluation = evaluate(&with_nodes(), &[block]);
    assert_eq!(allowed(&evaluation, 4, 0), "TCP 80");
    assert_eq!(allowed(&evaluation, 0, 4), "TCP 81");
    let web = evaluation.classes_of(&id("shop/web"))[0];
    let agent = evaluation.classes_of(&id("ops/agent"))[0];
    assert_eq!(evaluation.between(agent, web).to_string(), "TCP 80");
}

#[test]
fn a_node_reaches_its_own_pods_and_no_others() {
    let evaluation = evaluate(&with_nodes(), &[policy("{podSelector: {}}")]);
    assert!(from_address(&evaluation, "172.18.0.2", 1).is_all());
    assert_eq!(allowed(&evaluation, 4, 1), ALL);
    assert!(from_address(&evaluation, "172.18.0.2", 0).is_empty());
    assert_eq!(allowed(&evaluation, 4, 0), NONE);
}

#[test]
fn a_connection_from_a_pod_to_its_node_needs_a_rule() {
    let deny = policy("{podSelector: {}, policyTypes: [Egress]}");
    let evaluation = evaluate(&with_nodes(), &[deny]);
    assert!(to_address(&evaluation, 1, "172.18.0.2").is_empty());
    assert_eq!(allowed(&evaluation, 1, 4), NONE);
}

#[test]
fn host_network_pods_can_be_treated_like_ordinary_pods() {
    let deny = named_policy("ops/p", "{podSelector: {}}");
    let evaluation = Evaluation::new(&with_nodes(), [&deny], HostNetwork::LikePods).unwrap();
    assert_eq!(allowed(&evaluation, 0, 4), NONE);
}

#[test]
fn pods_that_no_policy_can_distinguish_are_one_class() {
    let mut inventory = shop();
    for replica in 0..5 {
        pod(
            &mut inventory,
            "shop/set",
            &format!("app=set,pod-name=set-{replica}"),
        );
    }
    let by_app = "{podSelector: {matchLabels: {app: set}}}";
    let evaluation = evaluate(&inventory, &[policy(by_app)]);
    assert_eq!(evaluation.classes_of(&id("shop/set")).len(), 1);
    let by_name = "{podSelector: {matchLabels: {pod-name: set-3}}}";
    let evaluation = evaluate(&inventory, &[policy(by_name)]);
    assert_eq!(evaluation.classes_of(&id("shop/set")).len(), 5);
    assert_eq!(allowed(&evaluation, 0, 7), NONE);
    assert_eq!(allowed(&evaluation, 0, 8), ALL);
}

#[test]
fn a_policy_without_a_namespace_is_in_default() {
    let mut inventory = shop();
    pod(&mut inventory, "default/x", "");
    let mut deny = policy("{podSelector: {}}");
    deny.metadata.namespace = None;
    let evaluation = evaluate(&inventory, &[deny]);
    assert_eq!(allowed(&evaluation, 0, 4), NONE);
    assert_eq!(allowed(&evaluation, 4, 0), ALL);
}

#[test]
fn nothing_is_allowed_for_an_unknown_pod() {
    let evaluation = evaluate(&shop(), &[]);
    assert!(
        evaluation
            .allowed(PeerRef::Pod(0), PeerRef::Pod(99))
            .is_empty()
    );
    let outside = PeerRef::Address(IpAddr::from([8, 8, 8, 8]));
    assert!(
        evaluation
            .allowed(outside, PeerRef::Address(IpAddr::from([9, 9, 9, 9])))
            .is_all()
    );
}

#[test]
fn the_sparse_list_of_pairs_equals_the_results_of_all_pairs() {
    let spec = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress],
        egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}";
    let evaluation = evaluate(&with_nodes(), &[policy(spec)]);
    let mut listed = Vec::new();
    evaluation.for_each_pair(|client, server, set| listed.push((client, server, set)));
    let mut asked = Vec::new();
    for (client, _) in evaluation.classes() {
        for (server, _) in evaluation.classes() {
            let set = evaluation.between(client, server);
            if !set.is_empty() {
                asked.push((client, server, set));
            }
        }
    }
    assert_eq!(listed, asked);
}

fn error(spec: &str) -> EvaluateError {
    Evaluation::new(&shop(), &[policy(spec)], HostNetwork::Exact).unwrap_err()
}

#[test]
fn an_invalid_policy_is_reported_with_its_field() {
    let cases = [
        ("{policyTypes: [Both]}", "spec.policyTypes[0]"),
        (
            "{ingress: [{}, {ports: [{}, {protocol: ICMP}]}]}",
            "spec.ingress[1].ports[1].protocol",
        ),
        (
            "{ingress: [{ports: [{port: 0}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: 65536}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: ''}]}]}",
            "spec.ingress[0].ports[0].port",
        ),
        (
            "{ingress: [{ports: [{port: 5, endPort: 4}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            "{ingress: [{ports: [{port: x, endPort: 4}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            "{ingress: [{ports: [{endPort: 4}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        (
            "{ingress: [{ports: [{port: 5, endPort: 70000}]}]}",
            "spec.ingress[0].ports[0].endPort",
        ),
        ("{egress: [{to: [{}]}]}", "spec.egress[0].to[0]"),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0}}]}]}",
            "spec.egress[0].to[0].ipBlock.cidr",
        ),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}",
            "spec.egress[0].to[0].ipBlock.cidr",
        ),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 11.0.0.0/16]}}]}]}",
            "spec.egress[0].to[0].ipBlock.except[1]",
        ),
        (
            "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}",
            "spec.egress[0].to[0].ipBlock",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: Is}]}}",
            "spec.podSelector.matchExpressions[0].operator",
        ),
        (
            "{ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}]}]}",
            "spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].values",
        ),
    ];
    for (spec, field) in cases {
        let error = error(spec);
        assert_eq!(
            (error.policy.as_str(), error.field.as_str()),
            ("shop/p", field),
            "{spec}"
        );
        assert!(
            error
                .to_string()
                .starts_with("failed to evaluate NetworkPolicy shop/p: spec.")
        );
    }
}

#[test]
fn a_value_that_is_listed_twice_counts_once() {
    let mut inventory = Inventory::default();
    pod(&mut inventory, "shop/a", "app=a");
    pod(&mut inventory, "shop/b", "app=b");
    let twice = "{podSelector: {}, ingress: [{from: [
        {podSelector: {matchExpressions: [{key: app, operator: In, values: [a, a]}]}}]}]}";
    let evaluation = evaluate(&inventory, &[policy(twice)]);
    assert_eq!(allowed(&evaluation, 0, 1), ALL);
    assert_eq!(allowed(&evaluation, 1, 0), NONE);
}
