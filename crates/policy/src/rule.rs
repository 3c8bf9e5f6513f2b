//! From what one direction of a workload needs to its rules: peers with the same ports share a
//! rule, each peer stands in one rule only, so a rule allows exactly peers × ports and nothing is
//! written twice (rule: rules-are-merged-and-ordered).

mod address;
mod kubernetes;

use super::dialect::Entity;
use super::ip_blocks::{Block, ExcludedRanges};
use super::ports::build_ports;
use super::selector::Selector;
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Protocol};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) use kubernetes::{NAMESPACE_LABEL, peers as kubernetes_peers};

/// The origin of a rule of a policy: the traffic that it was written for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleOrigin {
    pub direction: Direction,
    /// The rule's index in `spec.ingress` or `spec.egress`.
    pub rule: usize,
    /// One for each entry of the rule's `from` or `to`, in the same order.
    pub peers: Vec<PeerOrigin>,
}

impl RuleOrigin {
    /// Returns the edges that need the rule, as indices into [`nanoseg_graph::Graph::taught`].
    pub fn edges(&self) -> BTreeSet<usize> {
        let edges = self.peers.iter().flat_map(|peer| &peer.edges);
        edges.copied().collect()
    }
}

/// The origin of one peer of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerOrigin {
    /// Its names for people: workloads as `namespace/name`, a DNS name, `API server`, `node n1`, otherwise the
    /// address. Never empty.
    pub names: Vec<String>,
    /// The comment beside its ipBlock.
    pub comment: Option<String>,
    /// The CIDR of its ipBlock.
    #[serde(skip)]
    pub written: Option<String>,
    /// Indices of the edges of [`nanoseg_graph::Graph::taught`] that need it.
    pub edges: BTreeSet<usize>,
}

/// The other end of a requirement, as a policy can express it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EndKey<'a> {
    /// A namespace and a selector of pods in it.
    Pods(&'a str, &'a Selector),
    Address(IpAddr),
    /// All of a family, for a public entry that is open to anywhere.
    Anywhere(IpNet),
    /// What Cilium knows by itself; in its dialect only.
    Entity(Entity),
    /// An outside server by the name that the client looks up; in Cilium's dialect only.
    Name(&'a str),
    /// All names one level below a domain; in Cilium's dialect only.
    NamesBelow(&'a str),
}

/// The ports that one peer needs, and the reasons.
#[derive(Debug, Clone, Default)]
pub(super) struct Need<'a> {
    pub workloads: BTreeSet<&'a WorkloadId>,
    pub labels: BTreeSet<&'a str>,
    /// Is true if the address belongs to the cluster itself (a node, the API server). Such addresses are few and
    /// known, so each is written as a block of its own.
    pub of_cluster: bool,
    pub ports: BTreeSet<(u16, Protocol)>,
    pub edges: BTreeSet<usize>,
}

/// Everything that a workload needs in one direction, by peer.
pub(super) type Needs<'a> = BTreeMap<NeedKey<'a>, Need<'a>>;

/// A peer, and whether its lookups are watched: a resolver has other ports too, at which nothing is DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NeedKey<'a> {
    pub end: EndKey<'a>,
    /// In Cilium's dialect only.
    pub lookup: bool,
}

/// One rule: it allows all of its peers on all of its ports.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// In the order: pods, entities, names, blocks.
    pub peers: Vec<RulePeer>,
    pub ports: Vec<NetworkPolicyPort>,
    /// See [`NeedKey::lookup`].
    pub lookup: bool,
    pub origins: Vec<PeerOrigin>,
    pub summarised: Option<Summary>,
}

/// One peer of a rule, in no dialect yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RulePeer {
    /// The pods of a namespace that a selector selects.
    Pods(String, Selector),
    Entity(Entity),
    Name(String),
    /// All names one level below a domain.
    NamesBelow(String),
    Block(Block),
}

/// The effect of summarising addresses in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// The number of observed addresses that were summarised.
    pub addresses: usize,
    /// The CIDRs that cover them.
    pub cidrs: Vec<String>,
    /// The number of addresses that were not observed and that these CIDRs allow, at most `u128::MAX`.
    pub added: u128,
}

/// The parameters of rules, in addition to the needs.
pub(super) struct RuleContext<'a> {
    pub closed: &'a ExcludedRanges,
    pub max_addresses: usize,
    /// `None`: no ranges of ports are written.
    pub port_gap: Option<u16>,
    /// Returns the name of a workload for people.
    pub display: &'a dyn Fn(&WorkloadId) -> String,
}

/// Needs with the same key become one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    ports: Ports,
    lookup: bool,
}

