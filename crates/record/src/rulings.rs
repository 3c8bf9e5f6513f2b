//! What a record proves about the state beside it: which policies were approved, which of them was to be in force
//! last, and how each namespace is segmented. State that says something else was altered
//! (rule: state-is-what-the-record-proves).

use crate::{Action, ActionKind, Digest, Mode, RecordLine, RemainingPolicies};
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
