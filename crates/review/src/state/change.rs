//! The change that is in force: what it was meant to do, and what a rollback would go back to.

use super::{Applied, DegradedBy, Revision, WorkloadState};
use crate::IntendedConnection;
use nanoseg_net::Timestamp;
use std::collections::BTreeSet;

/// An approved change that is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AppliedChange<'a> {
    pub revision: &'a Revision,
    /// The revision that it changed, to which a rollback would go back; `None`: there was no policy.
    pub before: Option<&'a Revision>,
    pub at: Timestamp,
}

impl WorkloadState {
    /// Returns the change that was applied last. `None` if what was applied is no change that somebody approved: a
    /// policy that a rollback or the end of break-glass brought back was judged before, so that one rollback never
    /// leads to the next.
    pub fn applied_change(&self) -> Option<AppliedChange<'_>> {
        let Applied {
            revision,
            at,
            before,
        } = self.applied.as_ref()?;
        let number = revision.filter(|_| self.is_applied())?;
        let is_new = before.is_none_or(|before| before < number);
        let revision = self.revision(number).filter(|one| is_new && !one.is_rest)?;
        Some(AppliedChange {
            revision,
            before: self.base_of(revision),
            at: *at,
        })
    }

    /// Returns the approved revision that this one changed.
    pub(super) fn base_of(&self, revision: &Revision) -> Option<&Revision> {
        // Revisions of earlier versions have it in their proposal only.
        let of_proposal = || self.proposal(&revision.proposal)?.base_revision;
        let base = revision.base.or_else(of_proposal)?;
        self.revision(base).filter(|_| base < revision.number)
    }

    /// Returns the connections that the revision in force, or one that led to it, said it would block, and that none
    /// after it was approved to allow (rule: closed-on-purpose-stays-closed).
    pub fn closed_on_purpose(&self) -> BTreeSet<&IntendedConnection> {
        let mut line = Vec::new();
        let mut next = self.wanted.and_then(|number| self.revision(number));
        while let Some(revision) = next {
            line.push(revision);
            next = self.base_of(revision);
        }
        let mut closed = BTreeSet::new();
        for revision in line.into_iter().rev() {
            closed.extend(&revision.intent.blocks);
            closed.retain(|one| !revision.intent.allows.contains(*one));
        }
        closed
    }

    /// Returns why only a person may approve a change of this workload's policy now; `None`: the rules may
    /// (rule: rollback-has-a-way-forward).
    pub fn needs_person(&self) -> Option<&'static str> {
        if self.degraded.is_some() {
            Some("approved traffic was blocked, and a person has to look")
        } else if self.awaits_person {
            Some("a policy of this workload was rolled back")
        } else if self.opening.is_some() {
            Some("a temporary opening of this workload has not ended")
        } else {
            None
        }
    }

    /// Forgets that approved traffic is or was blocked, because a person rejected a change: what the policy blocks stays
    /// so on purpose.
    pub(super) fn accept_blocked(&mut self) {
        let kept = self.degraded.take();
        let kept = kept.filter(|degraded| degraded.by == DegradedBy::Kept);
        let wanted = self.wanted;
        let mut revisions = self.revisions.iter_mut();
        let revision = revisions.find(|revision| wanted == Some(revision.number));
        let connection = kept.and_then(|degraded| degraded.connection);
        if let (Some(revision), Some(connection)) = (revision, connection) {
            revision.intent.close(&connection);
        }
    }
}