/// Needs with the same ports. They become one rule.
#[derive(Default)]
struct Group<'a> {
    pods: Vec<(&'a str, &'a Selector, Need<'a>)>,
    addresses: BTreeMap<IpAddr, Need<'a>>,
    /// Whole families, for public entries.
    anywhere: BTreeMap<IpNet, Need<'a>>,
    entities: BTreeMap<Entity, Need<'a>>,
    names: BTreeMap<&'a str, Need<'a>>,
    domains: BTreeMap<&'a str, Need<'a>>,
    /// The blocks that the addresses are written as; set by [`address::plan`].
    blocks: Vec<Block>,
}

/// Ports in ascending order. Needs are grouped by them.
type Ports = Vec<(u16, Protocol)>;

/// Builds the rules of one direction for a workload. Rules are ordered by port, their peers by
/// namespace and name, then by address.
pub(super) fn build_rules(needs: Needs, context: &RuleContext) -> Vec<Rule> {
    let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
    for (NeedKey { end, lookup }, need) in needs {
        let key = GroupKey {
            ports: need.ports.iter().copied().collect(),
            lookup,
        };
        let group = groups.entry(key).or_default();
        match end {
            EndKey::Pods(home, selector) => group.pods.push((home, selector, need)),
            EndKey::Address(address) => {
                group.addresses.insert(address, need);
            }
            EndKey::Anywhere(net) => {
                group.anywhere.insert(net, need);
            }
            EndKey::Entity(entity) => {
                group.entities.insert(entity, need);
            }
            EndKey::Name(name) => {
                group.names.insert(name, need);
            }
            EndKey::NamesBelow(domain) => {
                group.domains.insert(domain, need);
            }
        }
    }
    address::plan(&mut groups, context);
    groups
        .into_iter()
        .map(|(key, group)| build_rule(&key, group, context))
        .filter(|rule| !rule.peers.is_empty())
        .collect()
}

fn build_rule(key: &GroupKey, mut group: Group, context: &RuleContext) -> Rule {
    let mut rule = Rule {
        peers: Vec::new(),
        ports: build_ports(&key.ports, context.port_gap),
        lookup: key.lookup,
        origins: Vec::new(),
        summarised: address::summary(&group.blocks),
    };
    let mut add = |peer: RulePeer, origin: PeerOrigin| {
        rule.peers.push(peer);
        rule.origins.push(origin);
    };
    group
        .pods
        .sort_by(|a, b| (a.0, &a.2.workloads, a.1).cmp(&(b.0, &b.2.workloads, b.1)));
    for (home, selector, need) in std::mem::take(&mut group.pods) {
        let names = need.workloads.iter().map(|id| (context.display)(id));
        let origin = PeerOrigin::named(names.collect(), &need);
        add(RulePeer::Pods(home.to_owned(), selector.clone()), origin);
    }
    for (entity, need) in std::mem::take(&mut group.entities) {
        let origin = PeerOrigin::labelled(entity.name(), &need);
        add(RulePeer::Entity(entity), origin);
    }
    for (name, need) in std::mem::take(&mut group.names) {
        let origin = PeerOrigin::named(vec![name.to_owned()], &need);
        add(RulePeer::Name(name.to_owned()), origin);
    }
    for (domain, need) in std::mem::take(&mut group.domains) {
        let origin = PeerOrigin::named(vec![format!("*.{domain}")], &need);
        add(RulePeer::NamesBelow(domain.to_owned()), origin);
    }
    for block in &group.blocks {
        let origin = address::origin(block, &group);
        add(RulePeer::Block(block.clone()), origin);
    }
    rule
}

impl PeerOrigin {
    fn named(names: Vec<String>, need: &Need) -> PeerOrigin {
        PeerOrigin {
            names,
            comment: None,
            written: None,
            edges: need.edges.clone(),
        }
    }

    /// The names are the labels of the requirements, or else `name`.
    fn labelled(name: &str, need: &Need) -> PeerOrigin {
        let mut names: Vec<String> = need.labels.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            names.push(name.to_owned());
        }
        PeerOrigin::named(names, need)
    }
}

/// The origins of the rules of both directions, as [`crate::WorkloadPolicy::rules`] has them.
pub(super) fn origins_each_way(
    ingress: Option<&[Rule]>,
    egress: Option<&[Rule]>,
) -> Vec<RuleOrigin> {
    let mut all = origins(Direction::Ingress, ingress.unwrap_or_default());
    all.extend(origins(Direction::Egress, egress.unwrap_or_default()));
    all
}

fn origins(direction: Direction, rules: &[Rule]) -> Vec<RuleOrigin> {
    let origin = |(rule, written): (usize, &Rule)| RuleOrigin {
        direction,
        rule,
        peers: written.origins.clone(),
    };
    rules.iter().enumerate().map(origin).collect()
}
