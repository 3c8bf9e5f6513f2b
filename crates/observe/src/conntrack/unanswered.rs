//! Connections that wait for an answer, in the order in which they began.

use super::event::Event;
use nanoseg_net::{Protocol, SECOND, Timestamp};
use std::collections::VecDeque;

/// How long an answer may take before the connection is reported as unanswered, in nanoseconds: longer than
/// the first two retransmissions of a SYN take (1 s and 2 s, RFC 6298).
pub(super) const ANSWER_WITHIN: i64 = 3 * SECOND;
/// About 200 bytes each. More are reported at their end.
const MAX_WAITING: usize = 1 << 14;

/// One connection.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub key: u64,
    pub event: Event,
    pub protocol: Protocol,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct UnansweredQueue(VecDeque<(Timestamp, Unanswered)>);

impl UnansweredQueue {
    /// Appends a connection. Connections at the front that are not `open` any more are removed.
    pub fn push(&mut self, entry: Unanswered, now: Timestamp, open: impl Fn(u64) -> bool) {
        while self.0.front().is_some_and(|(_, first)| !open(first.key)) {
            self.0.pop_front();
        }
        if self.0.len() < MAX_WAITING {
            self.0.push_back((now, entry));
        }
    }

    /// Removes and returns the next connection that is still `open` and has waited long enough.
    pub fn next(&mut self, now: Timestamp, open: impl Fn(u64) -> bool) -> Option<Unanswered> {
        loop {
            let due = self
                .0
                .front()
                .is_some_and(|(since, _)| now.since(*since) >= ANSWER_WITHIN);
            let (_, unanswered) = due.then(|| self.0.pop_front()).flatten()?;
            if open(unanswered.key) {
                return Some(unanswered);
            }
        }
    }
}
