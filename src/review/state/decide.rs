//! Decisions: who may decide is RBAC's to say; here is what may be decided.

use super::{CONTROLLER, Proposal, Revision, WorkloadState};
use crate::net::Timestamp;
use crate::review::digest::Digest;
use crate::review::record::{Action, Draft};
use crate::review::resources::{Phase, Verb};
use thiserror::Error;

/// A decision, as it was found in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub name: String,
    pub proposal: String,
    pub proposal_uid: String,
    /// The revision that was read.
    pub revision: String,
    pub verb: Verb,
    pub reason: String,
    pub decided_by: String,
}

/// Why a decision does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("there is no proposal {0} here; look with nanoseg proposals")]
    Unknown(String),
    #[error(
        "proposal {0} is not the one that was decided about: it was deleted and made again; review it and decide again"
    )]
    AnotherObject(String),
    #[error(
        "proposal {proposal} changed since it was read: its revision is {now}; review it and decide again"
    )]
    Outdated { proposal: String, now: String },
    #[error("proposal {proposal} is {phase:?}: only a pending one can be decided")]
    NotPending { proposal: String, phase: Phase },
    #[error("proposal {proposal} is {phase:?}: only what was approved can be rolled back")]
    NotApproved { proposal: String, phase: Phase },
}

impl WorkloadState {
    /// Carries a decision out. `live_uid` is the proposal's as it is in the cluster now.
    ///
    /// # Errors
    /// Why it does not count; then nothing has changed.
    pub fn decide(
        &mut self,
        decision: &Decision,
        live_uid: Option<&str>,
        now: Timestamp,
        record: &mut Vec<Draft>,
    ) -> Result<(), Refusal> {
        let proposal = self
            .proposal(&decision.proposal)
            .ok_or_else(|| Refusal::Unknown(decision.proposal.clone()))?;
        if live_uid != Some(decision.proposal_uid.as_str()) {
            return Err(Refusal::AnotherObject(decision.proposal.clone()));
        }
        match decision.verb {
            Verb::Approve | Verb::Reject => may_be_decided(proposal, decision)?,
            Verb::Rollback => may_be_undone(proposal)?,
        }
        match decision.verb {
            Verb::Approve => self.approve(&decision.proposal, Some(decision), now, record),
            Verb::Reject => self.reject(decision, now, record),
            Verb::Rollback => {
                let (actor, why) = (decision.decided_by.as_str(), decision.reason.as_str());
                self.roll_back(
                    &decision.proposal,
                    Action::RolledBack,
                    actor,
                    why,
                    now,
                    record,
                );
                self.degraded = None;
            }
        }
        Ok(())
    }

    /// The open proposal is approved by the rules of its Segmentation.
    pub fn approve_automatically(&mut self, now: Timestamp, record: &mut Vec<Draft>) {
        if let Some(name) = self.open().map(|open| open.name.clone()) {
            self.approve(&name, None, now, record);
        }
    }

    fn approve(
        &mut self,
        name: &str,
        decision: Option<&Decision>,
        now: Timestamp,
        record: &mut Vec<Draft>,
    ) {
        let number = self.revisions.last().map_or(1, |last| last.number + 1);
        let before = self
            .wanted
            .and_then(|n| self.revision(n))
            .map(|r| r.digest.clone());
        let actor = decision
            .map_or(CONTROLLER, |d| d.decided_by.as_str())
            .to_owned();
        let reason = decision
            .map_or("within the rules of automatic approval", |d| {
                d.reason.as_str()
            })
            .to_owned();
        let Some(proposal) = self.proposals.iter_mut().find(|p| p.name == name) else {
            return;
        };
        proposal.turn(Phase::Approved, now);
        proposal.decided_by = Some(actor.clone());
        proposal.decision = decision.map(|d| d.name.clone());
        proposal.reason = Some(reason.clone());
        proposal.message = None;
        proposal.revision = Some(number);
        let policy = proposal.policy.clone();
        let digest = Digest::of_policy(&policy);
        // One that was approved before and is not in the cluster yet will never be.
        for other in &mut self.proposals {
            if other.phase == Phase::Approved && other.name != name {
                other.turn(Phase::Superseded, now);
            }
        }
        self.revisions.push(Revision {
            number,
            policy,
            digest: digest.clone(),
            proposal: name.to_owned(),
            decided_by: actor.clone(),
            at: now,
        });
        self.wanted = Some(number);
        self.degraded = None;
        let action = if decision.is_some() {
            Action::Approved
        } else {
            Action::AutoApproved
        };
        record.push(self.draft(
            action,
            &actor,
            before,
            Some(digest),
            format!("{name}: {reason}"),
        ));
    }

    fn reject(&mut self, decision: &Decision, now: Timestamp, record: &mut Vec<Draft>) {
        let Some(proposal) = self
            .proposals
            .iter_mut()
            .find(|p| p.name == decision.proposal)
        else {
            return;
        };
        proposal.turn(Phase::Rejected, now);
        proposal.decided_by = Some(decision.decided_by.clone());
        proposal.decision = Some(decision.name.clone());
        proposal.reason = Some(decision.reason.clone());
        let digest = Digest::of_policy(&proposal.policy);
        let reason = format!("{}: {}", decision.proposal, decision.reason);
        record.push(self.draft(
            Action::Rejected,
            &decision.decided_by,
            Some(digest),
            None,
            reason,
        ));
    }

    /// The record's line for a decision that does not count.
    pub fn refused(namespace: &str, decision: &Decision, refusal: &Refusal) -> Draft {
        Draft {
            action: Action::DecisionRefused,
            actor: decision.decided_by.clone(),
            namespace: namespace.to_owned(),
            object: decision.proposal.clone(),
            before: None,
            after: None,
            reason: refusal.to_string(),
        }
    }
}

fn may_be_decided(proposal: &Proposal, decision: &Decision) -> Result<(), Refusal> {
    if proposal.phase != Phase::Pending {
        return Err(Refusal::NotPending {
            proposal: proposal.name.clone(),
            phase: proposal.phase,
        });
    }
    // An edit that was not judged yet makes the impact one of another policy.
    if proposal.digest() != decision.revision
        || Digest::of_policy(&proposal.policy).to_string() != decision.revision
    {
        return Err(Refusal::Outdated {
            proposal: proposal.name.clone(),
            now: proposal.digest().to_owned(),
        });
    }
    Ok(())
}

fn may_be_undone(proposal: &Proposal) -> Result<(), Refusal> {
    match proposal.phase {
        Phase::Approved | Phase::Applied | Phase::Superseded if proposal.revision.is_some() => {
            Ok(())
        }
        phase => Err(Refusal::NotApproved {
            proposal: proposal.name.clone(),
            phase,
        }),
    }
}
