//! What is remembered of a namespace beyond its reviews: what people refused, and when nothing guarded it. It outlives
//! workloads, Segmentations and leaders.

use super::resources::ChangeLine;
use super::{IntendedConnection, RefusedConnection};
use nanoseg_graph::{Peer, UnguardedCause, UnguardedPeriod};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;
use nanoseg_record::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most refused connections, rejected policies and times without a guard of a namespace. The oldest go first.
const MOST_REFUSED: usize = 2000;
const MOST_REJECTED: usize = 500;
const MOST_PERIODS: usize = 100;

/// What is remembered of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    #[serde(default)]
    pub refused: Vec<RefusedConnection>,
    #[serde(default)]
    pub rejected: Vec<RejectedPolicy>,
    /// Oldest first.
    #[serde(default)]
    pub unguarded: Vec<Unguarded>,
    /// How many refusals were forgotten because there were too many.
    #[serde(default)]
    pub forgotten: u64,
}

/// A time without a guard, of the namespace or of one of its workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unguarded {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadId>,
    #[serde(flatten)]
    pub period: UnguardedPeriod,
}

/// A policy that a person rejected as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPolicy {
    pub workload: WorkloadId,
    /// The policy that it would have changed; `None`: it was the first one.
    pub base: Option<Digest>,
    /// The connections that it would have allowed.
    pub allows: BTreeSet<IntendedConnection>,
    /// What it would have closed, as the proposal showed it. Empty for a first policy, which closes everything else.
    pub closes: BTreeSet<ChangeLine>,
    pub by: String,
    pub at: Timestamp,
    pub proposal: String,
}

impl RejectedPolicy {
    /// Returns what another policy for the workload would allow that this one did not. Addresses outside of the
    /// cluster and nodes come and go: another one is no news.
    pub fn news<'a>(
        &self,
        allows: &'a BTreeSet<IntendedConnection>,
    ) -> Vec<&'a IntendedConnection> {
        let known: BTreeSet<_> = self.allows.iter().map(kind).collect();
        let news = allows.iter().filter(|one| !known.contains(&kind(one)));
        news.collect()
    }
}

/// A connection without what makes one address or node differ from another.
fn kind(one: &IntendedConnection) -> (Option<&Peer>, Option<&Peer>, String) {
    fn lasting(peer: &Peer) -> Option<&Peer> {
        match peer {
            Peer::Workload(_) | Peer::ApiServer => Some(peer),
            Peer::Node(_) | Peer::Outside(_) | Peer::Unattributed(_) => None,
        }
    }
    let is_node = |peer: &Peer| matches!(peer, Peer::Node(_));
    let port = format!(
        "{} {} {} {}",
        one.protocol,
        one.port,
        is_node(&one.client),
        is_node(&one.server)
    );
    (lasting(&one.client), lasting(&one.server), port)
}

impl Memory {
    /// Remembers that a person refused a connection; the newest refusal counts.
    pub fn refuse(&mut self, refused: RefusedConnection) {
        self.refused
            .retain(|one| one.connection != refused.connection);
        self.refused.push(refused);
        let over = self.refused.len().saturating_sub(MOST_REFUSED);
        self.refused.drain(..over);
        self.forgotten = self.forgotten.saturating_add(over as u64);
    }

    /// Forgets that these connections were refused: a person approved them. Returns true if one was.
    pub fn permit(&mut self, allowed: &BTreeSet<IntendedConnection>) -> bool {
        let before = self.refused.len();
        self.refused
            .retain(|one| !allowed.contains(&one.connection));
        before != self.refused.len()
    }

    /// Remembers that a person rejected a policy.
    pub fn reject(&mut self, rejected: RejectedPolicy) {
        self.rejected
            .retain(|one| (&one.workload, &one.base) != (&rejected.workload, &rejected.base));
        self.rejected.push(rejected);
        let over = self.rejected.len().saturating_sub(MOST_REJECTED);
        self.rejected.drain(..over);
        self.forgotten = self.forgotten.saturating_add(over as u64);
    }

    /// Forgets rejected policies of a workload: a person approved one.
    pub fn accept(&mut self, workload: &WorkloadId) {
        self.rejected.retain(|one| one.workload != *workload);
    }

    /// The policy that was rejected as a change of `base`.
    pub fn rejected(
        &self,
        workload: &WorkloadId,
        base: Option<&Digest>,
    ) -> Option<&RejectedPolicy> {
        let mut all = self.rejected.iter().rev();
        all.find(|one| one.workload == *workload && one.base.as_ref() == base)
    }

