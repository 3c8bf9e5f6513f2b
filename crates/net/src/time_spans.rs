//! Times during which something was so, as intervals apart from each other.

use super::{SECOND, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most intervals that are kept. Then the oldest are dropped: what is not kept counts as not so.
const MAX_INTERVALS: usize = 256;

/// Intervals of time, in order and apart from each other. Intervals that touch or overlap become one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TimeSpans {
    /// First → last time.
    spans: BTreeMap<Timestamp, Timestamp>,
}

impl TimeSpans {
    /// Adds the time from `first` to `last`; nothing if `last` is earlier.
    pub fn insert(&mut self, first: Timestamp, last: Timestamp) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        let touching: Vec<Timestamp> = self
            .spans
            .range(..=last)
            .rev()
            .take_while(|(_, end)| **end >= first)
            .map(|(start, _)| *start)
            .collect();
        for start in touching {
            if let Some(end) = self.spans.remove(&start) {
                first = first.min(start);
                last = last.max(end);
            }
        }
        self.spans.insert(first, last);
        while self.spans.len() > MAX_INTERVALS {
            self.spans.pop_first();
        }
    }

    /// Adds the time of both.
    pub fn merge(&mut self, other: &TimeSpans) {
        for (first, last) in other.iter() {
            self.insert(first, last);
        }
    }

    /// First and last time of each interval, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        self.spans.iter().map(|(first, last)| (*first, *last))
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The first and the last time of all.
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let first = *self.spans.first_key_value()?.0;
        let last = *self.spans.last_key_value()?.1;
        Some((first, last))
    }

    /// Returns true if some time from `first` to `last` is in it.
    pub fn overlaps(&self, first: Timestamp, last: Timestamp) -> bool {
        let before = self.spans.range(..=last).next_back();
        before.is_some_and(|(_, end)| *end >= first)
    }

    /// How many whole seconds from `first` to `last` are in it.
    pub fn secs_within(&self, first: Timestamp, last: Timestamp) -> i64 {
        let parts = self.iter().map(|(a, b)| b.min(last).since(a.max(first)));
        parts.filter(|nanos| *nanos > 0).sum::<i64>() / SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn spans(all: &[(i64, i64)]) -> TimeSpans {
        let mut spans = TimeSpans::default();
        for (first, last) in all {
            spans.insert(at(*first), at(*last));
        }
        spans
    }

    #[test]
    fn what_touches_or_overlaps_is_one_interval_in_any_order() {
        let one = spans(&[(0, 10), (20, 30), (10, 15), (14, 21), (40, 41)]);
        let other = spans(&[(40, 41), (14, 21), (20, 30), (10, 15), (0, 10)]);
        assert_eq!(one, other);
        assert_eq!(
            one.iter().collect::<Vec<_>>(),
            [(at(0), at(30)), (at(40), at(41))]
        );
        assert_eq!(one.range(), Some((at(0), at(41))));
    }

    #[test]
    fn a_gap_is_not_in_it() {
        let two = spans(&[(0, 10), (20, 30)]);
        assert!(!two.overlaps(at(11), at(19)));
        assert!(two.overlaps(at(10), at(19)));
        assert!(two.overlaps(at(11), at(20)));
        assert_eq!(two.secs_within(at(5), at(25)), 10);
        assert_eq!(two.secs_within(at(11), at(19)), 0);
    }

    #[test]
    fn an_interval_that_ends_before_it_begins_adds_nothing() {
        assert!(spans(&[(5, 4)]).is_empty());
    }

    #[test]
    fn the_number_of_intervals_is_bounded_and_the_oldest_go() {
        let all: Vec<(i64, i64)> = (0..1000).map(|n| (n * 10, n * 10 + 1)).collect();
        let kept = spans(&all);
        assert_eq!(kept.iter().count(), MAX_INTERVALS);
        assert!(!kept.overlaps(at(0), at(1)));
        assert!(kept.overlaps(at(9990), at(9990)));
    }
}
