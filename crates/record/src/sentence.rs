//! The sentences for people, all of them. No program reads one: what programs need is in [`Action`].

use crate::{Action, Connection, Drift, Mode, RemainingPolicies, ResetCause};
use std::fmt;

impl Action {
    /// The sentence of a line for people, in addition to its typed details; empty if there is nothing to add to the action.
    pub fn sentence(&self) -> String {
        match self {
            Action::Proposed {
                proposal,
                refreshed: true,
                why,
            } => format!("{proposal} was updated: {why}"),
            Action::Approved {
                proposal,
                why,
                until: Some(until),
                ..
            } => format!("{proposal}, until {until}: {why}"),
            Action::ConnectionsRejected {
                proposal,
                why,
                connections,
            } => format!("{proposal} without {}: {why}", list(connections)),
            Action::OpeningExpired {
                proposal,
                until,
                connections,
            } => format!(
                "{proposal} was approved until {until}; closed again: {}",
                list(connections)
            ),
            Action::BreakGlassOn {
                why,
                policies,
                done,
            } => match (policies, done) {
                (Some(policies), Some(done)) => format!(
                    "{why} ({policies} policies were deleted at {done}; the leader ended before it could record this)"
                ),
                (Some(policies), None) => format!("{why} ({policies} policies were deleted)"),
                (None, _) => why.clone(),
            },
            Action::BreakGlassOff => "policies are enforced again".into(),
            Action::DriftRepaired {
                drift: Drift::Unwanted,
            } => "it was in the cluster, but should not be".into(),
            Action::DriftRepaired { drift } => drift.to_string(),
            Action::DriftGivenUp {
                drift,
                until: Some(until),
            } => {
                format!("{drift}; somebody keeps changing it, so it is repaired again at {until}")
            }
            Action::DriftGivenUp { drift, until: None } => drift.to_string(),
            Action::ModeChanged { from, to } => format!("from {from} to {to}"),
            Action::SegmentationAdded { mode } => format!("mode {mode}"),
            Action::SegmentationRemoved { policies, .. } => policies.to_string(),
            Action::Violation {
                connection,
                further: true,
                ..
            } => format!(
                "{connection}; further ports and peers of this kind are counted with it and get no lines"
            ),
            Action::Violation { connection, .. } => connection.to_string(),
            Action::ViolationWithdrawn { connection, now } => format!(
                "{connection} was {now}: who had the address was known only after the traffic"
            ),
            Action::ApprovedTrafficBlocked { revision, why, .. } => {
                format!("revision {revision} stays: {why}")
            }
            Action::RecordReset {
                published, cause, ..
            } => match published {
                Some(head) => format!("{cause}; the published record ended with {head}"),
                None => cause.to_string(),
            },
            _ => match (self.proposal(), self.why()) {
                (Some(proposal), Some(why)) => format!("{proposal}: {why}"),
                _ => String::new(),
            },
        }
    }

    /// Why it was done, for people: the words of the person who decided, or of the rule; `None` if the action
    /// needs no reason.
    pub fn why(&self) -> Option<String> {
        match self {
            Action::Proposed { why, .. }
            | Action::Superseded { why, .. }
            | Action::Approved { why, .. }
            | Action::Rejected { why, .. }
            | Action::ConnectionsRejected { why, .. }
            | Action::BreakGlassOn { why, .. } => Some(why.clone()),
            Action::AutoApproved { .. } => Some("within the rules of automatic approval".into()),
            Action::RolledBack { to, why, .. } | Action::AutoRolledBack { to, why, .. } => {
                Some(match to {
                    Some(revision) => format!("back to revision {revision}: {why}"),
                    None => format!("back to no policy: {why}"),
                })
            }
            _ => None,
        }
    }
}

/// How many connections a sentence names; all of them are in the details.
const NAMED: usize = 5;

fn list(connections: &[Connection]) -> String {
    let named = connections.iter().take(NAMED).map(ToString::to_string);
    let named: Vec<String> = named.collect();
    match connections.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Drift::SpecChanged => "its spec was changed",
            Drift::LabelChanged => "its label app.kubernetes.io/managed-by was changed",
            Drift::Deleted => "it was deleted",
            Drift::Unwanted => "it is in the cluster, but should not be",
        })
    }
}

impl fmt::Display for RemainingPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RemainingPolicies::Removed => "its policies are removed",
            RemainingPolicies::Retained => "its policies stay, and nobody keeps them as approved",
        })
    }
}

impl fmt::Display for ResetCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ResetCause::Lost => "the state has no record any more",
            ResetCause::Behind => "the state's record ends before the published one",
            ResetCause::AnotherChain => "the state's record is not the one that was published",
            ResetCause::Altered => "the state's record was altered",
            ResetCause::Unpublished => "the state has a record, and none is published any more",
            ResetCause::Unreadable => "the published record cannot be read",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `client → server port/protocol`.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} → {} {}/{}",
            self.client, self.server, self.port, self.protocol
        )
    }
}
