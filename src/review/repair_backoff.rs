//! How often drift is repaired: at once, and less and less often where somebody keeps undoing it, so that
//! two controllers that both know better do not fill the API server with writes.

use crate::net::Timestamp;

/// So many repairs in a row are made at once.
const AT_ONCE: u32 = 3;
/// The first pause after those, in seconds; each is twice as long as the one before.
const FIRST_PAUSE: i64 = 1;
/// No pause is longer, in seconds.
const LONGEST_PAUSE: i64 = 300;
/// After so many seconds without a repair nobody is fighting any more.
const QUIET: i64 = 600;

/// The repairs of one policy so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairBackoff {
    /// Repairs in a row.
    repairs: u32,
    last: Option<Timestamp>,
}

impl RepairBackoff {
    /// Asks to repair now. `None`: yes, and it is counted as done. Else the time at which to ask again.
    pub fn ask(&mut self, now: Timestamp) -> Option<Timestamp> {
        // A clock that was put back must not make anybody wait for it.
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

    /// Whether somebody fights so hard that repairs are as seldom as they get.
    pub fn is_fighting(&self) -> bool {
        self.pause() == LONGEST_PAUSE
    }

    /// From the last repair to the next, in seconds.
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

    /// When repairs are made if the policy is changed again right after each.
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
    fn the_first_repairs_come_at_once_and_the_next_ever_later_up_to_five_minutes() {
        let made = repairs(15);
        let pauses: Vec<i64> = made.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(
            pauses,
            [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
        );
    }

    #[test]
    fn asking_while_it_waits_does_not_make_it_wait_longer() {
        let mut backoff = RepairBackoff::default();
        (0..5).for_each(|_| while backoff.ask(at(0)).is_some_and(|until| until == at(0)) {});
        let until = backoff.ask(at(0)).expect("a pause");
        for _ in 0..100 {
            assert_eq!(backoff.ask(at(0)), Some(until));
        }
        assert_eq!(backoff.ask(until), None);
    }

    #[test]
    fn after_ten_quiet_minutes_it_is_repaired_at_once_again() {
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
    fn a_clock_that_was_put_back_keeps_nobody_waiting_for_it() {
        let mut backoff = RepairBackoff::default();
        for _ in 0..4 {
            let _ = backoff.ask(at(1000));
        }
        let until = backoff.ask(at(0)).expect("a pause");
        assert!(until <= at(LONGEST_PAUSE), "{until}");
    }
}
