//! What to log of something that is tried again and again: that it fails, and that it works again; not each attempt
//! (rule: logs-tell-changes).

use super::time::{SECOND, Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long after a line another reason is logged: a reason may differ at each attempt.
const OTHER_REASON: Duration = Duration::from_secs(60);
/// How long after a line the same reason is logged again, so that a log of the last day shows it.
const REMINDER: Duration = Duration::from_secs(3600);
/// How many things [`Outages`] keeps apart. Of those beyond, each failure is news.
const MOST: usize = 1000;

/// Whether something works that is tried again and again.
#[derive(Debug, Clone, Default)]
pub struct Outage(Option<Failing>);

#[derive(Debug, Clone)]
struct Failing {
    since: Timestamp,
    attempts: u64,
    /// What was logged last, and when.
    said: (String, Timestamp),
}

/// An outage that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// From the first failure on.
    pub after: Duration,
    /// How many attempts failed.
    pub attempts: u64,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = match self.attempts {
            1 => "1 failure".to_owned(),
            count => format!("{count} failures"),
        };
        write!(f, "after {} s and {failures}", self.after.as_secs())
    }
}

impl Outage {
    /// Notes a failure. Returns true if it is to be logged: the first one, another reason, or a reminder.
    pub fn failed(&mut self, why: &str, now: Timestamp) -> bool {
        let Some(failing) = &mut self.0 else {
            self.0 = Some(Failing {
                since: now,
                attempts: 1,
                said: (why.to_owned(), now),
            });
            return true;
        };
        failing.attempts = failing.attempts.saturating_add(1);
        let rest = if failing.said.0 == why {
            REMINDER
        } else {
            OTHER_REASON
        };
        let went_back = now < failing.said.1;
        let is_news = went_back || since(failing.said.1, now) >= rest;
        if is_news {
            failing.said = (why.to_owned(), now);
        }
        is_news
    }

    /// Notes that it works. Returns the outage that ended with it, if there was one.
    pub fn worked(&mut self, now: Timestamp) -> Option<Recovery> {
        let over = self.so_far(now);
        self.0 = None;
        over
    }

    /// The outage until now, if there is one.
    pub fn so_far(&self, now: Timestamp) -> Option<Recovery> {
        let failing = self.0.as_ref()?;
        Some(Recovery {
            after: since(failing.since, now),
            attempts: failing.attempts,
        })
    }

    /// Returns true if it failed and has not worked since.
    pub fn is_failing(&self) -> bool {
        self.0.is_some()
    }
}

/// Outages of several things, by name.
#[derive(Debug, Clone, Default)]
pub struct Outages(BTreeMap<String, Outage>);

impl Outages {
    /// See [`Outage::failed`].
    pub fn failed(&mut self, name: &str, why: &str, now: Timestamp) -> bool {
        if let Some(known) = self.0.get_mut(name) {
            return known.failed(why, now);
        }
        if self.0.len() < MOST {
            let mut outage = Outage::default();
            outage.failed(why, now);
            self.0.insert(name.to_owned(), outage);
        }
        true
    }

    /// See [`Outage::worked`].
    pub fn worked(&mut self, name: &str, now: Timestamp) -> Option<Recovery> {
        self.0.remove(name)?.worked(now)
    }
}

/// From a time to another; clocks may go back.
fn since(from: Timestamp, to: Timestamp) -> Duration {
    let nanos = to.since(from).max(0);
    let seconds = u64::try_from(nanos / SECOND).unwrap_or_default();
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn a_failure_is_news_once_and_its_end_is_news_once() {
        let mut outage = Outage::default();
        assert_eq!(outage.worked(at(0)), None, "it never failed");
        assert!(outage.failed("no route", at(10)));
        for second in 11..50 {
            assert!(!outage.failed("no route", at(second)), "{second}");
        }
        assert!(outage.is_failing());
        let over = outage.worked(at(50)).expect("it failed");
        assert_eq!(over.to_string(), "after 40 s and 40 failures");
        assert_eq!(outage.worked(at(51)), None);
        assert!(outage.failed("no route", at(52)), "a new outage");
        let over = outage.worked(at(52)).expect("it failed");
        assert_eq!(over.to_string(), "after 0 s and 1 failure");
    }

    #[test]
    fn another_reason_is_news_at_most_once_a_minute_and_the_same_once_an_hour() {
        let mut outage = Outage::default();
        assert!(outage.failed("port 1", at(0)));
        assert!(!outage.failed("port 2", at(59)));
        assert!(outage.failed("port 3", at(60)));
        assert!(!outage.failed("port 3", at(60 + 3599)));
        assert!(outage.failed("port 3", at(60 + 3600)));
        // The clock was set back by a day: nothing is silent for that long.
        assert!(outage.failed("port 3", at(-86_400)));
        assert!(!outage.failed("port 3", at(-86_399)));
    }

    #[test]
    fn things_are_kept_apart_and_bounded() {
        let mut outages = Outages::default();
        assert!(outages.failed("a", "full", at(0)));
        assert!(outages.failed("b", "full", at(1)));
        assert!(!outages.failed("a", "full", at(2)));
        assert!(outages.worked("a", at(3)).is_some());
        assert!(outages.worked("c", at(3)).is_none());
        for number in 0..2 * MOST {
            assert!(outages.failed(&format!("n{number}"), "full", at(4)));
        }
        assert!(outages.0.len() <= MOST);
    }
}
