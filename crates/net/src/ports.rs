//! Exact sets of port numbers.

use super::intervals::Intervals;
use std::fmt;

/// A set of ports out of 1–65535. Port 0 is reserved (RFC 6335 section 6) and the Kubernetes API refuses
/// it, so it is in no set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortSet(Intervals<u16>);

impl PortSet {
    /// The lowest port.
    pub const FIRST: u16 = 1;
    /// The highest port.
    pub const LAST: u16 = u16::MAX;

    /// Every port.
    pub fn all() -> Self {
        PortSet(Intervals::one(Self::FIRST, Self::LAST))
    }

    /// The set of one port; empty for port 0.
    pub fn one(port: u16) -> Self {
        Self::range(port, port)
    }

    /// The ports from `first` to `last`, both included; empty if `last < first`.
    pub fn range(first: u16, last: u16) -> Self {
        PortSet(Intervals::one(first.max(Self::FIRST), last))
    }

    /// Returns true if no port is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if every port is in the set.
    pub fn is_all(&self) -> bool {
        self.0.as_slice() == [(Self::FIRST, Self::LAST)]
    }

    /// Returns true if `port` is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(port)
    }

    /// The ranges in ascending order, both ends included.
    pub fn ranges(&self) -> &[(u16, u16)] {
        self.0.as_slice()
    }

    /// How many ports.
    pub fn count(&self) -> u32 {
        self.ranges()
            .iter()
            .map(|(first, last)| u32::from(last - first) + 1)
            .sum()
    }

    /// The ports that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        PortSet(self.0.union(&other.0))
    }

    /// The ports that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        PortSet(self.0.intersection(&other.0))
    }

    /// The ports of `self` that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        PortSet(self.0.difference(&other.0))
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let ports = ports.into_iter().filter(|port| *port >= Self::FIRST);
        PortSet(Intervals::of(ports.map(|port| (port, port)).collect()))
    }
}

impl fmt::Display for PortSet {
    /// `80,443,8000-8100`; nothing for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_print_as_other_tools_print_them() {
        let set: PortSet = [443, 80].into_iter().collect();
        assert_eq!(
            set.union(&PortSet::range(8000, 8100)).to_string(),
            "80,443,8000-8100"
        );
        assert_eq!(PortSet::all().to_string(), "1-65535");
    }

    #[test]
    fn port_zero_is_in_no_set() {
        assert!(PortSet::one(0).is_empty());
        assert!(PortSet::range(0, 65535).is_all());
        assert!([0].into_iter().collect::<PortSet>().is_empty());
    }

    #[test]
    fn ports_are_counted_exactly() {
        assert_eq!(PortSet::all().count(), 65535);
        assert_eq!(PortSet::one(1).union(&PortSet::range(5, 6)).count(), 3);
    }
}
