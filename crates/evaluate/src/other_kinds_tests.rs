//! Policies of other kinds, alone and together with NetworkPolicies.

use super::testing::*;
use super::*;
use nanoseg_inventory::{Inventory, OtherKinds};
use nanoseg_net::{Direction, Protocol};
use nanoseg_policy_kinds::OtherKindPolicy;
use std::sync::Arc;

/// shop/web, shop/db on nodes n1 and n2, ops/job; nodes 192.168.0.1 and 192.168.0.2.
fn cluster() -> Inventory {
    let mut inventory = Inventory::default();
    namespace(&mut inventory, "shop", "team=a");
    namespace(&mut inventory, "ops", "team=b");
    pod(&mut inventory, "shop/web", "app=web,pod-template-hash=1").node = Some("n1".into());
    let db = pod(&mut inventory, "shop/db", "app=db");
    db.node = Some("n2".into());
    db.ports = vec![port(Protocol::Tcp, "sql", 5432)];
    pod(&mut inventory, "ops/job", "app=job").node = Some("n1".into());
    node(&mut inventory, "n1", "192.168.0.1");
    node(&mut inventory, "n2", "192.168.0.2");
    inventory.api_server = ["192.168.0.9:6443".parse().unwrap()].into();
    inventory
}

const WEB: usize = 0;
const DB: usize = 1;
const JOB: usize = 2;

fn with(policies: &str, specs: &[&str]) -> Evaluation {
    let mut inventory = cluster();
    in_force(&mut inventory, policies);
    let networks: Vec<_> = specs.iter().map(|spec| policy(spec)).collect();
    evaluate(&inventory, &networks)
}

/// The evaluation of one policy of Cilium in namespace `shop` by its spec.
fn cilium(spec: &str) -> Evaluation {
    let head =
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: shop}";
    with(&format!("{head}\nspec: {spec}"), &[])
}

fn clusterwide(spec: &str) -> Evaluation {
    let head =
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: p}";
    with(&format!("{head}\nspec: {spec}"), &[])
}

fn admin(name: &str, tier: &str, priority: u32, rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{tier: {tier}, priority: {priority}, subject: {{namespaces: {{matchLabels: {{team: a}}}}}}, {rules}}}\n---\n"
    )
}

fn calico(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
    )
}

fn tier(name: &str, order: u32, action: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {name}}}\n\
         spec: {{order: {order}, defaultAction: {action}}}\n---\n"
    )
}

const CLOSED_DB: &str = "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}";

#[test]
fn a_rule_of_cilium_allows_and_closes_what_it_does_not_name() {
    let found = cilium(
        "{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], \
         toPorts: [{ports: [{port: '5432', protocol: TCP}, {port: '53'}]}]}]}",
    );
    assert_eq!(allowed(&found, WEB, DB), "SCTP 53,TCP 53,5432,UDP 53");
    assert_eq!(allowed(&found, JOB, DB), "No Connections");
    assert_eq!(allowed(&found, DB, WEB), "All Connections");
    assert!(from_address(&found, "203.0.113.9", DB).is_empty());
}

#[test]
fn selectors_of_cilium_mean_the_namespace_of_the_policy_unless_they_name_one() {
    let db = |ends: &str| {
        let spec = format!(
            "{{endpointSelector: {{matchLabels: {{app: db}}}}, ingress: [{{fromEndpoints: [{ends}]}}]}}"
        );
        let found = cilium(&spec);
        [WEB, JOB].map(|client| allowed(&found, client, DB) == "All Connections")
    };
    assert_eq!(db("{}"), [true, false]);
    assert_eq!(
        db("{matchLabels: {'k8s:io.kubernetes.pod.namespace': ops}}"),
        [false, true]
    );
    assert_eq!(
        db("{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.team': b}}"),
        [false, true]
    );
    assert_eq!(
        db("{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]}"),
        [true, true]
    );
    // Cilium leaves this label out of identities.
    assert_eq!(
        db("{matchLabels: {pod-template-hash: '1'}}"),
        [false, false]
    );
    assert_eq!(db("{matchLabels: {'k8s:app': web}}"), [true, false]);
}

