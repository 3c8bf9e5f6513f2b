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
        self.refused.retain(|one| !allowed.contains(&one.connection));
        before != self.refused.len()
    }

    /// Remembers that a person rejected a policy.
    pub fn reject(&mut self, rejected: RejectedPolicy) {
        self.rejected.retain(|one| {
            (&one.workload, &one.base) != (&rejected.workload, &rejected.base)
        });
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
    pub fn rejected(&self, workload: &WorkloadId, base: Option<&Digest>) -> Option<&RejectedPolicy> {
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
            one.workload.as_ref() == workload && one.period.cause == cause && one.period.to.is_none()
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
