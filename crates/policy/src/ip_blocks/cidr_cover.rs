//! Covers addresses with few CIDRs: repeatedly joins the two neighbours whose join adds the fewest addresses.
//! If a third block lay inside the join of two neighbours, joining it with one of them would be cheaper, so
//! the cheapest join is always of exactly two blocks.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// A CIDR while it is being joined.
#[derive(Clone, Copy)]
struct Range {
    start: u128,
    /// The number of host bits: log2 of its size.
    free: u32,
    /// Is false once the range was joined into its left neighbour.
    alive: bool,
    /// The number of times that it has grown, so that an outdated join is recognised.
    grown: u32,
}

/// Returns at most `max` (at least one) disjoint CIDRs, ascending, that cover `addresses`. The addresses must be
/// ascending, distinct and of one family.
pub(super) fn cover(addresses: &[IpAddr], max: usize) -> Vec<IpNet> {
    let mut row = Row::new(addresses);
    let mut count = addresses.len();
    while count > max.max(1) {
        let Some(Reverse((_, left, right, grown))) = row.joins.pop() else {
            break;
        };
        count -= row.join(left, right, grown);
    }
    let v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    row.ranges
        .iter()
        .filter(|range| range.alive)
        .filter_map(|range| to_net(range, v4))
        .collect()
}

/// Added addresses, left range, right range, and the `grown` of both at that time.
type Join = (u128, usize, usize, (u32, u32));

/// Ranges in ascending order, their neighbours, and the cost of joining two neighbours.
struct Row {
    ranges: Vec<Range>,
    next: Vec<usize>,
    previous: Vec<usize>,
    joins: BinaryHeap<Reverse<Join>>,
}

impl Row {
    fn new(addresses: &[IpAddr]) -> Self {
        let single = |address: &IpAddr| Range {
            start: bits(address),
            free: 0,
            alive: true,
            grown: 0,
        };
        let mut row = Row {
            ranges: addresses.iter().map(single).collect(),
            next: (1..=addresses.len()).collect(),
            previous: (0..addresses.len()).map(|i| i.wrapping_sub(1)).collect(),
            joins: BinaryHeap::new(),
        };
        (0..addresses.len()).for_each(|left| row.offer(left, left + 1));
        row
    }

    /// Queues the join of two neighbours with its cost.
    fn offer(&mut self, left: usize, right: usize) {
        if let (Some(a), Some(b)) = (self.ranges.get(left), self.ranges.get(right)) {
            let added = size(joined(a, b).1)
                .saturating_sub(size(a.free))
                .saturating_sub(size(b.free));
            let entry = (added, left, right, (a.grown, b.grown));
            self.joins.push(Reverse(entry));
        }
    }

    /// Joins two neighbours, unless one of them has changed since. Returns the number of removed ranges.
    fn join(&mut self, left: usize, right: usize, grown: (u32, u32)) -> usize {
        let (Some(a), Some(b)) = (self.ranges.get(left), self.ranges.get(right)) else {
            return 0;
        };
        if !a.alive || !b.alive || (a.grown, b.grown) != grown {
            return 0;
        }
        let (start, free) = joined(a, b);
        if let Some(range) = self.ranges.get_mut(left) {
            (range.start, range.free) = (start, free);
            range.grown += 1;
        }
        if let Some(range) = self.ranges.get_mut(right) {
            range.alive = false;
        }
        let after = self.next.get(right).copied().unwrap_or(usize::MAX);
        if let Some(next) = self.next.get_mut(left) {
            *next = after;
        }
        if let Some(previous) = self.previous.get_mut(after) {
            *previous = left;
        }
        let before = self.previous.get(left).copied().unwrap_or(usize::MAX);
        self.offer(before, left);
        self.offer(left, after);
        1
    }
}

/// Returns the smallest CIDR that contains both ranges: its start, and log2 of its size.
fn joined(a: &Range, b: &Range) -> (u128, u32) {
    let free = (128 - (a.start ^ b.start).leading_zeros())
        .max(a.free)
        .max(b.free);
    let mask = u128::MAX.checked_shl(free).unwrap_or(0);
    (a.start & mask, free)
}

fn size(free: u32) -> u128 {
    1u128.checked_shl(free).unwrap_or(u128::MAX)
}

fn bits(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

fn to_net(range: &Range, v4: bool) -> Option<IpNet> {
    if v4 {
        let start = u32::try_from(range.start).ok()?.into();
        let prefix = u8::try_from(32u32.checked_sub(range.free)?).ok()?;
        Ipv4Net::new(start, prefix).ok().map(IpNet::V4)
    } else {
        let prefix = u8::try_from(128u32.checked_sub(range.free)?).ok()?;
        Ipv6Net::new(range.start.into(), prefix).ok().map(IpNet::V6)
    }
}
