//! Processes what people did in the cluster: edited proposals, and decisions.

use super::observation::Observation;
use super::state::{DecisionResult, EngineState};
use super::{exceptions, refusals};
use crate::inventory::WorkloadId;
use crate::net::{Protocol, Timestamp};
use crate::record::Connection;
use crate::review::resources::{
    DecisionOutcome, MOST_EXCEPTED, PolicyProposal, ProposalDecision, ProposalDecisionSpec, Verb,
};
use crate::review::{Decision, Proposal, Refusal, RefusedBy, WorkloadState};
use std::collections::{BTreeMap, BTreeSet};
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

/// What became of new decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    pub carried_out: usize,
    /// How many wait until the traffic is known: what is left of a proposal is made from it.
    pub put_off: usize,
}

/// Carries out the decisions that are new, oldest first.
pub fn take_decisions(
    engine_state: &mut EngineState,
    observation: &Observation,
    decisions: &[Arc<ProposalDecision>],
    proposals: &[Arc<PolicyProposal>],
    now: Timestamp,
) -> Taken {
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
    let mut taken = Taken::default();
    for decision in fresh {
        if !decision.spec.except.is_empty() && !observation.is_built() {
            taken.put_off += 1;
            continue;
        }
        take(engine_state, observation, decision, &uids, now);
        taken.carried_out += 1;
    }
    taken
}

fn take(
    engine_state: &mut EngineState,
    observation: &Observation,
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
        except: excepted(&object.spec),
        open_for: object.spec.open_for_seconds,
        made: object
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|at| at.0.into()),
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
    let result = match holder {
        Some(id) => carry_out(engine_state, observation, &id, &decision, uid, now),
        None => Err(Refusal::Unknown(decision.proposal.clone())),
    };
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

/// The connections that a decision leaves out. One that is not written as nanoseg writes it has a name that no proposal
/// has.
fn excepted(spec: &ProposalDecisionSpec) -> Vec<Connection> {
    let all = spec.except.iter().take(MOST_EXCEPTED + 1);
    let read = all.map(|one| {
        one.connection().unwrap_or_else(|| Connection {
            client: String::new(),
            server: String::new(),
            protocol: Protocol::Tcp,
            port: one.port,
        })
    });
    read.collect()
}

/// Carries one decision out, and remembers what it refuses.
fn carry_out(
    engine_state: &mut EngineState,
    observation: &Observation,
    id: &WorkloadId,
    decision: &Decision,
    uid: Option<&str>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let unknown = || Refusal::Unknown(decision.proposal.clone());
    let state = engine_state.states().get(id).cloned().ok_or_else(unknown)?;
    state.may_be_carried_out(decision, uid)?;
    let shown = state
        .proposal(&decision.proposal)
        .cloned()
        .ok_or_else(unknown)?;
    let cannot = |why: String| Refusal::CannotExcept {
        proposal: shown.name.clone(),
        why,
    };
    let amendment = match decision.except.len() {
        0 => None,
        some if some > MOST_EXCEPTED => {
            return Err(cannot(format!("at most {MOST_EXCEPTED} can be left out")));
        }
        _ => Some(
            exceptions::amend(
                engine_state,
                observation,
                &state,
                &shown,
                &decision.except,
                now,
            )
            .map_err(cannot)?,
        ),
    };
    let done = engine_state.change(id, |state, record| {
        state.decide_amended(decision, uid, amendment, now, record)
    });
    done.unwrap_or_else(|| Err(unknown()))?;
    remember(engine_state, observation, &state, &shown, decision, now);
    Ok(())
}

/// `before`: the state before the decision, and `shown` the proposal as it was shown.
fn remember(
    engine_state: &mut EngineState,
    observation: &Observation,
    before: &WorkloadState,
    shown: &Proposal,
    decision: &Decision,
    now: Timestamp,
) {
    let (graph, by) = (&observation.built.graph, decision.decided_by.as_str());
    let id = &before.workload;
    match decision.verb {
        Verb::Reject => {
            refusals::remember_rejection(engine_state, graph, before, shown, by, now);
        }
        Verb::Approve => {
            let out = decision.except.iter().flat_map(|one| shown.named(one));
            let out: BTreeSet<_> = out.cloned().collect();
            let allowed = shown.intent.allows.difference(&out).cloned().collect();
            refusals::permit(engine_state, id, &allowed);
            let how = (by, RefusedBy::Exception);
            refusals::remember(engine_state, graph, id, shown, &out, how, now);
        }
        Verb::Rollback => {}
    }
}
