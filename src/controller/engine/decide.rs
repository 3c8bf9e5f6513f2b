//! What people did in the cluster: edited proposals, and decisions.

use super::ledger::Ledger;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::{DecisionOutcome, PolicyProposal, ProposalDecision};
use crate::review::{Decision, Refusal, WorkloadState};
use crate::store::StoredDecision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of a decision, to be told on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub namespace: String,
    pub name: String,
    pub outcome: DecisionOutcome,
    pub message: Option<String>,
}

/// Takes over what people changed of open proposals.
pub fn take_edits(ledger: &mut Ledger, proposals: &[Arc<PolicyProposal>]) {
    for proposal in proposals {
        let Some(workload) = owner(ledger, proposal) else { continue };
        let name = proposal.metadata.name.clone().unwrap_or_default();
        let is_other = |state: &WorkloadState| {
            state.open().is_some_and(|open| open.name == name && open.is_other(&proposal.spec.policy))
        };
        // Only what we have published can have been edited.
        if ledger.states().get(&workload).is_some_and(is_other) && was_published(ledger, &workload, proposal) {
            ledger.change(&workload, |state, _| state.edit(&name, &proposal.spec.policy));
        }
    }
}

/// A proposal whose material is not what we have is behind us: its policy is our own, older one.
fn was_published(ledger: &Ledger, workload: &WorkloadId, proposal: &PolicyProposal) -> bool {
    let state = ledger.states().get(workload);
    state.and_then(WorkloadState::open).is_some_and(|open| open.material.revision == proposal.spec.review.revision)
}

/// The workload whose proposal it is.
pub fn owner(ledger: &Ledger, proposal: &PolicyProposal) -> Option<WorkloadId> {
    let id = WorkloadId {
        namespace: proposal.metadata.namespace.clone()?,
        name: proposal.spec.workload.name.clone(),
        kind: proposal.spec.workload.kind.clone(),
    };
    ledger.states().contains_key(&id).then_some(id)
}

/// Carries out the decisions that were not carried out yet, oldest first.
pub fn take_decisions(
    ledger: &mut Ledger,
    decisions: &[Arc<ProposalDecision>],
    proposals: &[Arc<PolicyProposal>],
    now: Timestamp,
) -> Vec<Answer> {
    let mut fresh: Vec<&ProposalDecision> = decisions
        .iter()
        .map(Arc::as_ref)
        .filter(|d| d.metadata.uid.as_ref().is_some_and(|uid| !ledger.decided.contains(uid)))
        .filter(|d| d.status.as_ref().and_then(|s| s.outcome).is_none())
        .collect();
    fresh.sort_by_key(|d| (d.metadata.creation_timestamp.as_ref().map(|t| t.0), d.metadata.name.clone()));
    let uids: BTreeMap<(&str, &str), &str> = proposals
        .iter()
        .filter_map(|p| {
            let meta = &p.metadata;
            Some(((meta.namespace.as_deref()?, meta.name.as_deref()?), meta.uid.as_deref()?))
        })
        .collect();
    let mut answers = Vec::new();
    for decision in fresh {
        answers.push(take(ledger, decision, &uids, now));
    }
    answers
}

fn take(
    ledger: &mut Ledger,
    object: &ProposalDecision,
    uids: &BTreeMap<(&str, &str), &str>,
    now: Timestamp,
) -> Answer {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let decision = Decision {
        name: object.metadata.name.clone().unwrap_or_default(),
        proposal: object.spec.proposal.clone(),
        proposal_uid: object.spec.proposal_uid.clone(),
        revision: object.spec.revision.clone(),
        verb: object.spec.decision,
        reason: object.spec.reason.clone(),
        decided_by: object.spec.decided_by.clone(),
    };
    let uid = uids.get(&(namespace.as_str(), decision.proposal.as_str())).copied();
    let holder = ledger
        .states()
        .iter()
        .find(|(id, state)| id.namespace == namespace && state.proposal(&decision.proposal).is_some())
        .map(|(id, _)| id.clone());
    let done = holder.and_then(|id| ledger.change(&id, |state, record| state.decide(&decision, uid, now, record)));
    let result = done.unwrap_or_else(|| Err(Refusal::Unknown(decision.proposal.clone())));
    let (outcome, message) = match result {
        Ok(()) => (DecisionOutcome::Accepted, None),
        Err(refusal) => {
            ledger.note(WorkloadState::refused(&namespace, &decision, &refusal));
            (DecisionOutcome::Refused, Some(refusal.to_string()))
        }
    };
    ledger.decided(StoredDecision {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        namespace: namespace.clone(),
        name: decision.name.clone(),
        at: now,
        outcome: format!("{outcome:?}").to_lowercase(),
        body: serde_json::to_string(&object.spec).unwrap_or_default(),
    });
    Answer { namespace, name: decision.name, outcome, message }
}
