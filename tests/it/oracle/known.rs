//! What the projects are known to judge otherwise than the API's documentation, each with its place in their source.
//! A test here fails when a project changes, and then the profile of the plugin must change with it.

use super::case::{Case, Namespace, Node, Pod, Port, Probe};
use super::ours::Ours;
use super::program::Oracle;
use nanoseg::evaluate::HostNetwork;
use nanoseg::net::Protocol;
use serde_json::{Value, json};

/// Two pods on two nodes and an address of the outside: 0 is the client, 1 the server, 2 the outside, 3 and 4 the nodes.
fn case(policy: Value) -> Case {
    let node = |name: &str, address: &str| Node {
        name: name.into(),
        labels: [].into(),
        addresses: vec![address.parse().unwrap()],
    };
    let pod = |name: &str, node: &str, address: &str| Pod {
        namespace: "shop".into(),
        name: name.into(),
        labels: [("app".to_owned(), name.to_owned())].into(),
        node: node.into(),
        host_network: false,
        addresses: vec![address.parse().unwrap()],
        ports: Vec::new(),
    };
    let label = ("kubernetes.io/metadata.name".to_owned(), "shop".to_owned());
    Case {
        namespaces: vec![Namespace {
            name: "shop".into(),
            labels: [label].into(),
        }],
        nodes: vec![node("node0", "172.18.0.1"), node("node1", "172.18.0.2")],
        pods: vec![
            pod("client", "node0", "10.244.0.1"),
            pod("server", "node1", "10.244.1.2"),
        ],
        outside: ["198.51.100.1", "172.18.0.1", "172.18.0.2"]
            .map(|one| one.parse().unwrap())
            .into(),
        policies: vec![json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": "policy"}, "spec": policy,
        })],
        probes: vec![Probe {
            protocol: Protocol::Tcp,
            port: 80,
        }],
        ..Case::default()
    }
}

/// What the oracle and the evaluator say of one connection; `None` where the oracle cannot be built.
fn both(oracle: &'static str, mut case: Case, pair: (usize, usize)) -> Option<(char, char)> {
    case.pairs = vec![pair];
    let theirs = Oracle::start(oracle)?.ask(&case).expect("a verdict");
    let ours = if oracle == "cilium-policy" {
        Ours::on_cilium(&case)
    } else {
        Ours::new(&case, HostNetwork::Exact)
    };
    let ours = ours.allows(pair.0, pair.1, case.probes[0]);
    Some((char::from(theirs[0]), if ours { '1' } else { '0' }))
}

/// Fails unless the oracle says `theirs` and the evaluator `ours`.
fn differ(oracle: &'static str, case: Case, pair: (usize, usize), theirs: char, ours: char) {
    if let Some(found) = both(oracle, case, pair) {
        assert_eq!(found, (theirs, ours), "{oracle} and the evaluator");
    }
}

/// pkg/kube/labelselector.go, IsMatchExpressionMatchForLabels: `NotIn` matches no object without the key. The API's
/// documentation and apimachinery's own matcher say that it does.
#[test]
fn not_in_matches_objects_without_the_key_but_not_in_cyclonus() {
    let not_in = json!({"matchExpressions": [{"key": "no", "operator": "NotIn", "values": ["a"]}]});
    let case = case(json!({
        "podSelector": {}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": not_in}]}],
    }));
    differ("cyclonus", case, (0, 1), '0', '1');
}

/// pkg/kube/labelselector.go, IsLabelsMatchLabelSelector: a label that is not there is an empty one.
#[test]
fn a_label_without_a_value_is_not_a_missing_label_but_in_cyclonus() {
    let case = case(json!({
        "podSelector": {}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"no": ""}}}]}],
    }));
    differ("cyclonus", case, (0, 1), '1', '0');
}

/// pkg/matcher/portmatcher.go: a port's name is the traffic's, so that a named port to an ipBlock is looked up in a pod
/// with such an address. The API has no ports with names for addresses.
#[test]
fn a_named_port_to_a_block_matches_nothing_but_in_cyclonus() {
    let mut case = case(json!({
        "podSelector": {}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.244.0.0/16"}}], "ports": [{"port": "http"}]}],
    }));
    case.pods[1].ports = vec![Port {
        name: "http".into(),
        protocol: Protocol::Tcp,
        number: 80,
    }];
    differ("cyclonus", case, (0, 1), '1', '0');
}

/// pkg/k8s/network_policy.go, ParseNetworkPolicy: rules count whether or not `policyTypes` names their direction. The
/// API's documentation: `policyTypes` says to which directions the policy applies.
#[test]
fn rules_of_a_direction_that_policy_types_do_not_name_count_in_cilium() {
    let case = case(json!({
        "podSelector": {}, "policyTypes": ["Egress"], "egress": [{}],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}],
    }));
    differ("cilium-policy", case.clone(), (0, 1), '0', '0');
    assert!(Ours::new(&case, HostNetwork::Exact).allows(0, 1, case.probes[0]));
}

/// pkg/policy/types/selector.go, matchesCIDRWildcard: with `policy-cidr-match-mode: nodes` a block of a whole family
/// still means the world, and no node is of it. A narrower block matches nodes.
#[test]
fn blocks_match_nodes_in_cilium_if_told_but_not_a_block_of_everything() {
    let to = |cidr: &str| {
        let mut case = case(json!({
            "podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": cidr}}]}],
        }));
        let modes = vec!["nodes".to_owned()];
        case.options.insert("policy-cidr-match-mode".into(), modes);
        case
    };
    differ("cilium-policy", to("0.0.0.0/0"), (0, 4), '0', '0');
    differ("cilium-policy", to("172.18.0.0/16"), (0, 4), '1', '1');
    differ("cilium-policy", to("0.0.0.0/1"), (0, 2), '0', '0');
    differ("cilium-policy", to("128.0.0.0/1"), (0, 4), '1', '1');
}

