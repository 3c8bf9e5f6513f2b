//! What is stored of a workload's review counts as far as the record proves it: each approved policy has a line with
//! its digest (rule: state-is-what-the-record-proves).

use super::{Proposal, Revision, Stage, TemporaryOpening, WorkloadState};
use crate::digest::policy_digest;
use nanoseg_record::{Digest, Rulings};

/// What a stored review says and the record does not prove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("the record has no approval of revision {0} as it is stored")]
    Revision(u32),
    #[error("revision {0} is stored as the one to be in force, and the record says another")]
    Wanted(u32),
    #[error("it is stored that its policy is to be deleted, and the record does not say so")]
    Deletion,
    #[error("a temporary opening is stored with another end than the record has")]
    Opening,
    #[error("it is stored under the name of another workload")]
    Owner,
}

impl WorkloadState {
    /// Forgets what the record does not prove, and returns what that was. Without a proven policy nothing is wanted
    /// of the cluster either: the policy there stays as it is until a person decides.
    pub fn keep_proven(&mut self, rulings: &Rulings) -> Vec<Unproven> {
        let namespace = &self.workload.namespace;
        let is_proven = |one: &Revision| {
            let rest = one.temporary.as_ref();
            let rest = rest.map(|rest| policy_digest(&rest.afterwards));
            policy_digest(&one.policy) == one.digest
                && rulings.is_approved(namespace, &self.policy_name, &one.digest)
                && rest.as_ref() == rulings.afterwards(namespace, &self.policy_name, &one.digest)
        };
        let (proven, rest): (Vec<Revision>, Vec<Revision>) = std::mem::take(&mut self.revisions)
            .into_iter()
            .partition(is_proven);
        let mut unproven: Vec<Unproven> = rest
            .iter()
            .map(|one| Unproven::Revision(one.number))
            .collect();
        let last = rulings.wanted(namespace, &self.policy_name);
        let last = last.and_then(|digest| proven.iter().rev().find(|one| one.digest == *digest));
        let last = last.map(|one| one.number);
        self.revisions = proven;
        let ruled = rulings.wanted(&self.workload.namespace, &self.policy_name);
        let is_ruled = |number: u32| ruled.is_some() && self.digest_of(number) == ruled;
        if let Some(stored) = self.wanted.filter(|number| !is_ruled(*number)) {
            unproven.push(Unproven::Wanted(stored));
        }
        // It is `None` in a state whose workload is about to be forgotten, too: that is found again.
        if self.wanted.is_none() || !unproven.is_empty() {
            self.wanted = last;
        }
        self.keep_opening(rulings, &mut unproven);
        self.forget_dangling();
        // Without a wanted policy, whatever was applied is deleted.
        if self.wanted.is_none()
            && !rulings.is_ruled_out(&self.workload.namespace, &self.policy_name)
        {
            if self.applied.is_some() && unproven.is_empty() {
                unproven.push(Unproven::Deletion);
            }
            (self.applied, self.taken) = (None, None);
        }
        unproven
    }

    /// A temporary opening ends when the record says.
    fn keep_opening(&mut self, rulings: &Rulings, unproven: &mut Vec<Unproven>) {
        let ruled = rulings.opening(&self.workload.namespace, &self.policy_name);
        let stored = self.opening.as_ref();
        let is_same = match (ruled, stored) {
            (None, None) => true,
            (Some(ruled), Some(stored)) => {
                (&ruled.proposal, ruled.until) == (&stored.proposal, stored.until)
            }
            _ => false,
        };
        if is_same {
            return;
        }
        unproven.push(Unproven::Opening);
        let known = self.opening.take();
        let revision = self.wanted.unwrap_or_default();
        self.opening = ruled.map(|ruled| TemporaryOpening {
            proposal: ruled.proposal.clone(),
            revision: known.as_ref().map_or(revision, |known| known.revision),
            by: ruled.by.name().to_owned(),
            reason: known
                .as_ref()
                .map_or(String::new(), |known| known.reason.clone()),
            at: ruled.at,
            until: ruled.until,
            connections: known.map(|known| known.connections).unwrap_or_default(),
        });
    }

    fn digest_of(&self, number: u32) -> Option<&Digest> {
        self.revision(number).map(|one| &one.digest)
    }

    /// Removes references to revisions that are not there.
    fn forget_dangling(&mut self) {
        let known: Vec<u32> = self.revisions.iter().map(|one| one.number).collect();
        let is_gone = |number: Option<u32>| number.is_some_and(|one| !known.contains(&one));
        if self
            .applied
            .as_ref()
            .is_some_and(|one| is_gone(one.revision))
        {
            self.applied = None;
        }
        if let Some(applied) = &mut self.applied
            && is_gone(applied.before)
        {
            applied.before = None;
        }
        if is_gone(self.taken) {
            self.taken = None;
        }
        let cannot_be_undone = |one: &Proposal| {
            let undoable = one.stage.undoable();
            undoable.is_some_and(|approval| {
                is_gone(Some(approval.revision)) || is_gone(one.base_revision)
            })
        };
        for proposal in self
            .proposals
            .iter_mut()
            .filter(|one| cannot_be_undone(one))
        {
            proposal.stage = Stage::Superseded(None);
            proposal.message = Some("the record does not prove its approval".into());
        }
    }
}
