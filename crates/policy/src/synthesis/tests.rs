//! Each rule of generation (docs/design.md) on a small cluster.

use super::*;
use crate::render;
use crate::testing::{add, add_node, id, inventory, requirements};
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_graph::{PublicEntry, ServiceEnforcements, UnseenPod};
use nanoseg_net::Protocol;
use proptest::prelude::*;

fn policies(inventory: &Inventory, traffic: &str, managed: &[&str]) -> Synthesis {
    with(inventory, traffic, managed, SynthesisOptions::default())
}

fn with(
    inventory: &Inventory,
    traffic: &str,
    managed: &[&str],
    options: SynthesisOptions,
) -> Synthesis {
    let managed: Vec<_> = managed.iter().map(|m| id(m)).collect();
    let open = OpenDirections::default();
    synthesise(
        inventory,
        &requirements(traffic),
        &managed,
        &open,
        &DnsEvidence::default(),
        &options,
    )
}

fn yaml(synthesis: &Synthesis, workload: &str) -> String {
    let policy = synthesis
        .policies
        .iter()
        .find(|p| p.workload == id(workload));
    render(policy.unwrap())
}

fn codes(synthesis: &Synthesis) -> Vec<&'static str> {
    synthesis.findings.iter().map(|f| f.code.name()).collect()
}

#[test]
fn the_result_looks_as_the_design_says() {
    let mut cluster = inventory(&[
        "boutique/cartservice",
        "boutique/checkoutservice",
        "boutique/frontend",
        "boutique/redis-cart",
    ]);
    let prometheus = "app.kubernetes.io/name=prometheus";
    add(
        &mut cluster,
        "monitoring/prometheus",
        prometheus,
        &[prometheus],
    );
    let synthesis = policies(
        &cluster,
        "monitoring/prometheus > boutique/cartservice 7070/TCP
         boutique/frontend > boutique/cartservice 7070/TCP
         boutique/checkoutservice > boutique/cartservice 7070/TCP
         boutique/cartservice > boutique/redis-cart 6379/TCP",
        &["boutique/cartservice"],
    );
    assert_eq!(
        yaml(&synthesis, "boutique/cartservice"),
        "\
# boutique/cartservice (Deployment)
# in   boutique/checkoutservice, boutique/frontend, monitoring/prometheus → 7070/TCP
# out  boutique/redis-cart → 6379/TCP
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: nanoseg-cartservice
  namespace: boutique
  labels:
    app.kubernetes.io/managed-by: nanoseg
spec:
  podSelector:
    matchLabels:
      app: cartservice
  policyTypes:
    - Ingress
    - Egress
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: checkoutservice
        - podSelector:
            matchLabels:
              app: frontend
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: monitoring
          podSelector:
            matchLabels:
              app.kubernetes.io/name: prometheus
      ports:
        - protocol: TCP
          port: 7070
  egress:
    - to:
        - podSelector:
            matchLabels:
              app: redis-cart
      ports:
        - protocol: TCP
          port: 6379
"
    );
    assert!(synthesis.findings.is_empty(), "{:?}", synthesis.findings);
}

#[test]
fn each_rule_has_the_edges_that_need_it() {
    let cluster = inventory(&["shop/web", "shop/api", "shop/job"]);
    let synthesis = policies(
        &cluster,
        "shop/web > shop/api 80/TCP
         shop/job > shop/api 80/TCP
         shop/job > shop/api 81/TCP
         shop/api > 192.0.2.7 443/TCP # pay.example",
        &["shop/api"],
    );
    let rules = &synthesis.policies[0].rules;
    let brief: Vec<_> = rules
        .iter()
        .map(|r| {
            let peers: Vec<_> = r
                .peers
                .iter()
                .map(|p| {
                    (
                        p.names.join("+"),
                        p.edges.iter().copied().collect::<Vec<_>>(),
                    )
                })
                .collect();
            (r.direction, r.rule, peers)
        })
        .collect();
    assert_eq!(
        brief,
        [
            (Direction::Ingress, 0, vec![("shop/web".into(), vec![0])]),
            (Direction::Ingress, 1, vec![("shop/job".into(), vec![1, 2])]),
            (Direction::Egress, 0, vec![("pay.example".into(), vec![3])]),
        ]
    );
}