#[test]
fn an_empty_rule_of_cilium_matches_nothing_and_ports_alone_match_everybody() {
    let found = cilium("{endpointSelector: {matchLabels: {app: db}}, ingress: [{}]}");
    assert_eq!(allowed(&found, WEB, DB), "No Connections");
    let found = cilium("{endpointSelector: {matchLabels: {app: db}}, ingress: []}");
    assert_eq!(allowed(&found, WEB, DB), "All Connections");
    let found = cilium(
        "{endpointSelector: {matchLabels: {app: db}}, ingress: [{toPorts: [{ports: [{port: sql, protocol: TCP}]}]}]}",
    );
    assert_eq!(allowed(&found, JOB, DB), "TCP 5432");
    assert_eq!(
        from_address(&found, "203.0.113.9", DB).to_string(),
        "TCP 5432"
    );
    let found = cilium(
        "{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [], toPorts: [{ports: [{port: '1'}]}]}]}",
    );
    assert_eq!(allowed(&found, WEB, DB), "No Connections");
}

#[test]
fn a_deny_of_cilium_wins_over_every_policy_that_allows() {
    let deny = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: shop}\n\
        spec: {endpointSelector: {matchLabels: {app: db}}, enableDefaultDeny: {ingress: false}, ingressDeny: [\
        {fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '80', endPort: 90, protocol: TCP}]}]}]}";
    let open = with(deny, &[]);
    assert_eq!(allowed(&open, JOB, DB), "All Connections");
    assert_eq!(
        allowed(&open, WEB, DB),
        "SCTP 1-65535,TCP 1-79,91-65535,UDP 1-65535"
    );
    let allow =
        "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}, {port: 443}]}]}";
    let found = with(deny, &[allow]);
    assert_eq!(allowed(&found, WEB, DB), "TCP 443");
    assert_eq!(allowed(&found, JOB, DB), "TCP 80,443");
}

#[test]
fn entities_of_cilium_are_nodes_pods_and_the_rest() {
    let to = |entity: &str| {
        let spec = format!(
            "{{endpointSelector: {{matchLabels: {{app: web}}}}, egress: [{{toEntities: [{entity}]}}]}}"
        );
        let found = cilium(&spec);
        let reaches = |address: &str| !to_address(&found, WEB, address).is_empty();
        [
            allowed(&found, WEB, JOB) == "All Connections",
            reaches("192.168.0.1"),
            reaches("192.168.0.2"),
            reaches("192.168.0.9"),
            reaches("203.0.113.9"),
        ]
    };
    assert_eq!(to("all"), [true; 5]);
    assert_eq!(to("cluster"), [true, true, true, true, false]);
    assert_eq!(to("host"), [false, true, false, false, false]);
    assert_eq!(to("remote-node"), [false, false, true, false, false]);
    assert_eq!(to("kube-apiserver"), [false, false, false, true, false]);
    assert_eq!(to("world"), [false, false, false, true, true]);
    assert_eq!(to("none"), [false; 5]);
}

#[test]
fn the_subject_of_a_policy_with_a_namespace_is_always_of_that_namespace() {
    let found = cilium(
        "{endpointSelector: {matchLabels: {app: db, 'k8s:io.kubernetes.pod.namespace': ops}}, ingress: [{}]}",
    );
    assert_eq!(allowed(&found, WEB, DB), "No Connections");
    let reserved = "{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {'reserved:host': ''}}]}]}";
    let found = cilium(reserved);
    assert!(!to_address(&found, WEB, "192.168.0.1").is_empty());
    assert!(to_address(&found, WEB, "192.168.0.2").is_empty());
}

#[test]
fn a_block_of_cilium_matches_neither_nodes_nor_pods() {
    let found = clusterwide(
        "{endpointSelector: {matchLabels: {app: web}}, egress: [{toCIDRSet: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}]}]}",
    );
    assert!(to_address(&found, WEB, "192.168.0.1").is_empty());
    assert!(!to_address(&found, WEB, "203.0.113.9").is_empty());
    assert!(to_address(&found, WEB, "10.9.9.9").is_empty());
    assert_eq!(allowed(&found, WEB, DB), "No Connections");
}

