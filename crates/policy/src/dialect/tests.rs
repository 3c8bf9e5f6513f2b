//! The same requirements in each dialect.

use crate::testing::{add, add_node, id, inventory, requirements};
use crate::{Dialect, Synthesis, SynthesisOptions, render, synthesise};
use nanoseg_graph::{DnsEvidence, OpenDirections};
use nanoseg_inventory::Inventory;
use nanoseg_policy_kinds::OtherKindPolicy;

/// The cluster of the tests: two nodes, the API server on the first, a resolver and an application.
fn cluster() -> Inventory {
    let mut cluster = inventory(&["shop/web", "shop/app", "kube-system/coredns"]);
    let labels = "app.kubernetes.io/name=prometheus";
    add(&mut cluster, "monitoring/prometheus", labels, &[labels]);
    add_node(&mut cluster, "n1", &["192.168.0.1"]);
    add_node(&mut cluster, "n2", &["192.168.0.2"]);
    cluster.api_server = ["192.168.0.1:6443".parse().unwrap()].into();
    cluster
}

const TRAFFIC: &str = "
    shop/web > shop/app 8080/TCP
    monitoring/prometheus > shop/app 9102/TCP
    192.168.0.1 192.168.0.2 > shop/app 8080/TCP # any node
    shop/app > kube-system/coredns 53/UDP
    shop/app > kube-system/coredns 53/TCP
    shop/app > kube-system/coredns 9153/TCP
    shop/app > 192.168.0.1 6443/TCP # API server
    shop/app > 192.168.0.2 10250/TCP # node n2
    shop/app > 203.0.113.10 443/TCP
    shop/app > 203.0.113.11 443/TCP
";

/// The lookups behind [`TRAFFIC`]: edges 3 and 4 are some, edge 8 goes to a name.
fn lookups() -> DnsEvidence {
    let mut dns = DnsEvidence::default();
    dns.add_lookup(3);
    dns.add_lookup(4);
    dns.add_name(8, "api.payments.example");
    dns
}

fn written(dialect: Dialect, traffic: &str, dns: &DnsEvidence) -> Synthesis {
    let options = SynthesisOptions {
        dialect,
        ..SynthesisOptions::default()
    };
    let open = OpenDirections::default();
    let managed = [id("shop/app")];
    synthesise(
        &cluster(),
        &requirements(traffic),
        &managed,
        &open,
        dns,
        &options,
    )
}

fn text(dialect: Dialect, traffic: &str, dns: &DnsEvidence) -> String {
    let synthesis = written(dialect, traffic, dns);
    render(&synthesis.policies[0])
}

#[test]
fn cilium_gets_entities_and_names_with_the_rule_that_watches_lookups() {
    let written = text(Dialect::Cilium, TRAFFIC, &lookups());
    assert_eq!(written, include_str!("tests/cilium.yaml"), "{written}");
}

#[test]
fn calico_gets_one_rule_for_each_peer_and_protocol() {
    let written = text(Dialect::Calico, TRAFFIC, &lookups());
    assert_eq!(written, include_str!("tests/calico.yaml"), "{written}");
}

#[test]
fn without_an_allowed_lookup_a_server_is_named_by_its_address() {
    let mut dns = DnsEvidence::default();
    dns.add_name(0, "api.payments.example");
    let text = text(Dialect::Cilium, "shop/app > 203.0.113.10 443/TCP", &dns);
    assert!(text.contains("- 203.0.113.10/32"), "{text}");
    assert!(
        !text.contains("toFQDNs") && !text.contains("dns:"),
        "{text}"
    );
}

#[test]
fn lookups_are_watched_only_where_a_name_is_used() {
    let text = text(Dialect::Cilium, TRAFFIC, &{
        let mut dns = DnsEvidence::default();
        dns.add_lookup(3);
        dns
    });
    assert!(!text.contains("dns:"), "{text}");
}

#[test]
fn a_name_that_would_be_a_pattern_is_not_written() {
    let mut dns = lookups();
    dns.add_name(9, "*.example");
    let text = text(Dialect::Cilium, TRAFFIC, &dns);
    assert!(
        text.contains("203.0.113.11/32") && !text.contains("*.example"),
        "{text}"
    );
}

#[test]
fn an_isolated_direction_without_traffic_denies_everything_in_each_dialect() {
    let traffic = "shop/app > shop/web 80/TCP";
    let dns = DnsEvidence::default();
    let cilium = text(Dialect::Cilium, traffic, &dns);
    assert!(
        cilium.contains("  enableDefaultDeny:\n    ingress: true\n    egress: true\n"),
        "{cilium}"
    );
    assert!(cilium.contains("  ingress:\n    - {}\n"), "{cilium}");
    let calico = text(Dialect::Calico, traffic, &dns);
    assert!(
        calico.contains("  types:\n    - Ingress\n    - Egress\n  ingress: []\n"),
        "{calico}"
    );
}

#[test]
fn more_ports_than_cilium_takes_in_one_list_become_several_lists() {
    let ports: Vec<u16> = (0..45).map(|n| 1000 + 2 * n).collect();
    let traffic: String = ports
        .iter()
        .map(|port| format!("shop/web > shop/app {port}/TCP\n"))
        .collect();
    let synthesis = written(Dialect::Cilium, &traffic, &DnsEvidence::default());
    let native = synthesis.policies[0].native.clone().unwrap();
    let OtherKindPolicy::CiliumNetworkPolicy(policy) = native.object else {
        panic!("a CiliumNetworkPolicy");
    };
    let rule = &policy.spec.unwrap().ingress.unwrap()[0];
    let lists = rule.to_ports.as_ref().unwrap();
    let sizes: Vec<usize> = lists
        .iter()
        .map(|list| list.ports.as_ref().unwrap().len())
        .collect();
    assert_eq!(sizes, [40, 5]);
}

