//! The time windows in which something was active: the samples of the learning estimate (rule: learning-estimate).

use nanoseg_net::{SECOND, Timestamp};
use serde::{Deserialize, Serialize};

/// A set of time windows in constant space, whatever the period: 128 windows of 2^k seconds on the
/// absolute time grid; k grows (neighbouring windows are joined) as the period does. Any order of
/// marking and merging gives the same set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ActivityWindows {
    /// log2 of a window's length in seconds.
    scale: u8,
    /// The absolute number of the window at bit 0; meaningless while `bits` is 0.
    base: i64,
    bits: u128,
}

/// No window is longer than 2^30 seconds.
const MAX_SCALE: u8 = 30;

impl ActivityWindows {
    /// The set of the one window that `at` falls into.
    pub fn at(at: Timestamp) -> Self {
        ActivityWindows {
            scale: 0,
            base: at.nanos().div_euclid(SECOND),
            bits: 1,
        }
    }

    /// The set of all windows from that of `first` to that of `last`: of what goes on all the time. Only that of `last`
    /// if that is earlier.
    pub fn span(first: Timestamp, last: Timestamp) -> Self {
        let window = |at: Timestamp| at.nanos().div_euclid(SECOND);
        let (from, until) = (window(first).min(window(last)), window(last));
        let mut scale = 0;
        while (until >> scale) - (from >> scale) >= 128 {
            scale += 1;
        }
        let base = from >> scale;
        let unused = 127 - ((until >> scale) - base);
        ActivityWindows {
            scale,
            base,
            bits: u128::MAX >> unused,
        }
    }

    /// Adds the window of `at`.
    pub fn mark(&mut self, at: Timestamp) {
        let window = at.nanos().div_euclid(SECOND) >> self.scale;
        let offset = window.wrapping_sub(self.base);
        if self.bits != 0 && (0..128).contains(&offset) {
            self.bits |= 1 << offset;
        } else {
            self.merge(&ActivityWindows::at(at));
        }
    }

    /// Adds all windows of `other`.
    pub fn merge(&mut self, other: &ActivityWindows) {
        if other.bits == 0 {
            return;
        }
        if self.bits == 0 {
            *self = *other;
            return;
        }
        if other.bits.is_power_of_two() && other.scale <= self.scale {
            // One more window, as each new connection is.
            let window = other.base + i64::from(other.bits.trailing_zeros());
            let offset = (window >> (self.scale - other.scale)).wrapping_sub(self.base);
            if (0..128).contains(&offset) {
                self.bits |= 1 << offset;
                return;
            }
        }
        let offset = other.base.wrapping_sub(self.base);
        if other.scale == self.scale
            && (0..=i64::from(other.bits.leading_zeros())).contains(&offset)
        {
            self.bits |= other.bits << offset;
            return;
        }
        let (mut a, mut b) = (self.normal(), other.normal());
        let scale = a.scale.max(b.scale);
        a = a.coarsened_to(scale);
        b = b.coarsened_to(scale);
        loop {
            let base = a.base.min(b.base);
            let end = a.last().max(b.last());
            if end - base < 128 {
                self.scale = a.scale;
                self.base = base;
                self.bits = (a.bits << (a.base - base)) | (b.bits << (b.base - base));
                return;
            }
            let next = a.scale + 1;
            a = a.coarsened_to(next);
            b = b.coarsened_to(next);
        }
    }

    /// Only the windows that have some time from `first` to `last`; that of `last` if none has.
    #[must_use]
    pub fn within(&self, first: Timestamp, last: Timestamp) -> ActivityWindows {
        let window = |at: Timestamp| at.nanos().div_euclid(SECOND) >> self.scale;
        let (from, until) = (window(first), window(last));
        let mut kept = self.normal();
        if kept.bits != 0 && from <= kept.base && kept.last() <= until {
            return kept;
        }
        let is_within = |bit: &u32| {
            let window = kept.base.saturating_add(i64::from(*bit));
            (from..=until).contains(&window) && kept.bits >> bit & 1 == 1
        };
        kept.bits = (0..128)
            .filter(is_within)
            .fold(0, |bits, bit| bits | 1 << bit);
        if kept.bits == 0 {
            return ActivityWindows::at(last);
        }
        kept.normal()
    }