#[test]
fn the_plugin_says_what_a_block_of_cilium_matches_of_the_cluster() {
    use nanoseg_plugin::{ClusterPlugin, Profile};
    let reached = |profile: &str, cidr: &str| {
        let mut inventory = cluster();
        inventory.network_plugin = ClusterPlugin::said(profile.parse::<Profile>().unwrap());
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p, namespace: shop}}\n\
             spec: {{endpointSelector: {{matchLabels: {{app: web}}}}, egress: [{{toCIDR: [{cidr}]}}]}}"
        );
        in_force(&mut inventory, &text);
        let found = evaluate(&inventory, &[]);
        let pod = allowed(&found, WEB, DB) == "All Connections";
        [pod, !to_address(&found, WEB, "192.168.0.2").is_empty()]
    };
    for cidr in ["10.244.0.2/32", "192.168.0.0/16", "0.0.0.0/0"] {
        assert_eq!(reached("cilium", cidr), [false; 2], "{cidr}");
        assert_eq!(reached("spec", cidr), [false; 2], "{cidr}");
    }
    let nodes = "cilium,policy-cidr-match-mode=nodes";
    assert_eq!(reached(nodes, "192.168.0.0/16"), [false, true]);
    assert_eq!(reached(nodes, "0.0.0.0/0"), [false, false]);
    let both = "cilium,policy-cidr-match-mode=nodes+pods";
    assert_eq!(reached(both, "10.244.0.2/32"), [true, false]);
    // ClusterNetworkPolicies as well.
    let mut inventory = cluster();
    inventory.network_plugin = ClusterPlugin::said("cilium".parse::<Profile>().unwrap());
    let rules = "egress: [{action: Deny, to: [{networks: [10.244.0.0/16, 203.0.113.0/24]}]}]";
    in_force(&mut inventory, &admin("deny", "Admin", 1, rules));
    let found = evaluate(&inventory, &[]);
    assert_eq!(allowed(&found, WEB, DB), "All Connections");
    assert!(to_address(&found, WEB, "203.0.113.1").is_empty());
}

#[test]
fn a_name_of_cilium_is_the_addresses_that_it_was_seen_to_have() {
    let mut inventory = cluster();
    let names = [
        ("example.com", "203.0.113.1"),
        ("a.example.com", "203.0.113.2"),
        ("a.b.example.com", "203.0.113.3"),
    ];
    let names = names.map(|(name, address)| (name.to_owned(), [address.parse().unwrap()].into()));
    inventory.other_kinds = Arc::new(OtherKinds {
        policies: Vec::new(),
        names: names.into(),
    });
    let reached = |selector: &str| {
        let mut inventory = inventory.clone();
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p, namespace: shop}}\n\
             spec: {{endpointSelector: {{matchLabels: {{app: web}}}}, egress: [{{toFQDNs: [{selector}]}}]}}"
        );
        in_force(&mut inventory, &text);
        let found = evaluate(&inventory, &[]);
        [1, 2, 3].map(|last| !to_address(&found, WEB, &format!("203.0.113.{last}")).is_empty())
    };
    assert_eq!(reached("{matchName: Example.com.}"), [true, false, false]);
    assert_eq!(
        reached("{matchPattern: '*.example.com'}"),
        [false, true, false]
    );
    assert_eq!(
        reached("{matchPattern: '**.example.com'}"),
        [false, true, true]
    );
    assert_eq!(reached("{matchPattern: '*'}"), [true; 3]);
    assert_eq!(reached("{matchPattern: 'ex*.com'}"), [true, false, false]);
    assert_eq!(
        reached("{matchPattern: 'e*a*p*.c*m'}"),
        [true, false, false]
    );
    assert_eq!(reached("{matchPattern: '**'}"), [true; 3]);
    let hostile = "*a".repeat(120);
    assert_eq!(
        reached(&format!("{{matchPattern: '{hostile}'}}")),
        [false; 3]
    );
    assert_eq!(reached("{matchName: other.com}"), [false; 3]);
}

