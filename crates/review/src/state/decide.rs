//! Decisions. RBAC controls who may decide; this module controls which decisions are valid.

use super::opening::for_record;
use super::{
    ApprovedRevision, NoOpening, Proposal, Revision, Ruling, Stage, Temporary, TemporaryOpening,
    WorkloadState,
};
use crate::digest::policy_digest;
use crate::resources::{Phase, Verb};
use crate::{Assessment, IntendedConnection, Opens};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, Actor, Connection, Entry, MOST_CONNECTIONS, RefusalKind};
use std::collections::BTreeSet;
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
    /// The connections of the proposal that are not approved.
    pub except: Vec<Connection>,
    /// For how long what it opens stays open, in seconds; `None`: for good.
    pub open_for: Option<u32>,
    /// When the decision was made, by the API server's clock.
    pub made: Option<Timestamp>,
}

/// A proposal without the connections that a decision leaves out, proven to be no other than that.
#[derive(Debug, Clone, PartialEq)]
pub struct Amendment {
    pub policy: NetworkPolicySpec,
    pub assessment: Assessment,
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
    #[error(
        "proposal {proposal} does not allow {connection}, so it cannot be approved without it; nanoseg review shows the names of its connections"
    )]
    NotInProposal {
        proposal: String,
        connection: Connection,
    },
    #[error("proposal {proposal} cannot be approved without them: {why}")]
    CannotExcept { proposal: String, why: String },
    #[error("proposal {proposal} cannot be approved for a time: {why}")]
    NoOpening { proposal: String, why: NoOpening },
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
        self.decide_amended(decision, live_uid, None, now, record)
    }

    /// Carries a decision out. `amendment` is the proposal without the connections that the decision leaves out.
    ///
    /// # Errors
    /// As [`WorkloadState::decide`]; or connections are left out and there is no amendment.
    pub fn decide_amended(
        &mut self,
        decision: &Decision,
        live_uid: Option<&str>,
        amendment: Option<Amendment>,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        self.may_be_carried_out(decision, live_uid)?;
        match decision.verb {
            Verb::Approve => {
                let kept = self.proposal(&decision.proposal).cloned();
                self.amend(decision, amendment, now)?;
                let ends = self.proposal(&decision.proposal);
                let ends = ends.map_or(Ok(None), |one| self.opening_ends(one, decision, now));
                let until = ends.inspect_err(|_| {
                    let name = &decision.proposal;
                    let changed = self.proposals.iter_mut().find(|one| one.name == *name);
                    if let (Some(changed), Some(kept)) = (changed, kept) {
                        *changed = kept;
                    }
                })?;
                self.approve(&decision.proposal, Some(decision), until, now, record);
            }
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
            self.approve(&name, None, None, now, record);
        }
    }

    /// Whether the decision is about something that can be decided so.
    ///
    /// # Errors
    /// The reason why not.
    pub fn may_be_carried_out(
        &self,
        decision: &Decision,
        live_uid: Option<&str>,
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
        if decision.verb != Verb::Approve {
            return Ok(());
        }
        for connection in &decision.except {
            if proposal.named(connection).is_empty() {
                return Err(Refusal::NotInProposal {
                    proposal: proposal.name.clone(),
                    connection: connection.clone(),
                });
            }
        }
        Ok(())
    }

    /// Makes the proposal one without the connections that the decision leaves out.
    fn amend(
        &mut self,
        decision: &Decision,
        amendment: Option<Amendment>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if decision.except.is_empty() {
            return Ok(());
        }
        let Some(Amendment { policy, assessment }) = amendment else {
            return Err(Refusal::CannotExcept {
                proposal: decision.proposal.clone(),
                why: "what would be left of it is not known".into(),
            });
        };
        let mut proposals = self.proposals.iter_mut();
        if let Some(proposal) = proposals.find(|one| one.name == decision.proposal) {
            proposal.policy = policy;
            proposal.generated = policy_digest(&proposal.policy);
            proposal.impact = assessment.impact;
            proposal.intent = assessment.intent;
            (proposal.opens, proposal.closes) = (assessment.opens, assessment.closes);
            proposal.except.clone_from(&decision.except);
            proposal.temporary = None;
            proposal.since = now;
        }
        Ok(())
    }

    fn approve(
        &mut self,
        name: &str,
        decision: Option<&Decision>,
        until: Option<Timestamp>,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) {
        let temporary = self.proposal(name);
        let temporary = temporary.and_then(|one| self.afterwards(one, until.is_some()));
        let number = self.revisions.last().map_or(1, |last| last.number + 1);
        let before = self
            .wanted
            .and_then(|n| self.revision(n))
            .map(|r| r.digest.clone());
        let (actor, action) = approval(name, decision, until, temporary.as_ref());
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
        let opens = proposal.opens.all.clone();
        proposal.turn(Stage::Approved(approval), now);
        (proposal.message, proposal.open_until) = (None, until);
        let (policy, intent) = (proposal.policy.clone(), proposal.intent.clone());
        let digest = policy_digest(&policy);
        self.supersede_approved(name, now);
        self.revisions.push(Revision {
            number,
            policy,
            digest: digest.clone(),
            proposal: name.to_owned(),
            decided_by: actor.name().to_owned(),
            at: now,
            base,
            intent,
            temporary: temporary.clone(),
            is_rest: false,
        });
        self.wanted = Some(number);
        self.answered = None;
        // A policy that knows nothing of the opening takes its place.
        self.opening = self.opening.take().filter(|_| temporary.is_some());
        if let (Some(until), Some(decision)) = (until, decision) {
            self.opening = Some(TemporaryOpening {
                proposal: name.to_owned(),
                revision: number,
                by: decision.decided_by.clone(),
                reason: decision.reason.clone(),
                at: now,
                until,
                connections: opens,
            });
        }
        self.degraded = None;
        self.awaits_person &= decision.is_none();
        let entry = self.entry(action, actor.clone());
        record.push(entry.with_policies(before, Some(digest)));
        if let Some(decision) = decision.filter(|one| !one.except.is_empty()) {
            let action = excepted(name, decision);
            record.push(self.entry(action, actor));
        }
    }

    /// An earlier approved proposal that is not in the cluster yet will never be applied.
    fn supersede_approved(&mut self, by: &str, now: Timestamp) {
        for other in &mut self.proposals {
            if let Stage::Approved(approval) = &other.stage
                && other.name != by
            {
                let approval = Some(approval.clone());
                other.turn(Stage::Superseded(approval), now);
            }
        }
    }

    fn reject(&mut self, decision: &Decision, now: Timestamp, record: &mut Vec<Entry>) {
        let Some(proposal) = self
            .proposals
            .iter_mut()
            .find(|p| p.name == decision.proposal)
        else {
            return;
        };
        let refused = proposal.refused_by_rejection();
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
            connections: for_record(&refused),
        };
        self.answered = None;
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

