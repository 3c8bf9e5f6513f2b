//! From what one direction of a workload needs to its rules: peers with the same ports share a
//! rule, each peer stands in one rule only, so a rule allows exactly peers × ports and nothing is
//! said twice (DESIGN §5.6, 5.7).

use super::block::{Block, ClosedRanges, summarise};
use super::ports::build_ports;
use super::selector::Selector;
use crate::inventory::WorkloadId;
use crate::net::Protocol;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The label that every namespace has had since Kubernetes 1.22 (KEP-2161).
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// How many names stand beside one ipBlock.
const NAMES_PER_BLOCK: usize = 3;

/// Which of the two lists of a policy a rule is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Ingress,
    Egress,
}

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
    /// Indices of the edges of [`crate::graph::Graph::taught`] that need it.
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
    /// Outside addresses that were summarised, blocks they became, addresses that this added.
    pub summarised: Option<(usize, usize, u128)>,
}

/// What building rules depends on beside the needs.
pub(super) struct RuleContext<'a> {
    pub closed: &'a ClosedRanges,
    pub max_addresses: usize,
    pub port_gap: u16,
    /// What a person calls a workload.
    pub display: &'a dyn Fn(&WorkloadId) -> String,
}

/// The rules for what a direction of a workload in `namespace` needs, ordered by port, with peers
/// ordered by namespace and name, then address.
pub(super) fn build_rules(needs: Needs, namespace: &str, context: &RuleContext) -> Vec<Rule> {
    let mut groups: BTreeMap<Vec<(u16, Protocol)>, Vec<(EndKey, Need)>> = BTreeMap::new();
    for (end, need) in needs {
        let ports = need.ports.iter().copied().collect();
        groups.entry(ports).or_default().push((end, need));
    }
    groups
        .into_iter()
        .map(|(ports, group)| build_rule(&ports, group, namespace, context))
        .collect()
}

fn build_rule(
    ports: &[(u16, Protocol)],
    group: Vec<(EndKey, Need)>,
    namespace: &str,
    context: &RuleContext,
) -> Rule {
    let mut rule = Rule {
        peers: Vec::new(),
        ports: build_ports(ports, context.port_gap),
        origins: Vec::new(),
        summarised: None,
    };
    let mut pods = Vec::new();
    let mut addresses = BTreeMap::new();
    for (end, need) in group {
        match end {
            EndKey::Pods(home, selector) => pods.push((home, selector, need)),
            EndKey::Address(address) => {
                addresses.insert(address, need);
            }
        }
    }
    pods.sort_by(|a, b| (a.0, &a.2.workloads, a.1).cmp(&(b.0, &b.2.workloads, b.1)));
    for (home, selector, need) in pods {
        rule.peers.push(pod_peer(home, selector, namespace));
        rule.origins.push(PeerOrigin {
            names: need
                .workloads
                .iter()
                .map(|id| (context.display)(id))
                .collect(),
            comment: None,
            edges: need.edges,
        });
    }
    for block in blocks(&addresses, context, &mut rule) {
        rule.origins.push(block_origin(&block, &addresses));
        rule.peers.push(block_peer(&block));
    }
    rule
}

/// One block per address; outside ones summarised where they are too many.
fn blocks(
    addresses: &BTreeMap<IpAddr, Need>,
    context: &RuleContext,
    rule: &mut Rule,
) -> Vec<Block> {
    let (named, outside): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = addresses
        .keys()
        .partition(|address| context.closed.is_named(**address));
    let mut blocks = summarise(&outside, context.max_addresses, context.closed);
    if blocks.len() < outside.len() {
        let added = blocks
            .iter()
            .fold(0u128, |sum, block| sum.saturating_add(block.added));
        rule.summarised = Some((outside.len(), blocks.len(), added));
    }
    blocks.extend(named.into_iter().map(Block::single));
    blocks.sort_by_key(|block| block.net);
    blocks
}

fn block_origin(block: &Block, addresses: &BTreeMap<IpAddr, Need>) -> PeerOrigin {
    let mut labels: BTreeSet<&str> = BTreeSet::new();
    let mut edges = BTreeSet::new();
    let mut unnamed = false;
    for need in block.members.iter().filter_map(|a| addresses.get(a)) {
        labels.extend(&need.labels);
        edges.extend(&need.edges);
        unnamed |= need.labels.is_empty();
    }
    let mut names: Vec<String> = labels.iter().map(|label| label.to_string()).collect();
    let comment = (!names.is_empty()).then(|| {
        let mut shown = names.clone();
        if names.len() > NAMES_PER_BLOCK {
            shown.truncate(NAMES_PER_BLOCK);
            shown.push("…".to_string());
        }
        shown.join(", ")
    });
    if unnamed {
        names.push(match block.members.as_slice() {
            [address] if block.added == 0 => address.to_string(),
            _ => block.net.to_string(),
        });
    }
    PeerOrigin {
        names,
        comment,
        edges,
    }
}

fn block_peer(block: &Block) -> NetworkPolicyPeer {
    let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: block.net.to_string(),
            except: (!except.is_empty()).then_some(except),
        }),
        ..NetworkPolicyPeer::default()
    }
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
