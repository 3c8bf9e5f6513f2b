//! Processes what people did in the cluster: edited proposals, and decisions.

use super::state::{DecisionResult, EngineState};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::{DecisionOutcome, PolicyProposal, ProposalDecision};
use crate::review::{Decision, Refusal, WorkloadState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes people's edits of open proposals over. Returns how many there were.
pub fn take_edits(engine_state: &mut EngineState, proposals: &[Arc<PolicyProposal>]) -> usize {
    let mut edits = 0;
    for proposal in proposals {
        let Some(workload) = owner(engine_state, proposal) else {
            continue;
        };
        let name = proposal.metadata.name.clone().unwrap_or_default();
        let is_other = |state: &WorkloadState| {
            state
                .open()
                .is_some_and(|open| open.name == name && open.is_other(&proposal.spec.policy))
        };
        // Only a proposal that we have published can have been edited.
        if engine_state.states().get(&workload).is_some_and(is_other)
            && was_published(engine_state, &workload, proposal)
        {
            engine_state.change(&workload, |state, _| {
                state.edit(&name, &proposal.spec.policy)
            });
            edits += 1;
        }
    }
    edits
}

/// Returns true if the proposal in the cluster is the one that we have. With another revision it is an older one of
/// ours, and not an edit.
fn was_published(
    engine_state: &EngineState,
    workload: &WorkloadId,
    proposal: &PolicyProposal,
) -> bool {
    let state = engine_state.states().get(workload);
    state
        .and_then(WorkloadState::open)
        .is_some_and(|open| open.impact.revision == proposal.spec.review.revision)
}

/// Returns the workload of a proposal, if the state knows it.
pub fn owner(engine_state: &EngineState, proposal: &PolicyProposal) -> Option<WorkloadId> {
    let id = WorkloadId {
        namespace: proposal.metadata.namespace.clone()?,
        name: proposal.spec.workload.name.clone(),
        kind: proposal.spec.workload.kind.clone(),
    };
    engine_state.states().contains_key(&id).then_some(id)
}

/// Carries out the decisions that are new, oldest first. Returns how many there were.
pub fn take_decisions(
    engine_state: &mut EngineState,
    decisions: &[Arc<ProposalDecision>],
    proposals: &[Arc<PolicyProposal>],
    now: Timestamp,
) -> usize {
    let mut fresh: Vec<&ProposalDecision> = decisions
        .iter()
        .map(Arc::as_ref)
        .filter(|d| {
            d.metadata
                .uid
                .as_ref()
                .is_some_and(|uid| !engine_state.decided.contains_key(uid))
        })
        .filter(|d| d.status.as_ref().and_then(|s| s.outcome).is_none())
        .collect();
    fresh.sort_by_key(|d| {
        (
            d.metadata.creation_timestamp.as_ref().map(|t| t.0),
            d.metadata.name.clone(),
        )
    });
    let uids: BTreeMap<(&str, &str), &str> = proposals
        .iter()
        .filter_map(|p| {
            let meta = &p.metadata;
            Some((
                (meta.namespace.as_deref()?, meta.name.as_deref()?),
                meta.uid.as_deref()?,
            ))
        })
        .collect();
    for decision in &fresh {
        take(engine_state, decision, &uids, now);
    }
    fresh.len()
}

fn take(
    engine_state: &mut EngineState,
    object: &ProposalDecision,
    uids: &BTreeMap<(&str, &str), &str>,
    now: Timestamp,
) {
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
    let uid = uids
        .get(&(namespace.as_str(), decision.proposal.as_str()))
        .copied();
    let holder = engine_state
        .states()
        .iter()
        .find(|(id, state)| {
            id.namespace == namespace && state.proposal(&decision.proposal).is_some()
        })
        .map(|(id, _)| id.clone());
    let done = holder.and_then(|id| {
        engine_state.change(&id, |state, record| {
            state.decide(&decision, uid, now, record)
        })
    });
    let result = done.unwrap_or_else(|| Err(Refusal::Unknown(decision.proposal.clone())));
    let (outcome, message) = match result {
        Ok(()) => (DecisionOutcome::Accepted, None),
        Err(refusal) => {
            engine_state.note(WorkloadState::refused(&namespace, &decision, &refusal));
            (DecisionOutcome::Refused, Some(refusal.to_string()))
        }
    };
    let answer = DecisionResult {
        spec: object.spec.clone(),
        outcome,
        message,
    };
    engine_state.decided(object, answer, now);
}
