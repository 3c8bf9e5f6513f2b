//! Proposals: at most one proposal is open per workload, and it has the policy that is right at present.

use super::{AnsweredPolicy, Proposal, Stage, Temporary, WorkloadState};
use crate::Assessment;
use crate::digest::policy_digest;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, Actor, Digest, Entry};

/// The policy that a workload needs for the observed traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredPolicy {
    pub policy: NetworkPolicySpec,
    /// The digest of all other inputs of the proposal's impact.
    pub basis: Digest,
    /// Blocked traffic made this policy necessary.
    pub asked_by_blocked: bool,
    /// The traffic of something that a person refused changed in a way that counts.
    pub is_changed: bool,
    /// What is left of it when the workload's temporary opening ends.
    pub temporary: Option<Temporary>,
}

/// What the controller must do about the desired policy of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// No proposal is needed any more: [`WorkloadState::withdraw`].
    Withdraw,
    /// The impact of this policy must be assessed: [`WorkloadState::propose`].
    Assess,
}

impl WorkloadState {
    /// Returns what the desired policy asks for.
    pub fn need(&self, desired: &DesiredPolicy) -> Need {
        let digest = policy_digest(&desired.policy);
        let in_force = self
            .wanted
            .and_then(|n| self.revision(n))
            .is_some_and(|r| r.digest == digest);
        match self.open() {
            // A policy that a person edited stays unchanged until it is decided.
            Some(open) if open.is_kept() => {
                if open.basis == desired.basis && open.base_revision == self.wanted {
                    Need::Nothing
                } else {
                    Need::Assess
                }
            }
            Some(_) if in_force => Need::Withdraw,
            Some(open)
                if open.generated == digest
                    && open.base_revision == self.wanted
                    && open.basis == desired.basis =>
            {
                Need::Nothing
            }
            Some(_) => Need::Assess,
            None if in_force => Need::Nothing,
            // What blocks approved traffic is questioned, also if it is what a person wanted before that was known.
            None if self.degraded.is_some() => Need::Assess,
            None if desired.is_changed => Need::Assess,
            None if self.is_answered(desired) => Need::Nothing,
            None if self.was_refused(&digest) || self.was_improved_on(&digest) => Need::Nothing,
            None => Need::Assess,
        }
    }

    fn is_answered(&self, desired: &DesiredPolicy) -> bool {
        self.answered.as_ref() == Some(&self.answer_to(desired))
    }

    fn answer_to(&self, desired: &DesiredPolicy) -> AnsweredPolicy {
        AnsweredPolicy {
            policy: policy_digest(&desired.policy),
            basis: desired.basis.clone(),
            base: self.wanted,
        }
    }

    /// Notes that a person has rejected all of this policy that is new, so that nothing is proposed.
    pub fn answer(&mut self, desired: &DesiredPolicy) {
        self.answered = Some(self.answer_to(desired));
    }

    /// The same policy was rejected as a change of the revision in force now: it is not proposed again until the
    /// traffic requires another policy. One that was rolled back is: otherwise a workload whose first policy was
    /// rolled back would never get one again.
    pub(super) fn was_refused(&self, digest: &Digest) -> bool {
        let refused = |p: &&Proposal| matches!(p.stage, Stage::Rejected(_));
        let mut refused = self.proposals.iter().filter(refused);
        refused.any(|p| policy_digest(&p.policy) == *digest && p.base_revision == self.wanted)
    }

    /// A person edited this same proposal into the policy in force: it is not proposed again until the traffic
    /// requires another policy.
    fn was_improved_on(&self, digest: &Digest) -> bool {
        let made_of_it = |p: &Proposal| {
            let approval = p.stage.approved();
            approval.is_some_and(|one| self.wanted == Some(one.revision))
        };
        let mut origin = self.proposals.iter().filter(|p| made_of_it(p));
        origin.any(|p| p.is_edited() && p.generated == *digest)
    }

