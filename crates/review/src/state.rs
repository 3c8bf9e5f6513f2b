//! The state of one workload's review: its proposals, the approved policies, and the policy that shall be in
//! the cluster.
//!
//! Pure: every step takes the time as an argument, changes the state, and adds entries to the record about what
//! it did. The controller stores state and record lines together before anything is written to the cluster, so
//! that after a crash it continues with the decisions that were made.

mod adopt;
mod change;
mod decide;
mod opening;
mod propose;
mod proven;
mod rollback;
mod stage;
#[cfg(test)]
mod tests;

pub use change::AppliedChange;
pub use decide::{Amendment, Decision, Refusal};
pub use opening::{LONGEST_OPENING, NoOpening, SHORTEST_OPENING, Temporary, TemporaryOpening};
pub use propose::{DesiredPolicy, Need};
pub use proven::Unproven;
pub use stage::{ApprovedRevision, Ruling, Stage};

use super::digest::policy_digest;
use super::resources::{ChangeLine, Impact};
use super::{IntendedConnection, Intent, Opens};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, Actor, Connection, Digest, Entry};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many closed proposals that nobody approved are kept per workload.
const KEPT: usize = 20;
/// How many that were approved once: the way back to them, which blocked traffic must not push out.
const KEPT_APPROVED: usize = 50;

/// One workload's review.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadState {
    pub workload: WorkloadId,
    pub policy_name: String,
    /// Oldest first.
    pub proposals: Vec<Proposal>,
    /// The number of the next proposal, from 1.
    pub next_proposal: u32,
    /// The approved policies, oldest first, numbered from 1.
    pub revisions: Vec<Revision>,
    /// The revision that shall be in the cluster; `None` if there was no approval, or all were rolled back.
    pub wanted: Option<u32>,
    /// The last known policy in the cluster that nanoseg wrote.
    pub applied: Option<Applied>,
    /// The revision that break-glass removed from the cluster, until a policy is there again. The state without
    /// it was never approved, so the next policy is compared with the one before break-glass.
    #[serde(default)]
    pub taken: Option<u32>,
    /// Set when approved traffic was blocked; a decision clears it.
    pub degraded: Option<Degraded>,
    /// Set by a rollback, cleared when a person approves: until then nothing is approved automatically.
    #[serde(default)]
    pub awaits_person: bool,
    /// What the policy allows for a time only.
    #[serde(default)]
    pub opening: Option<TemporaryOpening>,
    /// What was looked at and not proposed, because a person had rejected it: it is not looked at again.
    #[serde(default)]
    pub answered: Option<AnsweredPolicy>,
}

/// A desired policy that a person has answered already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredPolicy {
    pub policy: Digest,
    pub basis: Digest,
    /// The revision that it would change.
    pub base: Option<u32>,
}

/// A proposed change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The object's name.
    pub name: String,
    pub created: Timestamp,
    pub policy: NetworkPolicySpec,
    /// The revision that it would change, with its policy.
    pub base_revision: Option<u32>,
    pub base: Option<NetworkPolicySpec>,
    /// The impact of `policy`. Stored as `material`, the name of earlier versions.
    #[serde(rename = "material")]
    pub impact: Impact,
    /// What `policy` is meant to do.
    #[serde(default)]
    pub intent: Intent,
    /// The digest of the last policy that nanoseg itself proposed: if that of `policy` differs, a person edited
    /// it.
    pub generated: Digest,
    /// The digest of the part of the graph that the impact depends on; if it changes, the impact is computed
    /// again.
    pub basis: Digest,
    /// True if blocked traffic caused it: it is never approved automatically.
    pub asked_by_blocked: bool,
    /// It has the policy that is in the cluster and that the state did not know.
    #[serde(default)]
    pub adopts: bool,
    /// What it newly allows, while it is open.
    #[serde(default)]
    pub opens: Opens,
    /// What it closes, while it is open.
    #[serde(default)]
    pub closes: BTreeSet<ChangeLine>,
    /// What is left of it when the workload's temporary opening ends.
    #[serde(default)]
    pub temporary: Option<Temporary>,
    /// What it was approved without.
    #[serde(default)]
    pub except: Vec<Connection>,
    /// What it opens is closed again at this time.
    #[serde(default)]
    pub open_until: Option<Timestamp>,
    #[serde(flatten)]
    pub stage: Stage,
    /// The time when the phase last changed.
    pub since: Timestamp,
    pub message: Option<String>,
}

