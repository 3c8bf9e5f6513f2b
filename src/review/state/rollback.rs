//! Going back: undoing a proposal makes what was in force before it wanted again.

use super::{CONTROLLER, Degraded, Stage, WorkloadState};
use crate::net::Timestamp;
use crate::review::record::{Action, Draft};

impl WorkloadState {
    /// Undoes a proposal and everything that was approved after it.
    pub(super) fn roll_back(
        &mut self,
        name: &str,
        action: Action,
        actor: &str,
        why: &str,
        now: Timestamp,
        record: &mut Vec<Draft>,
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
        let (before, after) = (digest(self.wanted), digest(back_to));
        let to = back_to.map_or("no policy".into(), |n| format!("revision {n}"));
        let reason = format!("{name}: back to {to}: {why}");
        record.push(self.draft(action, actor, before, after, reason));
        for proposal in &mut self.proposals {
            let undone = proposal.stage.undoable().cloned();
            if let Some(undone) = undone.filter(|one| one.revision >= revision) {
                proposal.turn(Stage::RolledBack(undone), now);
                proposal.message = Some(format!("rolled back by {actor}: {why}"));
            }
            // It was a change of what is not in force any more.
            if proposal.stage == Stage::Pending {
                proposal.turn(Stage::Superseded(None), now);
                proposal.message = Some(format!("{name} was rolled back"));
            }
        }
        self.wanted = back_to;
    }

    /// Traffic that was approved is blocked since the last change was applied: undoes it.
    /// Tells whether there was something to undo.
    pub fn roll_back_blocked(
        &mut self,
        traffic: &str,
        now: Timestamp,
        record: &mut Vec<Draft>,
    ) -> bool {
        let last = self
            .wanted
            .and_then(|n| self.revision(n))
            .map(|r| r.proposal.clone());
        let Some(name) = last else { return false };
        self.roll_back(
            &name,
            Action::AutoRolledBack,
            CONTROLLER,
            traffic,
            now,
            record,
        );
        self.degraded = Some(Degraded {
            at: now,
            why: traffic.to_owned(),
        });
        true
    }
}