#[test]
fn an_administrator_is_asked_before_and_the_baseline_after_the_network_policies() {
    let from_ops = "from: [{namespaces: {matchLabels: {team: b}}}]";
    let deny = admin(
        "deny",
        "Admin",
        10,
        &format!(
            "ingress: [{{action: Deny, {from_ops}, protocols: [{{tcp: {{destinationPort: {{number: 22}}}}}}]}}]"
        ),
    );
    let accept = admin(
        "accept",
        "Admin",
        5,
        &format!(
            "ingress: [{{action: Accept, {from_ops}, protocols: [{{tcp: {{destinationPort: {{number: 80}}}}}}]}}]"
        ),
    );
    let found = with(&(deny.clone() + &accept), &[CLOSED_DB]);
    assert_eq!(allowed(&found, JOB, DB), "TCP 80");
    assert_eq!(allowed(&found, WEB, DB), "No Connections");
    assert_eq!(
        allowed(&found, JOB, WEB),
        "SCTP 1-65535,TCP 1-21,23-65535,UDP 1-65535"
    );
    // The lower number wins; a Pass leaves it to the NetworkPolicy.
    let pass = admin(
        "pass",
        "Admin",
        1,
        &format!("ingress: [{{action: Pass, {from_ops}}}]"),
    );
    let found = with(&(deny + &accept + &pass), &[CLOSED_DB]);
    assert_eq!(allowed(&found, JOB, DB), "No Connections");
    assert_eq!(allowed(&found, JOB, WEB), "All Connections");
    let baseline = admin(
        "base",
        "Baseline",
        1,
        &format!("ingress: [{{action: Deny, {from_ops}}}]"),
    );
    let open_db = "{podSelector: {matchLabels: {app: db}}, ingress: [{}]}";
    let found = with(&baseline, &[open_db]);
    assert_eq!(allowed(&found, JOB, DB), "All Connections");
    assert_eq!(allowed(&found, JOB, WEB), "No Connections");
}

#[test]
fn networks_of_an_administrator_match_pods_and_an_empty_peer_fails_closed() {
    let rules = "egress: [{action: Deny, to: [{networks: [10.244.0.2/32, 203.0.113.0/24]}]}]";
    let found = with(&admin("deny", "Admin", 1, rules), &[]);
    assert_eq!(allowed(&found, WEB, DB), "No Connections");
    assert_eq!(allowed(&found, WEB, JOB), "All Connections");
    assert!(to_address(&found, WEB, "203.0.113.7").is_empty());
    assert!(!to_address(&found, WEB, "203.0.114.7").is_empty());
    let found = with(
        &admin("deny", "Admin", 1, "egress: [{action: Pass, to: [{}]}]"),
        &[],
    );
    assert_eq!(allowed(&found, WEB, JOB), "No Connections");
    let found = with(
        &admin("deny", "Admin", 1, "egress: [{action: Accept, to: [{}]}]"),
        &[],
    );
    assert_eq!(allowed(&found, WEB, JOB), "All Connections");
}

#[test]
fn policies_of_the_alpha_api_are_asked_like_those_of_the_beta() {
    let text = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: a}\n\
        spec: {priority: 7, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}, ingress: [\
        {action: Allow, from: [{namespaces: {}}], ports: [{namedPort: sql}, {portRange: {protocol: UDP, start: 5, end: 6}}]},\
        {action: Deny, from: [{namespaces: {}}]}]}\n---\n\
        apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\n\
        spec: {subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {}}]}]}";
    let found = with(text, &[]);
    assert_eq!(allowed(&found, JOB, DB), "TCP 5432,UDP 5-6");
    assert!(to_address(&found, JOB, "192.168.0.2").is_empty());
    assert!(!to_address(&found, JOB, "203.0.113.2").is_empty());
}

#[test]
fn tiers_of_calico_are_asked_by_their_order_and_close_at_their_end() {
    let deny = calico(
        "z",
        "{tier: security, order: 5, selector: \"app == 'db'\", ingress: [\
        {action: Pass, source: {selector: \"app == 'web'\"}}, {action: Log}, \
        {action: Allow, protocol: TCP, destination: {ports: [80, '90:91', sql]}, source: {namespaceSelector: \"team == 'b'\"}}]}",
    );
    let late = calico("a", "{tier: security, order: 9, ingress: [{action: Deny}]}");
    let all = tier("security", 100, "Deny") + &deny + &late;
    let found = with(&all, &[]);
    assert_eq!(allowed(&found, WEB, DB), "All Connections");
    assert_eq!(allowed(&found, JOB, DB), "TCP 80,90-91,5432");
    assert_eq!(allowed(&found, DB, WEB), "No Connections");
    // What is passed is left to the next tier, where a NetworkPolicy closes the pod.
    assert_eq!(
        allowed(&with(&all, &[CLOSED_DB]), WEB, DB),
        "No Connections"
    );
    // A tier of which no rule matches denies, unless it passes.
    let only = |action: &str| tier("security", 100, action) + &deny;
    assert!(from_address(&with(&only("Deny"), &[]), "203.0.113.9", DB).is_empty());
    assert!(from_address(&with(&only("Pass"), &[]), "203.0.113.9", DB).is_all());
}

