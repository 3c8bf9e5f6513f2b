//! The clock of live sources: it never jumps and never goes back, whatever happens to the node's clock.
//! Records that leave a source are converted to the node's clock as it is then.

use nanoseg_net::Timestamp;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A difference beyond this is a step of the clock and no drift, in nanoseconds.
const STEP: i64 = 500_000_000;

/// A clock that only goes forward.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    /// The node's clock when this one was started.
    epoch: Timestamp,
    /// The node's clock minus this one, at the last comparison.
    correction: i64,
}

impl Clock {
    /// A clock that agrees with the node's now.
    pub fn start() -> Self {
        Clock {
            start: Instant::now(),
            epoch: wall_clock(),
            correction: 0,
        }
    }

    /// The current time of this clock.
    pub fn now(&self) -> Timestamp {
        self.epoch.plus_nanos(nanos(self.start.elapsed()))
    }

    /// Compares with the node's clock. Returns true if it has jumped since the last call.
    pub fn check_step(&mut self) -> bool {
        self.compare(wall_clock())
    }

    fn compare(&mut self, wall: Timestamp) -> bool {
        let correction = wall.since(self.now());
        let stepped = (correction - self.correction).abs() > STEP;
        self.correction = correction;
        stepped
    }

    /// Converts a time of this clock to the node's clock.
    pub fn to_wall(&self, at: Timestamp) -> Timestamp {
        at.plus_nanos(self.correction)
    }

    /// A time of the node's clock (of a packet that came just now) by this clock: not before `last`,
    /// nor after now.
    pub fn from_wall(&self, at: Timestamp, last: Timestamp) -> Timestamp {
        at.plus_nanos(-self.correction)
            .clamp(last, self.now().max(last))
    }
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_nanos(since.map_or_else(|before| -nanos(before.duration()), nanos))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_node_s_clock_moves_what_leaves_and_not_what_is_kept() {
        let mut clock = Clock::start();
        let before = clock.now();
        assert!(!clock.compare(clock.now().plus_nanos(1000)), "drift");
        assert!(clock.compare(clock.now().plus_secs(-3600)));
        assert!(!clock.compare(clock.now().plus_secs(-3600)), "once");
        let after = clock.now();
        assert!(after >= before);
        let shown = clock.to_wall(after);
        assert!(shown < before.plus_secs(-3599), "{shown} {before}");
        assert_eq!(clock.from_wall(shown, before), after);
        assert_eq!(
            clock.from_wall(shown.plus_secs(-10), before),
            before,
            "never back"
        );
        assert!(clock.from_wall(shown.plus_secs(10), before) <= clock.now());
    }
}