#[test]
fn peers_share_a_rule_only_if_they_need_the_same_ports() {
    let cluster = inventory(&["shop/a", "shop/b", "shop/c", "shop/api"]);
    let synthesis = policies(
        &cluster,
        "shop/a > shop/api 80/TCP
         shop/a > shop/api 81/TCP
         shop/b > shop/api 80/TCP
         shop/c > shop/api 81/TCP
         shop/c > shop/api 80/TCP
         shop/c > shop/api 80/TCP",
        &["shop/api"],
    );
    let text = yaml(&synthesis, "shop/api");
    assert!(
        text.contains("# in   shop/b → 80/TCP\n# in   shop/a, shop/c → 80/TCP, 81/TCP\n"),
        "{text}"
    );
}

#[test]
fn order_and_repetition_of_the_input_change_nothing() {
    let cluster = inventory(&["shop/a", "shop/b", "other/c", "shop/api"]);
    let mut wanted = requirements(
        "shop/a > shop/api 80/TCP
         shop/b > shop/api 80/TCP
         other/c > shop/api 53/UDP
         192.0.2.9 192.0.2.10 > shop/api 80/TCP # any node (NodePort)
         shop/api > 192.0.2.7 443/TCP # pay.example",
    );
    let managed = [id("shop/api"), id("shop/a")];
    let options = SynthesisOptions::default();
    let once = synthesise(
        &cluster,
        &wanted,
        &managed,
        &OpenDirections::default(),
        &DnsEvidence::default(),
        &options,
    );
    wanted.extend(wanted.clone());
    wanted.reverse();
    let again = synthesise(
        &cluster,
        &wanted,
        &[id("shop/a"), id("shop/api")],
        &OpenDirections::default(),
        &DnsEvidence::default(),
        &options,
    );
    assert_eq!(once, again);
}

fn with_open(
    inventory: &Inventory,
    traffic: &str,
    managed: &[&str],
    open: &[(&str, Direction)],
) -> Synthesis {
    let managed: Vec<_> = managed.iter().map(|m| id(m)).collect();
    let mut directions = OpenDirections::default();
    for (workload, direction) in open {
        let unseen = vec![UnseenPod {
            pod: "p".into(),
            node: Some("n2".into()),
            presumed: false,
        }];
        let reason = OpenReason::NotInView { of: 1, unseen };
        directions.add(&id(workload), *direction, reason);
    }
    let options = SynthesisOptions {
        include_unobserved: true,
        ..SynthesisOptions::default()
    };
    synthesise(
        inventory,
        &requirements(traffic),
        &managed,
        &directions,
        &DnsEvidence::default(),
        &options,
    )
}

#[test]
fn an_open_direction_is_not_isolated_and_says_why() {
    let cluster = inventory(&["shop/web", "shop/api"]);
    let managed = ["shop/web", "shop/api"];
    let open = [("shop/api", Direction::Egress)];
    let synthesis = with_open(&cluster, "shop/web > shop/api 80/TCP", &managed, &open);
    let text = yaml(&synthesis, "shop/api");
    assert!(
        text.contains("policyTypes:\n    - Ingress\n  ingress:"),
        "{text}"
    );
    assert!(!text.contains("egress:"), "{text}");
    let comment = "# out  anything: this direction stays open, since\n\
                   #        1 of 1 pods were not in view: p on n2\n";
    assert!(text.contains(comment), "{text}");
    assert!(yaml(&synthesis, "shop/web").contains("- Egress"));
    assert!(synthesis.open.contains(&id("shop/api"), Direction::Egress));
}

#[test]
fn a_workload_that_is_open_in_both_directions_gets_no_policy_and_no_other_finding() {
    let cluster = inventory(&["shop/web", "shop/api"]);
    let open = [
        ("shop/api", Direction::Egress),
        ("shop/api", Direction::Ingress),
    ];
    let managed = ["shop/web", "shop/api"];
    let synthesis = with_open(&cluster, "shop/web > shop/api 80/TCP", &managed, &open);
    let workloads: Vec<String> = synthesis
        .policies
        .iter()
        .map(|p| p.workload.to_string())
        .collect();
    assert_eq!(workloads, ["shop/web"]);
    assert!(codes(&synthesis).is_empty(), "{:?}", synthesis.findings);
}

#[test]
fn a_policy_that_would_isolate_an_open_workload_stays_open_too() {
    let mut cluster = inventory(&["shop/web"]);
    add(&mut cluster, "shop/a", "app=x", &["app=x"]);
    add(&mut cluster, "shop/b", "app=x", &["app=x"]);
    let open = [("shop/b", Direction::Ingress)];
    let synthesis = with_open(&cluster, "shop/web > shop/a 80/TCP", &["shop/a"], &open);
    let policy = &synthesis.policies[0];
    let types = policy
        .policy
        .spec
        .as_ref()
        .and_then(|spec| spec.policy_types.clone());
    assert_eq!(types, Some(vec!["Egress".to_owned()]));
    let reasons = synthesis.open.reasons(&id("shop/a"), Direction::Ingress);
    assert_eq!(reasons, [&OpenReason::SharedWith(id("shop/b"))]);
    assert!(
        !synthesis.open.contains(&id("shop/b"), Direction::Ingress),
        "it is not managed"
    );
}