#[test]
fn calico_asks_network_policies_at_order_1000_of_its_default_tier() {
    let allow = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}";
    let deny = |order: u32| {
        calico(
            "deny",
            &format!("{{order: {order}, ingress: [{{action: Deny, protocol: TCP}}]}}"),
        )
    };
    assert_eq!(
        allowed(&with(&deny(999), &[allow]), WEB, DB),
        "SCTP 1-65535,UDP 1-65535"
    );
    assert_eq!(
        allowed(&with(&deny(1001), &[allow]), WEB, DB),
        "All Connections"
    );
    // Both select the pod, and no rule of either matches.
    assert_eq!(
        allowed(&with(&deny(1001), &[allow]), JOB, DB),
        "No Connections"
    );
    assert_eq!(allowed(&with(&deny(1001), &[]), JOB, WEB), "No Connections");
}

#[test]
fn negated_fields_of_calico_match_whoever_is_not_meant() {
    let text = calico(
        "p",
        "{selector: \"app == 'db'\", order: 1, ingress: [{action: Allow, source: {notSelector: \"app == 'web'\", \
        notNets: [203.0.113.0/24]}, protocol: TCP, destination: {notPorts: ['2:65535']}}]}",
    );
    let found = with(&text, &[]);
    assert_eq!(allowed(&found, WEB, DB), "No Connections");
    assert_eq!(allowed(&found, JOB, DB), "TCP 1");
    assert!(from_address(&found, "203.0.113.9", DB).is_empty());
    assert_eq!(
        from_address(&found, "198.51.100.1", DB).to_string(),
        "TCP 1"
    );
    // In a policy with a namespace they mean its pods only.
    let text = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\n\
        spec: {selector: \"app == 'db'\", ingress: [{action: Allow, source: {notSelector: \"app == 'x'\"}}]}";
    let found = with(text, &[]);
    assert_eq!(allowed(&found, WEB, DB), "All Connections");
    assert_eq!(allowed(&found, JOB, DB), "No Connections");
    assert!(from_address(&found, "203.0.113.9", DB).is_empty());
    let sets = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: s, labels: {kind: bad}}\n\
        spec: {nets: [198.51.100.0/24]}\n---\n".to_owned()
        + &calico("q", "{order: 1, egress: [{action: Deny, destination: {selector: \"kind == 'bad'\"}}, {action: Allow}]}");
    let found = with(&sets, &[]);
    assert!(to_address(&found, WEB, "198.51.100.3").is_empty());
    assert!(to_address(&found, WEB, "198.51.101.3").is_all());
    assert_eq!(allowed(&found, WEB, DB), "All Connections");
}

#[test]
fn a_decision_names_the_rule_of_its_stage() {
    let rules = "ingress: [{action: Pass, from: [{namespaces: {matchLabels: {team: a}}}]}, \
        {action: Deny, from: [{namespaces: {}}]}]";
    let found = with(&admin("guard", "Admin", 1, rules), &[CLOSED_DB]);
    let ask = |client: usize, server: usize| {
        let ends = (PeerRef::Pod(client), PeerRef::Pod(server));
        found.explain(ends.0, ends.1, Protocol::Tcp, 80).ingress
    };
    let Side::Denied {
        rules, isolating, ..
    } = ask(JOB, DB)
    else {
        panic!("{:?}", ask(JOB, DB));
    };
    assert_eq!(
        rules[0].to_string(),
        "ClusterNetworkPolicy guard, spec.ingress[1]"
    );
    assert_eq!(isolating, ["ClusterNetworkPolicy guard"]);
    let Side::Denied {
        rules, isolating, ..
    } = ask(WEB, DB)
    else {
        panic!("{:?}", ask(WEB, DB));
    };
    assert!(rules.is_empty());
    assert_eq!(isolating, ["shop/p"]);
    assert_eq!(ask(DB, WEB), Side::NotIsolated);
}