/// Who approves, and the action of the record.
fn approval(
    proposal: &str,
    decision: Option<&Decision>,
    until: Option<Timestamp>,
    temporary: Option<&Temporary>,
) -> (Actor, Action) {
    let proposal = proposal.to_owned();
    let Some(decision) = decision else {
        return (Actor::Controller, Action::AutoApproved { proposal });
    };
    let action = Action::Approved {
        proposal,
        why: decision.reason.clone(),
        until,
        afterwards: temporary.map(|one| policy_digest(&one.afterwards)),
    };
    (Actor::user(&decision.decided_by), action)
}

/// The action of the record for what a decision leaves out.
fn excepted(proposal: &str, decision: &Decision) -> Action {
    let connections = decision.except.iter().take(MOST_CONNECTIONS);
    Action::ConnectionsRejected {
        proposal: proposal.to_owned(),
        why: decision.reason.clone(),
        connections: connections.cloned().collect(),
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
            Refusal::NotInProposal { .. } | Refusal::CannotExcept { .. } => {
                RefusalKind::CannotExcept
            }
            Refusal::NoOpening { .. } => RefusalKind::CannotExpire,
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

impl Proposal {
    /// The connections that it would allow and that have this name.
    pub fn named(&self, connection: &Connection) -> Vec<&IntendedConnection> {
        let all = self.intent.allows.iter();
        all.filter(|one| one.for_record() == *connection).collect()
    }

    /// The connections that are refused if it is rejected as a whole: what it would newly allow as a change of a policy.
    /// Without lookups of names nothing works, so they are asked about once more, alone. Who rejects a first policy
    /// refuses no connection, but that the workload is isolated.
    pub fn refused_by_rejection(&self) -> BTreeSet<IntendedConnection> {
        if self.base_revision.is_none() || self.adopts {
            return BTreeSet::new();
        }
        let Opens { all, lookups } = &self.opens;
        let others: BTreeSet<_> = all.difference(lookups).cloned().collect();
        if others.is_empty() {
            return all.clone();
        }
        others
    }
}