#[test]
fn an_unobserved_workload_gets_a_policy_only_on_request() {
    let cluster = inventory(&["shop/idle"]);
    let synthesis = policies(&cluster, "", &["shop/idle"]);
    assert!(synthesis.policies.is_empty());
    assert_eq!(codes(&synthesis), ["nothing-observed"]);
    let options = SynthesisOptions {
        include_unobserved: true,
        ..SynthesisOptions::default()
    };
    let synthesis = with(&cluster, "", &["shop/idle"], options);
    assert_eq!(codes(&synthesis), ["nothing-observed"]);
    let text = yaml(&synthesis, "shop/idle");
    assert!(
        text.ends_with("    - Ingress\n    - Egress\n  ingress: []\n  egress: []\n"),
        "{text}"
    );
    assert!(text.contains("# in   nothing\n# out  nothing\n"), "{text}");
}

#[test]
fn a_workload_on_the_node_network_gets_no_policy_and_no_second_finding() {
    let mut cluster = inventory(&["shop/agent", "shop/web"]);
    cluster
        .workloads
        .get_mut(&id("shop/agent"))
        .unwrap()
        .host_network = true;
    cluster.pods[0].host_network = true;
    let synthesis = policies(&cluster, "", &["shop/agent"]);
    assert_eq!(synthesis, Synthesis::default());
}

#[test]
fn workloads_with_the_same_labels_are_reported_and_each_keeps_its_own_rules() {
    let mut cluster = inventory(&["shop/client", "shop/db"]);
    add(&mut cluster, "shop/blue", "app=web", &["app=web"]);
    add(&mut cluster, "shop/green", "app=web", &["app=web"]);
    let synthesis = policies(
        &cluster,
        "shop/client > shop/blue 80/TCP
         shop/client > shop/green 80/TCP
         shop/green > shop/db 5432/TCP",
        &["shop/blue", "shop/green", "shop/client"],
    );
    assert_eq!(codes(&synthesis), ["indistinguishable-workloads"]);
    assert_eq!(synthesis.findings[0].subject, "shop/blue, shop/green");
    let [blue, _, green] = &synthesis.policies[..] else {
        panic!("{:?}", synthesis.policies)
    };
    let selector = |p: &WorkloadPolicy| p.policy.spec.as_ref().unwrap().pod_selector.clone();
    assert_eq!(selector(blue), selector(green));
    let text = render(blue);
    assert!(
        text.contains("no labels tell them apart:\n#        shop/green\n"),
        "{text}"
    );
    // The rules of all policies are combined, so green's rule to the database is written once, in green's policy.
    assert!(
        !text.contains("5432") && render(green).contains("5432"),
        "{text}"
    );
    let client = yaml(&synthesis, "shop/client");
    assert_eq!(client.matches("app: web").count(), 1, "{client}");
    assert!(
        client.contains("# out  shop/blue, shop/green → 80/TCP\n"),
        "{client}"
    );
}

#[test]
fn a_workload_without_a_policy_that_another_policy_selects_keeps_its_traffic() {
    let mut cluster = inventory(&["shop/db"]);
    add(&mut cluster, "shop/blue", "app=web", &["app=web"]);
    add(&mut cluster, "shop/green", "app=web", &["app=web"]);
    let synthesis = policies(
        &cluster,
        "shop/green > shop/db 5432/TCP
         shop/blue > shop/db 5433/TCP",
        &["shop/blue"],
    );
    let text = yaml(&synthesis, "shop/blue");
    assert!(
        text.contains("port: 5432") && text.contains("port: 5433"),
        "{text}"
    );
}

#[test]
fn a_workload_without_stable_labels_gets_a_finding_and_no_policy() {
    let mut cluster = inventory(&["shop/web"]);
    add(
        &mut cluster,
        "shop/bare/Pod",
        "",
        &["pod-template-hash=abc"],
    );
    let synthesis = policies(
        &cluster,
        "shop/web > shop/bare/Pod 80/TCP",
        &["shop/bare/Pod", "shop/web"],
    );
    assert_eq!(codes(&synthesis), ["unselectable-workload"]);
    assert_eq!(synthesis.policies.len(), 1);
    // As a peer it is still exact: the only pod of the namespace without `app`.
    let text = yaml(&synthesis, "shop/web");
    assert!(
        text.contains("key: app\n                operator: DoesNotExist"),
        "{text}"
    );
}

