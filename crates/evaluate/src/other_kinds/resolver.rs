//! What the resolution of every kind needs: the pods, and the parts that rules are made of.

use super::super::pod_classes::{ClassId, PodClasses};
use super::super::rule_terms::{Action, NearNodes, Place};
use super::super::rules::{Names, Policy, PortsId, Rule};
use super::super::selector::{Selector, Symbols, parse_selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use nanoseg_inventory::{Inventory, Pod};
use nanoseg_net::AddressSet;
use nanoseg_plugin::{NetworkPlugin, PodMatch};
use nanoseg_policy_kinds::calico::CalicoNetworkSet;

/// What blocks of addresses match of the cluster in policies of Cilium, by its option `policy-cidr-match-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CiliumBlocks {
    /// The cluster's plugin is Cilium, so far as is known.
    pub is_cilium: bool,
    pub match_nodes: bool,
    pub match_pods: bool,
}

impl CiliumBlocks {
    pub fn of(inventory: &Inventory) -> CiliumBlocks {
        let plugin = &inventory.network_plugin;
        let is_cilium = matches!(
            plugin.profile.plugin,
            NetworkPlugin::Cilium | NetworkPlugin::AzureCilium | NetworkPlugin::GkeDataplaneV2
        );
        let matches = plugin.behaviour().ip_block;
        CiliumBlocks {
            is_cilium,
            match_nodes: is_cilium && matches.nodes,
            match_pods: is_cilium && matches.pods == PodMatch::Always,
        }
    }
}

/// What the resolution of a policy needs.
pub struct Resolver<'a> {
    pub inventory: &'a Inventory,
    pub pod_classes: &'a PodClasses,
    pub names: &'a mut Names,
    pub symbols: &'a mut Symbols,
    /// Calico's sets of addresses that stand beside the policy; a set of all namespaces has none.
    pub network_sets: Vec<(Option<&'a str>, &'a CalicoNetworkSet)>,
}

/// What is the same for all rules of a policy.
pub struct Head {
    pub name: String,
    pub namespace: Option<String>,
    pub place: Place,
    pub source: u32,
}

/// The other ends that a rule matches.
#[derive(Debug, Default)]
pub struct Peers {
    pub everyone: bool,
    /// Ascending, each once.
    pub pods: Vec<ClassId>,
    pub addresses: Option<AddressSet>,
    pub nodes: NearNodes,
}

impl Peers {
    pub fn everyone() -> Peers {
        Peers {
            everyone: true,
            ..Peers::default()
        }
    }

    pub fn add_pods(&mut self, pods: Vec<ClassId>) {
        self.pods.extend(pods);
        self.pods.sort_unstable();
        self.pods.dedup();
    }

    pub fn add_addresses(&mut self, addresses: &AddressSet) {
        let all = self.addresses.get_or_insert_default();
        *all = all.union(addresses);
    }
}

impl Resolver<'_> {
    /// The classes of pods for which `is_it` holds. All pods of a class are alike in what policies read.
    pub fn classes(&self, is_it: impl Fn(&Pod) -> bool) -> Vec<ClassId> {
        let found = self.pod_classes.selectable_classes().filter(|class| {
            let pods = &self.pod_classes.classes[class.index()].pods;
            let first = pods.first().and_then(|pod| self.inventory.pods.get(*pod));
            first.is_some_and(&is_it)
        });
        found.collect()
    }

    /// The classes that two selectors match; nothing if one of them is invalid.
    pub fn selected(&mut self, namespaces: &LabelSelector, pods: &LabelSelector) -> Vec<ClassId> {
        let mut read = |selector| parse_selector(selector, self.symbols).ok();
        let (Some(namespaces), Some(pods)) = (read(namespaces), read(pods)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for namespace in self.pod_classes.namespaces_of(&namespaces) {
            self.pod_classes.classes_of(namespace, &pods, &mut found);
        }
        found.sort_unstable();
        found
    }

    /// The classes of all pods of some namespaces.
    pub fn in_namespaces(&mut self, namespaces: &LabelSelector) -> Vec<ClassId> {
        let Ok(namespaces) = parse_selector(namespaces, self.symbols) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for namespace in self.pod_classes.namespaces_of(&namespaces) {
            let all = Selector::default();
            self.pod_classes.classes_of(namespace, &all, &mut found);
        }
        found.sort_unstable();
        found
    }

    /// Every address of the nodes, without those of their proxies for Ingress objects.
    pub fn node_addresses(&self) -> AddressSet {
        let nodes = self.inventory.nodes.iter();
        let addresses = nodes.flat_map(|node| node.addresses.iter().copied());
        addresses.collect()
    }

    /// Adds what a block of addresses matches with Cilium: the world, and nodes and pods only if it is told so.
    pub fn add_cilium_block(&self, block: &AddressSet, peers: &mut Peers) {
        let matches = CiliumBlocks::of(self.inventory);
        // A block of a whole family means the world (Cilium 1.20, `pkg/policy/types/selector.go`, matchesCIDRWildcard).
        let is_world = [AddressSet::all_v4(), AddressSet::all_v6()].contains(block);
        if matches.match_nodes && !is_world {
            peers.add_addresses(block);
        } else {
            peers.add_addresses(&block.difference(&self.node_addresses()));
        }
        if matches.match_pods {
            peers.add_pods(self.classes(|pod| is_in(pod, block)));
        }
    }

    /// The addresses that a name, or a name that `is_it` accepts, was seen to have.
    pub fn named_addresses(&self, is_it: impl Fn(&str) -> bool) -> AddressSet {
        let names = self.inventory.other_kinds.names.iter();
        let found = names.filter(|(name, _)| is_it(name));
        found
            .flat_map(|(_, addresses)| addresses.iter().copied())
            .collect()
    }

    pub fn rule(
        &mut self,
        ports: PortsId,
        action: Action,
        peers: Peers,
        field: Option<String>,
    ) -> Rule {
        let pods = if peers.everyone || peers.pods.is_empty() {
            Vec::new()
        } else {
            vec![self.names.intern_pods(peers.pods)]
        };
        Rule {
            everyone: peers.everyone,
            pods,
            addresses: peers.addresses.into_iter().collect(),
            nodes: peers.nodes,
            ports,
            action,
            field,
        }
    }

    /// Puts the rules of a policy together.
    pub fn policy(
        &self,
        head: &Head,
        selected: Vec<ClassId>,
        [ingress, egress]: [Option<Vec<Rule>>; 2],
        closes: [bool; 2],
    ) -> Policy {
        let rules = || ingress.iter().chain(&egress).flatten();
        let named = |rule: &Rule| !self.names.ports(rule.ports).named.is_empty();
        Policy {
            name: head.name.clone(),
            source: head.source,
            selected,
            named_ingress: ingress.iter().flatten().any(named),
            near_nodes: rules().any(|rule| rule.nodes != NearNodes::default()),
            place: head.place,
            closes: [
                closes[0] && ingress.is_some(),
                closes[1] && egress.is_some(),
            ],
            ingress,
            egress,
        }
    }
}

/// Returns true if a pod has an address in a block.
pub fn is_in(pod: &Pod, block: &AddressSet) -> bool {
    pod.addresses.iter().any(|one| block.contains(*one))
}

/// Reads a CIDR or a single address. `None` if it is neither.
pub fn block(text: &str) -> Option<AddressSet> {
    if let Ok(cidr) = text.parse::<ipnet::IpNet>() {
        return Some(AddressSet::from_cidr(cidr.trunc()));
    }
    text.parse().ok().map(AddressSet::one)
}
