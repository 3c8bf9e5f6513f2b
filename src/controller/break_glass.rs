//! Broken glass across leaders: that policies are about to be taken away is on the disk before the first one goes,
//! so that a leader that is killed then leaves it to the next one to tell.

use super::engine::{EngineState, resume_break_glass};
use super::plan::EnforcerReport;
use crate::store::{BreakGlassEntry, BreakGlassLog, ReviewStore, ReviewStoreError};
use std::collections::BTreeMap;
use std::path::Path;

/// What who takes policies away must know and keep of broken glass.
pub struct BreakGlass {
    /// Why the glass of namespaces was broken when this leader began.
    broken: BTreeMap<String, String>,
    log: BreakGlassLog,
}

impl BreakGlass {
    /// Takes over from the leader before: what it did not come to tell is noted in `engine_state`. `path`: that of `store`.
    ///
    /// # Errors
    /// If the store cannot be read or opened for writing.
    pub fn take_over(
        path: &Path,
        store: &ReviewStore,
        engine_state: &mut EngineState,
    ) -> Result<BreakGlass, ReviewStoreError> {
        resume_break_glass(engine_state, store.unrecorded_break_glass()?);
        Ok(BreakGlass {
            broken: engine_state.broken(),
            log: BreakGlassLog::open(path)?,
        })
    }

    /// Why the glass of namespaces was broken when this leader began.
    pub fn broken(&self) -> &BTreeMap<String, String> {
        &self.broken
    }

    /// Puts what `reports` say of broken glass on the disk. That the disk refuses is logged, and no reason to keep an
    /// operator waiting who breaks a glass. Blocks, for a quarter of a second at most.
    pub fn log(&mut self, reports: &[EnforcerReport]) {
        let broken: Vec<BreakGlassEntry> = reports.iter().filter_map(broken).collect();
        if broken.is_empty() {
            return;
        }
        if let Err(error) = self.log.write(&broken) {
            tracing::error!("{error}; policies are taken away all the same");
        }
    }
}

fn broken(report: &EnforcerReport) -> Option<BreakGlassEntry> {
    match report {
        EnforcerReport::BreakGlass {
            namespace,
            reason: Some(reason),
            deleted,
            at,
        } => Some(BreakGlassEntry {
            namespace: namespace.clone(),
            reason: reason.clone(),
            policies: *deleted,
            at: *at,
        }),
        _ => None,
    }
}