/// An approved policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub number: u32,
    pub policy: NetworkPolicySpec,
    pub digest: Digest,
    /// The name of the proposal that it came from.
    pub proposal: String,
    pub decided_by: String,
    pub at: Timestamp,
    /// The revision that it changed; `None`: there was no policy.
    #[serde(default)]
    pub base: Option<u32>,
    /// What it was approved to do. Empty for a revision of a version that did not keep it.
    #[serde(default)]
    pub intent: Intent,
    /// What is left of it when a temporary opening ends.
    #[serde(default)]
    pub temporary: Option<Temporary>,
    /// It is what was left of another one: no change that somebody approved.
    #[serde(default)]
    pub is_rest: bool,
}

/// The policy in the cluster that nanoseg wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// `None`: there is no policy, after there was one.
    pub revision: Option<u32>,
    pub at: Timestamp,
    /// The revision that it replaced.
    pub before: Option<u32>,
}

/// Approved traffic is or was blocked, and a person has to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    pub at: Timestamp,
    pub why: String,
    /// What the controller did about it.
    #[serde(default)]
    pub by: DegradedBy,
    /// The connection that showed it; `None` in the state of earlier versions.
    #[serde(default)]
    pub connection: Option<IntendedConnection>,
}

/// What the controller did when approved traffic was blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DegradedBy {
    /// It went back to the revision before.
    #[default]
    RolledBack,
    /// Nothing: the policy stays until a person decides.
    Kept,
}

impl WorkloadState {
    pub fn new(workload: WorkloadId, policy_name: String) -> Self {
        WorkloadState {
            workload,
            policy_name,
            proposals: Vec::new(),
            next_proposal: 1,
            revisions: Vec::new(),
            wanted: None,
            applied: None,
            taken: None,
            degraded: None,
            awaits_person: false,
            opening: None,
            answered: None,
        }
    }

    /// The proposal that waits for a decision.
    pub fn open(&self) -> Option<&Proposal> {
        self.proposals
            .iter()
            .rev()
            .find(|p| p.stage == Stage::Pending)
    }

    fn open_mut(&mut self) -> Option<&mut Proposal> {
        self.proposals
            .iter_mut()
            .rev()
            .find(|p| p.stage == Stage::Pending)
    }

    pub fn proposal(&self, name: &str) -> Option<&Proposal> {
        self.proposals.iter().find(|p| p.name == name)
    }

    pub fn revision(&self, number: u32) -> Option<&Revision> {
        self.revisions.iter().find(|r| r.number == number)
    }

    /// The policy that shall be in the cluster.
    pub fn wanted_policy(&self) -> Option<&NetworkPolicySpec> {
        self.wanted
            .and_then(|n| self.revision(n))
            .map(|r| &r.policy)
    }

    /// The policy of the applied revision, as far as it is known.
    pub fn applied_policy(&self) -> Option<&NetworkPolicySpec> {
        let applied = self.applied.as_ref()?.revision?;
        self.revision(applied).map(|r| &r.policy)
    }

    /// The policy that was in force before the applied one.
    pub fn policy_before(&self) -> Option<&NetworkPolicySpec> {
        let before = self.applied.as_ref()?.before?;
        self.revision(before).map(|r| &r.policy)
    }

