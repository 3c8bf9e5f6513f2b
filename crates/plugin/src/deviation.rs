//! Where a network plugin judges otherwise than the API's documentation, beside the facts that every plugin has: each with
//! its place in the plugin's source, found and shown by asking the plugin's own code (rule: oracles-agree).

use super::network_plugin::NetworkPlugin;

/// What a plugin does otherwise than the API's documentation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deviation {
    /// Rules of a direction that `policyTypes` does not name count, and close the pod in it.
    IdleRulesCount,
    /// An ipBlock of a whole family matches no node, also where narrower blocks do.
    WholeFamilyIsTheWorld,
    /// A pod has one port of a name, whatever the protocols.
    OnePortOfAName,
    /// Pods with the same labels have one port of a name, or none.
    NamedPortsOfLabels,
    /// An Accept of the baseline tier opens what a NetworkPolicy closes.
    BaselineOpensNetworkPolicies,
    /// A `namespaces` peer that asks for no label matches nodes and the world.
    NamespacesMatchTheWorld,
}

/// Read and run.
const VERSIONS: &str = "1.20.2";
const TESTS: &str = "tests/it/oracle/known.rs";

impl Deviation {
    /// All that are known.
    pub const ALL: [Deviation; 6] = [
        Deviation::IdleRulesCount,
        Deviation::WholeFamilyIsTheWorld,
        Deviation::OnePortOfAName,
        Deviation::NamedPortsOfLabels,
        Deviation::BaselineOpensNetworkPolicies,
        Deviation::NamespacesMatchTheWorld,
    ];

    /// Those of a plugin.
    pub const fn of(plugin: NetworkPlugin) -> &'static [Deviation] {
        if plugin.is_cilium() {
            &Deviation::ALL
        } else {
            &[]
        }
    }

    /// What the plugin does, for people.
    pub const fn text(self) -> &'static str {
        match self {
            Deviation::IdleRulesCount => {
                "Rules of a direction that `policyTypes` does not name count, and close the pod in it."
            }
            Deviation::WholeFamilyIsTheWorld => {
                "With `policy-cidr-match-mode: nodes`, `0.0.0.0/0` and `::/0` still match no node; narrower ipBlocks do."
            }
            Deviation::OnePortOfAName => {
                "Where a pod has a port's name for two protocols, the last one counts."
            }
            Deviation::NamedPortsOfLabels => {
                "Where pods with the same labels have different ports of a name, an egress rule with it allows none of them."
            }
            Deviation::BaselineOpensNetworkPolicies => {
                "An Accept of the baseline tier of a ClusterNetworkPolicy opens what a NetworkPolicy closes."
            }
            Deviation::NamespacesMatchTheWorld => {
                "A `namespaces` peer of a ClusterNetworkPolicy with `NotIn` or `DoesNotExist` matches nodes and the world."
            }
        }
    }

    /// Where it stands in the plugin's source.
    pub const fn source(self) -> &'static str {
        match self {
            Deviation::IdleRulesCount => {
                "cilium/cilium pkg/k8s/network_policy.go, ParseNetworkPolicy"
            }
            Deviation::WholeFamilyIsTheWorld => {
                "cilium/cilium pkg/policy/types/selector.go, matchesCIDRWildcard"
            }
            Deviation::OnePortOfAName => "cilium/cilium pkg/types/portmap.go, NamedPortMap.AddPort",
            Deviation::NamedPortsOfLabels => {
                "cilium/cilium pkg/types/portmap.go, namedPortMultiMap.GetNamedPorts"
            }
            Deviation::BaselineOpensNetworkPolicies => {
                "cilium/cilium pkg/policy/repository.go, computePolicyEnforcementAndRules"
            }
            Deviation::NamespacesMatchTheWorld => {
                "cilium/cilium pkg/k8s/cluster_network_policy.go, ParseClusterNetworkPolicy"
            }
        }
    }

    /// The versions it was read in and run with.
    pub const fn versions(self) -> &'static str {
        VERSIONS
    }

    /// The test that shows it with the plugin's own code.
    pub const fn test(self) -> &'static str {
        TESTS
    }

    /// Whether the evaluator judges as the plugin does. The others are said only.
    pub const fn is_judged(self) -> bool {
        matches!(
            self,
            Deviation::IdleRulesCount | Deviation::WholeFamilyIsTheWorld
        )
    }
}
