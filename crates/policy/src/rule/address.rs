//! The addresses of rules as ipBlocks: which addresses are summarised, and the comments beside the blocks.

use super::{Block, Group, GroupKey, Need, PeerOrigin, RuleContext, Summary};
use crate::ip_blocks::summarise;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The most names in the comment beside one ipBlock.
const NAMES_PER_BLOCK: usize = 3;

/// The comment beside the block of a public entry (rule: public-entry-is-a-decision).
const ANYWHERE: &str = "anywhere: a public entry, chosen by --public-entry=anywhere";

/// Decides the blocks of every group. Groups with more ports are decided first: an address that one of their
/// blocks allows anyway needs no rule of its own for fewer ports.
pub(super) fn plan(groups: &mut BTreeMap<GroupKey, Group>, context: &RuleContext) {
    let mut order: Vec<GroupKey> = groups.keys().cloned().collect();
    order.sort_by_key(|key| Reverse(key.ports.len()));
    let mut summarised: Vec<GroupKey> = Vec::new();
    for key in order {
        for wider in summarised.iter().filter(|wider| includes(wider, &key)) {
            let Some(mut group) = groups.remove(&key) else {
                continue;
            };
            if let Some(wider) = groups.get_mut(wider) {
                absorb(wider, &mut group);
            }
            groups.insert(key.clone(), group);
        }
        if let Some(group) = groups.get_mut(&key) {
            group.blocks = blocks(group, context);
            if group.blocks.iter().any(|block| block.covers_more()) {
                summarised.push(key);
            }
        }
    }
}

/// Returns true if `wider` has all of `ports` and at least one more.
fn includes(wider: &GroupKey, key: &GroupKey) -> bool {
    wider.lookup == key.lookup
        && wider.ports.len() > key.ports.len()
        && key.ports.iter().all(|port| wider.ports.contains(port))
}

/// Moves the addresses that a summarised block of `wider` allows from `group` to this block.
fn absorb<'a>(wider: &mut Group<'a>, group: &mut Group<'a>) {
    let addresses = std::mem::take(&mut group.addresses);
    for (address, need) in addresses {
        let mut blocks = wider.blocks.iter_mut();
        match blocks.find(|block| block.covers_more() && block.allows(address)) {
            Some(block) if !need.of_cluster => {
                block.members.push(address);
                wider.addresses.insert(address, need);
            }
            _ => {
                group.addresses.insert(address, need);
            }
        }
    }
}

/// Returns one block per address. Outside addresses are summarised if there are too many, and those that a public
/// entry lets in anyway need no block.
fn blocks(group: &Group, context: &RuleContext) -> Vec<Block> {
    let addresses = &group.addresses;
    let mut open: Vec<Block> = group
        .anywhere
        .keys()
        .map(|net| Block::anywhere(*net, context.closed))
        .collect();
    let mut rest: BTreeMap<IpAddr, &Need> = BTreeMap::new();
    for (address, need) in addresses {
        let within = open.iter_mut().find(|block| block.allows(*address));
        match within {
            Some(block) if !need.of_cluster => block.members.push(*address),
            _ => {
                rest.insert(*address, need);
            }
        }
    }
    let addresses = rest;
    let outside = addresses.iter().filter(|(_, need)| !need.of_cluster);
    let outside: BTreeSet<IpAddr> = outside.map(|(address, _)| *address).collect();
    let of_cluster = addresses.iter().filter(|(_, need)| need.of_cluster);
    let mut blocks = summarise(&outside, context.max_addresses, context.closed);
    blocks.extend(of_cluster.map(|(address, _)| Block::single(*address)));
    blocks.append(&mut open);
    blocks.sort_by_key(|block| block.net);
    blocks
}

/// Returns the effect of summarising, or `None` if nothing was summarised.
pub(super) fn summary(blocks: &[Block]) -> Option<Summary> {
    let summarised = |block: &&Block| block.members.len() > 1 && !block.anywhere;
    let joined: Vec<&Block> = blocks.iter().filter(summarised).collect();
    (!joined.is_empty()).then(|| Summary {
        addresses: joined.iter().map(|block| block.members.len()).sum(),
        cidrs: joined.iter().map(|block| block.net.to_string()).collect(),
        added: joined
            .iter()
            .fold(0, |sum, block| sum.saturating_add(block.added)),
    })
}

/// Returns the origin of a block: the origins of all addresses that it covers.
pub(super) fn origin(block: &Block, group: &Group) -> PeerOrigin {
    let addresses = &group.addresses;
    if block.anywhere {
        let seen = block.members.iter().filter_map(|a| addresses.get(a));
        return PeerOrigin {
            names: vec![format!("anywhere ({})", block.net)],
            comment: Some(ANYWHERE.to_string()),
            written: Some(block.net.to_string()),
            edges: seen.flat_map(|need| need.edges.iter().copied()).collect(),
        };
    }
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
            [address] => address.to_string(),
            _ => block.net.to_string(),
        });
    }
    PeerOrigin {
        names,
        comment,
        written: Some(block.net.to_string()),
        edges,
    }
}

pub(super) fn peer(block: &Block) -> NetworkPolicyPeer {
    let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: block.net.to_string(),
            except: (!except.is_empty()).then_some(except),
        }),
        ..NetworkPolicyPeer::default()
    }
}
