//! Exact sets over an ordered, finite universe as sorted, disjoint, non-touching intervals. The one
//! set algebra under [`super::PortSet`] and [`super::AddressSet`].

/// A value that intervals can be made of: every value but the ends has a neighbour on both sides.
pub trait Point: Copy + Ord {
    /// The next greater value, `None` at the end of the universe.
    fn after(self) -> Option<Self>;
    /// The next smaller value, `None` at the start of the universe.
    fn before(self) -> Option<Self>;
}

macro_rules! point {
    ($($t:ty)*) => { $(
        impl Point for $t {
            fn after(self) -> Option<Self> { self.checked_add(1) }
            fn before(self) -> Option<Self> { self.checked_sub(1) }
        }
    )* };
}
point!(u16 u32 u128);

/// A set of values as inclusive intervals, sorted, disjoint, and with a gap between neighbours, so
/// that equal sets are equal values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Intervals<T>(Vec<(T, T)>);

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Intervals(Vec::new())
    }
}

impl<T: Point> Intervals<T> {
    /// One interval; empty if `last < first`.
    pub fn one(first: T, last: T) -> Self {
        Intervals(if first <= last {
            vec![(first, last)]
        } else {
            Vec::new()
        })
    }

    /// The union of intervals in any order, overlapping or not; those with `last < first` are empty.
    pub fn of(mut intervals: Vec<(T, T)>) -> Self {
        intervals.retain(|(first, last)| first <= last);
        intervals.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some(open) if open.1.after().is_none_or(|next| first <= next) => {
                    open.1 = open.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Intervals(merged)
    }

    /// The intervals in ascending order.
    pub fn as_slice(&self) -> &[(T, T)] {
        &self.0
    }

    /// Returns true if no value is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if `value` is in the set.
    pub fn contains(&self, value: T) -> bool {
        let index = self.0.partition_point(|(first, _)| *first <= value);
        index
            .checked_sub(1)
            .and_then(|i| self.0.get(i))
            .is_some_and(|(_, last)| value <= *last)
    }

    /// The values that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if self.is_empty() || self == other {
            return other.clone();
        }
        if other.is_empty() {
            return self.clone();
        }
        Self::of(self.0.iter().chain(&other.0).copied().collect())
    }

    /// The values that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(&&a), Some(&&b)) = (left.peek(), right.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                common.push((first, last));
            }
            if a.1 <= b.1 {
                left.next();
            } else {
                right.next();
            }
        }
        Intervals(common)
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut cuts = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut start = Some(first);
            while let (Some(from), Some(&&(cut_first, cut_last))) = (start, cuts.peek()) {
                if cut_last < from {
                    cuts.next();
                    continue;
                }
                if cut_first > last {
                    break;
                }
                if let Some(end) = cut_first.before()
                    && from <= end
                {
                    rest.push((from, end));
                }
                start = cut_last.after().filter(|next| *next <= last);
                if cut_last <= last {
                    cuts.next();
                }
            }
            if let Some(from) = start {
                rest.push((from, last));
            }
        }
        Intervals(rest)
    }

    /// Returns true if `other` has every value of `self`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(set: &Intervals<u16>) -> Vec<u16> {
        (0..64).filter(|v| set.contains(*v)).collect()
    }

    fn small() -> impl Strategy<Value = Intervals<u16>> {
        prop::collection::vec((0u16..64, 0u16..8), 0..6).prop_map(|pairs| {
            Intervals::of(
                pairs
                    .into_iter()
                    .map(|(a, n)| (a, (a + n).min(63)))
                    .collect(),
            )
        })
    }

    #[test]
    fn touching_intervals_become_one() {
        assert_eq!(Intervals::of(vec![(5u16, 6), (1, 4)]).as_slice(), &[(1, 6)]);
    }

    #[test]
    fn the_ends_of_the_universe_do_not_overflow() {
        let all = Intervals::one(0u16, u16::MAX);
        assert_eq!(Intervals::of(vec![(0, u16::MAX), (7, 9)]), all);
        assert!(all.difference(&all).is_empty());
        let ends = all.difference(&Intervals::one(1, u16::MAX - 1));
        assert_eq!(ends.as_slice(), &[(0, 0), (u16::MAX, u16::MAX)]);
    }

    #[test]
    fn a_backward_interval_is_empty() {
        assert!(Intervals::one(2u16, 1).is_empty());
        assert!(Intervals::of(vec![(2u16, 1)]).is_empty());
    }

    proptest! {
        #[test]
        fn the_algebra_agrees_with_counting_members(a in small(), b in small()) {
            let (left, right) = (members(&a), members(&b));
            let expect = |keep: &dyn Fn(bool, bool) -> bool| -> Vec<u16> {
                (0..64).filter(|v| keep(left.contains(v), right.contains(v))).collect()
            };
            prop_assert_eq!(members(&a.union(&b)), expect(&|x, y| x || y));
            prop_assert_eq!(members(&a.intersection(&b)), expect(&|x, y| x && y));
            prop_assert_eq!(members(&a.difference(&b)), expect(&|x, y| x && !y));
            prop_assert_eq!(a.is_subset(&b), left.iter().all(|v| right.contains(v)));
        }

        #[test]
        fn equal_sets_are_equal_values(a in small(), b in small()) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a);
        }
    }
}
