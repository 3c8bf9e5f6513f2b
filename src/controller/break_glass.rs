//! Break-glass: an operator annotates a namespace, and within a second every policy of ours in it is deleted and none
//! is written until the annotation goes.
//!
//! The log of it outlives a leader: it is on the disk before the first policy is deleted. The engine writes the line
//! of the record later, when its cycle comes to the report; if the leader is killed before that, the next leader
//! finds the entry in the log and writes the line.

use super::pending_writes::{Key, PendingWrites};
use super::plan::{EnforcerReport, NamespacePlan};
use crate::inventory::is_ours;
use crate::inventory::kubernetes::Namespace;
use crate::review::resources::{BREAK_GLASS, REVISION};
use crate::store::{BreakGlassEntry, BreakGlassLog, ReviewStoreError};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeMap;
use std::path::Path;

/// What the enforcer needs of break-glass when it begins, and where it logs.
pub struct BreakGlass {
    reasons: BTreeMap<String, String>,
    log: BreakGlassLog,
}

impl BreakGlass {
    /// Opens the log in the store at `path`. `reasons`: why break-glass was on in namespaces, by the state that the
    /// leader before left.
    ///
    /// # Errors
    /// If the store cannot be opened for writing.
    pub fn open(
        path: &Path,
        reasons: BTreeMap<String, String>,
    ) -> Result<BreakGlass, ReviewStoreError> {
        let log = BreakGlassLog::open(path)?;
        Ok(BreakGlass { reasons, log })
    }

    /// Returns why break-glass was on when this leader began, by namespace.
    pub fn reasons(&self) -> &BTreeMap<String, String> {
        &self.reasons
    }

    /// Writes the reports that break-glass came on to the disk. If the disk refuses, that is logged and no error: an
    /// operator who breaks the glass is not kept waiting. Blocks for a quarter of a second at most.
    pub fn log(&mut self, reports: &[EnforcerReport]) {
        let entries: Vec<BreakGlassEntry> = reports.iter().filter_map(entry).collect();
        if entries.is_empty() {
            return;
        }
        if let Err(error) = self.log.write(&entries) {
            tracing::error!("{error}; policies are deleted all the same");
        }
    }
}

fn entry(report: &EnforcerReport) -> Option<BreakGlassEntry> {
    match report {
        EnforcerReport::BreakGlass {
            namespace,
            reason: Some(reason),
            by,
            deleted,
            at,
        } => Some(BreakGlassEntry {
            namespace: namespace.clone(),
            reason: reason.clone(),
            by: by.clone(),
            policies: *deleted,
            at: *at,
        }),
        _ => None,
    }
}

/// Returns why break-glass is on in a namespace: the value of its annotation. `None` if it is off.
pub fn reason(namespace: &Namespace) -> Option<&str> {
    let annotations = namespace.metadata.annotations.as_ref()?;
    annotations.get(BREAK_GLASS).map(String::as_str)
}

/// Returns the policies that break-glass deletes in `namespace`: all of ours, whether or not they are in the plan,
/// except those whose deletion the watch does not show yet.
pub fn policies_to_delete(
    namespace: &str,
    planned: Option<&NamespacePlan>,
    live: &BTreeMap<Key, &NetworkPolicy>,
    pending: &mut PendingWrites,
) -> Vec<Key> {
    let first = (namespace.to_owned(), String::new());
    let here = live
        .range(first..)
        .take_while(|((ns, _), _)| ns == namespace);
    let mut all = Vec::new();
    for (key, policy) in here {
        let is_planned = planned.is_some_and(|plan| plan.policies.contains_key(&key.1));
        let annotations = policy.metadata.annotations.as_ref();
        let was_approved = annotations.is_some_and(|all| all.contains_key(REVISION));
        let is_ours = is_ours(&policy.metadata) && (is_planned || was_approved);
        if is_ours && !pending.is_behind(key, Some(&policy.metadata)) {
            all.push(key.clone());
        }
    }
    all
}
