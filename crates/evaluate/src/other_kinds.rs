//! Resolves policies of other kinds than NetworkPolicy into the rules that the tables are built from
//! (rule: other-kinds-are-judged). Fields that are not judged ([`OtherKindPolicy::limits`]) make their rule match nothing.

mod admin;
mod calico;
mod calico_peers;
mod cilium;
mod names;
mod ports;
mod resolver;

use super::pod_classes::PodKeys;
use super::policy_ref::{ComparedSide, PolicyRef};
use super::rule_terms::Place;
use super::rules::{Policy, pod_label_keys};
use nanoseg_inventory::Inventory;
use nanoseg_policy_kinds::OtherKindPolicy;
use nanoseg_policy_kinds::calico::CalicoNetworkSet;
pub(super) use resolver::Resolver;
use resolver::{CiliumBlocks, Head};

/// Returns what policies read of pods.
/// `inventory`: whether blocks of Cilium match pods.
pub(super) fn pod_keys<'a>(
    policies: &[(PolicyRef<'a>, ComparedSide)],
    inventory: &Inventory,
) -> PodKeys<'a> {
    let networks = policies.iter().filter_map(|(policy, _)| match policy {
        PolicyRef::Network(policy) => Some(*policy),
        PolicyRef::Other(_) => None,
    });
    let mut keys = PodKeys {
        labels: pod_label_keys(networks),
        ..PodKeys::default()
    };
    for (policy, _) in policies {
        if let PolicyRef::Other(policy) = policy {
            note_keys(policy, &mut keys);
            if CiliumBlocks::of(inventory).match_pods {
                cilium::note_blocks(policy, &mut keys);
            }
        }
    }
    keys
}

/// One of Calico's sets of addresses, with its namespace; a set of all namespaces has none.
type NetworkSet<'a> = (ComparedSide, Option<&'a str>, &'a CalicoNetworkSet);

/// Returns Calico's sets of addresses.
pub(super) fn network_sets<'a>(policies: &[(PolicyRef<'a>, ComparedSide)]) -> Vec<NetworkSet<'a>> {
    let sets = policies.iter().filter_map(|(policy, side)| match policy {
        PolicyRef::Other(other) => match other {
            OtherKindPolicy::CalicoNetworkSet(set) => Some((*side, other.namespace(), set)),
            OtherKindPolicy::CalicoGlobalNetworkSet(set) => Some((*side, None, set)),
            _ => None,
        },
        PolicyRef::Network(_) => None,
    });
    sets.collect()
}

/// Adds what a policy reads of pods.
fn note_keys<'a>(policy: &'a OtherKindPolicy, keys: &mut PodKeys<'a>) {
    match policy {
        OtherKindPolicy::CiliumNetworkPolicy(policy)
        | OtherKindPolicy::CiliumClusterwideNetworkPolicy(policy) => {
            cilium::note_keys(policy, keys)
        }
        OtherKindPolicy::ClusterNetworkPolicy(policy) => admin::note_cluster_keys(policy, keys),
        OtherKindPolicy::AdminNetworkPolicy(policy)
        | OtherKindPolicy::BaselineAdminNetworkPolicy(policy) => admin::note_keys(policy, keys),
        OtherKindPolicy::CalicoNetworkPolicy(policy)
        | OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => calico::note_keys(policy, keys),
        OtherKindPolicy::CalicoTier(_)
        | OtherKindPolicy::CalicoNetworkSet(_)
        | OtherKindPolicy::CalicoGlobalNetworkSet(_) => {}
    }
}

impl Resolver<'_> {
    /// Resolves a policy. One of Cilium's may be several.
    pub fn resolve(&mut self, policy: &OtherKindPolicy, place: Place, source: u32) -> Vec<Policy> {
        let head = Head {
            name: policy.to_string(),
            namespace: policy.namespace().map(str::to_owned),
            place,
            source,
        };
        match policy {
            OtherKindPolicy::CiliumNetworkPolicy(policy)
            | OtherKindPolicy::CiliumClusterwideNetworkPolicy(policy) => self.cilium(policy, &head),
            OtherKindPolicy::ClusterNetworkPolicy(policy) => vec![self.cluster(policy, &head)],
            OtherKindPolicy::AdminNetworkPolicy(policy)
            | OtherKindPolicy::BaselineAdminNetworkPolicy(policy) => {
                vec![self.admin(policy, &head)]
            }
            OtherKindPolicy::CalicoNetworkPolicy(policy)
            | OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => {
                vec![self.calico(policy, &head)]
            }
            OtherKindPolicy::CalicoTier(_)
            | OtherKindPolicy::CalicoNetworkSet(_)
            | OtherKindPolicy::CalicoGlobalNetworkSet(_) => Vec::new(),
        }
    }
}
