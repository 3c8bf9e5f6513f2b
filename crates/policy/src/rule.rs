//! From what one direction of a workload needs to its rules: peers with the same ports share a
//! rule, each peer stands in one rule only, so a rule allows exactly peers × ports and nothing is
//! said twice (rule: rules-are-merged-and-ordered).

mod address;

use super::block::{Block, ClosedRanges};
use super::ports::build_ports;
use super::selector::Selector;
use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Protocol};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The label that every namespace has had since Kubernetes 1.22 (KEP-2161).
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Where a rule of a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleOrigin {
    pub direction: Direction,
    /// The rule's place in `spec.ingress` or `spec.egress`.
    pub rule: usize,
    /// One for each entry of the rule's `from` or `to`, in the same order.
    pub peers: Vec<PeerOrigin>,
}

impl RuleOrigin {
    /// The edges behind the rule.
    pub fn edges(&self) -> BTreeSet<usize> {
        let edges = self.peers.iter().flat_map(|peer| &peer.edges);
        edges.copied().collect()
    }
}

/// Where one peer of a rule comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerOrigin {
    /// What a person calls it: workloads as `namespace/name`, a DNS name, `API server`, `node n1`,
    /// else the address. At least one.
    pub names: Vec<String>,
    /// What stands beside its ipBlock.
    pub comment: Option<String>,
    /// Indices of the edges of [`nanoseg_graph::Graph::taught`] that need it.
    pub edges: BTreeSet<usize>,
}

/// One end of what is needed, as a policy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EndKey<'a> {
    /// A namespace and a selector of pods in it.
    Pods(&'a str, &'a Selector),
    Address(IpAddr),
}

/// What one end needs, and why.
#[derive(Debug, Clone, Default)]
pub(super) struct Need<'a> {
    pub workloads: BTreeSet<&'a WorkloadId>,
    pub labels: BTreeSet<&'a str>,
    /// Some of it is about an address of the cluster itself (a node, the API server): those are
    /// few and known, so they are written one by one.
    pub of_cluster: bool,
    pub ports: BTreeSet<(u16, Protocol)>,
    pub edges: BTreeSet<usize>,
}

/// Everything that one direction of a workload needs.
pub(super) type Needs<'a> = BTreeMap<EndKey<'a>, Need<'a>>;

/// One rule: all of its peers on all of its ports.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub peers: Vec<NetworkPolicyPeer>,
    pub ports: Vec<NetworkPolicyPort>,
    pub origins: Vec<PeerOrigin>,
    pub summarised: Option<Summary>,
}

/// What summarising did to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// How many observed addresses were joined.
    pub addresses: usize,
    /// The CIDRs that they became.
    pub cidrs: Vec<String>,
    /// How many addresses that were not seen this allows; `u128::MAX` for more.
    pub added: u128,
}

/// What building rules depends on beside the needs.
pub(super) struct RuleContext<'a> {
    pub closed: &'a ClosedRanges,
    pub max_addresses: usize,
    pub port_gap: u16,
    /// What a person calls a workload.
    pub display: &'a dyn Fn(&WorkloadId) -> String,
}

/// Needs with the same ports: what becomes one rule.
#[derive(Default)]
struct Group<'a> {
    pods: Vec<(&'a str, &'a Selector, Need<'a>)>,
    addresses: BTreeMap<IpAddr, Need<'a>>,
    /// What the addresses are written as; made by [`address::plan`].
    blocks: Vec<Block>,
}

/// Ports in order: what needs are grouped by.
type Ports = Vec<(u16, Protocol)>;

/// The rules for what a direction of a workload in `namespace` needs, ordered by port, with peers
/// ordered by namespace and name, then address.
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
    for (home, selector, need) in group.pods {
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
        rule.origins.push(address::origin(block, &group.addresses));
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