#[test]
fn each_address_is_a_block_with_its_name_in_a_comment() {
    let mut cluster = inventory(&["shop/web"]);
    add_node(&mut cluster, "n1", &["10.0.0.1"]);
    let synthesis = policies(
        &cluster,
        "shop/web > 203.0.113.7 443/TCP # api.payments.example
         shop/web > 2001:db8::7 443/TCP # api.payments.example
         shop/web > 10.0.0.1 443/TCP # API server
         10.0.0.1 > shop/web 8080/TCP # node n1
         10.0.0.1 > shop/web 8080/TCP # any node (NodePort)
         198.51.100.1 > shop/web 8080/TCP",
        &["shop/web"],
    );
    let text = yaml(&synthesis, "shop/web");
    for line in [
        "# in   any node (NodePort), node n1, 198.51.100.1 → 8080/TCP\n",
        "# out  API server, api.payments.example → 443/TCP\n",
        "            cidr: 10.0.0.1/32  # any node (NodePort), node n1\n",
        "            cidr: 10.0.0.1/32  # API server\n",
        "            cidr: 203.0.113.7/32  # api.payments.example\n",
        "            cidr: \"2001:db8::7/128\"  # api.payments.example\n",
        "            cidr: 198.51.100.1/32\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn many_outside_addresses_are_summarised_and_the_added_addresses_are_counted() {
    let mut cluster = inventory(&["shop/web"]);
    add_node(&mut cluster, "n1", &["203.0.113.2"]);
    let mut traffic = String::from("shop/web > 203.0.113.2 443/TCP # API server\n");
    for last in [0, 1, 3, 200, 201] {
        traffic.push_str(&format!("shop/web > 203.0.113.{last} 443/TCP\n"));
    }
    let options = SynthesisOptions {
        max_addresses: 2,
        ..SynthesisOptions::default()
    };
    let synthesis = with(&cluster, &traffic, &["shop/web"], options);
    let text = yaml(&synthesis, "shop/web");
    let expected = "
        - ipBlock:
            cidr: 203.0.113.0/30
            except:
              - 203.0.113.2/32
        - ipBlock:
            cidr: 203.0.113.2/32  # API server
        - ipBlock:
            cidr: 203.0.113.200/31
";
    assert!(text.contains(expected), "{text}");
    let message = &synthesis.findings[0].message;
    assert!(
        message.contains("5 outside addresses were summarised to 2 CIDRs, which adds 0"),
        "{message}"
    );
}

#[test]
fn a_public_entry_that_is_open_to_anywhere_says_so_and_needs_no_single_addresses() {
    let mut cluster = inventory(&["shop/web"]);
    add_node(&mut cluster, "n1", &["203.0.113.2"]);
    cluster.pods[0].addresses = vec!["10.244.1.5".parse().unwrap(), "fd00::5".parse().unwrap()];
    let entry = PublicEntry {
        blocks: 0,
        workload: id("shop/web"),
        protocol: Protocol::Tcp,
        port: 443,
        service_ports: BTreeSet::new(),
        clients: ["198.51.100.7".parse().unwrap()].into(),
        once: 1,
        late: 0,
        services: BTreeSet::new(),
    };
    let mut needs = requirements(
        "198.51.100.7 > shop/web 443/TCP
         203.0.113.2 > shop/web 443/TCP # node n1
         10.9.9.9 > shop/web 443/TCP
         198.51.100.8 > shop/web 9000/TCP",
    );
    let enforcement = ServiceEnforcements::default();
    needs.extend(open_entry_requirements(&cluster, [&entry], &enforcement));
    let options = SynthesisOptions::default();
    let synthesis = synthesise(
        &cluster,
        &needs,
        &[id("shop/web")],
        &OpenDirections::default(),
        &DnsEvidence::default(),
        &options,
    );
    let text = yaml(&synthesis, "shop/web");
    let rule = text.split("ingress:").nth(1).unwrap();
    let cidrs = rule
        .lines()
        .filter_map(|line| line.trim().strip_prefix("cidr: "));
    let cidrs: Vec<&str> = cidrs
        .map(|line| line.split("  #").next().unwrap())
        .collect();
    assert_eq!(
        cidrs,
        [
            "0.0.0.0/0",
            "10.9.9.9/32",
            "203.0.113.2/32",
            "\"::/0\"",
            "198.51.100.8/32"
        ],
        "{text}"
    );
    assert!(
        text.contains("cidr: 0.0.0.0/0  # anywhere: a public entry"),
        "{text}"
    );
    assert!(
        text.contains("- 10.0.0.0/8") && text.contains("- 203.0.113.2/32"),
        "{text}"
    );
    assert!(synthesis.findings.is_empty(), "{:?}", synthesis.findings);
}

#[test]
fn an_address_that_a_summary_allows_gets_no_rule_of_its_own() {
    let cluster = inventory(&["shop/web"]);
    let mut traffic = String::new();
    for last in 0..4 {
        traffic.push_str(&format!("shop/web > 203.0.113.{} 443/TCP\n", last * 3));
        traffic.push_str(&format!("shop/web > 203.0.113.{} 80/TCP\n", last * 3));
    }
    traffic.push_str("shop/web > 203.0.113.5 80/TCP # inside\n");
    traffic.push_str("shop/web > 203.0.113.200 80/TCP # elsewhere\n");
    let options = SynthesisOptions {
        max_addresses: 1,
        ..SynthesisOptions::default()
    };
    let synthesis = with(&cluster, &traffic, &["shop/web"], options);
    let text = yaml(&synthesis, "shop/web");
    assert!(
        text.contains(
            "# out  elsewhere → 80/TCP\n# out  inside, 203.0.113.0/28 → 80/TCP, 443/TCP\n"
        ),
        "{text}"
    );
    let edges = synthesis.policies[0].rules[1].edges();
    assert_eq!(edges, (0..9).collect());
}

#[test]
fn a_workload_that_connects_to_itself_gets_rules_in_both_directions() {
    let cluster = inventory(&["shop/db"]);
    let synthesis = policies(&cluster, "shop/db > shop/db 5432/TCP", &["shop/db"]);
    let text = yaml(&synthesis, "shop/db");
    assert!(
        text.contains("# in   shop/db → 5432/TCP\n# out  shop/db → 5432/TCP\n"),
        "{text}"
    );
}

#[test]
fn an_unmanaged_workload_can_be_a_peer_and_gets_no_policy() {
    let cluster = inventory(&["shop/web", "other/db"]);
    let synthesis = policies(&cluster, "shop/web > other/db 1/SCTP", &["shop/web"]);
    assert_eq!(synthesis.policies.len(), 1);
    assert!(yaml(&synthesis, "shop/web").contains("protocol: SCTP"));
}

proptest! {
    /// Other tests check which pods a selector matches. This one checks that the rules allow exactly the
    /// requirements, with each peer once per direction.
    #[test]
    fn the_rules_are_exactly_the_requirements(
        lines in prop::collection::btree_set((0..5usize, 0..5usize, 78..84u16, any::<bool>()), 1..40),
    ) {
        let ends = ["s/a", "s/b", "t/c", "192.0.2.1", "192.0.2.2"];
        let cluster = inventory(&["s/a", "s/b", "t/c"]);
        let traffic: Vec<String> = lines
            .iter()
            .map(|(client, server, port, udp)| {
                let protocol = if *udp { "UDP" } else { "TCP" };
                format!("{} > {} {port}/{protocol}", ends[*client], ends[*server])
            })
            .collect();
        let synthesis = policies(&cluster, &traffic.join("\n"), &["s/a", "s/b", "t/c"]);
        let mut written = Vec::new();
        for policy in &synthesis.policies {
            let spec = policy.policy.spec.clone().unwrap();
            let ingress = spec.ingress.unwrap().into_iter().map(|r| r.ports);
            let egress = spec.egress.unwrap().into_iter().map(|r| r.ports);
            for (rule, ports) in policy.rules.iter().zip(ingress.chain(egress)) {
                for name in rule.peers.iter().flat_map(|p| &p.names) {
                    for port in ports.iter().flatten().flat_map(single_ports) {
                        let own = policy.workload.to_string();
                        written.push(match rule.direction {
                            Direction::Ingress => (rule.direction, format!("{name} > {own} {port}")),
                            Direction::Egress => (rule.direction, format!("{own} > {name} {port}")),
                        });
                    }
                }
            }
        }
        written.sort();
        let mut required = Vec::new();
        for (line, (client, server, ..)) in traffic.iter().zip(&lines) {
            if *server < 3 {
                required.push((Direction::Ingress, line.clone()));
            }
            if *client < 3 {
                required.push((Direction::Egress, line.clone()));
            }
        }
        required.sort();
        prop_assert_eq!(written, required);
    }
}

fn single_ports(port: &NetworkPolicyPort) -> Vec<String> {
    let Some(IntOrString::Int(first)) = port.port else {
        panic!("{port:?}")
    };
    let protocol = port.protocol.as_deref().unwrap();
    let last = port.end_port.unwrap_or(first);
    (first..=last).map(|p| format!("{p}/{protocol}")).collect()
}
