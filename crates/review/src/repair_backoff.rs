//! The backoff of drift repairs: the first repairs are immediate, and later ones less and less frequent if somebody
//! keeps undoing them, so that two controllers that disagree do not flood the API server with writes.

use nanoseg_net::Timestamp;

/// The number of consecutive repairs without a pause.
const AT_ONCE: u32 = 3;
/// The first pause after those, in seconds. Each pause is twice as long as the one before.
const FIRST_PAUSE: i64 = 1;
/// The longest pause, in seconds.
const LONGEST_PAUSE: i64 = 300;
/// The time without a repair after which the backoff is reset, in seconds.
const QUIET: i64 = 600;

/// The backoff of the repairs of one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairBackoff {
    /// Consecutive repairs.
    repairs: u32,
    last: Option<Timestamp>,
}

impl RepairBackoff {
    /// Decides whether to repair now. Returns `None` if so, and counts the repair as done. Otherwise returns the time
    /// at which the caller may ask again.
    pub fn ask(&mut self, now: Timestamp) -> Option<Timestamp> {
        // A clock that was set back must not prolong the pause.
        let last = self.last.map_or(now, |last| last.min(now));
        if self.last.is_some() && now >= last.plus_secs(QUIET) {
            *self = RepairBackoff::default();
        }
        let due = last.plus_secs(self.pause());
        if now < due {
            self.last = Some(last);
            return Some(due);
        }
        self.repairs = self.repairs.saturating_add(1);
        self.last = Some(now);
        None
    }

    /// Returns true if somebody undid so many repairs that the pause is the longest one.
    pub fn is_fighting(&self) -> bool {
        self.pause() == LONGEST_PAUSE
    }

    /// Returns the pause from the last repair to the next, in seconds.
    fn pause(&self) -> i64 {
        let Some(doubled) = self.repairs.checked_sub(AT_ONCE) else {
            return 0;
        };
        let pause = FIRST_PAUSE.checked_shl(doubled.min(32));
        pause.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    /// Returns the times of repairs, in seconds, if the policy is changed again immediately after each.
    fn repairs(count: usize) -> Vec<i64> {
        let mut backoff = RepairBackoff::default();
        let (mut now, mut made) = (at(0), Vec::new());
        while made.len() < count {
            match backoff.ask(now) {
                None => made.push(now.since(at(0)) / 1_000_000_000),
                Some(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        made
    }

    #[test]
    fn the_first_repairs_are_immediate_and_the_pauses_grow_to_five_minutes() {
        let made = repairs(15);
        let pauses: Vec<i64> = made.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(
            pauses,
            [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
        );
    }

    #[test]
    fn asking_during_a_pause_does_not_prolong_it() {
        let mut backoff = RepairBackoff::default();
        (0..5).for_each(|_| while backoff.ask(at(0)).is_some_and(|until| until == at(0)) {});
        let until = backoff.ask(at(0)).expect("a pause");
        for _ in 0..100 {
            assert_eq!(backoff.ask(at(0)), Some(until));
        }
        assert_eq!(backoff.ask(until), None);
    }

    #[test]
    fn after_ten_minutes_without_a_repair_the_next_one_is_immediate() {
        let mut backoff = RepairBackoff::default();
        let mut now = at(0);
        while !backoff.is_fighting() {
            now = backoff.ask(now).unwrap_or(now);
        }
        assert!(backoff.ask(now.plus_secs(299)).is_some());
        let quiet = now.plus_secs(600);
        for _ in 0..AT_ONCE {
            assert_eq!(backoff.ask(quiet), None);
        }
        assert!(!backoff.is_fighting());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_prolong_the_pause() {
        let mut backoff = RepairBackoff::default();
        for _ in 0..4 {
            let _ = backoff.ask(at(1000));
        }
        let until = backoff.ask(at(0)).expect("a pause");
        assert!(until <= at(LONGEST_PAUSE), "{until}");
    }
}
