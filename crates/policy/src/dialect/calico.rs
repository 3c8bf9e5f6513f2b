//! Rules as a Calico `NetworkPolicy` (rule: same-requirements-in-each-dialect).
//!
//! Source: Calico's documentation, "Network policy" and "Selectors"; `api/pkg/apis/projectcalico/v3` of Calico 3.31.

use super::native::{Groups, flatten};
use crate::ip_blocks::Block;
use crate::rule::{NAMESPACE_LABEL, Rule, RulePeer};
use crate::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::Direction;
use nanoseg_policy_kinds::calico::{
    CalicoAction, CalicoEntity, CalicoPolicy, CalicoPolicySpec, CalicoRule, DEFAULT_TIER,
    NETWORK_POLICY_ORDER,
};
use std::collections::BTreeMap;

/// Builds the policy from the rules of ingress and egress; a direction with `None` stays open. It stands where
/// NetworkPolicies stand: in the default tier, at their order.
pub(super) fn policy(
    metadata: ObjectMeta,
    subject: &Selector,
    [ingress, egress]: [Option<&[Rule]>; 2],
) -> (CalicoPolicy, Groups) {
    let mut groups = Groups::default();
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let mut written = |rules: Option<&[Rule]>, direction: Direction, place: usize| {
        let rules = rules?.iter();
        let written = rules.map(|one| self::rules(one, direction, &namespace));
        Some(flatten(written, groups.get_mut(place)?))
    };
    let (incoming, outgoing) = (
        written(ingress, Direction::Ingress, 0),
        written(egress, Direction::Egress, 1),
    );
    let types = [
        ingress.map(|_| "Ingress".to_owned()),
        egress.map(|_| "Egress".to_owned()),
    ];
    let policy = CalicoPolicy {
        spec: CalicoPolicySpec {
            tier: Some(DEFAULT_TIER.to_owned()),
            order: Some(NETWORK_POLICY_ORDER),
            selector: Some(selector(subject)),
            types: Some(types.into_iter().flatten().collect()),
            ingress: incoming,
            egress: outgoing,
            ..CalicoPolicySpec::default()
        },
        metadata,
    };
    (policy, groups)
}

/// One rule for each peer and protocol: a Calico rule has one selector and one protocol. Blocks without exceptions share
/// a rule.
fn rules(rule: &Rule, direction: Direction, namespace: &str) -> Vec<CalicoRule> {
    let mut far: Vec<CalicoEntity> = Vec::new();
    let mut nets: Vec<String> = Vec::new();
    for peer in &rule.peers {
        match peer {
            RulePeer::Pods(home, pods) => far.push(pods_of(home, pods, namespace)),
            RulePeer::Block(block) if block.except.is_empty() => nets.push(block.net.to_string()),
            RulePeer::Block(block) => far.push(block_with_exceptions(block)),
            // In Cilium's dialect only.
            RulePeer::Entity(_) | RulePeer::Name(_) | RulePeer::NamesBelow(_) => {}
        }
    }
    if !nets.is_empty() {
        far.push(CalicoEntity {
            nets: Some(nets),
            ..CalicoEntity::default()
        });
    }
    let by_protocol = ports_by_protocol(&rule.ports);
    let one = |far: &CalicoEntity, (protocol, ports): (&String, &Vec<IntOrString>)| {
        let near = CalicoEntity {
            ports: Some(ports.clone()),
            ..CalicoEntity::default()
        };
        let (source, destination) = match direction {
            Direction::Ingress => (Some(far.clone()), near),
            Direction::Egress => (
                None,
                CalicoEntity {
                    ports: Some(ports.clone()),
                    ..far.clone()
                },
            ),
        };
        allow(protocol, source, destination)
    };
    far.iter()
        .flat_map(|far| by_protocol.iter().map(move |ports| (far, ports)))
        .map(|(far, ports)| one(far, ports))
        .collect()
}

fn allow(protocol: &str, source: Option<CalicoEntity>, destination: CalicoEntity) -> CalicoRule {
    CalicoRule {
        action: CalicoAction::Allow,
        ip_version: None,
        protocol: Some(IntOrString::String(protocol.to_owned())),
        not_protocol: None,
        icmp: None,
        not_icmp: None,
        source,
        destination: Some(destination),
        http: None,
        metadata: None,
    }
}

/// Without a namespaceSelector a selector is one of the policy's own namespace.
fn pods_of(home: &str, pods: &Selector, namespace: &str) -> CalicoEntity {
    CalicoEntity {
        selector: Some(selector(pods)),
        namespace_selector: (home != namespace).then(|| equals(NAMESPACE_LABEL, home)),
        ..CalicoEntity::default()
    }
}

fn block_with_exceptions(block: &Block) -> CalicoEntity {
    CalicoEntity {
        nets: Some(vec![block.net.to_string()]),
        not_nets: Some(block.except.iter().map(ToString::to_string).collect()),
        ..CalicoEntity::default()
    }
}

/// A label selector in Calico's language. As in Kubernetes, `not in` is true of a pod without the label.
fn selector(selector: &Selector) -> String {
    let labels = selector
        .labels
        .iter()
        .map(|(key, value)| equals(key, value));
    let absent = selector.absent.iter().map(|key| format!("!has({key})"));
    let excluded = selector.excluded.iter().map(|(key, values)| {
        let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
        format!("{key} not in {{{}}}", values.join(", "))
    });
    let all: Vec<String> = labels.chain(absent).chain(excluded).collect();
    if all.is_empty() {
        "all()".to_owned()
    } else {
        all.join(" && ")
    }
}

/// Values of labels have no quotes (Kubernetes' documentation, "Labels and Selectors").
fn equals(key: &str, value: &str) -> String {
    format!("{key} == '{value}'")
}

/// `80`, and `8000:8100` for a range.
fn ports_by_protocol(ports: &[NetworkPolicyPort]) -> BTreeMap<String, Vec<IntOrString>> {
    let mut all: BTreeMap<String, Vec<IntOrString>> = BTreeMap::new();
    for port in ports {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let number = match (&port.port, port.end_port) {
            (Some(IntOrString::Int(first)), Some(last)) => {
                Some(IntOrString::String(format!("{first}:{last}")))
            }
            (other, _) => other.clone(),
        };
        all.entry(protocol).or_default().extend(number);
    }
    all
}