    /// How many windows of 2^`scale` seconds were active. `scale` must not be finer than
    /// [`ActivityWindows::scale`].
    pub fn count_at(&self, scale: u8) -> u32 {
        self.normal()
            .coarsened_to(scale.max(self.scale))
            .bits
            .count_ones()
    }

    /// The exponent of a window's length: windows have 2^scale seconds.
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// First and last active window, in seconds since the epoch (start of first, end of last).
    pub fn span_secs(&self) -> Option<(i64, i64)> {
        (self.bits != 0).then(|| {
            let n = self.normal();
            (n.base << n.scale, (n.last() + 1) << n.scale)
        })
    }

    /// Its parts, to be stored or sent: scale, number of the first window (0 if there is none), and the
    /// windows as bits.
    pub fn parts(&self) -> (u8, i64, u128) {
        (self.scale, self.base, self.bits)
    }

    /// The set with these parts. `None` if they are outside of the range of a [`Timestamp`].
    pub fn from_parts(scale: u8, base: i64, bits: u128) -> Option<ActivityWindows> {
        if bits == 0 {
            return (scale == 0 && base == 0).then(ActivityWindows::default);
        }
        // The range of a timestamp has 2^36 seconds, so a window of 2^30 is the longest that 128 need.
        if scale > MAX_SCALE {
            return None;
        }
        let reach = (i64::MAX / SECOND) >> scale;
        let windows = ActivityWindows { scale, base, bits }.checked_normal()?;
        (windows.base >= -reach - 1 && windows.last() <= reach).then_some(windows)
    }

    fn checked_normal(&self) -> Option<ActivityWindows> {
        self.base.checked_add(127)?;
        Some(self.normal())
    }

    fn last(&self) -> i64 {
        self.base + (127 - self.bits.leading_zeros() as i64)
    }

    /// The same set with bit 0 set.
    fn normal(&self) -> ActivityWindows {
        if self.bits == 0 {
            return *self;
        }
        let shift = self.bits.trailing_zeros();
        ActivityWindows {
            scale: self.scale,
            base: self.base + shift as i64,
            bits: self.bits >> shift,
        }
    }

    fn coarsened_to(mut self, scale: u8) -> ActivityWindows {
        while self.scale < scale {
            let base = self.base >> 1;
            let mut bits = 0u128;
            let mut rest = self.bits;
            while rest != 0 {
                let bit = rest.trailing_zeros() as i64;
                rest &= rest - 1;
                bits |= 1 << (((self.base + bit) >> 1) - base);
            }
            self = ActivityWindows {
                scale: self.scale + 1,
                base,
                bits,
            };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_gives_the_same_windows(mut secs in prop::collection::vec(0i64..1_000_000, 1..40)) {
            let collect = |secs: &[i64]| {
                let mut w = ActivityWindows::default();
                for s in secs { w.mark(Timestamp::from_secs(*s)); }
                w.normal()
            };
            let forward = collect(&secs);
            secs.reverse();
            prop_assert_eq!(forward, collect(&secs));
            let (a, b) = secs.split_at(secs.len() / 2);
            let mut left = collect(b);
            left.merge(&collect(a));
            prop_assert_eq!(forward, left.normal());
        }
    }

    #[test]
    fn what_goes_on_is_active_in_every_window() {
        let span = |first, last| {
            ActivityWindows::span(Timestamp::from_secs(first), Timestamp::from_secs(last))
        };
        assert_eq!(span(5, 5), ActivityWindows::at(Timestamp::from_secs(5)));
        assert_eq!(span(9, 5), span(5, 5));
        assert_eq!((span(1, 128).scale(), span(1, 128).count_at(0)), (0, 128));
        // Three hours in windows of 128 seconds.
        let long = span(0, 3 * 3600);
        assert_eq!((long.scale(), long.count_at(7)), (7, 85));
        assert_eq!(long.span_secs(), Some((0, 85 * 128)));
    }

    #[test]
    fn windows_are_counted_at_any_coarser_scale() {
        let mut w = ActivityWindows::default();
        for s in [0, 1, 5, 6, 64] {
            w.mark(Timestamp::from_secs(s));
        }
        assert_eq!(w.count_at(0), 5);
        assert_eq!(w.count_at(1), 4);
        assert_eq!(w.count_at(6), 2);
    }
}
