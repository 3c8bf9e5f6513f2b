//! Rules as a `CiliumNetworkPolicy` (rule: cilium-selects-the-same-pods, cilium-entities, outside-names-by-lookup).
//!
//! Source: `pkg/policy/api/rule_validation.go` and `pkg/k8s/apis/cilium.io/utils/utils.go` of Cilium 1.19.

use super::native::{Groups, flatten};
use crate::ip_blocks::Block;
use crate::rule::{Rule, RulePeer};
use crate::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_policy_kinds::cilium::{
    CiliumCidr, CiliumDefaultDeny, CiliumEgress, CiliumFqdn, CiliumIngress, CiliumLayer7,
    CiliumPolicy, CiliumPort, CiliumPorts, CiliumRule,
};
use std::collections::BTreeMap;

/// The most ports of one list (`maxPorts` in `rule_validation.go`).
const MAX_PORTS: usize = 40;

/// The source of labels that come from Kubernetes. A key without a source is one of any source.
const SOURCE: &str = "k8s:";

/// The label by which Cilium knows the namespace of a pod.
const NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";

/// The peers of one rule, by the field that they stand in: Cilium refuses a rule with two of them.
#[derive(Default)]
struct Peers {
    endpoints: Vec<LabelSelector>,
    entities: Vec<String>,
    names: Vec<CiliumFqdn>,
    cidrs: Vec<String>,
    /// Blocks with exceptions.
    cidr_sets: Vec<CiliumCidr>,
}

/// Builds the policy from the rules of ingress and egress; a direction with `None` stays open.
pub(super) fn policy(
    metadata: ObjectMeta,
    subject: &Selector,
    [ingress, egress]: [Option<&[Rule]>; 2],
) -> (CiliumPolicy, Groups) {
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let mut groups = Groups::default();
    let ingress_rules = ingress.map(|rules| {
        let written = rules.iter().map(|rule| ingress_rules(rule, &namespace));
        or_nothing(flatten(written, &mut groups[0]))
    });
    let egress_rules = egress.map(|rules| {
        let written = rules.iter().map(|rule| egress_rules(rule, &namespace));
        or_nothing(flatten(written, &mut groups[1]))
    });
    let policy = CiliumPolicy {
        metadata,
        spec: Some(CiliumRule {
            endpoint_selector: Some(selector(subject, None)),
            enable_default_deny: Some(CiliumDefaultDeny {
                ingress: Some(ingress.is_some()),
                egress: Some(egress.is_some()),
            }),
            ingress: ingress_rules,
            egress: egress_rules,
            ..CiliumRule::default()
        }),
        specs: None,
    };
    (policy, groups)
}

/// A section without a rule isolates nothing; one rule that says nothing does, in every version of Cilium.
fn or_nothing<T: Default>(rules: Vec<T>) -> Vec<T> {
    if rules.is_empty() {
        vec![T::default()]
    } else {
        rules
    }
}

fn ingress_rules(rule: &Rule, namespace: &str) -> Vec<CiliumIngress> {
    let ports = port_lists(rule);
    let peers = peers(rule, namespace);
    let one = |fill: &dyn Fn(&mut CiliumIngress)| {
        let mut written = CiliumIngress {
            to_ports: Some(ports.clone()),
            ..CiliumIngress::default()
        };
        fill(&mut written);
        written
    };
    let mut all = Vec::new();
    if let Some(list) = some(peers.endpoints) {
        all.push(one(&|rule| rule.from_endpoints = Some(list.clone())));
    }
    if let Some(list) = some(peers.entities) {
        all.push(one(&|rule| rule.from_entities = Some(list.clone())));
    }
    if let Some(list) = some(peers.cidrs) {
        all.push(one(&|rule| rule.from_cidr = Some(list.clone())));
    }
    if let Some(list) = some(peers.cidr_sets) {
        all.push(one(&|rule| rule.from_cidr_set = Some(list.clone())));
    }
    all
}

