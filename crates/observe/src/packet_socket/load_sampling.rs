//! Which part of a kind of traffic is captured, of UDP or of what no policy can express: all of it, unless it is too
//! much.

use std::time::Duration;

/// At least one packet in 2^20 is captured.
const MAX_SHIFT: u32 = 20;
/// How long the traffic must have been well within the budget before more of it is captured.
const CALM: Duration = Duration::from_secs(5);

/// Decides which part is taken: one packet in 2^shift.
#[derive(Debug)]
pub(super) struct LoadSampling {
    /// Packets per second.
    budget: u64,
    shift: u32,
    /// Packets taken in this turn.
    taken: u64,
    calm: Duration,
}

impl LoadSampling {
    pub fn new(budget: u64) -> Self {
        LoadSampling {
            budget: budget.max(1),
            shift: 0,
            taken: 0,
            calm: Duration::ZERO,
        }
    }

    pub fn shift(&self) -> u32 {
        self.shift
    }

    /// Records a packet that was taken. Returns how many others it represents, by estimate.
    pub fn note(&mut self) -> u64 {
        self.taken += 1;
        (1 << self.shift) - 1
    }

    /// Ends a turn of this length. Returns true if the part to take has changed.
    pub fn turn(&mut self, length: Duration) -> bool {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = self.taken.saturating_mul(1000) / millis;
        self.taken = 0;
        let before = self.shift;
        if rate > self.budget {
            self.calm = Duration::ZERO;
            while rate >> (self.shift - before) > self.budget && self.shift < MAX_SHIFT {
                self.shift += 1;
            }
        } else if rate * 4 < self.budget {
            // Twice as much would still be half of the budget: no going to and fro.
            self.calm += length;
            if self.calm >= CALM && self.shift > 0 {
                self.calm = Duration::ZERO;
                self.shift -= 1;
            }
        } else {
            self.calm = Duration::ZERO;
        }
        self.shift != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_millis(500);

    /// Turns with `rate` datagrams per second on the wire.
    fn turns(sampling: &mut LoadSampling, rate: u64, turns: u32) {
        for _ in 0..turns {
            for _ in 0..(rate >> sampling.shift()) / 2 {
                sampling.note();
            }
            sampling.turn(TURN);
        }
    }

    #[test]
    fn a_flood_is_thinned_at_once_and_taken_whole_again_when_it_ends() {
        let mut sampling = LoadSampling::new(2000);
        turns(&mut sampling, 1900, 20);
        assert_eq!(sampling.shift(), 0, "within the budget");
        turns(&mut sampling, 100_000, 1);
        assert_eq!(sampling.shift(), 6, "100000 / 64 is within the budget");
        turns(&mut sampling, 100_000, 100);
        assert_eq!(sampling.shift(), 6, "and stays there");
        turns(&mut sampling, 100, 10);
        assert_eq!(sampling.shift(), 5, "back in steps");
        turns(&mut sampling, 100, 50);
        assert_eq!(sampling.shift(), 0);
    }

    #[test]
    fn each_datagram_stands_for_those_left_out() {
        let mut sampling = LoadSampling::new(2);
        assert_eq!(sampling.note(), 0);
        for _ in 0..7 {
            sampling.note();
        }
        assert!(sampling.turn(Duration::from_secs(1)));
        assert_eq!(sampling.note(), 3);
    }
}
