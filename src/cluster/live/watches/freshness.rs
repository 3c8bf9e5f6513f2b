//! Computes the time up to which the known state of one kind is complete. Pure: the time is an argument.

use super::Kind;
use crate::net::Timestamp;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The most questions that no watch has confirmed yet; older ones are dropped, as newer ones confirm more.
const MOST_OPEN: usize = 8;

/// The known state of a kind may be out of date.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}s are not known for sure since {since}: {why}")]
pub struct Stale {
    pub kind: Kind,
    pub why: String,
    pub since: Timestamp,
}

/// A moment by both clocks: durations use the monotonic clock, texts the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub instant: Instant,
    pub time: Timestamp,
}

/// The freshness of one kind.
#[derive(Debug)]
pub struct Freshness {
    kind: Kind,
    limit: Duration,
    started: Moment,
    /// Everything that existed at this moment is known.
    complete: Option<Moment>,
    /// The version up to which changes were seen.
    seen: u64,
    /// Versions of the API server that no watch has confirmed yet, each with the moment when it was asked.
    open: VecDeque<(u64, Moment)>,
    failure: Option<(String, Moment)>,
}

impl Freshness {
    pub fn new(kind: Kind, limit: Duration, now: Moment) -> Freshness {
        Freshness {
            kind,
            limit,
            started: now,
            complete: None,
            seen: 0,
            open: VecDeque::new(),
            failure: None,
        }
    }

    /// Everything that existed then is known; `None`: nothing is.
    pub fn complete(&self) -> Option<Timestamp> {
        self.complete.map(|moment| moment.time)
    }

    /// Returns true if no question waits for a watch.
    pub fn is_confirmed(&self) -> bool {
        self.open.is_empty()
    }

    /// Records a complete list; `asked` is when the list was begun.
    pub fn listed(&mut self, version: &str, asked: Moment) {
        self.seen = parse_version(version).unwrap_or(0);
        self.open.clear();
        self.complete = Some(asked);
    }

    /// Records that the API server, asked at `asked`, is at `version`.
    pub fn probed(&mut self, version: &str, asked: Moment) {
        let version = parse_version(version).unwrap_or(0);
        self.open.push_back((version, asked));
        if self.open.len() > MOST_OPEN {
            self.open.pop_front();
        }
        self.confirm();
    }

    /// Records that a watch has delivered everything up to `version`.
    pub fn heard(&mut self, version: &str) {
        // Versions are opaque by contract, but they are growing numbers in every API server (KEP-5504).
        self.seen = self.seen.max(parse_version(version).unwrap_or(u64::MAX));
        self.confirm();
    }

    /// Records that a watch runs.
    pub fn watching(&mut self) {
        self.failure = None;
    }

    pub fn failed(&mut self, why: String, now: Moment) {
        match &mut self.failure {
            Some((known, _)) => *known = why,
            None => self.failure = Some((why, now)),
        }
    }

    fn confirm(&mut self) {
        while let Some((version, asked)) = self.open.front().copied() {
            if version > self.seen {
                break;
            }
            self.complete = Some(asked);
            self.open.pop_front();
        }
    }

    /// The age of the last complete state. `None`: there was none.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let complete = self.complete?;
        Some(now.saturating_duration_since(complete.instant))
    }

    /// # Errors
    /// Returns the reason why the known state may be out of date.
    pub fn check(&self, now: Instant) -> Result<(), Stale> {
        let stale = |why: String, since: Moment| {
            Err(Stale {
                kind: self.kind,
                why,
                since: since.time,
            })
        };
        let Some(complete) = self.complete else {
            let why = self.failure.as_ref().map_or("not listed yet", |(w, _)| w);
            return stale(why.to_owned(), self.started);
        };
        if let Some((why, since)) = &self.failure {
            return stale(why.clone(), *since);
        }
        if now.saturating_duration_since(complete.instant) > self.limit {
            let limit = self.limit.as_secs();
            let why = format!("no watch has delivered everything for more than {limit} s");
            return stale(why, complete);
        }
        Ok(())
    }
}

fn parse_version(version: &str) -> Option<u64> {
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        // An `Instant` cannot be made from a number, so all count from one.
        static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        Moment {
            instant: *ZERO.get_or_init(Instant::now) + Duration::from_secs(seconds),
            time: Timestamp::from_secs(seconds as i64),
        }
    }

    fn pods() -> Freshness {
        Freshness::new(Kind::Pod, Duration::from_secs(30), at(0))
    }

    #[test]
    fn a_kind_that_was_never_listed_is_stale_from_the_start() {
        let stale = pods().check(at(1).instant).unwrap_err();
        assert_eq!(stale.since, Timestamp::from_secs(0));
        assert_eq!(stale.why, "not listed yet");
        let mut forbidden = pods();
        forbidden.failed("forbidden".into(), at(1));
        assert_eq!(forbidden.check(at(2).instant).unwrap_err().why, "forbidden");
    }

    #[test]
    fn a_list_is_good_until_the_limit() {
        let mut pods = pods();
        pods.listed("7", at(5));
        assert_eq!(pods.check(at(35).instant), Ok(()));
        assert_eq!(
            pods.check(at(36).instant).unwrap_err().since,
            Timestamp::from_secs(5)
        );
    }

    #[test]
    fn an_answer_counts_only_when_a_watch_has_delivered_everything_up_to_it() {
        let mut pods = pods();
        pods.listed("7", at(0));
        pods.probed("20", at(20));
        pods.heard("19");
        assert!(
            pods.check(at(31).instant).is_err(),
            "version 20 was not delivered yet"
        );
        pods.heard("20");
        assert_eq!(pods.check(at(50).instant), Ok(()));
        assert!(pods.check(at(51).instant).is_err());
    }

    #[test]
    fn a_question_waits_until_a_watch_confirms_its_answer() {
        let mut pods = pods();
        pods.listed("7", at(0));
        assert!(pods.is_confirmed());
        pods.probed("20", at(20));
        pods.heard("19");
        assert!(!pods.is_confirmed());
        pods.heard("20");
        assert!(pods.is_confirmed());
    }

    #[test]
    fn an_idle_cluster_is_known_by_the_answer_alone() {
        let mut pods = pods();
        pods.listed("7", at(0));
        pods.probed("7", at(20));
        assert_eq!(pods.age(at(21).instant), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_failed_watch_is_stale_at_once_and_until_it_runs_again() {
        let mut pods = pods();
        pods.listed("7", at(0));
        pods.failed("connection refused".into(), at(3));
        pods.failed("timed out".into(), at(4));
        let stale = pods.check(at(5).instant).unwrap_err();
        assert_eq!(
            (stale.why.as_str(), stale.since),
            ("timed out", Timestamp::from_secs(3))
        );
        pods.watching();
        assert_eq!(pods.check(at(6).instant), Ok(()));
    }

    #[test]
    fn questions_without_an_answer_do_not_pile_up() {
        let mut pods = pods();
        pods.listed("7", at(0));
        for n in 0..100 {
            pods.probed(&(10 + n).to_string(), at(n));
        }
        assert!(pods.open.len() <= MOST_OPEN);
    }
}
