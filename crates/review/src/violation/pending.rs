//! Violations that are not judged yet: what is known of the cluster has not caught up with them
//! (rule: judge-late-rather-than-wrong).

use super::Violation;
use nanoseg_graph::EdgeKey;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How many connections are kept waiting at most. More are judged at once: what is not judged yet must never become
/// what is never judged.
const MOST: usize = 10_000;

/// Connections that the policies deny, by edge, with the time since which they are known.
#[derive(Debug, Clone, Default)]
pub struct PendingViolations {
    known: BTreeMap<EdgeKey, PendingViolation>,
}

/// A connection that waits to be judged, or was judged and goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingViolation {
    /// The time of the traffic when it was first seen to be denied, not after that by the controller's clock.
    pub since: Timestamp,
    /// It is judged by what is known of the cluster as of this time.
    pub due: Timestamp,
    judged: bool,
}

impl PendingViolations {
    /// Takes what the policies deny now, and returns what can be judged. `only`: the workloads that were looked at;
    /// `None`: all. `caught_up`: everything that was in the cluster then is known. Both times are by the controller's
    /// clock, and the time of traffic counts as it was first seen, so nobody who sends or reports it can put the judgement
    /// off.
    pub fn judge(
        &mut self,
        found: Vec<Violation>,
        only: Option<&BTreeSet<WorkloadId>>,
        caught_up: Timestamp,
        now: Timestamp,
    ) -> Vec<Violation> {
        let keys: BTreeSet<EdgeKey> = found.iter().map(Violation::key).collect();
        let was_seen = |key: &EdgeKey| {
            let is_of = |only: &BTreeSet<WorkloadId>| {
                let mut ends = [&key.0, &key.1]
                    .into_iter()
                    .filter_map(|end| end.workload());
                ends.any(|id| only.contains(id))
            };
            only.is_none_or(is_of)
        };
        self.known
            .retain(|key, _| !was_seen(key) || keys.contains(key));
        let mut judged = found;
        judged.retain(|violation| self.is_judged(violation, caught_up, now));
        judged
    }

    fn is_judged(&mut self, violation: &Violation, caught_up: Timestamp, now: Timestamp) -> bool {
        let (key, wait) = (violation.key(), violation.attributed.wait());
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            return true;
        }
        let pending = self.known.entry(key).or_insert(PendingViolation {
            // The time of the traffic: who leads next does not begin to wait anew.
            since: violation.last.min(now),
            due: now,
            judged: false,
        });
        pending.due = pending.since.plus_secs(wait);
        pending.judged |= caught_up >= pending.due;
        pending.judged
    }

    /// The connections that wait to be judged.
    pub fn waiting(&self) -> impl Iterator<Item = (&EdgeKey, &PendingViolation)> + Clone {
        self.known.iter().filter(|(_, one)| !one.judged)
    }

    /// What has to be known of the cluster so that all whose time has come by `now` can be judged: everything that was in
    /// it at the time returned. `None`: nothing waits.
    pub fn needed(&self, now: Timestamp) -> Option<Timestamp> {
        let dues = self.waiting().map(|(_, one)| one.due);
        dues.filter(|due| *due <= now).max()
    }

    /// The workloads of connections that wait and can be judged now.
    pub fn ripe(&self, caught_up: Timestamp) -> BTreeSet<WorkloadId> {
        let ripe = self.waiting().filter(|(_, one)| caught_up >= one.due);
        let ends = ripe.flat_map(|(key, _)| [&key.0, &key.1]);
        ends.filter_map(|end| end.workload()).cloned().collect()
    }
}
