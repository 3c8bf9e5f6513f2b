//! Decisions. RBAC controls who may decide; this module controls which decisions are valid.

use super::{ApprovedRevision, Proposal, Revision, Ruling, Stage, WorkloadState};
use crate::digest::policy_digest;
use crate::resources::{Phase, Verb};
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, Actor, Entry, RefusalKind};
use thiserror::Error;

/// A decision as it is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub name: String,
    pub proposal: String,
    pub proposal_uid: String,
    /// The revision that the person read.
    pub revision: String,
    pub verb: Verb,
    pub reason: String,
    pub decided_by: String,
}

/// The reason why a decision is not valid.
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
    #[error(
        "proposal {proposal} is {phase:?}: only a pending one can be decided, and one that was rolled back approved again"
    )]
    NotPending { proposal: String, phase: Phase },
    #[error("proposal {proposal} is {phase:?}: only what was approved can be rolled back")]
    NotApproved { proposal: String, phase: Phase },
}

impl WorkloadState {
    /// Carries a decision out. `live_uid` is the uid of the proposal in the cluster.
    ///
    /// # Errors
    /// Returns the reason why it is not valid; nothing has changed then.
    pub fn decide(
        &mut self,
        decision: &Decision,
        live_uid: Option<&str>,
        now: Timestamp,
        record: &mut Vec<Entry>,
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
            Verb::Reject => {
                self.reject(decision, now, record);
                self.accept_blocked();
            }
            Verb::Rollback => {
                self.roll_back(
                    &decision.proposal,
                    Some(decision),
                    &decision.reason,
                    now,
                    record,
                );
                self.degraded = None;
            }
        }
        Ok(())
    }

    /// Approves the open proposal by the rules of its Segmentation.
    pub fn approve_automatically(&mut self, now: Timestamp, record: &mut Vec<Entry>) {
        if let Some(name) = self.open().map(|open| open.name.clone()) {
            self.approve(&name, None, now, record);
        }
    }

    fn approve(
        &mut self,
        name: &str,
        decision: Option<&Decision>,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) {
        let number = self.revisions.last().map_or(1, |last| last.number + 1);
        let before = self
            .wanted
            .and_then(|n| self.revision(n))
            .map(|r| r.digest.clone());
        let (actor, action) = match decision {
            Some(decision) => (
                Actor::user(&decision.decided_by),
                Action::Approved {
                    proposal: name.to_owned(),
                    why: decision.reason.clone(),
                },
            ),
            None => (
                Actor::Controller,
                Action::AutoApproved {
                    proposal: name.to_owned(),
                },
            ),
        };
        let (base, base_policy) = (self.wanted, self.wanted_policy().cloned());
        let Some(proposal) = self.proposals.iter_mut().find(|p| p.name == name) else {
            return;
        };
        // One that was rolled back and is approved again changes what is in force now.
        (proposal.base_revision, proposal.base) = (base, base_policy);
        let ruling = Ruling {
            by: actor.name().to_owned(),
            decision: decision.map(|d| d.name.clone()),
            reason: action.why().unwrap_or_default(),
        };
        let approval = ApprovedRevision {
            ruling,
            revision: number,
        };
        proposal.turn(Stage::Approved(approval), now);
        proposal.message = None;
        let (policy, intent) = (proposal.policy.clone(), proposal.intent.clone());
        let digest = policy_digest(&policy);
        // An earlier approved proposal that is not in the cluster yet will never be applied.
        for other in &mut self.proposals {
            if let Stage::Approved(approval) = &other.stage
                && other.name != name
            {
                let approval = Some(approval.clone());
                other.turn(Stage::Superseded(approval), now);
            }
        }
        self.revisions.push(Revision {
            number,
            policy,
            digest: digest.clone(),
            proposal: name.to_owned(),
            decided_by: actor.name().to_owned(),
            at: now,
            base,
            intent,
        });
        self.wanted = Some(number);
        self.degraded = None;
        self.awaits_person &= decision.is_none();
        record.push(
            self.entry(action, actor)
                .with_policies(before, Some(digest)),
        );
    }

    fn reject(&mut self, decision: &Decision, now: Timestamp, record: &mut Vec<Entry>) {
        let Some(proposal) = self
            .proposals
            .iter_mut()
            .find(|p| p.name == decision.proposal)
        else {
            return;
        };
        let ruling = Ruling {
            by: decision.decided_by.clone(),
            decision: Some(decision.name.clone()),
            reason: decision.reason.clone(),
        };
        proposal.turn(Stage::Rejected(ruling), now);
        let digest = policy_digest(&proposal.policy);
        let action = Action::Rejected {
            proposal: decision.proposal.clone(),
            why: decision.reason.clone(),
        };
        let entry = self.entry(action, Actor::user(&decision.decided_by));
        record.push(entry.with_policies(Some(digest), None));
    }

    /// The record's entry for a decision that is not valid.
    pub fn refused(namespace: &str, decision: &Decision, refusal: &Refusal) -> Entry {
        let action = Action::DecisionRefused {
            proposal: decision.proposal.clone(),
            because: refusal.kind(),
        };
        let actor = Actor::user(&decision.decided_by);
        Entry::new(action, actor, namespace, &decision.proposal).with_reason(refusal.to_string())
    }
}

impl Refusal {
    fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Unknown(_) => RefusalKind::Unknown,
            Refusal::AnotherObject(_) => RefusalKind::AnotherObject,
            Refusal::Outdated { .. } => RefusalKind::Outdated,
            Refusal::NotPending { .. } => RefusalKind::NotPending,
            Refusal::NotApproved { .. } => RefusalKind::NotApproved,
        }
    }
}

fn may_be_decided(proposal: &Proposal, decision: &Decision) -> Result<(), Refusal> {
    let again = matches!(proposal.stage, Stage::RolledBack(_)) && decision.verb == Verb::Approve;
    if proposal.stage != Stage::Pending && !again {
        return Err(Refusal::NotPending {
            proposal: proposal.name.clone(),
            phase: proposal.stage.phase(),
        });
    }
    // The impact belongs to another policy if an edit was not assessed yet.
    if proposal.digest() != decision.revision
        || policy_digest(&proposal.policy).to_string() != decision.revision
    {
        return Err(Refusal::Outdated {
            proposal: proposal.name.clone(),
            now: proposal.digest().to_owned(),
        });
    }
    Ok(())
}

fn may_be_undone(proposal: &Proposal) -> Result<(), Refusal> {
    match proposal.stage.undoable() {
        Some(_) => Ok(()),
        None => Err(Refusal::NotApproved {
            proposal: proposal.name.clone(),
            phase: proposal.stage.phase(),
        }),
    }
}
