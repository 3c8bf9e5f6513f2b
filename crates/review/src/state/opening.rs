//! Temporary openings: a change that a person approved for a time is taken back by itself
//! (rule: temporary-opening-ends). What else was approved meanwhile stays.

use super::{Decision, Proposal, Refusal, Revision, Stage, WorkloadState};
use crate::digest::policy_digest;
use crate::{IntendedConnection, Intent};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, Actor, Connection, Entry, MOST_CONNECTIONS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The shortest and the longest temporary opening, in seconds: so long that a network plugin can follow, and a week.
pub const SHORTEST_OPENING: u32 = 10;
pub const LONGEST_OPENING: u32 = 7 * 24 * 3600;

/// What a workload's policy allows for a time only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemporaryOpening {
    /// The proposal that was approved for a time.
    pub proposal: String,
    /// The revision that this made.
    pub revision: u32,
    /// The person, and the reason.
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
    pub until: Timestamp,
    /// What is closed again then.
    pub connections: BTreeSet<IntendedConnection>,
}

/// What is left of a policy once a temporary opening that is in it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Temporary {
    /// The proposal of the opening.
    pub opening: String,
    pub afterwards: NetworkPolicySpec,
    pub intent: Intent,
}

/// Why a proposal cannot be approved for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoOpening {
    FirstPolicy,
    Closes,
    OpensNothing,
    TooLong,
    Over,
    Another,
}

impl fmt::Display for NoOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoOpening::FirstPolicy => {
                "the workload has no policy in force, so there is nothing to go back to: approve it for good"
            }
            NoOpening::Closes => {
                "it closes connections too, and going back would open them: approve it for good, or edit the proposal"
            }
            NoOpening::OpensNothing => "it opens nothing",
            NoOpening::TooLong => "a temporary opening lasts from 10 seconds to 7 days",
            NoOpening::Over => "the time was over before the controller could carry the decision out",
            NoOpening::Another => {
                "another temporary opening of the workload has not ended: approve this one when it has, or for good"
            }
        })
    }
}

impl WorkloadState {
    /// When what the decision opens ends; `None`: it stays.
    ///
    /// # Errors
    /// The proposal cannot be approved for a time.
    pub(super) fn opening_ends(
        &self,
        proposal: &Proposal,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let Some(seconds) = decision.open_for else {
            return Ok(None);
        };
        let until = decision
            .made
            .unwrap_or(now)
            .min(now)
            .plus_secs(seconds.into());
        let why = match () {
            () if !(SHORTEST_OPENING..=LONGEST_OPENING).contains(&seconds) => NoOpening::TooLong,
            () if self.wanted.is_none() || proposal.adopts => NoOpening::FirstPolicy,
            () if proposal.impact.lost_total > 0 || proposal.impact.would_block_total > 0 => {
                NoOpening::Closes
            }
            () if proposal.impact.gained_total == 0 => NoOpening::OpensNothing,
            () if self.opening.is_some() => NoOpening::Another,
            () if until <= now => NoOpening::Over,
            () => return Ok(Some(until)),
        };
        Err(Refusal::NoOpening {
            proposal: proposal.name.clone(),
            why,
        })
    }

    /// What will be left of a policy that is approved now.
    pub(super) fn afterwards(&self, proposal: &Proposal, is_temporary: bool) -> Option<Temporary> {
        if !is_temporary {
            let opening = self.opening.as_ref()?;
            let known = proposal.temporary.as_ref();
            return known.filter(|one| one.opening == opening.proposal).cloned();
        }
        let base = self.wanted.and_then(|number| self.revision(number))?;
        Some(Temporary {
            opening: proposal.name.clone(),
            afterwards: base.policy.clone(),
            intent: base.intent.clone(),
        })
    }

    /// Ends the temporary opening if its time is over: the policy goes on without it. Returns true if it did.
    pub fn expire(&mut self, now: Timestamp, record: &mut Vec<Entry>) -> Option<TemporaryOpening> {
        let opening = self.opening.take_if(|opening| now >= opening.until)?;
        let digest = |state: &WorkloadState| {
            let wanted = state.wanted.and_then(|number| state.revision(number));
            wanted.map(|one| one.digest.clone())
        };
        let before = digest(self);
        self.wanted = self.wanted.map(|number| self.lasting(number, now));
        let action = Action::OpeningExpired {
            proposal: opening.proposal.clone(),
            until: opening.until,
            connections: for_record(&opening.connections),
        };
        let entry = self.entry(action, Actor::Controller);
        record.push(entry.with_policies(before, digest(self)));
        let closed: Vec<IntendedConnection> = opening.connections.iter().cloned().collect();
        let wanted = self.wanted;
        for revision in &mut self.revisions {
            if wanted == Some(revision.number) {
                closed.iter().for_each(|one| revision.intent.shut(one));
            }
        }
        let message = format!("it was approved until {}, and is taken back", opening.until);
        if let Some(proposal) = self
            .proposals
            .iter_mut()
            .find(|one| one.name == opening.proposal)
            && let Some(approval) = proposal.stage.undoable().cloned()
        {
            proposal.turn(Stage::Expired(approval), now);
            proposal.message = Some(message);
        }
        Some(opening)
    }

    /// Returns the revision that is left of this one, without temporary openings that have ended: itself, an earlier
    /// one with the same policy, or a new one.
    pub(super) fn lasting(&mut self, number: u32, now: Timestamp) -> u32 {
        let goes_on = self.opening.as_ref().map(|one| one.proposal.as_str());
        let Some(revision) = self.revision(number) else {
            return number;
        };
        let over = revision.temporary.as_ref();
        let Some(rest) = over.filter(|one| goes_on != Some(one.opening.as_str())) else {
            return number;
        };
        let digest = policy_digest(&rest.afterwards);
        let is_same = |one: &&Revision| one.temporary.is_none() && one.digest == digest;
        if let Some(same) = self.revisions.iter().rev().find(is_same) {
            return same.number;
        }
        let last = self.revisions.last().map_or(number, |one| one.number);
        let left = Revision {
            number: last + 1,
            policy: rest.afterwards.clone(),
            digest,
            at: now,
            intent: rest.intent.clone(),
            temporary: None,
            is_rest: true,
            ..revision.clone()
        };
        // The proposal that made the revision is now in force as what is left of it.
        let (of, number) = (left.proposal.clone(), left.number);
        self.revisions.push(left);
        let mut proposals = self.proposals.iter_mut();
        if let Some(proposal) = proposals.find(|one| one.name == of) {
            proposal.stage.renumber(number);
        }
        number
    }
}

/// The first of them, as the record has them.
pub(super) fn for_record<'a>(
    connections: impl IntoIterator<Item = &'a IntendedConnection>,
) -> Vec<Connection> {
    let all = connections.into_iter().map(IntendedConnection::for_record);
    all.take(MOST_CONNECTIONS).collect()
}
