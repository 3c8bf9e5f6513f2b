use super::*;
use crate::Selector;
use crate::rule::RuleOrigin;
use crate::synthesis::{SynthesisOptions, synthesise};
use crate::testing::{id, inventory, requirements};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nanoseg_graph::{DnsEvidence, OpenDirections};
use nanoseg_inventory::WorkloadId;
use proptest::prelude::*;

fn read(text: &str) -> NetworkPolicy {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn many_peers_are_listed_over_several_lines() {
    let names: Vec<String> = (0..30).map(|i| format!("shop/service-{i:02}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("shop/api");
    let cluster = inventory(&all);
    let traffic: String = names
        .iter()
        .map(|name| format!("{name} > shop/api 80/TCP\n"))
        .collect();
    let options = SynthesisOptions::default();
    let synthesis = synthesise(
        &cluster,
        &requirements(&traffic),
        &[id("shop/api")],
        &OpenDirections::default(),
        &DnsEvidence::default(),
        &options,
    );
    let text = render(&synthesis.policies[0]);
    assert!(text.starts_with(
        "# shop/api (Deployment)\n\
         # in   30 peers → 80/TCP:\n\
         #        shop/service-00, shop/service-01, shop/service-02, shop/service-03, shop/service-04,\n"
    ), "{text}");
    assert!(
        text.contains("shop/service-23, and 6 more\n# out  nothing\n"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= LINE_WIDTH));
}

#[test]
fn a_hostile_name_stays_inside_its_comment() {
    let cluster = inventory(&["shop/web"]);
    let mut wanted = requirements("shop/web > 192.0.2.1 443/TCP");
    wanted[0].label = Some("x\nspec: {}\n# \r\u{85}\u{2028}y".to_string());
    let options = SynthesisOptions::default();
    let mut policy = synthesise(
        &cluster,
        &wanted,
        &[id("shop/web")],
        &OpenDirections::default(),
        &DnsEvidence::default(),
        &options,
    )
    .policies
    .remove(0);
    policy.workload.kind = "Deployment\nkind: Pod".to_string();
    let text = render(&policy);
    assert_eq!(read(&text), policy.policy, "{text}");
    assert_eq!(text.matches("spec:").count(), 3, "{text}");
}

#[test]
fn a_kustomization_lists_each_file_once_in_order() {
    assert_eq!(
        render_kustomization(&["b/x.yaml", "a/y.yaml", "b/x.yaml", "0/1.yaml"]),
        "# Written by nanoseg generate\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  \
         - \"0/1.yaml\"\n  - a/y.yaml\n  - b/x.yaml\n"
    );
}

/// Label values that YAML readers may read as something else.
fn tricky() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "true",
            "1",
            "null",
            "0x1F",
            "1e3",
            "~",
            "yes",
            ":",
            "",
            "no",
            "0o7",
            "2001-01-01",
            "- a",
            "a: b",
            "#",
            "a #b",
            "\n",
            "!!str",
            "*a",
            "&a",
            "{}",
            "]",
            "é",
            "1:30",
            "Off",
        ])
        .prop_map(str::to_string),
        "[a-z]{1,8}",
        any::<String>(),
    ]
}

fn tricky_map() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(tricky(), tricky(), 0..4)
}

fn any_selector() -> impl Strategy<Value = LabelSelector> {
    let values = prop::collection::btree_set(tricky(), 1..3);
    (
        tricky_map(),
        prop::collection::btree_set(tricky(), 0..2),
        prop::collection::btree_map(tricky(), values, 0..2),
    )
        .prop_map(|(labels, absent, excluded)| {
            Selector {
                labels,
                absent,
                excluded,
            }
            .to_api()
        })
}

fn any_peer() -> impl Strategy<Value = NetworkPolicyPeer> {
    let pods = (any_selector(), prop::option::of(any_selector())).prop_map(|(pods, home)| {
        NetworkPolicyPeer {
            pod_selector: Some(pods),
            namespace_selector: home,
            ip_block: None,
        }
    });
    let cidr = prop::sample::select(vec!["10.0.0.1/32", "0.0.0.0/0", "::/0", "2001:db8::1/128"]);
    let block = (cidr.clone(), prop::collection::vec(cidr, 0..3)).prop_map(|(cidr, except)| {
        NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: cidr.to_string(),
                except: (!except.is_empty())
                    .then(|| except.iter().map(|e| e.to_string()).collect()),
            }),
            ..NetworkPolicyPeer::default()
        }
    });
    prop_oneof![pods, block]
}

fn any_port() -> impl Strategy<Value = NetworkPolicyPort> {
    (1..65535i32, prop::option::of(1..65535i32), tricky()).prop_map(|(port, end, protocol)| {
        NetworkPolicyPort {
            port: Some(IntOrString::Int(port)),
            end_port: end,
            protocol: Some(protocol),
        }
    })
}

type AnyRule = (
    Vec<NetworkPolicyPeer>,
    Vec<NetworkPolicyPort>,
    Option<String>,
);

fn any_rules() -> impl Strategy<Value = Vec<AnyRule>> {
    let rule = (
        prop::collection::vec(any_peer(), 0..4),
        prop::collection::vec(any_port(), 0..3),
        prop::option::of(tricky()),
    );
    prop::collection::vec(rule, 0..3)
}

fn origins(direction: Direction, rules: &[AnyRule]) -> Vec<RuleOrigin> {
    let origin = |(rule, (peers, _, note)): (usize, &AnyRule)| RuleOrigin {
        direction,
        rule,
        peers: peers
            .iter()
            .map(|_| PeerOrigin {
                names: note.iter().cloned().collect(),
                comment: note.clone(),
                written: None,
                edges: BTreeSet::new(),
            })
            .collect(),
    };
    rules.iter().enumerate().map(origin).collect()
}

prop_compose! {
    fn any_policy()(
        names in (tricky(), tricky(), tricky(), tricky_map()),
        pods in any_selector(),
        ingress in any_rules(),
        egress in any_rules(),
    ) -> WorkloadPolicy {
        let (name, namespace, kind, labels) = names;
        let mut rules = origins(Direction::Ingress, &ingress);
        rules.extend(origins(Direction::Egress, &egress));
        let ingress = ingress.into_iter().map(|(from, ports, _)| NetworkPolicyIngressRule {
            from: Some(from),
            ports: Some(ports),
        });
        let egress = egress.into_iter().map(|(to, ports, _)| NetworkPolicyEgressRule {
            to: Some(to),
            ports: Some(ports),
        });
        let workload = WorkloadId { namespace: namespace.clone(), name: name.clone(), kind };
        WorkloadPolicy {
            reach: Some(std::sync::Arc::new([workload.clone(), id("s/x")].into())),
            workload,
            open: Vec::new(),
            native: None,
            rules,
            policy: NetworkPolicy {
                metadata: ObjectMeta {
                    name: Some(name),
                    namespace: Some(namespace),
                    labels: Some(labels),
                    ..ObjectMeta::default()
                },
                spec: Some(NetworkPolicySpec {
                    pod_selector: Some(pods),
                    policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
                    ingress: Some(ingress.collect()),
                    egress: Some(egress.collect()),
                }),
            },
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_as_the_same_policy(policy in any_policy()) {
        let text = render(&policy);
        prop_assert_eq!(read(&text), policy.policy, "{}", text);
    }
}
