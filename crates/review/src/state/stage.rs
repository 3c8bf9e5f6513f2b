//! The stage of a proposal: `Pending`, then `Approved` and `Applied`, or `Rejected`; later `Superseded` or
//! `RolledBack`. Each stage has the data that exists in it, and no other.

use crate::resources::Phase;
use serde::{Deserialize, Serialize};

/// The stage of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredStage", into = "StoredStage")]
pub enum Stage {
    /// It waits for a decision.
    Pending,
    Rejected(Ruling),
    /// It was approved, and is not in the cluster yet.
    Approved(ApprovedRevision),
    Applied(ApprovedRevision),
    /// Another proposal replaced it, before a decision or after it was approved.
    Superseded(Option<ApprovedRevision>),
    /// It was approved, and the approval was undone.
    RolledBack(ApprovedRevision),
    /// It was approved for a time that is over.
    Expired(ApprovedRevision),
}

/// The person who decided, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    pub by: String,
    /// The name of the ProposalDecision; `None`: it was approved automatically.
    pub decision: Option<String>,
    pub reason: String,
}

/// The approval, and the number of the revision that it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedRevision {
    pub ruling: Ruling,
    pub revision: u32,
}

impl Stage {
    /// The phase that the object's status shows.
    pub fn phase(&self) -> Phase {
        match self {
            Stage::Pending => Phase::Pending,
            Stage::Rejected(_) => Phase::Rejected,
            Stage::Approved(_) => Phase::Approved,
            Stage::Applied(_) => Phase::Applied,
            Stage::Superseded(_) => Phase::Superseded,
            Stage::RolledBack(_) => Phase::RolledBack,
            Stage::Expired(_) => Phase::Expired,
        }
    }

    /// The approved revision, if it was ever approved.
    pub fn approved(&self) -> Option<&ApprovedRevision> {
        match self {
            Stage::Approved(approval)
            | Stage::Applied(approval)
            | Stage::RolledBack(approval)
            | Stage::Expired(approval) => Some(approval),
            Stage::Superseded(approval) => approval.as_ref(),
            Stage::Pending | Stage::Rejected(_) => None,
        }
    }

    /// The approved revision, if it was approved and the approval was not undone.
    pub fn undoable(&self) -> Option<&ApprovedRevision> {
        match self {
            Stage::RolledBack(_) | Stage::Expired(_) => None,
            other => other.approved(),
        }
    }

    /// The decision, if there was one.
    pub fn ruling(&self) -> Option<&Ruling> {
        match self {
            Stage::Rejected(ruling) => Some(ruling),
            other => other.approved().map(|approval| &approval.ruling),
        }
    }

    /// Notes that the revision goes on under another number.
    pub(super) fn renumber(&mut self, number: u32) {
        match self {
            Stage::Approved(approval)
            | Stage::Applied(approval)
            | Stage::Superseded(Some(approval)) => {
                approval.revision = number;
            }
            _ => {}
        }
    }

    /// The stage once revision `wanted` is in the cluster.
    pub(super) fn with_applied(self, wanted: Option<u32>) -> Stage {
        match self {
            Stage::Approved(approval) | Stage::Superseded(Some(approval))
                if wanted == Some(approval.revision) =>
            {
                Stage::Applied(approval)
            }
            Stage::Approved(approval) | Stage::Applied(approval)
                if wanted != Some(approval.revision) =>
            {
                Stage::Superseded(Some(approval))
            }
            other => other,
        }
    }
}

/// A stage as the store contains it: optional fields beside each other.
#[derive(Serialize, Deserialize)]
struct StoredStage {
    phase: Phase,
    decided_by: Option<String>,
    decision: Option<String>,
    reason: Option<String>,
    revision: Option<u32>,
}

/// A stored stage that nanoseg never writes.
#[derive(Debug, thiserror::Error)]
#[error("a proposal in phase {0:?} has no revision")]
struct NoRevision(Phase);

impl TryFrom<StoredStage> for Stage {
    type Error = NoRevision;

    fn try_from(stored: StoredStage) -> Result<Stage, NoRevision> {
        let ruling = Ruling {
            by: stored.decided_by.unwrap_or_default(),
            decision: stored.decision,
            reason: stored.reason.unwrap_or_default(),
        };
        let approval = match stored.revision {
            Some(revision) => Ok(ApprovedRevision {
                ruling: ruling.clone(),
                revision,
            }),
            None => Err(NoRevision(stored.phase)),
        };
        Ok(match stored.phase {
            Phase::Pending => Stage::Pending,
            Phase::Rejected => Stage::Rejected(ruling),
            Phase::Approved => Stage::Approved(approval?),
            Phase::Applied => Stage::Applied(approval?),
            Phase::Superseded => Stage::Superseded(approval.ok()),
            Phase::RolledBack => Stage::RolledBack(approval?),
            Phase::Expired => Stage::Expired(approval?),
        })
    }
}

impl From<Stage> for StoredStage {
    fn from(stage: Stage) -> StoredStage {
        let ruling = stage.ruling();
        StoredStage {
            phase: stage.phase(),
            decided_by: ruling.map(|one| one.by.clone()),
            decision: ruling.and_then(|one| one.decision.clone()),
            reason: ruling.map(|one| one.reason.clone()),
            revision: stage.approved().map(|one| one.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_stored_form_of_earlier_versions_reads_and_is_written_again() {
        let decided = |phase: &str, revision: Option<u32>| {
            json!({"phase": phase, "decided_by": "ann", "decision": "web-1-x7", "reason": "fine",
                   "revision": revision})
        };
        let open = |phase: &str| json!({"phase": phase, "decided_by": null, "decision": null, "reason": null, "revision": null});
        for stored in [
            open("Pending"),
            open("Superseded"),
            decided("Rejected", None),
            decided("Approved", Some(1)),
            decided("Applied", Some(2)),
            decided("Superseded", Some(3)),
            decided("RolledBack", Some(4)),
            decided("Expired", Some(5)),
        ] {
            let stage: Stage = serde_json::from_value(stored.clone()).expect("a stage");
            assert_eq!(serde_json::to_value(stage).expect("JSON"), stored);
        }
        assert!(serde_json::from_value::<Stage>(open("Applied")).is_err());
    }
}
