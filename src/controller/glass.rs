//! Broken glass across leaders: that policies are about to be taken away is on the disk before the first one goes,
//! so that a leader that is killed then leaves it to the next one to tell.

use super::engine::{Ledger, take_up};
use super::plan::Report;
use crate::store::{BrokenGlass, GlassBook, ReviewStore, ReviewStoreError};
use std::collections::BTreeMap;
use std::path::Path;

/// What who takes policies away must know and keep of broken glass.
pub struct Glass {
    /// Why the glass of namespaces was broken when this leader began.
    broken: BTreeMap<String, String>,
    book: GlassBook,
}

impl Glass {
    /// Takes over from the leader before: what it did not come to tell is noted in `ledger`. `path`: that of `store`.
    ///
    /// # Errors
    /// If the store cannot be read or opened for writing.
    pub fn take_over(
        path: &Path,
        store: &ReviewStore,
        ledger: &mut Ledger,
    ) -> Result<Glass, ReviewStoreError> {
        take_up(ledger, store.untold_glass()?);
        Ok(Glass {
            broken: ledger.broken(),
            book: GlassBook::open(path)?,
        })
    }

    /// Why the glass of namespaces was broken when this leader began.
    pub fn broken(&self) -> &BTreeMap<String, String> {
        &self.broken
    }

    /// Puts what `reports` say of broken glass on the disk. That the disk refuses is logged, and no reason to keep an
    /// operator waiting who breaks a glass. Blocks, for a quarter of a second at most.
    pub fn write_down(&mut self, reports: &[Report]) {
        let broken: Vec<BrokenGlass> = reports.iter().filter_map(broken).collect();
        if broken.is_empty() {
            return;
        }
        if let Err(error) = self.book.write(&broken) {
            tracing::error!("{error}; policies are taken away all the same");
        }
    }
}

fn broken(report: &Report) -> Option<BrokenGlass> {
    match report {
        Report::BreakGlass {
            namespace,
            reason: Some(reason),
            deleted,
            at,
        } => Some(BrokenGlass {
            namespace: namespace.clone(),
            reason: reason.clone(),
            policies: *deleted,
            at: *at,
        }),
        _ => None,
    }
}
