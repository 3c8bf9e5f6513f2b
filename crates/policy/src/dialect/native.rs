//! A policy in another kind than NetworkPolicy.

use super::{Dialect, calico, cilium};
use crate::rule::{Rule, RuleOrigin, origins_each_way};
use crate::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nanoseg_policy_kinds::calico::CalicoPolicy;
use nanoseg_policy_kinds::cilium::CiliumPolicy;

/// A policy of a workload in the kind of its dialect.
#[derive(Debug, Clone, PartialEq)]
pub struct NativePolicy {
    pub object: NativeObject,
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

/// The object that is written.
#[derive(Debug, Clone, PartialEq)]
pub enum NativeObject {
    Cilium(CiliumPolicy),
    Calico(CalicoPolicy),
}

impl NativeObject {
    /// `apiVersion` and `kind`.
    pub fn kind(&self) -> (&'static str, &'static str) {
        match self {
            NativeObject::Cilium(_) => ("cilium.io/v2", "CiliumNetworkPolicy"),
            NativeObject::Calico(_) => ("projectcalico.org/v3", "NetworkPolicy"),
        }
    }

    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            NativeObject::Cilium(policy) => &policy.metadata,
            NativeObject::Calico(policy) => &policy.metadata,
        }
    }
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
            Dialect::Cilium => {
                let (policy, groups) = cilium::policy(metadata, subject, rules);
                (NativeObject::Cilium(policy), groups)
            }
            Dialect::Calico => {
                let (policy, groups) = calico::policy(metadata, subject, rules);
                (NativeObject::Calico(policy), groups)
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
