//! The state → objects in the cluster: proposals with their status, and answers on decisions. Only what
//! differs is written.

use super::decide::Answer;
use super::ledger::Ledger;
use crate::cluster::live::{WriteError, Writer};
use crate::review::resources::{
    PolicyProposal, PolicyProposalSpec, PolicyProposalStatus, ProposalDecision, ProposalDecisionStatus, WorkloadRef,
};
use crate::review::{Proposal, WorkloadState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

type Key = (String, String);

/// What was written and the watch may not have shown yet.
#[derive(Debug, Default)]
pub struct Published {
    proposals: BTreeMap<Key, (PolicyProposalSpec, PolicyProposalStatus)>,
}

/// Brings the proposals in the cluster in line. Tells what could not be written.
pub async fn publish_proposals(
    ledger: &Ledger,
    live: &[Arc<PolicyProposal>],
    writer: &Writer,
    published: &mut Published,
) -> Vec<WriteError> {
    let there: BTreeMap<Key, &PolicyProposal> = live.iter().map(|p| (key(&p.metadata), p.as_ref())).collect();
    let mut errors = Vec::new();
    let mut wanted = BTreeMap::new();
    for (proposal, object) in objects(ledger) {
        let key = key(&object.metadata);
        wanted.insert(key.clone(), ());
        let status = status_of(proposal);
        let found = there.get(&key).copied();
        if published.is_current(&key, &object.spec, &status, found) {
            continue;
        }
        if let Err(error) = write(writer, found, &object, &status).await {
            errors.push(error);
            continue;
        }
        published.proposals.insert(key, (object.spec, status));
    }
    for (key, object) in there {
        // What the state has forgotten goes from the cluster too; what others made is theirs.
        let ours = published.proposals.contains_key(&key) || is_over(object);
        if wanted.contains_key(&key) || !ours {
            continue;
        }
        match writer.delete_proposal(&key.0, &key.1).await {
            Ok(()) => {
                published.proposals.remove(&key);
            }
            Err(error) => errors.push(error),
        }
    }
    errors
}

impl Published {
    /// Whether the cluster has it, or will show it in a moment.
    fn is_current(
        &self,
        key: &Key,
        spec: &PolicyProposalSpec,
        status: &PolicyProposalStatus,
        found: Option<&PolicyProposal>,
    ) -> bool {
        let Some(found) = found else {
            return false;
        };
        let as_written = |was: &PolicyProposalSpec| {
            was.review == spec.review && was.policy == spec.policy && was.base == spec.base
        };
        let live = as_written(&found.spec) && found.status.as_ref() == Some(status);
        let written = self.proposals.get(key).is_some_and(|(s, t)| s == spec && t == status);
        live || (written && found.spec.review == spec.review)
    }
}

async fn write(
    writer: &Writer,
    found: Option<&PolicyProposal>,
    object: &PolicyProposal,
    status: &PolicyProposalStatus,
) -> Result<(), WriteError> {
    if found.is_none_or(|found| found.spec != object.spec) {
        writer.apply_proposal(object).await?;
    }
    if found.and_then(|found| found.status.as_ref()) != Some(status) {
        let (namespace, name) = key(&object.metadata);
        writer.patch_proposal_status(&namespace, &name, status).await?;
    }
    Ok(())
}

fn is_over(object: &PolicyProposal) -> bool {
    use crate::review::resources::Phase::{Rejected, RolledBack, Superseded};
    let phase = object.status.as_ref().map(|status| status.phase);
    matches!(phase, Some(Rejected | RolledBack | Superseded))
}

fn objects(ledger: &Ledger) -> impl Iterator<Item = (&Proposal, PolicyProposal)> {
    let states = ledger.states().values();
    states.flat_map(|state| state.proposals.iter().map(|proposal| (proposal, object(state, proposal))))
}

fn object(state: &WorkloadState, proposal: &Proposal) -> PolicyProposal {
    PolicyProposal {
        metadata: ObjectMeta {
            namespace: Some(state.workload.namespace.clone()),
            name: Some(proposal.name.clone()),
            ..ObjectMeta::default()
        },
        spec: PolicyProposalSpec {
            workload: WorkloadRef { kind: state.workload.kind.clone(), name: state.workload.name.clone() },
            policy_name: state.policy_name.clone(),
            policy: proposal.policy.clone(),
            base: proposal.base.clone(),
            review: proposal.material.clone(),
        },
        status: None,
    }
}

fn status_of(proposal: &Proposal) -> PolicyProposalStatus {
    PolicyProposalStatus {
        phase: proposal.phase,
        decided_by: proposal.decided_by.clone(),
        decision: proposal.decision.clone(),
        reason: proposal.reason.clone(),
        since: proposal.since.to_jiff().map(Time),
        applied_revision: proposal.revision,
        message: proposal.message.clone(),
    }
}

/// Says on each decision what became of it. What could not be said is said again.
pub async fn publish_answers(answers: &mut Vec<Answer>, writer: &Writer) -> Vec<WriteError> {
    let mut errors = Vec::new();
    for answer in std::mem::take(answers) {
        let status = ProposalDecisionStatus { outcome: Some(answer.outcome), message: answer.message.clone() };
        match writer.patch_decision_status(&answer.namespace, &answer.name, &status).await {
            Ok(()) => {}
            Err(WriteError::NotFound { .. }) => {}
            Err(error) => {
                errors.push(error);
                answers.push(answer);
            }
        }
    }
    errors
}

/// Decisions that were carried out before a crash, and that nobody was told of.
pub fn untold(ledger: &Ledger, decisions: &[Arc<ProposalDecision>]) -> usize {
    let untold = |d: &&Arc<ProposalDecision>| {
        let known = d.metadata.uid.as_ref().is_some_and(|uid| ledger.decided.contains(uid));
        known && d.status.as_ref().and_then(|s| s.outcome).is_none()
    };
    decisions.iter().filter(untold).count()
}

fn key(meta: &ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
