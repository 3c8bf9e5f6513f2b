//! Addresses as ipBlocks: one each, and for too many outside ones the few CIDRs that add the
//! fewest addresses, with everything cut out that is not outside (rule: outside-address-blocks, cidr-excludes-cluster).

mod cidr_cover;
mod excluded_ranges;

pub(super) use excluded_ranges::ExcludedRanges;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One ipBlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub net: IpNet,
    /// The ranges of `net` that are not allowed, disjoint and ascending.
    pub except: Vec<IpNet>,
    /// The observed addresses that the block covers.
    pub members: Vec<IpAddr>,
    /// The number of addresses that it allows beyond `members`, at most `u128::MAX`.
    pub added: u128,
    /// It is a whole family: a public entry that is open to anywhere.
    pub anywhere: bool,
}

impl Block {
    /// Returns the block of a whole family, without the cluster and the special-purpose ranges.
    pub fn anywhere(net: IpNet, closed: &ExcludedRanges) -> Self {
        Block {
            anywhere: true,
            ..covering(net, &[], closed)
        }
    }

    /// Returns true if the block lets in addresses beside single observed ones.
    pub fn covers_more(&self) -> bool {
        self.anywhere || self.members.len() > 1
    }

    /// Returns a block of exactly one address: a /32 or /128.
    pub fn single(address: IpAddr) -> Self {
        Block {
            net: IpNet::from(address),
            except: Vec::new(),
            members: vec![address],
            added: 0,
            anywhere: false,
        }
    }

    /// Returns true if the block allows `address`.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.net.contains(&address) && !self.except.iter().any(|net| net.contains(&address))
    }
}

/// Returns at most `max` blocks that cover `addresses`. There are more only if addresses inside excluded ranges,
/// which get one block each, or private, public, IPv4 and IPv6 addresses, which never share a block, need
/// more.
pub(super) fn summarise(
    addresses: &BTreeSet<IpAddr>,
    max: usize,
    closed: &ExcludedRanges,
) -> Vec<Block> {
    if addresses.len() <= max {
        return addresses.iter().map(|a| Block::single(*a)).collect();
    }
    let (pinned, free): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|a| closed.contains(**a));
    let mut zones: BTreeMap<_, Vec<IpAddr>> = BTreeMap::new();
    for address in free {
        let zone = (address.is_ipv6(), excluded_ranges::zone(address));
        zones.entry(zone).or_default().push(address);
    }
    let sizes: Vec<usize> = zones.values().map(Vec::len).collect();
    let quotas = quotas(&sizes, max.saturating_sub(pinned.len()));
    let mut blocks: Vec<Block> = pinned.into_iter().map(Block::single).collect();
    for (members, quota) in zones.into_values().zip(quotas) {
        for net in cidr_cover::cover(&members, quota) {
            blocks.push(covering(net, &members, closed));
        }
    }
    blocks.sort_by_key(|block| block.net);
    blocks
}

/// Distributes `total` blocks over the zones. Each zone gets at least one; the rest go to the zones with the
/// most addresses per block.
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

fn covering(net: IpNet, members: &[IpAddr], closed: &ExcludedRanges) -> Block {
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
        anywhere: false,
    }
}

/// Returns the number of addresses of a range, at most `u128::MAX`.
fn size(net: &IpNet) -> u128 {
    let free = u32::from(net.max_prefix_len().saturating_sub(net.prefix_len()));
    1u128.checked_shl(free).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests;