    /// Records that the wanted policy is in the cluster: `at` is when it was written, or found there.
    pub fn applied(&mut self, at: Timestamp, record: &mut Vec<Entry>) {
        let before = self.applied.as_ref().and_then(|a| a.revision);
        if self.is_applied() {
            return;
        }
        let digest = |number: Option<u32>| {
            number
                .and_then(|n| self.revision(n))
                .map(|r| r.digest.clone())
        };
        let adopts = |proposal: &&Proposal| proposal.adopts && self.applied.is_none();
        let origin = self.wanted.and_then(|number| self.revision(number));
        let origin = origin.and_then(|one| self.proposal(&one.proposal));
        let action = match origin.filter(adopts) {
            Some(_) => Action::Adopted,
            None if self.wanted.is_some() => Action::Applied,
            None => Action::Deleted,
        };
        let (was, is) = (digest(before), digest(self.wanted));
        record.push(self.entry(action, Actor::Controller).with_policies(was, is));
        self.applied = Some(Applied {
            revision: self.wanted,
            at,
            before: before.or(self.taken.take()),
        });
        let wanted = self.wanted;
        for proposal in &mut self.proposals {
            let stage = proposal.stage.clone().with_applied(wanted);
            proposal.turn(stage, at);
        }
    }

    /// Returns true if the cluster has the wanted policy, as far as it is known.
    pub fn is_applied(&self) -> bool {
        match &self.applied {
            Some(applied) => applied.revision == self.wanted,
            None => self.wanted.is_none(),
        }
    }

    /// Records that our policy was removed on purpose (break-glass). The wanted policy comes back as a change
    /// of its own.
    pub fn taken_away(&mut self) {
        let applied = self.applied.take();
        self.taken = applied.and_then(|applied| applied.revision).or(self.taken);
    }

    /// Records that the workload is gone: no proposal waits any more, and no policy is wanted. Returns true if
    /// that is new.
    pub fn retire(&mut self, why: &str, now: Timestamp, record: &mut Vec<Entry>) -> bool {
        let had_open = self.open().is_some();
        self.withdraw(why, now, record);
        had_open | self.wanted.take().is_some()
    }

    /// Sets the message of the open proposal.
    pub fn note(&mut self, message: String) {
        if let Some(open) = self.open_mut() {
            open.message = Some(message);
        }
    }

    /// Removes the oldest closed proposals.
    fn prune(&mut self) {
        let over = |p: &Proposal| match &p.stage {
            Stage::Rejected(_) | Stage::Superseded(None) => Some(0),
            Stage::Superseded(Some(_)) | Stage::RolledBack(_) | Stage::Expired(_) => Some(1),
            Stage::Pending | Stage::Approved(_) | Stage::Applied(_) => None,
        };
        let mut room = [KEPT, KEPT_APPROVED];
        let keeps: Vec<bool> = self
            .proposals
            .iter()
            .rev()
            .map(|p| match over(p) {
                None => true,
                Some(kind) if room[kind] == 0 => false,
                Some(kind) => {
                    room[kind] -= 1;
                    true
                }
            })
            .collect();
        let mut keeps = keeps.into_iter().rev();
        self.proposals.retain(|_| keeps.next().unwrap_or(true));
    }

    /// Makes an entry of the record about the workload's policy.
    fn entry(&self, action: Action, actor: Actor) -> Entry {
        Entry::new(action, actor, &self.workload.namespace, &self.policy_name)
    }
}

impl Proposal {
    /// The revision that a decision must name.
    pub fn digest(&self) -> &str {
        &self.impact.revision
    }

    /// Returns true if a person changed the policy that nanoseg proposed.
    pub fn is_edited(&self) -> bool {
        policy_digest(&self.policy) != self.generated
    }

    /// Returns true if its policy stays as it is until it is decided: a person edited it, or it is in the cluster.
    pub fn is_kept(&self) -> bool {
        self.adopts || self.is_edited()
    }

    /// Returns true if this policy differs from the proposed one.
    pub fn is_other(&self, policy: &NetworkPolicySpec) -> bool {
        policy_digest(&self.policy) != policy_digest(policy)
    }

    fn turn(&mut self, stage: Stage, at: Timestamp) {
        if self.stage.phase() != stage.phase() {
            self.since = at;
            // These are for the decision.
            (self.opens, self.closes) = (Opens::default(), BTreeSet::new());
        }
        self.stage = stage;
    }
}
