//! ipBlocks that cover pods. An ipBlock is judged as outside addresses (rule: ip-block-is-outside); many network
//! plugins let it reach pods as well.

use super::Inventory;
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy};
use nanoseg_finding::{Code, Finding};
use nanoseg_plugin::PodMatch;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// How many blocks a finding shows.
const SHOWN: usize = 5;

/// The ipBlocks of one policy that cover pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodBlocks {
    /// `namespace/name`.
    pub policy: String,
    /// Such as `egress[0] 0.0.0.0/0`.
    pub blocks: Vec<String>,
}

impl fmt::Display for PodBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.blocks.iter().take(SHOWN).map(String::as_str);
        let shown: Vec<&str> = shown.collect();
        write!(
            f,
            "has ipBlocks that cover pods ({}): many network plugins (Calico, kube-router, Antrea, OVN) let these reach \
             pods as well; they were judged as outside addresses only",
            shown.join(", ")
        )
    }
}

impl PodBlocks {
    /// The same as a finding.
    pub fn finding(&self) -> Finding {
        Finding::new(Code::IpBlockCoversPods, &self.policy, self.to_string())
    }
}

/// The policies that have such blocks, in the order given. None where the cluster's network plugin is known: what its
/// ipBlocks match is part of the model.
pub fn pod_blocks(policies: &[NetworkPolicy], inventory: &Inventory) -> Vec<PodBlocks> {
    if inventory.network_plugin.behaviour().ip_block.pods != PodMatch::Either {
        return Vec::new();
    }
    let pods = PodAddresses::of(inventory);
    let each = policies.iter().map(|policy| of_policy(policy, &pods));
    each.filter(|one| !one.blocks.is_empty()).collect()
}

fn of_policy(policy: &NetworkPolicy, pods: &PodAddresses) -> PodBlocks {
    let spec = policy.spec.as_ref();
    let ingress = spec
        .and_then(|spec| spec.ingress.as_deref())
        .unwrap_or_default();
    let ingress = ingress.iter().map(|rule| rule.from.as_deref()).enumerate();
    let ingress = ingress.map(|(index, peers)| (format!("ingress[{index}]"), peers));
    let egress = spec
        .and_then(|spec| spec.egress.as_deref())
        .unwrap_or_default();
    let egress = egress.iter().map(|rule| rule.to.as_deref()).enumerate();
    let egress = egress.map(|(index, peers)| (format!("egress[{index}]"), peers));
    let blocks = ingress.chain(egress).flat_map(|(rule, peers)| {
        let blocks = peers
            .unwrap_or_default()
            .iter()
            .filter_map(|peer| peer.ip_block.as_ref());
        let covering = blocks.filter(|block| pods.are_covered_by(block));
        covering
            .map(|block| format!("{rule} {}", block.cidr))
            .collect::<Vec<_>>()
    });
    let name = |text: &Option<String>| text.clone().unwrap_or_default();
    PodBlocks {
        policy: format!(
            "{}/{}",
            name(&policy.metadata.namespace),
            name(&policy.metadata.name)
        ),
        blocks: blocks.collect(),
    }
}

/// The addresses that pods have or get.
struct PodAddresses {
    pods: BTreeSet<IpAddr>,
    ranges: Vec<IpNet>,
}

impl PodAddresses {
    fn of(inventory: &Inventory) -> PodAddresses {
        let pods = inventory.pods.iter().filter(|pod| !pod.host_network);
        PodAddresses {
            pods: pods.flat_map(|pod| pod.addresses.iter().copied()).collect(),
            ranges: inventory.pod_ranges.clone(),
        }
    }

    fn are_covered_by(&self, block: &IPBlock) -> bool {
        let Ok(cidr) = block.cidr.parse::<IpNet>() else {
            return false;
        };
        let except = block.except.iter().flatten();
        let except: Vec<IpNet> = except.filter_map(|text| text.parse().ok()).collect();
        let covers = |address: &IpAddr| {
            cidr.contains(address) && !except.iter().any(|hole| hole.contains(address))
        };
        let meets = |range: &&IpNet| cidr.contains(*range) || range.contains(&cidr);
        let is_hole = |range: &IpNet| except.iter().any(|hole| hole.contains(range));
        // Manifests have no addresses; a block of everything covers pods wherever they are.
        let unknown = self.pods.is_empty() && self.ranges.is_empty();
        self.pods.iter().any(covers)
            || self
                .ranges
                .iter()
                .filter(meets)
                .any(|range| !is_hole(range))
            || unknown && cidr.prefix_len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covering(block: &str, pods: &[&str], ranges: &[&str]) -> bool {
        let addresses = PodAddresses {
            pods: pods.iter().map(|text| text.parse().unwrap()).collect(),
            ranges: ranges.iter().map(|text| text.parse().unwrap()).collect(),
        };
        addresses.are_covered_by(&serde_yaml::from_str(block).unwrap())
    }

    #[test]
    fn a_block_covers_pods_by_their_addresses_or_their_range_without_its_holes() {
        for (block, expected) in [
            ("{cidr: 0.0.0.0/0}", true),
            ("{cidr: 0.0.0.0/0, except: [10.244.0.0/16]}", false),
            ("{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}", false),
            ("{cidr: 0.0.0.0/0, except: [10.244.1.0/24]}", true),
            ("{cidr: 10.244.3.0/24}", true),
            ("{cidr: 192.0.2.0/24}", false),
            ("{cidr: '::/0'}", false),
            ("{cidr: nonsense}", false),
        ] {
            assert_eq!(
                covering(block, &["10.244.1.5"], &["10.244.0.0/16"]),
                expected,
                "{block}"
            );
        }
        assert!(covering("{cidr: 0.0.0.0/0}", &[], &[]), "manifests");
        assert!(!covering("{cidr: 10.0.0.0/8}", &[], &[]), "manifests");
    }
}
