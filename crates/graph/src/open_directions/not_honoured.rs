//! What a workload needs and its cluster's network plugin does not honour as a rule of a NetworkPolicy
//! (rule: not-honoured-stays-open, cilium-node-address): a policy that isolates there would cut it off.

use super::{OpenDirections, OpenReason, few};
use crate::{End, Requirement};
use nanoseg_finding::Code;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Direction, Protocol};
use nanoseg_plugin::NetworkPlugin;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// Rules that a network plugin does not honour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotHonoured {
    pub plugin: NetworkPlugin,
    pub why: WhyNotHonoured,
    pub needs: BTreeSet<NotHonouredNeed>,
}

/// Why a network plugin does not honour a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhyNotHonoured {
    /// No ipBlock matches the address of a node.
    NodeAddress,
    /// Rules for SCTP are not enforced.
    Sctp,
}

/// One thing that the workload needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotHonouredNeed {
    /// The other end: its name, or its first address.
    pub peer: String,
    pub protocol: Protocol,
    pub port: u16,
}

impl WhyNotHonoured {
    /// The code of the finding.
    pub fn code(self) -> Code {
        match self {
            WhyNotHonoured::NodeAddress => Code::CiliumNodeAddress,
            WhyNotHonoured::Sctp => Code::RuleNotHonoured,
        }
    }
}

impl fmt::Display for NotHonouredNeed {
    /// `API server (192.168.0.10) 6443/TCP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.peer, self.port, self.protocol)
    }
}

impl fmt::Display for NotHonoured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs: Vec<String> = self.needs.iter().map(ToString::to_string).collect();
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let title = self.plugin.title();
        match self.why {
            WhyNotHonoured::NodeAddress => write!(
                f,
                "the rule would be an ipBlock of a node, which {title} does not match: {}; {}",
                few(&needs),
                node_address_remedy(self.plugin)
            ),
            WhyNotHonoured::Sctp => write!(
                f,
                "{title} does not enforce rules for SCTP: {}",
                few(&needs)
            ),
        }
    }
}

/// What makes an ipBlock of a node match, or does its work.
fn node_address_remedy(plugin: NetworkPlugin) -> &'static str {
    match plugin {
        NetworkPlugin::AzureCilium | NetworkPlugin::GkeDataplaneV2 => {
            "policyCIDRMatchMode: nodes cannot be set there, so allow these ends with a CiliumNetworkPolicy \
             (--dialect cilium)"
        }
        _ => {
            "set policyCIDRMatchMode: nodes in Cilium, or allow these ends with a CiliumNetworkPolicy \
             (--dialect cilium)"
        }
    }
}

impl OpenDirections {
    /// Leaves the directions open in which a workload needs what the cluster's network plugin does not honour. `by_name`:
    /// the policies of these workloads have names for nodes and need no ipBlock of one (rule: cilium-entities).
    pub fn leave_open_not_honoured(
        &mut self,
        requirements: &[Requirement],
        inventory: &Inventory,
        by_name: impl Fn(&WorkloadId) -> bool,
    ) {
        let plugin = &inventory.network_plugin;
        let behaviour = plugin.behaviour();
        let hosts = hosts(inventory);
        let why = |requirement: &Requirement, far: &End| match far {
            _ if requirement.protocol == Protocol::Sctp && !behaviour.sctp => {
                Some(WhyNotHonoured::Sctp)
            }
            End::Addresses(addresses)
                if !behaviour.ip_block.nodes && !addresses.is_disjoint(&hosts) =>
            {
                Some(WhyNotHonoured::NodeAddress)
            }
            _ => None,
        };
        let mut found: BTreeMap<(&WorkloadId, Direction, WhyNotHonoured), BTreeSet<_>> =
            BTreeMap::new();
        for requirement in requirements {
            let ends = [
                (&requirement.client, &requirement.server, Direction::Egress),
                (&requirement.server, &requirement.client, Direction::Ingress),
            ];
            for (near, far, direction) in ends {
                if let (End::Workload(id), Some(why)) = (near, why(requirement, far))
                    && !(why == WhyNotHonoured::NodeAddress && by_name(id))
                {
                    let needs = found.entry((id, direction, why)).or_default();
                    needs.insert(need(requirement, far));
                }
            }
        }
        for ((id, direction, why), needs) in found {
            let rules = NotHonoured {
                plugin: plugin.profile.plugin,
                why,
                needs,
            };
            self.add(id, direction, OpenReason::NotHonoured(rules));
        }
    }
}

