//! Resolves policies of other kinds than NetworkPolicy into the rules that the tables are built from
//! (rule: other-kinds-are-judged). Fields that are not judged ([`OtherKindPolicy::limits`]) make their rule match nothing.

mod admin;
mod calico;
mod cilium;
mod ports;

use super::pod_classes::{ClassId, PodClasses, PodKeys};
use super::policy_ref::{ComparedSide, PolicyRef};
use super::rule_terms::{Action, NearNodes, Place};
use super::rules::{Names, Policy, PortsId, Rule, pod_label_keys};
use super::selector::{Selector, Symbols, parse_selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use nanoseg_inventory::{Inventory, Pod};
use nanoseg_net::AddressSet;
use nanoseg_policy_kinds::OtherKindPolicy;
use nanoseg_policy_kinds::calico::CalicoNetworkSet;

/// What the resolution of a policy needs.
pub(super) struct Resolver<'a> {
    pub inventory: &'a Inventory,
    pub pod_classes: &'a PodClasses,
    pub names: &'a mut Names,
    pub symbols: &'a mut Symbols,
    /// Calico's sets of addresses that stand beside the policy; a set of all namespaces has none.
    pub network_sets: Vec<(Option<&'a str>, &'a CalicoNetworkSet)>,
}

/// Returns what policies read of pods.
pub(super) fn pod_keys<'a>(policies: &[(PolicyRef<'a>, ComparedSide)]) -> PodKeys<'a> {
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

    /// The classes of pods for which `is_it` holds. All pods of a class are alike in what policies read.
    fn classes(&self, is_it: impl Fn(&Pod) -> bool) -> Vec<ClassId> {
        let found = self.pod_classes.selectable_classes().filter(|class| {
            let pods = &self.pod_classes.classes[class.index()].pods;
            let first = pods.first().and_then(|pod| self.inventory.pods.get(*pod));
            first.is_some_and(&is_it)
        });
        found.collect()
    }

    /// The classes that two selectors match; nothing if one of them is invalid.
    fn selected(&mut self, namespaces: &LabelSelector, pods: &LabelSelector) -> Vec<ClassId> {
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
    fn in_namespaces(&mut self, namespaces: &LabelSelector) -> Vec<ClassId> {
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
    fn node_addresses(&self) -> AddressSet {
        let nodes = self.inventory.nodes.iter();
        let addresses = nodes.flat_map(|node| node.addresses.iter().copied());
        addresses.collect()
    }

    /// The addresses that a name, or a name that `is_it` accepts, was seen to have.
    fn named_addresses(&self, is_it: impl Fn(&str) -> bool) -> AddressSet {
        let names = self.inventory.other_kinds.names.iter();
        let found = names.filter(|(name, _)| is_it(name));
        found
            .flat_map(|(_, addresses)| addresses.iter().copied())
            .collect()
    }

    fn rule(
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
    fn policy(
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

/// What is the same for all rules of a policy.
pub(super) struct Head {
    name: String,
    namespace: Option<String>,
    place: Place,
    source: u32,
}

/// The other ends that a rule matches.
#[derive(Debug, Default)]
struct Peers {
    everyone: bool,
    /// Ascending, each once.
    pods: Vec<ClassId>,
    addresses: Option<AddressSet>,
    nodes: NearNodes,
}

impl Peers {
    fn everyone() -> Peers {
        Peers {
            everyone: true,
            ..Peers::default()
        }
    }

    fn add_pods(&mut self, pods: Vec<ClassId>) {
        self.pods.extend(pods);
        self.pods.sort_unstable();
        self.pods.dedup();
    }

    fn add_addresses(&mut self, addresses: &AddressSet) {
        let all = self.addresses.get_or_insert_default();
        *all = all.union(addresses);
    }
}

/// Reads a CIDR or a single address. `None` if it is neither.
fn block(text: &str) -> Option<AddressSet> {
    if let Ok(cidr) = text.parse::<ipnet::IpNet>() {
        return Some(AddressSet::from_cidr(cidr.trunc()));
    }
    text.parse().ok().map(AddressSet::one)
}
