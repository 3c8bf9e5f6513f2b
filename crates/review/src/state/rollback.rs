//! Rollback: undoing a proposal makes the policy before it the wanted one again (rules: rollback-needs-evidence,
//! rollback-has-a-way-forward).

use super::{Decision, Degraded, DegradedBy, Stage, WorkloadState};
use crate::IntendedConnection;
use nanoseg_net::Timestamp;
use nanoseg_record::{Action, Actor, Entry};

impl WorkloadState {
    /// Undoes a proposal and everything that was approved after it, by a decision or by the controller.
    pub(super) fn roll_back(
        &mut self,
        name: &str,
        decision: Option<&Decision>,
        why: &str,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) {
        let Some((revision, back_to)) = self
            .proposal(name)
            .and_then(|p| Some((p.stage.approved()?.revision, p.base_revision)))
        else {
            return;
        };
        let digest = |number: Option<u32>| {
            number
                .and_then(|n| self.revision(n))
                .map(|r| r.digest.clone())
        };
        let before = digest(self.wanted);
        // Undone with the opening, or what it was made on.
        if self
            .opening
            .as_ref()
            .is_some_and(|one| one.revision >= revision)
        {
            self.opening = None;
        }
        let back_to = back_to.map(|number| self.lasting(number, now));
        let digest = |number: Option<u32>| {
            number
                .and_then(|n| self.revision(n))
                .map(|r| r.digest.clone())
        };
        let after = digest(back_to);
        let (proposal, to, text) = (name.to_owned(), back_to, why.to_owned());
        let (actor, action) = match decision {
            Some(decision) => (
                Actor::user(&decision.decided_by),
                Action::RolledBack {
                    proposal,
                    to,
                    why: text,
                },
            ),
            None => (
                Actor::Controller,
                Action::AutoRolledBack {
                    proposal,
                    to,
                    why: text,
                },
            ),
        };
        let actor_name = actor.name().to_owned();
        record.push(self.entry(action, actor).with_policies(before, after));
        for proposal in &mut self.proposals {
            let undone = proposal.stage.undoable().cloned();
            if let Some(undone) = undone.filter(|one| one.revision >= revision) {
                proposal.turn(Stage::RolledBack(undone), now);
                proposal.message = Some(format!("rolled back by {actor_name}: {why}"));
            }
            // It was a change of a revision that is not in force any more.
            if proposal.stage == Stage::Pending {
                proposal.turn(Stage::Superseded(None), now);
                proposal.message = Some(format!("{name} was rolled back"));
            }
        }
        self.wanted = back_to;
        self.awaits_person = true;
    }

    /// Undoes the last change, because approved traffic is blocked since it was applied. Returns false, and does
    /// nothing, if there is no approved revision before: the controller never goes back to no policy.
    pub fn roll_back_blocked(
        &mut self,
        connection: &IntendedConnection,
        traffic: &str,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) -> bool {
        let change = self.applied_change();
        let Some(name) = change
            .filter(|change| change.before.is_some())
            .map(|change| change.revision.proposal.clone())
        else {
            return false;
        };
        self.roll_back(&name, None, traffic, now, record);
        self.degraded = Some(Degraded {
            at: now,
            why: traffic.to_owned(),
            by: DegradedBy::RolledBack,
            connection: Some(connection.clone()),
        });
        true
    }

    /// Notes that approved traffic is blocked and that the policy stays until a person decides. Returns true if that
    /// is new.
    pub fn keep_although_blocked(
        &mut self,
        connection: &IntendedConnection,
        why: &str,
        now: Timestamp,
        record: &mut Vec<Entry>,
    ) -> bool {
        let Some(revision) = self.wanted.filter(|_| self.degraded.is_none()) else {
            return false;
        };
        let action = Action::ApprovedTrafficBlocked {
            connection: connection.for_record(),
            revision,
            why: why.to_owned(),
        };
        record.push(self.entry(action, Actor::Controller));
        self.degraded = Some(Degraded {
            at: now,
            why: why.to_owned(),
            by: DegradedBy::Kept,
            connection: Some(connection.clone()),
        });
        true
    }
}
