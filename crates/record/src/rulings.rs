//! What a record proves about the state beside it: which policies were approved, which of them was to be in force
//! last, and how each namespace is segmented. State that says something else was altered
//! (rule: state-is-what-the-record-proves).

use crate::{Action, ActionKind, Actor, Digest, Mode, RecordLine, RemainingPolicies};
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What the lines that were read so far prove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rulings {
    policies: BTreeMap<(String, String), PolicyRuling>,
    namespaces: BTreeMap<String, NamespaceRuling>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PolicyRuling {
    approved: BTreeSet<Digest>,
    wanted: Option<Digest>,
    /// Policies that hold a temporary opening, and what is left of each when it has ended.
    temporary: BTreeMap<Digest, Digest>,
    opening: Option<OpeningRuling>,
}

/// A temporary opening that has not ended by the last lines about a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningRuling {
    /// The proposal that was approved for a time.
    pub proposal: String,
    pub until: Timestamp,
    /// The person who approved it.
    pub by: Actor,
    /// When that was recorded.
    pub at: Timestamp,
}

/// How a namespace is segmented by the last lines about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceRuling {
    /// `None`: the line about it is one of an earlier version and does not say.
    pub mode: Option<Mode>,
    /// Its Segmentation was removed, and this becomes of its policies.
    pub removed: Option<RemainingPolicies>,
    pub break_glass: bool,
    /// When it was last recorded that the namespace is segmented.
    pub since: Timestamp,
}

impl Rulings {
    /// Takes the next line. It must be one that verifies.
    pub fn take(&mut self, line: &RecordLine) {
        let entry = &line.entry;
        let kind = entry.action.kind();
        match kind {
            ActionKind::Approved
            | ActionKind::AutoApproved
            | ActionKind::RolledBack
            | ActionKind::AutoRolledBack
            | ActionKind::OpeningExpired
            | ActionKind::Deleted => {
                let key = (entry.namespace.clone(), entry.object.clone());
                let policy = self.policies.entry(key).or_default();
                // What is left of an approved policy without what it opened for a time was approved with it.
                if entry.action.is_approval() || kind == ActionKind::OpeningExpired {
                    policy.approved.extend(entry.after.clone());
                }
                policy.wanted.clone_from(&entry.after);
                policy.note_opening(line);
            }
            ActionKind::SegmentationAdded
            | ActionKind::ModeChanged
            | ActionKind::SegmentationRemoved
            | ActionKind::BreakGlassOn
            | ActionKind::BreakGlassOff => {
                self.segment(&entry.namespace, &entry.action);
                if kind == ActionKind::SegmentationAdded
                    && let Some(known) = self.namespaces.get_mut(&entry.namespace)
                {
                    known.since = line.at;
                }
            }
            _ => {}
        }
    }

    fn segment(&mut self, namespace: &str, action: &Action) {
        let known = self.namespaces.entry(namespace.to_owned()).or_default();
        match action {
            Action::SegmentationAdded { mode } | Action::ModeChanged { to: mode, .. } => {
                (known.mode, known.removed) = (Some(*mode), None);
            }
            Action::SegmentationRemoved { policies, .. } => known.removed = Some(*policies),
            Action::BreakGlassOn { .. } => known.break_glass = true,
            Action::BreakGlassOff => known.break_glass = false,
            // A line of an earlier version without the fact.
            other => match other.kind() {
                ActionKind::SegmentationRemoved => {}
                _ => (known.mode, known.removed) = (None, None),
            },
        }
    }

    /// The temporary opening that is in the policy that is to be in force, and has not ended.
    pub fn opening(&self, namespace: &str, policy: &str) -> Option<&OpeningRuling> {
        let known = self.policy(namespace, policy)?;
        let is_in_force = known.temporary.contains_key(known.wanted.as_ref()?);
        known.opening.as_ref().filter(|_| is_in_force)
    }

    /// What is left of an approved policy when the temporary opening in it has ended; `None`: it was approved for good.
    pub fn afterwards(&self, namespace: &str, policy: &str, digest: &Digest) -> Option<&Digest> {
        self.policy(namespace, policy)?.temporary.get(digest)
    }

    /// Whether a policy with this digest was ever approved under this name.
    pub fn is_approved(&self, namespace: &str, policy: &str, digest: &Digest) -> bool {
        let known = self.policy(namespace, policy);
        known.is_some_and(|known| known.approved.contains(digest))
    }

    /// The digest of the policy that is to be in force since the last ruling about it; `None` if that is none.
    pub fn wanted(&self, namespace: &str, policy: &str) -> Option<&Digest> {
        self.policy(namespace, policy)?.wanted.as_ref()
    }

    /// Whether the last ruling about it is that no policy is to be in force.
    pub fn is_ruled_out(&self, namespace: &str, policy: &str) -> bool {
        let known = self.policy(namespace, policy);
        known.is_some_and(|known| known.wanted.is_none())
    }

    /// How a namespace is segmented; `None` if no line is about it.
    pub fn namespace(&self, namespace: &str) -> Option<NamespaceRuling> {
        self.namespaces.get(namespace).copied()
    }

    fn policy(&self, namespace: &str, policy: &str) -> Option<&PolicyRuling> {
        self.policies
            .get(&(namespace.to_owned(), policy.to_owned()))
    }
}

impl PolicyRuling {
    /// Takes what a ruling says about a temporary opening.
    fn note_opening(&mut self, line: &RecordLine) {
        let entry = &line.entry;
        let Action::Approved {
            proposal,
            until,
            afterwards,
            ..
        } = &entry.action
        else {
            if entry.action.kind() == ActionKind::OpeningExpired {
                self.opening = None;
            }
            return;
        };
        let Some(digest) = &entry.after else { return };
        match afterwards {
            Some(afterwards) => {
                self.approved.insert(afterwards.clone());
                self.temporary.insert(digest.clone(), afterwards.clone());
            }
            None => {
                self.temporary.remove(digest);
                self.opening = None;
            }
        }
        if let Some(until) = until {
            self.opening = Some(OpeningRuling {
                proposal: proposal.clone(),
                until: *until,
                by: entry.actor.clone(),
                at: line.at,
            });
        }
    }
}
