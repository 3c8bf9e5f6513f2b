//! Bounded counting by address: the clients of one server's port, or the servers of one client. So many single
//! addresses, and beyond them blocks (rule: outside-addresses-are-bounded).
//!
//! Which addresses stay single is decided by a fixed pseudo-random order of all addresses, and not by who came first. So
//! the result is the same in whatever order addresses come and however parts are merged, and what stays is a fair sample.
//! It depends on the limits: parts that were cut by smaller limits do not become finer again.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is counted for an address or a block.
pub trait Absorb {
    /// Adds what was counted for another address of the same block. The order must not matter.
    fn absorb(&mut self, other: Self);
}

impl Absorb for () {
    fn absorb(&mut self, (): ()) {}
}

impl Absorb for u64 {
    fn absorb(&mut self, other: u64) {
        *self = self.saturating_add(other);
    }
}

/// How much is kept. Beyond the last limit there is one block for each private range and one for all other addresses of
/// a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimits {
    /// Single addresses.
    pub addresses: usize,
    /// Blocks of /24, or /64 of IPv6.
    pub narrow: usize,
    /// Blocks of /16, or /48 of IPv6.
    pub wide: usize,
}

impl BlockLimits {
    /// Of the outside clients of one port of a workload, and of the outside servers that it calls at one port: 512
    /// single addresses + 128 + 64 + 8 blocks = 712 edges.
    pub const OUTSIDE: BlockLimits = BlockLimits {
        addresses: 512,
        narrow: 128,
        wide: 64,
    };

    /// Single addresses and blocks together, at most: 8 blocks hold everything beyond the others.
    pub const fn total(self) -> usize {
        self.addresses + self.narrow + self.wide + LAST
    }
}

const V4_RANGES: [Ipv4Net; 5] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
];
const UNIQUE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

/// The blocks beyond all limits: the private ranges of both families, and the rest of each.
const LAST: usize = V4_RANGES.len() + 1 + 2;

/// Counts by address, within limits. See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressBlocks<V> {
    /// From single addresses to the widest blocks.
    levels: [Level<V>; 4],
}

/// Blocks of one width. Those that come first in the fixed order are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Level<V> {
    limit: usize,
    kept: BTreeMap<(u64, IpNet), V>,
}

impl<V: Absorb> Level<V> {
    /// Adds to a block, and returns the block that found no room, with all that was counted for it.
    fn add(&mut self, block: IpNet, value: V) -> Option<(IpNet, V)> {
        let key = (place_in_order(block), block);
        if let Some(known) = self.kept.get_mut(&key) {
            known.absorb(value);
            return None;
        }
        if !self.has_room(&key) {
            return Some((block, value));
        }
        self.kept.insert(key, value);
        if self.kept.len() <= self.limit {
            return None;
        }
        self.kept
            .pop_last()
            .map(|((_, block), value)| (block, value))
    }
}

impl<V> Level<V> {
    /// Returns true if a block that is not kept would be: there is room, or it comes before one that is kept.
    fn has_room(&self, key: &(u64, IpNet)) -> bool {
        let last = self.kept.last_key_value();
        self.kept.len() < self.limit || last.is_some_and(|(last, _)| key < last)
    }

    fn holds(&self, block: IpNet) -> bool {
        let key = (place_in_order(block), block);
        self.kept.contains_key(&key) || self.has_room(&key)
    }
}

impl<V: Absorb> AddressBlocks<V> {
    /// Counts nothing yet.
    pub fn new(limits: BlockLimits) -> Self {
        let level = |limit| Level {
            limit,
            kept: BTreeMap::new(),
        };
        let limits = [limits.addresses, limits.narrow, limits.wide, usize::MAX];
        AddressBlocks {
            levels: limits.map(level),
        }
    }

    /// Adds to what is counted for an address.
    pub fn add(&mut self, address: IpAddr, value: V) {
        self.add_at(0, IpNet::from(address), value);
    }

    /// Adds to what is counted for a block that an earlier count gave: an address, or a block of one of the widths.
    pub fn add_block(&mut self, block: IpNet, value: V) {
        self.add_at(width_of(block), block, value);
    }

    /// Adds all that another one counted.
    pub fn merge(&mut self, other: AddressBlocks<V>) {
        for (width, level) in other.levels.into_iter().enumerate() {
            for ((_, block), value) in level.kept {
                self.add_at(width, block, value);
            }
        }
    }