#[test]
fn pods_that_only_denying_rules_name_are_not_isolated() {
    let rules = "ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: b}}}]}]";
    let found = with(&admin("guard", "Admin", 1, rules), &[CLOSED_DB]);
    let of = |name: &str| found.classes_of(&id(name))[0];
    assert!(!found.isolated(of("shop/web"), Direction::Ingress));
    assert!(found.isolated(of("shop/db"), Direction::Ingress));
    assert_eq!(
        found.isolated_by(of("shop/db"), Direction::Ingress),
        ["shop/p"]
    );
    assert!(
        found
            .isolated_by(of("shop/web"), Direction::Ingress)
            .is_empty()
    );
}

#[test]
fn what_another_kind_denies_is_blocked_by_it_and_not_by_the_generated_policy() {
    use nanoseg_graph::{End, Requirement};
    let mut inventory = cluster();
    let rules = "ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: b}}}]}]";
    in_force(&mut inventory, &admin("guard", "Admin", 1, rules));
    let generated = [policy(
        "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}]}]}",
    )];
    let needed = |client: &str| Requirement {
        client: End::Workload(id(client)),
        server: End::Workload(id("shop/db")),
        protocol: Protocol::Tcp,
        port: 80,
        label: None,
        outside: false,
        edge: 0,
    };
    let managed = [id("shop/db")].into();
    let sets = PolicySets::only(&generated);
    let proof = prove(
        &inventory,
        sets,
        &[needed("ops/job"), needed("shop/web")],
        &managed,
    )
    .unwrap();
    assert!(proof.is_sound(), "{:?}", proof.blocked);
    assert_eq!(proof.allowed, 1);
    let by: Vec<String> = proof
        .blocked_by_existing
        .iter()
        .map(|one| one.by.to_string())
        .collect();
    assert_eq!(by, ["blocked on ingress by ClusterNetworkPolicy guard"]);
}

#[test]
fn a_comparison_of_other_kinds_names_the_rules_that_opened_and_closed() {
    let guard = |action: &str| {
        other_policy(admin("guard", "Admin", 1, &format!("ingress: [{{action: {action}, from: [{{namespaces: {{matchLabels: {{team: b}}}}}}]}}]")).trim_end_matches("---\n"))
    };
    let inventory = cluster();
    let (before, after) = ([guard("Deny")], [guard("Pass")]);
    let lines = |before: &[OtherKindPolicy], after: &[OtherKindPolicy]| -> Vec<String> {
        let sets = [before, after].map(|other| PoliciesOfAllKinds {
            network: &[],
            other,
        });
        let comparison = Comparison::of_all_kinds(&inventory, sets, HostNetwork::Exact).unwrap();
        let (found, causes) = (comparison.difference(), Causes::new(&comparison));
        let text = |sign: &str, kind, list: Vec<ConnectionChange>| -> Vec<String> {
            let line = |one: &ConnectionChange| {
                let causes: Vec<String> =
                    causes.of(one, kind).iter().map(Cause::to_string).collect();
                format!("{sign} {one}: {}", causes.join("; "))
            };
            list.iter().map(line).collect()
        };
        let mut lines = text("+", ChangeKind::Opened, found.opened);
        lines.extend(text("-", ChangeKind::Closed, found.closed));
        lines
    };
    assert_eq!(
        lines(&before, &after),
        [
            "+ ops/job => shop/db : All Connections: no longer denied by ClusterNetworkPolicy guard, spec.ingress[0]",
            "+ ops/job => shop/web : All Connections: no longer denied by ClusterNetworkPolicy guard, spec.ingress[0]",
        ]
    );
    assert_eq!(lines(&after, &before).len(), 2);
    assert!(
        lines(&after, &before)[0]
            .ends_with(": denied by ClusterNetworkPolicy guard, spec.ingress[0]")
    );
    assert_eq!(lines(&[], &after), [""; 0]);
}
