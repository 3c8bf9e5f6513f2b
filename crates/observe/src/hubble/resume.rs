//! Where to go on after a connection to Relay broke, so that nothing is missed and nothing taken twice.

use super::flow::HubbleFlow;
use nanoseg_net::Timestamp;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Relay puts the flows of its nodes in order as well as it can in a second (`--sort-buffer-drain-timeout`):
/// so far back from the last flow some may not have come.
const OVERLAP_SECONDS: i64 = 1;
/// Flows remembered, 80 bytes each. More in a second are taken twice after a break, which counts UDP
/// datagrams twice and adds no edge.
const REMEMBERED: usize = 4096;

/// What one flow has and no other: one point of one node sees one packet at a time.
type Key = (Timestamp, [SocketAddr; 2], i64);

/// The flows that came last.
#[derive(Debug, Default)]
pub(super) struct Resume {
    last: Option<Timestamp>,
    recent: VecDeque<Key>,
    /// Flows up to this time may be repeats.
    doubtful: Option<Timestamp>,
}

impl Resume {
    /// Goes on from a time before which nothing is wanted.
    pub fn from(since: Timestamp) -> Self {
        Resume {
            last: Some(since.plus_secs(OVERLAP_SECONDS)),
            ..Resume::default()
        }
    }

    /// Since when flows have to be asked for, now that a connection broke.
    pub fn since(&mut self) -> Option<Timestamp> {
        self.doubtful = self.last;
        self.last.map(|last| last.plus_secs(-OVERLAP_SECONDS))
    }

    /// Records a flow. False if it came before.
    pub fn is_new(&mut self, flow: &HubbleFlow) -> bool {
        let key = (flow.time, flow.ends, flow.point);
        if self.doubtful.is_some_and(|until| flow.time <= until) && self.recent.contains(&key) {
            return false;
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(key);
        self.last = self.last.max(Some(flow.time));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::{HubbleLine, parse_line};
    use super::*;

    fn flow(second: i64, port: u16) -> HubbleFlow {
        let line = format!(
            r#"{{"flow":{{"time":"2026-01-01T00:00:{second:02}Z","IP":{{"source":"10.0.0.1","destination":"10.0.0.2"}},"l4":{{"UDP":{{"source_port":{port},"destination_port":53}}}}}}}}"#
        );
        match parse_line(&line).unwrap() {
            HubbleLine::Flow(flow) => *flow,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_came_late_is_new_and_what_came_twice_is_not() {
        let mut resume = Resume::default();
        assert_eq!(resume.since(), None);
        let (early, late) = (flow(10, 1), flow(12, 2));
        assert!(resume.is_new(&late) && resume.is_new(&early));
        assert_eq!(
            resume.since(),
            Some(flow(11, 1).time),
            "not from the early one"
        );
        assert!(!resume.is_new(&late));
        assert!(resume.is_new(&flow(12, 3)), "another at the same time");
        assert!(resume.is_new(&flow(13, 2)));
    }

    #[test]
    fn without_a_break_nothing_is_taken_for_a_repeat() {
        let mut resume = Resume::default();
        assert!(resume.is_new(&flow(1, 1)) && resume.is_new(&flow(1, 1)));
    }

    #[test]
    fn a_time_to_start_from_is_asked_for_as_it_is() {
        let start = flow(5, 1).time;
        assert_eq!(Resume::from(start).since(), Some(start));
    }
}