#[test]
fn the_text_is_the_object_that_was_proven() {
    for dialect in [Dialect::Cilium, Dialect::Calico] {
        let synthesis = written(dialect, TRAFFIC, &lookups());
        let policy = &synthesis.policies[0];
        let native = policy.native.as_ref().unwrap();
        let object: serde_json::Value = serde_yaml::from_str(&render(policy)).unwrap();
        let read = OtherKindPolicy::read(native.object.kind(), &object).unwrap();
        assert_eq!(read.policy, native.object);
        assert!(read.unknown.is_empty(), "{:?}", read.unknown);
    }
}

#[test]
fn a_label_that_is_no_part_of_an_identity_selects_nothing_on_cilium() {
    let mut cluster = inventory(&[]);
    let a = "app=x,kubernetes.io/part=a,part=a";
    let b = "app=x,kubernetes.io/part=b,part=b";
    add(&mut cluster, "shop/a", "kubernetes.io/part=a", &[a]);
    add(&mut cluster, "shop/b", "kubernetes.io/part=b", &[b]);
    let selector = |dialect| {
        let options = SynthesisOptions {
            dialect,
            ..SynthesisOptions::default()
        };
        let open = OpenDirections::default();
        let needs = requirements("shop/b > shop/a 80/TCP");
        let dns = DnsEvidence::default();
        let synthesis = synthesise(&cluster, &needs, &[id("shop/a")], &open, &dns, &options);
        render(&synthesis.policies[0])
    };
    assert!(selector(Dialect::Calico).contains("kubernetes.io/part == 'a'"));
    let cilium = selector(Dialect::Cilium);
    assert!(
        cilium.contains("\"k8s:part\": a") && !cilium.contains("k8s:kubernetes.io"),
        "{cilium}"
    );
}

#[test]
fn several_names_of_a_domain_become_a_pattern_only_if_asked_for() {
    let mut dns = DnsEvidence::default();
    dns.add_lookup(0);
    for (edge, name) in [(1, "a.cdn.example"), (2, "b.cdn.example"), (3, "c.example")] {
        dns.add_name(edge, name);
    }
    let traffic = "shop/app > kube-system/coredns 53/UDP
         shop/app > 203.0.113.1 443/TCP
         shop/app > 203.0.113.2 443/TCP
         shop/app > 203.0.113.3 443/TCP";
    let names = |name_patterns| {
        let options = SynthesisOptions {
            dialect: Dialect::Cilium,
            name_patterns,
            ..SynthesisOptions::default()
        };
        let open = OpenDirections::default();
        let needs = requirements(traffic);
        let synthesis = synthesise(&cluster(), &needs, &[id("shop/app")], &open, &dns, &options);
        let text = render(&synthesis.policies[0]);
        let begin = text.find("- toFQDNs").unwrap();
        let lines = text[begin..].lines().skip(1);
        let lines = lines.take_while(|line| line.contains("- match"));
        let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        (lines.join(" "), codes(&synthesis))
    };
    let (text, found) = names(None);
    assert_eq!(
        text,
        "- matchName: a.cdn.example - matchName: b.cdn.example - matchName: c.example"
    );
    assert!(!found.contains(&"name-pattern"));
    let (text, found) = names(Some(2));
    assert_eq!(
        text,
        "- matchName: c.example - matchPattern: \"*.cdn.example\""
    );
    assert!(found.contains(&"name-pattern"));
    assert_eq!(names(Some(3)).0, names(None).0);
}

fn codes(synthesis: &Synthesis) -> Vec<&'static str> {
    synthesis.findings.iter().map(|f| f.code.name()).collect()
}

#[test]
fn native_writes_the_plugin_s_kind_only_for_policies_that_it_would_not_honour() {
    let kinds = |plugin: &str| -> Vec<&str> {
        let mut cluster = cluster();
        cluster.network_plugin.profile = plugin.parse().unwrap();
        let options = SynthesisOptions {
            dialect: Dialect::Native,
            ..SynthesisOptions::default()
        };
        let open = OpenDirections::default();
        let needs = requirements(
            "shop/app > 192.168.0.1 6443/TCP # API server\nshop/web > 203.0.113.10 443/TCP",
        );
        let managed = [id("shop/app"), id("shop/web")];
        let mut dns = DnsEvidence::default();
        dns.add_name(1, "api.payments.example");
        let synthesis = synthesise(&cluster, &needs, &managed, &open, &dns, &options);
        let kind = |native: &Option<crate::NativePolicy>| match native {
            Some(native) => native.object.kind().kind(),
            None => "NetworkPolicy",
        };
        synthesis
            .policies
            .iter()
            .map(|one| kind(&one.native))
            .collect()
    };
    assert_eq!(kinds("cilium"), ["CiliumNetworkPolicy", "NetworkPolicy"]);
    let by_address = "cilium,policy-cidr-match-mode=nodes";
    assert_eq!(kinds(by_address), ["NetworkPolicy", "NetworkPolicy"]);
    assert_eq!(kinds("calico"), ["NetworkPolicy", "NetworkPolicy"]);
}