    /// The policy whose impact is to be assessed: an edited one stays unchanged.
    pub fn policy_to_assess<'a>(&'a self, desired: &'a DesiredPolicy) -> &'a NetworkPolicySpec {
        self.open()
            .filter(|open| open.is_kept())
            .map_or(&desired.policy, |open| &open.policy)
    }

    /// Opens a proposal, or updates the open one.
    pub fn propose(
        &mut self,
        desired: DesiredPolicy,
        assessment: Assessment,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) {
        let Assessment {
            impact,
            intent,
            opens,
            closes,
        } = assessment;
        let generated = policy_digest(&desired.policy);
        let (base_revision, base) = (self.wanted, self.wanted_policy().cloned());
        let before = self
            .wanted
            .and_then(|n| self.revision(n))
            .map(|r| r.digest.clone());
        if let Some(open) = self.open_mut() {
            let is_kept = open.is_kept();
            let changed = open.generated != generated && !is_kept;
            if !is_kept {
                open.policy = desired.policy;
                open.generated = generated.clone();
            }
            (open.base_revision, open.base) = (base_revision, base);
            open.basis = desired.basis;
            (open.impact, open.intent) = (impact, intent);
            (open.opens, open.closes) = (opens, closes);
            open.temporary = desired.temporary.filter(|_| !is_kept);
            open.asked_by_blocked |= desired.asked_by_blocked;
            if changed {
                let action = Action::Proposed {
                    proposal: open.name.clone(),
                    refreshed: true,
                    why: open.impact.reason.clone(),
                };
                let entry = self.entry(action, Actor::Controller);
                record.push(entry.with_policies(before, Some(generated)));
            }
            return;
        }
        let name = format!("{}-{}", self.object_name(), self.next_proposal);
        self.next_proposal += 1;
        let action = Action::Proposed {
            proposal: name.clone(),
            refreshed: false,
            why: impact.reason.clone(),
        };
        let entry = self.entry(action, Actor::Controller);
        record.push(entry.with_policies(before, Some(generated.clone())));
        self.proposals.push(Proposal {
            name,
            created: now,
            policy: desired.policy,
            base_revision,
            base,
            impact,
            intent,
            generated,
            basis: desired.basis,
            asked_by_blocked: desired.asked_by_blocked,
            adopts: false,
            opens,
            closes,
            temporary: desired.temporary,
            except: Vec::new(),
            open_until: None,
            stage: Stage::Pending,
            since: now,
            message: None,
        });
        self.prune();
    }

    /// Records that a person changed the open proposal's policy in the cluster. Returns true if it differs now;
    /// then its impact must be assessed again.
    pub fn edit(&mut self, name: &str, policy: &NetworkPolicySpec) -> bool {
        match self.open_mut() {
            Some(open)
                if open.name == name && policy_digest(&open.policy) != policy_digest(policy) =>
            {
                open.policy = policy.clone();
                // Nothing has this basis, so the next pass assesses the impact.
                open.basis = Digest::of_bytes(b"edited");
                true
            }
            _ => false,
        }
    }

    /// Closes the open proposal: the policy in force is right.
    pub fn withdraw(&mut self, why: &str, now: Timestamp, record: &mut Vec<Entry>) {
        let Some(open) = self.open_mut() else { return };
        open.turn(Stage::Superseded(None), now);
        open.message = Some(why.to_owned());
        let digest = open.generated.clone();
        let action = Action::Superseded {
            proposal: open.name.clone(),
            why: why.to_owned(),
        };
        let entry = self.entry(action, Actor::Controller);
        record.push(entry.with_policies(Some(digest), None));
    }

    /// The policy's name without the prefix that all policies share: the name that people use for the workload.
    fn object_name(&self) -> &str {
        self.policy_name
            .strip_prefix("nanoseg-")
            .unwrap_or(&self.policy_name)
    }
}
