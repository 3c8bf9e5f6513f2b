//! Addresses as ipBlocks: one each, and for too many outside ones the few CIDRs that add the
//! fewest addresses, with everything cut out that is not outside (rule: outside-address-blocks, cidr-excludes-cluster).

mod closed;
mod merge;

pub(super) use closed::ClosedRanges;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One ipBlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub net: IpNet,
    /// What of `net` is not allowed, disjoint and in order.
    pub except: Vec<IpNet>,
    /// The observed addresses that it stands for.
    pub members: Vec<IpAddr>,
    /// How many addresses it allows beyond `members`; `u128::MAX` for more.
    pub added: u128,
}

impl Block {
    /// Exactly one address: a /32 or /128.
    pub fn single(address: IpAddr) -> Self {
        Block {
            net: IpNet::from(address),
            except: Vec::new(),
            members: vec![address],
            added: 0,
        }
    }

    /// Whether traffic of `address` gets through.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.net.contains(&address) && !self.except.iter().any(|net| net.contains(&address))
    }
}

/// At most `max` blocks for `addresses` (more only where private, public, IPv4 and IPv6 addresses,
/// which never share a block, or addresses inside closed ranges need one each).
pub(super) fn summarise(
    addresses: &BTreeSet<IpAddr>,
    max: usize,
    closed: &ClosedRanges,
) -> Vec<Block> {
    if addresses.len() <= max {
        return addresses.iter().map(|a| Block::single(*a)).collect();
    }
    let (pinned, free): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|a| closed.contains(**a));
    let mut zones: BTreeMap<_, Vec<IpAddr>> = BTreeMap::new();
    for address in free {
        let zone = (address.is_ipv6(), closed::zone(address));
        zones.entry(zone).or_default().push(address);
    }
    let sizes: Vec<usize> = zones.values().map(Vec::len).collect();
    let quotas = quotas(&sizes, max.saturating_sub(pinned.len()));
    let mut blocks: Vec<Block> = pinned.into_iter().map(Block::single).collect();
    for (members, quota) in zones.into_values().zip(quotas) {
        for net in merge::cover(&members, quota) {
            blocks.push(covering(net, &members, closed));
        }
    }
    blocks.sort_by_key(|block| block.net);
    blocks
}

/// How many blocks each zone gets of `total`: at least one, the rest to where most addresses would
/// share a block.
fn quotas(sizes: &[usize], total: usize) -> Vec<usize> {
    let mut quotas = vec![1; sizes.len()];
    for _ in sizes.len()..total {
        let crowded = (0..sizes.len())
            .filter(|i| quotas[*i] < sizes[*i])
            .max_by(|a, b| {
                let (left, right) = (sizes[*a] * quotas[*b], sizes[*b] * quotas[*a]);
                left.cmp(&right).then(b.cmp(a))
            });
        match crowded {
            Some(zone) => quotas[zone] += 1,
            None => break,
        }
    }
    quotas
}

fn covering(net: IpNet, members: &[IpAddr], closed: &ClosedRanges) -> Block {
    let members: Vec<IpAddr> = members
        .iter()
        .copied()
        .filter(|a| net.contains(a))
        .collect();
    let except = closed.inside(&net);
    let closed: u128 = except.iter().map(size).fold(0, u128::saturating_add);
    let added = size(&net)
        .saturating_sub(closed)
        .saturating_sub(members.len() as u128);
    Block {
        net,
        except,
        members,
        added,
    }
}

/// How many addresses a range has, at most `u128::MAX`.
fn size(net: &IpNet) -> u128 {
    let free = u32::from(net.max_prefix_len().saturating_sub(net.prefix_len()));
    1u128.checked_shl(free).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests;