fn egress_rules(rule: &Rule, namespace: &str) -> Vec<CiliumEgress> {
    let ports = port_lists(rule);
    let peers = peers(rule, namespace);
    let one = |fill: &dyn Fn(&mut CiliumEgress)| {
        let mut written = CiliumEgress {
            to_ports: Some(ports.clone()),
            ..CiliumEgress::default()
        };
        fill(&mut written);
        written
    };
    let mut all = Vec::new();
    if let Some(list) = some(peers.endpoints) {
        all.push(one(&|rule| rule.to_endpoints = Some(list.clone())));
    }
    if let Some(list) = some(peers.entities) {
        all.push(one(&|rule| rule.to_entities = Some(list.clone())));
    }
    if let Some(list) = some(peers.names) {
        all.push(one(&|rule| rule.to_fqdns = Some(list.clone())));
    }
    if let Some(list) = some(peers.cidrs) {
        all.push(one(&|rule| rule.to_cidr = Some(list.clone())));
    }
    if let Some(list) = some(peers.cidr_sets) {
        all.push(one(&|rule| rule.to_cidr_set = Some(list.clone())));
    }
    all
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn peers(rule: &Rule, namespace: &str) -> Peers {
    let mut peers = Peers::default();
    for peer in &rule.peers {
        match peer {
            RulePeer::Pods(home, pods) => {
                let home = (home != namespace).then_some(home.as_str());
                peers.endpoints.push(selector(pods, home));
            }
            RulePeer::Entity(entity) => peers.entities.push(entity.name().to_owned()),
            RulePeer::Name(name) => peers.names.push(CiliumFqdn {
                match_name: Some(name.clone()),
                match_pattern: None,
            }),
            RulePeer::NamesBelow(domain) => peers.names.push(CiliumFqdn {
                match_name: None,
                match_pattern: Some(format!("*.{domain}")),
            }),
            RulePeer::Block(block) if block.except.is_empty() => {
                peers.cidrs.push(block.net.to_string());
            }
            RulePeer::Block(block) => peers.cidr_sets.push(cidr_set(block)),
        }
    }
    peers
}

fn cidr_set(block: &Block) -> CiliumCidr {
    CiliumCidr {
        cidr: Some(block.net.to_string()),
        except: Some(block.except.iter().map(ToString::to_string).collect()),
        ..CiliumCidr::default()
    }
}

/// The selector of pods. `namespace`: theirs, if it is not the policy's own; Cilium adds that one by itself.
fn selector(selector: &Selector, namespace: Option<&str>) -> LabelSelector {
    let api = selector.to_api();
    let key = |key: &str| format!("{SOURCE}{key}");
    let labels = api.match_labels.into_iter().flatten();
    let mut labels: BTreeMap<String, String> =
        labels.map(|(name, value)| (key(&name), value)).collect();
    labels.extend(namespace.map(|name| (NAMESPACE.to_owned(), name.to_owned())));
    let expressions = api.match_expressions.map(|list| {
        let one = |one: LabelSelectorRequirement| LabelSelectorRequirement {
            key: key(&one.key),
            ..one
        };
        list.into_iter().map(one).collect()
    });
    LabelSelector {
        match_labels: (!labels.is_empty()).then_some(labels),
        match_expressions: expressions,
    }
}

/// The ports of a rule, in lists of at most 40. A rule whose lookups are watched lets every question pass: who may ask
/// what is not what the rule limits, and a refused question of a search list ends the whole lookup in some resolvers.
fn port_lists(rule: &Rule) -> Vec<CiliumPorts> {
    let watched = rule.lookup.then(|| CiliumLayer7 {
        dns: Some(vec![CiliumFqdn {
            match_name: None,
            match_pattern: Some("*".to_owned()),
        }]),
        ..CiliumLayer7::default()
    });
    let list = |ports: &[NetworkPolicyPort]| CiliumPorts {
        ports: Some(ports.iter().map(port).collect()),
        rules: watched.clone(),
        ..CiliumPorts::default()
    };
    rule.ports.chunks(MAX_PORTS).map(list).collect()
}

fn port(port: &NetworkPolicyPort) -> CiliumPort {
    CiliumPort {
        port: port.port.as_ref().map(|port| match port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(name) => name.clone(),
        }),
        end_port: port.end_port,
        protocol: port.protocol.clone(),
    }
}
