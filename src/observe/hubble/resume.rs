//! Where to go on after a connection to Relay broke, so that nothing is missed and nothing taken twice.

use super::flow::HubbleFlow;
use crate::net::Timestamp;
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

    /// Notes a flow. False if it came before.
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