/// The addresses of nodes. Where the snapshot has no nodes, the API server may be on one.
fn hosts(inventory: &Inventory) -> BTreeSet<IpAddr> {
    let mut hosts = inventory.node_addresses();
    if inventory.nodes.is_empty() {
        hosts.extend(inventory.api_server.iter().map(|endpoint| endpoint.ip()));
    }
    hosts
}

fn need(requirement: &Requirement, far: &End) -> NotHonouredNeed {
    let address = match far {
        End::Workload(id) => id.to_string(),
        End::Addresses(addresses) => {
            let first = addresses.first().map(ToString::to_string);
            first.unwrap_or_default()
        }
        End::Ranges(ranges) => ranges.to_string(),
    };
    let peer = match &requirement.label {
        Some(label) if !matches!(far, End::Workload(_)) => format!("{label} ({address})"),
        _ => address,
    };
    NotHonouredNeed {
        peer,
        protocol: requirement.protocol,
        port: requirement.port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_inventory::Node;
    use nanoseg_plugin::{ClusterPlugin, Profile};

    fn id() -> WorkloadId {
        WorkloadId {
            namespace: "shop".into(),
            name: "api".into(),
            kind: "Deployment".into(),
        }
    }

    fn inventory(profile: &str) -> Inventory {
        Inventory {
            nodes: vec![Node {
                name: "cp".into(),
                addresses: BTreeSet::from(["192.168.0.10".parse().unwrap()]),
                ..Node::default()
            }],
            network_plugin: ClusterPlugin::said(profile.parse::<Profile>().unwrap()),
            ..Inventory::default()
        }
    }

    fn to(address: &str, protocol: Protocol) -> Requirement {
        Requirement {
            client: End::Workload(id()),
            server: End::Addresses(BTreeSet::from([address.parse().unwrap()])),
            protocol,
            port: 6443,
            label: Some("API server".into()),
            outside: false,
            edge: 0,
        }
    }

    fn open(profile: &str, requirement: Requirement) -> Vec<String> {
        let mut open = OpenDirections::default();
        open.leave_open_not_honoured(&[requirement], &inventory(profile), |_| false);
        assert!(!open.contains(&id(), Direction::Ingress));
        let reasons = open.reasons(&id(), Direction::Egress);
        reasons.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_policy_that_names_nodes_needs_no_block_that_the_plugin_ignores() {
        let mut named = OpenDirections::default();
        let requirement = to("192.168.0.10", Protocol::Tcp);
        named.leave_open_not_honoured(&[requirement], &inventory("cilium"), |one| *one == id());
        assert!(!named.contains(&id(), Direction::Egress));
    }

    #[test]
    fn what_the_plugin_does_not_honour_leaves_the_direction_open_with_the_remedy() {
        let api_server = || to("192.168.0.10", Protocol::Tcp);
        let reasons = open("cilium", api_server());
        assert_eq!(reasons.len(), 1);
        for part in [
            "API server (192.168.0.10) 6443/TCP",
            "policyCIDRMatchMode: nodes",
        ] {
            assert!(reasons[0].contains(part), "{}", reasons[0]);
        }
        let managed = open("azure-cilium", api_server());
        assert!(managed[0].contains("cannot be set there"), "{}", managed[0]);
        assert!(open("cilium,policy-cidr-match-mode=nodes", api_server()).is_empty());
        for plugin in ["spec", "calico", "kube-router", "aws-vpc-cni"] {
            assert!(open(plugin, api_server()).is_empty(), "{plugin}");
        }
        // An address that no node has.
        assert!(open("cilium", to("203.0.113.7", Protocol::Tcp)).is_empty());
        let sctp = open("cilium", to("203.0.113.7", Protocol::Sctp));
        assert!(sctp[0].contains("SCTP"), "{}", sctp[0]);
        assert!(open("cilium,enable-sctp=true", to("203.0.113.7", Protocol::Sctp)).is_empty());
    }
}
