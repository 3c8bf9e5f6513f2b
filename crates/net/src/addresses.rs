//! Exact sets of IP addresses as ranges, both families side by side.

use super::intervals::Intervals;
use ipnet::IpNet;
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An inclusive range of addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Returns true if `address` is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    /// How many addresses; the whole of IPv6 is one more than a `u128` holds and counts as `u128::MAX`.
    pub fn count(&self) -> u128 {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                u128::from(u32::from(last)) - u128::from(u32::from(first)) + 1
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                (u128::from(last) - u128::from(first)).saturating_add(1)
            }
            _ => 0,
        }
    }
}

impl fmt::Display for AddressRange {
    /// `first-last`, also for a single address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A set of IPv4 and IPv6 addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressSet {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
}

impl AddressSet {
    /// Every address of both families.
    pub fn all() -> Self {
        Self::all_v4().union(&Self::all_v6())
    }

    /// Every IPv4 address.
    pub fn all_v4() -> Self {
        AddressSet {
            v4: Intervals::one(0, u32::MAX),
            v6: Intervals::default(),
        }
    }

    /// Every IPv6 address.
    pub fn all_v6() -> Self {
        AddressSet {
            v4: Intervals::default(),
            v6: Intervals::one(0, u128::MAX),
        }
    }

    /// The set of one address.
    pub fn one(address: IpAddr) -> Self {
        [address].into_iter().collect()
    }

    /// Every address of a CIDR; host bits are ignored.
    pub fn from_cidr(cidr: IpNet) -> Self {
        match cidr {
            IpNet::V4(net) => AddressSet {
                v4: Intervals::one(net.network().into(), net.broadcast().into()),
                v6: Intervals::default(),
            },
            IpNet::V6(net) => AddressSet {
                v4: Intervals::default(),
                v6: Intervals::one(net.network().into(), net.broadcast().into()),
            },
        }
    }

    /// Every address of a CIDR without those of the `except` CIDRs.
    pub fn from_cidr_except(cidr: IpNet, except: impl IntoIterator<Item = IpNet>) -> Self {
        let without = |set: Self, net| set.difference(&Self::from_cidr(net));
        except.into_iter().fold(Self::from_cidr(cidr), without)
    }

    /// Returns true if no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Returns true if `address` is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.into()),
            IpAddr::V6(address) => self.v6.contains(address.into()),
        }
    }

    /// The addresses that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        AddressSet {
            v4: self.v4.union(&other.v4),
            v6: self.v6.union(&other.v6),
        }
    }

    /// The addresses that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        AddressSet {
            v4: self.v4.intersection(&other.v4),
            v6: self.v6.intersection(&other.v6),
        }
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        AddressSet {
            v4: self.v4.difference(&other.v4),
            v6: self.v6.difference(&other.v6),
        }
    }

    /// Returns true if `other` has every address of `self`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.v4.is_subset(&other.v4) && self.v6.is_subset(&other.v6)
    }

    /// The union of many sets at once, in one sort.
    pub fn union_all<'a>(sets: impl IntoIterator<Item = &'a AddressSet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in sets {
            v4.extend_from_slice(set.v4.as_slice());
            v6.extend_from_slice(set.v6.as_slice());
        }
        AddressSet {
            v4: Intervals::of(v4),
            v6: Intervals::of(v6),
        }
    }

    /// How many addresses, clamped to `u128::MAX`.
    pub fn count(&self) -> u128 {
        self.ranges()
            .map(|range| range.count())
            .fold(0, u128::saturating_add)
    }

    /// The ranges in ascending order, IPv4 before IPv6.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        let v4 = self
            .v4
            .as_slice()
            .iter()
            .map(|&(first, last)| AddressRange {
                first: Ipv4Addr::from(first).into(),
                last: Ipv4Addr::from(last).into(),
            });
        let v6 = self
            .v6
            .as_slice()
            .iter()
            .map(|&(first, last)| AddressRange {
                first: Ipv6Addr::from(first).into(),
                last: Ipv6Addr::from(last).into(),
            });
        v4.chain(v6)
    }

    /// The coarsest partition of the union of `sets` in which each part is one range that lies
    /// wholly inside or wholly outside of every set; in ascending order. Neighbouring parts differ
    /// in the sets they lie in, or at a bound of some set.
    pub fn atoms<'a>(sets: impl IntoIterator<Item = &'a AddressSet>) -> Vec<AddressRange> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in sets {
            v4.extend_from_slice(set.v4.as_slice());
            v6.extend_from_slice(set.v6.as_slice());
        }
        let v4 = cut(v4).into_iter().map(|(first, last)| AddressSet {
            v4: Intervals::one(first, last),
            v6: Intervals::default(),
        });
        let v6 = cut(v6).into_iter().map(|(first, last)| AddressSet {
            v4: Intervals::default(),
            v6: Intervals::one(first, last),
        });
        v4.chain(v6)
            .flat_map(|set| set.ranges().collect::<Vec<_>>())
            .collect()
    }
}

