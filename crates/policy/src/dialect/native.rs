//! A policy in another kind than NetworkPolicy.

use super::{Dialect, calico, cilium};
use crate::rule::{Rule, RuleOrigin, RulePeer, origins_each_way};
use crate::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nanoseg_policy_kinds::OtherKindPolicy;

/// A policy of a workload in the kind of its dialect.
#[derive(Debug, Clone, PartialEq)]
pub struct NativePolicy {
    /// The object that is written.
    pub object: OtherKindPolicy,
    /// As [`crate::WorkloadPolicy::rules`]: groups of peers with the same ports. One group can be several rules of the
    /// object.
    pub rules: Vec<RuleOrigin>,
    /// The ports of each of `rules`.
    pub ports: Vec<Vec<NetworkPolicyPort>>,
    pub(in super::super) groups: Groups,
}

/// Of each rule of the object, for ingress and for egress: which of [`NativePolicy::rules`] of that direction it is of.
pub(in super::super) type Groups = [Vec<usize>; 2];

/// Joins the rules of all groups, and notes the group of each.
pub(super) fn flatten<T>(written: impl Iterator<Item = Vec<T>>, groups: &mut Vec<usize>) -> Vec<T> {
    let mut all = Vec::new();
    for (group, rules) in written.enumerate() {
        groups.extend(rules.iter().map(|_| group));
        all.extend(rules);
    }
    all
}

impl NativePolicy {
    /// Builds the policy from the rules of ingress and egress; a direction without rules of its own (`None`) stays open.
    pub(in super::super) fn build(
        dialect: Dialect,
        metadata: ObjectMeta,
        subject: &Selector,
        rules: [Option<&[Rule]>; 2],
    ) -> Option<NativePolicy> {
        let (object, groups) = match dialect {
            Dialect::Kubernetes => return None,
            Dialect::Native if !has_entities(rules) => return None,
            Dialect::Cilium | Dialect::Native => {
                let (policy, groups) = cilium::policy(metadata, subject, rules);
                (OtherKindPolicy::CiliumNetworkPolicy(policy), groups)
            }
            Dialect::Calico => {
                let (policy, groups) = calico::policy(metadata, subject, rules);
                (OtherKindPolicy::CalicoNetworkPolicy(policy), groups)
            }
        };
        let all = rules.into_iter().flatten().flatten();
        Some(NativePolicy {
            object,
            groups,
            ports: all.map(|rule| rule.ports.clone()).collect(),
            rules: origins_each_way(rules[0], rules[1]),
        })
    }
}

fn has_entities(rules: [Option<&[Rule]>; 2]) -> bool {
    let rules = rules.into_iter().flatten().flatten();
    let mut peers = rules.flat_map(|rule| &rule.peers);
    peers.any(|peer| matches!(peer, RulePeer::Entity(_)))
}
