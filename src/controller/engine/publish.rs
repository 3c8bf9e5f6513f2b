//! Writes the state to the cluster: proposals with their status, and results of decisions. Only what differs is
//! written.

use super::state::EngineState;
use crate::cluster::live::{Kind, Malformed, WriteError, Writer};
use crate::controller::pending_writes::{Key, PendingWrites, key_of};
use crate::inventory::{MANAGED_BY, is_ours};
use crate::review::resources::{
    ConnectionRef, PolicyProposal, PolicyProposalSpec, PolicyProposalStatus, ProposalDecision,
    ProposalDecisionStatus, WorkloadRef, to_time,
};
use crate::review::{Proposal, WorkloadState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is left to do after publishing.
#[derive(Debug, Default)]
pub struct Published {
    /// Namespaces in which a write failed, or in which the watch does not show our last write yet.
    pub again: BTreeSet<String>,
    /// A write failed, so publishing has to be tried again.
    pub failed: bool,
    /// What the last one of these was, by namespace.
    pub problems: BTreeMap<String, String>,
}

impl Published {
    /// Notes that something was not written.
    pub fn failed(&mut self, namespace: String, error: WriteError) {
        if !matches!(error, WriteError::Conflict { .. } | WriteError::Gone { .. }) {
            self.problems.insert(namespace.clone(), error.to_string());
        }
        self.again.insert(namespace);
        self.failed = true;
    }

    pub fn merge(&mut self, other: Published) {
        self.again.extend(other.again);
        self.failed |= other.failed;
        self.problems.extend(other.problems);
    }
}

/// Brings the proposals of these namespaces in line. `live` are those that edits were taken from: with later ones
/// an edit could be taken for a proposal of ours that is out of date.
pub async fn publish_proposals(
    engine_state: &EngineState,
    live: &[Arc<PolicyProposal>],
    malformed: &[Malformed],
    namespaces: &BTreeSet<String>,
    writer: &Writer,
    pending: &mut PendingWrites,
) -> Published {
    let there: BTreeMap<Key, &PolicyProposal> = live
        .iter()
        .map(|p| (key_of(&p.metadata), p.as_ref()))
        .filter(|(key, _)| namespaces.contains(&key.0))
        .collect();
    let mut published = Published::default();
    let mut wanted = BTreeSet::new();
    let unread = clear_malformed(malformed, writer, &mut published).await;
    let theirs = namespaces
        .iter()
        .flat_map(|name| objects(engine_state, name));
    for (proposal, object) in theirs {
        let key = key_of(&object.metadata);
        let found = there.get(&key).copied();
        if unread.contains(&key) {
            // It is made anew once the watch shows that it is gone.
        } else if pending.is_behind(&key, found.map(|f| &f.metadata)) {
            published.again.insert(key.0.clone());
        } else {
            let status = status_of(proposal);
            if let Err(error) = publish(writer, pending, found, &object, &status).await {
                published.failed(key.0.clone(), error);
            }
        }
        wanted.insert(key);
    }
    for (key, object) in there {
        // What the state has forgotten goes from the cluster too; what others made is theirs.
        if wanted.contains(&key)
            || unread.contains(&key)
            || !is_ours(&object.metadata)
            || pending.is_behind(&key, Some(&object.metadata))
        {
            continue;
        }
        let uid = object.metadata.uid.clone().unwrap_or_default();
        match writer.delete_proposal(&key.0, &key.1, Some(&uid)).await {
            Ok(_) => pending.deleted(key, uid),
            Err(error) => published.failed(key.0, error),
        }
    }
    published
}

/// Deletes proposals of ours that cannot be read: they can be neither compared nor decided. Returns the keys of all that
/// cannot be read.
async fn clear_malformed(
    malformed: &[Malformed],
    writer: &Writer,
    published: &mut Published,
) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for one in malformed
        .iter()
        .filter(|one| one.kind == Kind::PolicyProposal)
    {
        keys.insert((one.namespace.clone(), one.name.clone()));
        if one.is_ours
            && let Err(error) = writer.delete_malformed_proposal(one).await
        {
            published.failed(one.namespace.clone(), error);
        }
    }
    keys
}

/// Writes spec and status as far as they differ from what is there. Each write is noted for itself: where the
/// second fails, the first was made.
async fn publish(
    writer: &Writer,
    pending: &mut PendingWrites,
    found: Option<&PolicyProposal>,
    object: &PolicyProposal,
    status: &PolicyProposalStatus,
) -> Result<(), WriteError> {
    let live = match found {
        Some(found) if found.spec == object.spec => found.clone(),
        _ => {
            let written = writer.apply_proposal(object, found).await?;
            if written.changed {
                pending.wrote(&written.object.metadata);
            }
            written.object
        }
    };
    let written = writer.apply_status(&live, status).await?;
    if written.changed {
        pending.wrote(&written.object.metadata);
    }
    Ok(())
}

fn objects<'a>(
    engine_state: &'a EngineState,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a Proposal, PolicyProposal)> {
    engine_state.states_of(namespace).flat_map(|state| {
        let proposals = state.proposals.iter();
        proposals.map(|proposal| (proposal, object(state, proposal)))
    })
}

fn object(state: &WorkloadState, proposal: &Proposal) -> PolicyProposal {
    let (label, value) = MANAGED_BY;
    PolicyProposal {
        metadata: ObjectMeta {
            namespace: Some(state.workload.namespace.clone()),
            name: Some(proposal.name.clone()),
            labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: PolicyProposalSpec {
            workload: WorkloadRef {
                kind: state.workload.kind.clone(),
                name: state.workload.name.clone(),
            },
            policy_name: state.policy_name.clone(),
            policy: proposal.policy.clone(),
            base: proposal.base.clone(),
            review: proposal.impact.clone(),
        },
        status: None,
    }
}

fn status_of(proposal: &Proposal) -> PolicyProposalStatus {
    let ruling = proposal.stage.ruling();
    PolicyProposalStatus {
        phase: proposal.stage.phase(),
        decided_by: ruling.map(|one| one.by.clone()),
        decision: ruling.and_then(|one| one.decision.clone()),
        reason: ruling.map(|one| one.reason.clone()),
        since: Some(to_time(proposal.since)),
        applied_revision: proposal.stage.approved().map(|one| one.revision),
        message: proposal.message.clone(),
        except: proposal.except.iter().map(ConnectionRef::from).collect(),
        open_until: proposal.open_until.map(to_time),
    }
}

/// Says on each decision what became of it: also what a crash kept an earlier leader from saying.
pub async fn publish_answers(
    engine_state: &EngineState,
    decisions: &[Arc<ProposalDecision>],
    writer: &Writer,
    pending: &mut PendingWrites,
) -> Published {
    let mut published = Published::default();
    for decision in decisions {
        let uid = decision.metadata.uid.as_ref();
        let Some(answer) = uid.and_then(|uid| engine_state.decided.get(uid)) else {
            continue;
        };
        let key = key_of(&decision.metadata);
        if pending.is_behind(&key, Some(&decision.metadata)) {
            continue;
        }
        let status = ProposalDecisionStatus {
            outcome: Some(answer.outcome),
            message: answer.message.clone(),
        };
        match writer.apply_status(decision.as_ref(), &status).await {
            Ok(written) if written.changed => pending.wrote(&written.object.metadata),
            Ok(_) | Err(WriteError::Gone { .. }) => {}
            Err(error) => published.failed(key.0, error),
        }
    }
    published
}