/// Cuts overlapping intervals at each other's bounds.
fn cut<T: super::intervals::Point>(intervals: Vec<(T, T)>) -> Vec<(T, T)> {
    let mut starts: Vec<T> = intervals.iter().map(|(first, _)| *first).collect();
    starts.extend(intervals.iter().filter_map(|(_, last)| last.after()));
    starts.sort_unstable();
    starts.dedup();
    let covered = Intervals::of(intervals);
    let mut parts = Vec::with_capacity(starts.len());
    let mut next = starts.iter().peekable();
    for &(first, last) in covered.as_slice() {
        let mut from = first;
        while let Some(&&start) = next.peek() {
            if start > last {
                break;
            }
            if let Some(end) = start.before()
                && from <= end
                && start > first
            {
                parts.push((from, end));
                from = start;
            }
            next.next();
        }
        parts.push((from, last));
    }
    parts
}

impl FromIterator<IpAddr> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push((address.into(), address.into())),
                IpAddr::V6(address) => v6.push((address.into(), address.into())),
            }
        }
        AddressSet {
            v4: Intervals::of(v4),
            v6: Intervals::of(v6),
        }
    }
}

impl From<AddressRange> for AddressSet {
    fn from(range: AddressRange) -> Self {
        match (range.first, range.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => AddressSet {
                v4: Intervals::one(first.into(), last.into()),
                v6: Intervals::default(),
            },
            (IpAddr::V6(first), IpAddr::V6(last)) => AddressSet {
                v4: Intervals::default(),
                v6: Intervals::one(first.into(), last.into()),
            },
            _ => AddressSet::default(),
        }
    }
}

impl Serialize for AddressSet {
    /// A list of ranges, each as text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.ranges().map(|range| range.to_string()))
    }
}

impl fmt::Display for AddressSet {
    /// The ranges, separated by `, `; a range of one address is that address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if range.first == range.last {
                write!(f, "{}", range.first)?;
            } else {
                write!(f, "{range}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn texts(atoms: &[AddressRange]) -> Vec<String> {
        atoms.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn except_cuts_a_hole() {
        let set = AddressSet::from_cidr_except(net("10.0.0.0/8"), [net("10.10.0.0/16")]);
        assert_eq!(
            set.to_string(),
            "10.0.0.0-10.9.255.255, 10.11.0.0-10.255.255.255"
        );
        assert!(!set.contains("10.10.3.4".parse().unwrap()));
        assert_eq!(set.count(), (1 << 24) - (1 << 16));
    }

    #[test]
    fn host_bits_of_a_cidr_are_ignored() {
        let set = AddressSet::from_cidr(net("10.1.2.3/24"));
        assert_eq!(set.to_string(), "10.1.2.0-10.1.2.255");
    }

    #[test]
    fn families_do_not_mix() {
        let v6 = AddressSet::from_cidr(net("::/0"));
        assert!(!v6.contains("10.0.0.1".parse().unwrap()));
        assert_eq!(v6, AddressSet::all_v6());
        assert_eq!(v6.count(), u128::MAX);
        assert_eq!(AddressSet::all().difference(&v6), AddressSet::all_v4());
        assert_eq!(AddressSet::all_v4().count(), 1 << 32);
    }

    #[test]
    fn neighbouring_addresses_form_a_range() {
        let set: AddressSet = ["10.0.0.2", "10.0.0.1", "fd00::1"]
            .iter()
            .map(|a| a.parse::<IpAddr>().unwrap())
            .collect();
        assert_eq!(set.to_string(), "10.0.0.1-10.0.0.2, fd00::1");
    }

    #[test]
    fn atoms_are_cut_at_every_bound() {
        let all = AddressSet::all_v4();
        let block = AddressSet::from_cidr_except(net("10.0.0.0/8"), [net("10.10.0.0/16")]);
        assert_eq!(
            texts(&AddressSet::atoms([&all, &block])),
            [
                "0.0.0.0-9.255.255.255",
                "10.0.0.0-10.9.255.255",
                "10.10.0.0-10.10.255.255",
                "10.11.0.0-10.255.255.255",
                "11.0.0.0-255.255.255.255"
            ]
        );
    }

    #[test]
    fn atoms_cover_no_more_than_the_sets() {
        let left = AddressSet::from_cidr(net("10.0.0.0/31"));
        let right = AddressSet::from_cidr(net("10.0.0.2/31"));
        let far = AddressSet::from_cidr(net("255.255.255.255/32"));
        assert_eq!(
            texts(&AddressSet::atoms([&right, &far, &left])),
            [
                "10.0.0.0-10.0.0.1",
                "10.0.0.2-10.0.0.3",
                "255.255.255.255-255.255.255.255"
            ]
        );
    }
}
