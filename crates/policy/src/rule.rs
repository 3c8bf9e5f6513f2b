//! From what one direction of a workload needs to its rules: peers with the same ports share a
//! rule, each peer stands in one rule only, so a rule allows exactly peers × ports and nothing is
//! written twice (rule: rules-are-merged-and-ordered).

mod address;

use super::ip_blocks::{Block, ExcludedRanges};
use super::ports::build_ports;
use super::selector::Selector;
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Protocol};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The label that every namespace has had since Kubernetes 1.22 (KEP-2161).
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

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
pub(super) type Needs<'a> = BTreeMap<EndKey<'a>, Need<'a>>;

/// One rule: it allows all of its peers on all of its ports.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub peers: Vec<NetworkPolicyPeer>,
    pub ports: Vec<NetworkPolicyPort>,
    pub origins: Vec<PeerOrigin>,
    pub summarised: Option<Summary>,
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
    pub port_gap: u16,
    /// Returns the name of a workload for people.
    pub display: &'a dyn Fn(&WorkloadId) -> String,
}

/// Needs with the same ports. They become one rule.
#[derive(Default)]
struct Group<'a> {
    pods: Vec<(&'a str, &'a Selector, Need<'a>)>,
    addresses: BTreeMap<IpAddr, Need<'a>>,
    /// Whole families, for public entries.
    anywhere: BTreeMap<IpNet, Need<'a>>,
    /// The blocks that the addresses are written as; set by [`address::plan`].
    blocks: Vec<Block>,
}

/// Ports in ascending order. Needs are grouped by them.
type Ports = Vec<(u16, Protocol)>;

/// Builds the rules of one direction for a workload in `namespace`. Rules are ordered by port, their peers by
/// namespace and name, then by address.
pub(super) fn build_rules(needs: Needs, namespace: &str, context: &RuleContext) -> Vec<Rule> {
    let mut groups: BTreeMap<Ports, Group> = BTreeMap::new();
    for (end, need) in needs {
        let group = groups
            .entry(need.ports.iter().copied().collect())
            .or_default();
        match end {
            EndKey::Pods(home, selector) => group.pods.push((home, selector, need)),
            EndKey::Address(address) => {
                group.addresses.insert(address, need);
            }
            EndKey::Anywhere(net) => {
                group.anywhere.insert(net, need);
            }
        }
    }
    address::plan(&mut groups, context);
    groups
        .into_iter()
        .filter(|(_, group)| !group.pods.is_empty() || !group.blocks.is_empty())
        .map(|(ports, group)| build_rule(&ports, group, namespace, context))
        .collect()
}

fn build_rule(ports: &Ports, mut group: Group, namespace: &str, context: &RuleContext) -> Rule {
    let mut rule = Rule {
        peers: Vec::new(),
        ports: build_ports(ports, context.port_gap),
        origins: Vec::new(),
        summarised: address::summary(&group.blocks),
    };
    group
        .pods
        .sort_by(|a, b| (a.0, &a.2.workloads, a.1).cmp(&(b.0, &b.2.workloads, b.1)));
    for (home, selector, need) in std::mem::take(&mut group.pods) {
        rule.peers.push(pod_peer(home, selector, namespace));
        let names = need.workloads.iter().map(|id| (context.display)(id));
        rule.origins.push(PeerOrigin {
            names: names.collect(),
            comment: None,
            edges: need.edges,
        });
    }
    for block in &group.blocks {
        rule.peers.push(address::peer(block));
        rule.origins.push(address::origin(block, &group));
    }
    rule
}

/// Pods of the policy's own namespace need no namespaceSelector.
fn pod_peer(home: &str, selector: &Selector, namespace: &str) -> NetworkPolicyPeer {
    let namespace_selector = (home != namespace).then(|| LabelSelector {
        match_labels: Some(BTreeMap::from([(
            NAMESPACE_LABEL.to_string(),
            home.to_string(),
        )])),
        match_expressions: None,
    });
    NetworkPolicyPeer {
        namespace_selector,
        pod_selector: Some(selector.to_api()),
        ip_block: None,
    }
}
