//! Tests of all kinds together.

use crate::calico_selector::CalicoSelector;
use crate::{OtherKind, OtherKindPolicy};
use serde_json::Value;

fn object(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

const CILIUM: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  enableDefaultDeny: {egress: false}
  ingress:
  - fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': a}}]
    toPorts: [{ports: [{port: '80', protocol: TCP, endPort: 90}], rules: {http: [{method: GET}]}}]
  egress:
  - toFQDNs: [{matchName: example.com}]
  egressDeny:
  - toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]
";

const CLUSTER: &str = "
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 3
  subject: {namespaces: {}}
  egress:
  - {action: Deny, to: [{networks: [169.254.169.254/32]}], protocols: [{tcp: {destinationPort: {number: 80}}}]}
  - {action: Pass, to: [{nodes: {}}, {domainNames: ['*.example.com']}]}
";

const CALICO: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: guard}
spec:
  tier: security
  order: 10.5
  selector: app == 'web'
  types: [Ingress]
  ingress:
  - {action: Log}
  - action: Allow
    protocol: TCP
    source: {notNets: [10.0.0.0/8]}
    destination: {ports: [80, '90:99', http]}
";

#[test]
fn an_object_is_the_same_after_it_is_read_and_written() {
    for (kind, text) in [
        (OtherKind::CiliumNetworkPolicy, CILIUM),
        (OtherKind::ClusterNetworkPolicy, CLUSTER),
        (OtherKind::CalicoGlobalNetworkPolicy, CALICO),
    ] {
        let object = object(text);
        let read = OtherKindPolicy::read(kind, &object).unwrap();
        assert!(read.unknown.is_empty(), "{:?}", read.unknown);
        assert_eq!(read.policy.kind(), kind);
        let again = read.policy.to_object();
        assert_eq!(OtherKindPolicy::read(kind, &again).unwrap(), read);
        // Numbers may change their form (10.5, 10), fields may not.
        assert_eq!(
            again.to_string().len(),
            object.to_string().len(),
            "{again:#}"
        );
    }
}

#[test]
fn a_field_that_is_not_known_is_named_with_its_path() {
    let mut cilium = object(CILIUM);
    cilium["spec"]["ingress"][0]["fromMoon"] = Value::Bool(true);
    cilium["spec"]["egressDeny"][0]["toCIDRSet"][0]["phase"] = Value::from("new");
    cilium["rules"] = Value::from(1);
    let read = OtherKindPolicy::read(OtherKind::CiliumNetworkPolicy, &cilium).unwrap();
    let mut unknown = read.unknown;
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "rules",
            "spec.egressDeny[0].toCIDRSet[0].phase",
            "spec.ingress[0].fromMoon"
        ]
    );
}

#[test]
fn a_value_that_is_not_known_is_an_error() {
    let mut cluster = object(CLUSTER);
    cluster["spec"]["egress"][0]["action"] = Value::from("Maybe");
    let problem = OtherKindPolicy::read(OtherKind::ClusterNetworkPolicy, &cluster).unwrap_err();
    assert!(problem.contains("Maybe"), "{problem}");
}

#[test]
fn every_kind_is_found_by_its_name_and_group() {
    for kind in OtherKind::ALL {
        assert_eq!(OtherKind::of(kind.kind(), kind.group()), Some(kind));
    }
    assert_eq!(OtherKind::of("NetworkPolicy", "networking.k8s.io"), None);
    assert_eq!(
        OtherKind::of("Tier", "crd.projectcalico.org"),
        Some(OtherKind::CalicoTier)
    );
}

fn limits(kind: OtherKind, text: &str) -> Vec<String> {
    let read = OtherKindPolicy::read(kind, &object(text)).unwrap();
    read.policy
        .limits()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_is_not_judged_of_a_policy_is_named_by_field() {
    assert_eq!(
        limits(OtherKind::CiliumNetworkPolicy, CILIUM),
        [
            "spec.ingress[0].toPorts[0].rules is judged by address and port only",
            "spec.egress[0].toFQDNs is judged by the addresses that were seen of its names",
        ]
    );
    assert_eq!(
        limits(
            OtherKind::CiliumClusterwideNetworkPolicy,
            "{metadata: {name: a}, specs: [{nodeSelector: {}}, {endpointSelector: {}, egress: [{toGroups: [{}]}, \
             {toEntities: [world, moon]}, {toEndpoints: [{matchLabels: {'reserved:host': ''}}, \
             {matchLabels: {io.cilium.k8s.policy.serviceaccount: a}}]}]}]}"
        ),
        [
            "specs[0].nodeSelector is not judged",
            "specs[1].egress[0].toGroups is not judged",
            "specs[1].egress[1].toEntities[1] (moon) is not judged",
            "specs[1].egress[2].toEndpoints[1] (io.cilium.k8s.policy.serviceaccount) is not judged",
        ]
    );
    assert_eq!(
        limits(
            OtherKind::CalicoNetworkPolicy,
            "{metadata: {name: a}, spec: {selector: 'a = b', ingress: [{action: Deny, source: {ports: [1]}, \
             destination: {selector: all()}}], egress: [{action: Allow, destination: {services: {name: a}}}]}}"
        ),
        [
            "spec.selector is not judged",
            "spec.ingress[0].destination.selector is not judged",
            "spec.ingress[0].source.ports is not judged",
            "spec.egress[0].destination.services is not judged",
        ]
    );
    assert_eq!(
        limits(OtherKind::ClusterNetworkPolicy, CLUSTER),
        ["spec.egress[1].to[1].domainNames is judged by the addresses that were seen of its names"]
    );
}

#[test]
fn selectors_of_calico_match_as_calico_documents_them() {
    let labels = |key: &str| match key {
        "app" => Some("web-1"),
        "team/a" => Some("blue"),
        _ => None,
    };
    for (text, expected) in [
        ("", true),
        ("all()", true),
        ("global()", false),
        ("app == 'web-1'", true),
        ("app == \"web\"", false),
        ("app != 'web'", true),
        ("none != 'x'", true),
        ("app in {'a', \"web-1\"}", true),
        ("app not in {'a'} && has(team/a)", true),
        ("none not in {'a'}", true),
        ("!has(none) && (app == 'x' || team/a == 'blue')", true),
        ("!(has(app))", false),
        (
            "app contains 'eb' && app starts with 'web' && app ends with '-1'",
            true,
        ),
        ("none contains ''", false),
        ("app == 'x' || app == 'web-1' && has(none)", false),
    ] {
        let selector = CalicoSelector::parse(text).unwrap();
        assert_eq!(selector.matches(&labels), expected, "{text}");
    }
    for bad in [
        "app",
        "app = 'x'",
        "(app == 'x'",
        "app in {'x'",
        "has(",
        "'x'",
        "app == 'x' app",
    ] {
        assert!(CalicoSelector::parse(bad).is_err(), "{bad}");
    }
    assert!(CalicoSelector::parse(&"!".repeat(5000)).is_err());
}