/// pkg/types/portmap.go, NamedPortMap.AddPort: a pod has one port of a name; the last one counts.
#[test]
fn a_name_of_two_protocols_is_one_port_in_cilium() {
    let mut case = case(json!({
        "podSelector": {}, "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
    }));
    case.pods[1].ports = [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| Port {
            name: "http".into(),
            protocol,
            number: 80,
        })
        .into();
    differ("cilium-policy", case, (0, 1), '0', '1');
}

/// pkg/types/portmap.go, namedPortMultiMap.GetNamedPorts: the pods with the same labels have one identity, and where they
/// have different ports of a name, an egress rule with this name allows none of them.
#[test]
fn a_named_port_that_differs_between_pods_with_the_same_labels_is_no_port_in_cilium() {
    let mut case = case(json!({
        "podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"],
        "egress": [{"ports": [{"port": "http"}]}],
    }));
    let port = |number| Port {
        name: "http".into(),
        protocol: Protocol::Tcp,
        number,
    };
    case.pods[1].ports = vec![port(80)];
    let mut other = case.pods[1].clone();
    (other.name, other.ports) = ("server2".into(), vec![port(8080)]);
    other.addresses = vec!["10.244.1.3".parse().unwrap()];
    case.pods.push(other);
    differ("cilium-policy", case, (0, 1), '0', '1');
}

/// pkg/netpol/eval/check.go, isPeerNodeIP: it asks for an error where it means none, so that no address is a node's.
#[test]
fn a_node_reaches_its_own_pods_but_not_in_np_guard() {
    let case = case(json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    differ("netpol-analyzer", case, (4, 1), '0', '1');
}

/// pkg/netpol/eval/internal/k8s/netpol.go, getPortsRange: a named port to an address is an error, for the whole pair.
#[test]
fn a_named_port_to_an_address_is_not_judged_by_np_guard() {
    let case = case(json!({
        "podSelector": {}, "policyTypes": ["Egress"],
        "egress": [{"ports": [{"port": "http"}, {"port": 80}]}],
    }));
    differ("netpol-analyzer", case, (0, 2), '?', '1');
}

/// A ClusterNetworkPolicy beside the policies of a case.
fn admin(tier: &str, ingress: Value) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "admin"},
        "spec": {"tier": tier, "priority": 1, "subject": {"namespaces": {}}, "ingress": [ingress]},
    })
}

/// pkg/policy/repository.go, computePolicyEnforcementAndRules: what no rule allows is denied at the very end, after the
/// baseline. The API: "v1.NetworkPolicy always makes a final decision for selected pods".
#[test]
fn an_accept_of_the_baseline_opens_what_a_network_policy_closes_in_cilium() {
    let mut case = case(json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let accept = json!({"action": "Accept", "from": [{"namespaces": {}}]});
    case.policies.push(admin("Baseline", accept));
    differ("cilium-policy", case, (0, 1), '1', '0');
}

/// pkg/k8s/cluster_network_policy.go, ParseClusterNetworkPolicy: the selector of `namespaces` is not confined to pods, so that
/// `NotIn` and `DoesNotExist` match nodes and the world as well. The API: `namespaces` selects pods.
#[test]
fn a_selector_of_namespaces_that_asks_for_no_label_is_everybody_in_cilium() {
    let mut case = case(
        json!({"podSelector": {"matchLabels": {"app": "nobody"}}, "policyTypes": ["Ingress"]}),
    );
    let none = json!({"matchExpressions": [{"key": "no", "operator": "DoesNotExist"}]});
    let deny = json!({"action": "Deny", "from": [{"namespaces": none}]});
    case.policies.push(admin("Admin", deny));
    differ("cilium-policy", case.clone(), (0, 1), '0', '0');
    differ("cilium-policy", case.clone(), (2, 1), '0', '1');
    differ("cilium-policy", case, (4, 1), '0', '1');
}

/// pkg/policy/repository.go, computePolicyEnforcementAndRules: the own node is allowed by a rule of the lowest tier.
#[test]
fn a_deny_rule_of_cilium_holds_for_the_own_node_too() {
    let mut case = case(json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    differ("cilium-policy", case.clone(), (4, 1), '1', '1');
    case.policies.push(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"namespace": "shop", "name": "deny"},
        "spec": {"endpointSelector": {}, "ingressDeny": [{"toPorts": [{"ports": [{"port": "80"}]}]}]},
    }));
    differ("cilium-policy", case.clone(), (4, 1), '0', '0');
    case.probes[0].port = 81;
    differ("cilium-policy", case, (4, 1), '1', '1');
}

/// pkg/k8s/apis/cilium.io/utils/utils.go, ParseToCiliumRule: another namespace in the selector of a policy's own endpoints is
/// replaced by the policy's.
#[test]
fn a_policy_of_cilium_is_for_its_own_namespace_whatever_its_selector_says() {
    let mut case = case(
        json!({"podSelector": {"matchLabels": {"app": "nobody"}}, "policyTypes": ["Ingress"]}),
    );
    case.policies.push(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"namespace": "shop", "name": "deny"},
        "spec": {
            "endpointSelector": {"matchLabels": {"k8s:io.kubernetes.pod.namespace": "other"}},
            "ingress": [{"fromEntities": ["none"]}],
        },
    }));
    differ("cilium-policy", case, (0, 1), '0', '0');
}