    fn add_at(&mut self, width: usize, block: IpNet, value: V) {
        let mut rest = Some((block, value));
        for (width, level) in self.levels.iter_mut().enumerate().skip(width) {
            let Some((block, value)) = rest else { return };
            rest = level.add(block, value);
            rest = rest.map(|(block, value)| (widened(block, width + 1), value));
        }
    }
}

impl<V> AddressBlocks<V> {
    /// Where an address is counted, after all that was added: itself as /32 or /128, or a block that contains it.
    pub fn place_of(&self, address: IpAddr) -> IpNet {
        self.place_of_block(IpNet::from(address))
    }

    /// The same for a block that an earlier count gave.
    pub fn place_of_block(&self, mut block: IpNet) -> IpNet {
        for (width, level) in self.levels.iter().enumerate().skip(width_of(block)) {
            if level.holds(block) {
                return block;
            }
            block = widened(block, width + 1);
        }
        block
    }

    /// Single addresses and blocks with what was counted, in order of address. A block has what is not counted for a
    /// single address or a narrower block within it.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &V)> {
        let all = self.levels.iter().flat_map(|level| &level.kept);
        let mut all: Vec<(IpNet, &V)> = all.map(|((_, block), value)| (*block, value)).collect();
        all.sort_by_key(|(block, _)| *block);
        all.into_iter()
    }

    /// How many single addresses and blocks are kept.
    pub fn len(&self) -> usize {
        self.levels.iter().map(|level| level.kept.len()).sum()
    }

    /// Returns true if nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if every address is kept for itself.
    pub fn is_exact(&self) -> bool {
        self.levels
            .iter()
            .skip(1)
            .all(|level| level.kept.is_empty())
    }

    /// How many different addresses were added: exact while each is kept for itself, else an estimate from how densely
    /// the sample lies (Bar-Yossef et al., *Counting distinct elements in a data stream*, RANDOM 2002), which is off by
    /// more than a tenth once in a thousand times with 1000 addresses kept.
    pub fn distinct(&self) -> u64 {
        let [single, ..] = &self.levels;
        let kept = single.kept.len() as u64;
        match single.kept.last_key_value() {
            Some(((last, _), _)) if !self.is_exact() => {
                let density = u128::from(kept.saturating_sub(1)) << 64;
                let estimate = density / u128::from((*last).max(1));
                u64::try_from(estimate).unwrap_or(u64::MAX).max(kept)
            }
            _ => kept,
        }
    }
}

/// The width of a block: 0 for a single address, 1: narrow, 2: wide, else 3.
fn width_of(block: IpNet) -> usize {
    match (block, block.prefix_len()) {
        (IpNet::V4(_), 32) | (IpNet::V6(_), 128) => 0,
        (IpNet::V4(_), 24..) | (IpNet::V6(_), 64..) => 1,
        (IpNet::V4(_), 16..) | (IpNet::V6(_), 48..) => 2,
        _ => 3,
    }
}

/// The block of the given width (1: narrow, 2: wide, else the widest) around a narrower one.
fn widened(block: IpNet, width: usize) -> IpNet {
    let range = private_range(block);
    let prefix = match (block, width) {
        (IpNet::V4(_), 1) => 24,
        (IpNet::V4(_), 2) => 16,
        (IpNet::V6(_), 1) => 64,
        (IpNet::V6(_), 2) => 48,
        _ => range.map_or(0, |range| range.prefix_len()),
    };
    let around = IpNet::new(block.network(), prefix);
    around.map_or(block, |around| around.trunc())
}

/// Returns true if the address is of a private, shared, link-local or unique-local range.
pub fn is_private_address(address: IpAddr) -> bool {
    private_range(IpNet::from(address)).is_some()
}

/// The private, shared or link-local range that a block lies in (RFC 1918, RFC 6598, RFC 3927, RFC 4193).
fn private_range(block: IpNet) -> Option<IpNet> {
    match block.network() {
        IpAddr::V4(address) => V4_RANGES
            .into_iter()
            .find(|range| range.contains(&address))
            .map(IpNet::V4),
        IpAddr::V6(address) => UNIQUE_LOCAL
            .contains(&address)
            .then_some(IpNet::V6(UNIQUE_LOCAL)),
    }
}

/// The place of a block in the fixed order: the finalizer of SplitMix64 (Steele et al., OOPSLA 2014) over both halves
/// of the address.
fn place_in_order(block: IpNet) -> u64 {
    let bits = match block.network() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let mix = |bits: u64| {
        let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    mix(low ^ mix(high ^ u64::from(block.prefix_len())))
}

#[cfg(test)]
mod tests;