    /// Notes whether the namespace, or a workload, is without a guard for this cause since `now`. Returns true if that
    /// is new.
    pub fn guard(
        &mut self,
        workload: Option<&WorkloadId>,
        cause: UnguardedCause,
        is_unguarded: bool,
        now: Timestamp,
    ) -> bool {
        let going = self.unguarded.iter_mut().rev().find(|one| {
            one.workload.as_ref() == workload
                && one.period.cause == cause
                && one.period.to.is_none()
        });
        match (going, is_unguarded) {
            (Some(going), false) => going.period.to = Some(now),
            (None, true) => {
                self.unguarded.push(Unguarded {
                    workload: workload.cloned(),
                    period: UnguardedPeriod {
                        from: now,
                        to: None,
                        cause,
                    },
                });
                // The oldest that is over.
                let is_over = |one: &Unguarded| one.period.to.is_some();
                if self.unguarded.len() > MOST_PERIODS
                    && let Some(oldest) = self.unguarded.iter().position(is_over)
                {
                    self.unguarded.remove(oldest);
                }
            }
            _ => return false,
        }
        true
    }

    /// Whether it is without a guard for this cause now.
    pub fn is_unguarded(&self, cause: UnguardedCause) -> bool {
        let mut all = self.unguarded.iter();
        all.any(|one| {
            one.workload.is_none() && one.period.cause == cause && one.period.to.is_none()
        })
    }

    pub fn is_empty(&self) -> bool {
        *self == Memory::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefusedBy;
    use crate::testing::{at, id, peer};
    use nanoseg_net::Protocol;

    fn connection(client: &str, port: u16) -> IntendedConnection {
        IntendedConnection {
            client: peer(client),
            server: peer("shop/db"),
            protocol: Protocol::Tcp,
            port,
        }
    }

    fn refused(port: u16) -> RefusedConnection {
        RefusedConnection {
            connection: connection("shop/web", port),
            names: BTreeSet::new(),
            by: "ann".into(),
            at: at(0),
            proposal: "db-1".into(),
            how: RefusedBy::Rejection,
            seen: None,
        }
    }

    #[test]
    fn refusals_are_bounded_and_an_approval_ends_one() {
        let mut memory = Memory::default();
        for port in 0..2003 {
            memory.refuse(refused(port));
            memory.refuse(refused(port));
        }
        assert_eq!((memory.refused.len(), memory.forgotten), (2000, 3));
        assert!(!memory.permit(&BTreeSet::from([connection("shop/web", 1)])));
        assert!(memory.permit(&BTreeSet::from([connection("shop/web", 2002)])));
        assert_eq!(memory.refused.len(), 1999);
        let stored = serde_json::to_string(&memory).expect("JSON");
        let read: Memory = serde_json::from_str(&stored).expect("a memory");
        assert_eq!(read, memory);
    }

    #[test]
    fn another_address_is_no_news_of_a_rejected_first_policy_and_another_port_or_workload_is() {
        let known = ["shop/web", "192.0.2.1"].map(|client| connection(client, 5432));
        let rejected = RejectedPolicy {
            workload: id("shop/db"),
            base: None,
            allows: BTreeSet::from(known),
            closes: BTreeSet::new(),
            by: "ann".into(),
            at: at(0),
            proposal: "db-1".into(),
        };
        let news = |client: &str, port| {
            rejected
                .news(&BTreeSet::from([connection(client, port)]))
                .len()
        };
        assert_eq!(news("shop/web", 5432), 0);
        assert_eq!(news("192.0.2.77", 5432), 0);
        assert_eq!(news("shop/web", 9187), 1);
        assert_eq!(news("shop/job", 5432), 1);
        assert_eq!(news("192.0.2.77", 9187), 1);
    }

    #[test]
    fn times_without_a_guard_begin_and_end_once_and_are_bounded() {
        let mut memory = Memory::default();
        let glass = UnguardedCause::BrokenGlass;
        assert!(memory.guard(None, glass, true, at(1)));
        assert!(!memory.guard(None, glass, true, at(2)));
        assert!(memory.guard(
            Some(&id("shop/db")),
            UnguardedCause::RolledBack,
            true,
            at(2)
        ));
        assert!(memory.is_unguarded(glass) && !memory.is_unguarded(UnguardedCause::RolledBack));
        assert!(memory.guard(None, glass, false, at(3)));
        assert!(!memory.guard(None, glass, false, at(4)));
        assert_eq!(memory.unguarded[0].period.to, Some(at(3)));
        for time in 0..300 {
            memory.guard(None, glass, true, at(10 + 2 * time));
            memory.guard(None, glass, false, at(11 + 2 * time));
        }
        assert_eq!(memory.unguarded.len(), MOST_PERIODS);
        // One that goes on is not forgotten.
        assert!(memory.unguarded.iter().any(|one| one.workload.is_some()));
    }
}
