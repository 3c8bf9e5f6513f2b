//! Why the controller's state cannot be used, and what helps.

use crate::FlowStoreError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ReviewStoreError {
    #[error(transparent)]
    Store(#[from] FlowStoreError),
    #[error(
        "failed to open {path}: it has flow records only, no reviews; give the file of a controller"
    )]
    NoReviews { path: PathBuf },
    #[error(
        "failed to add to the record in {path}: its next line is number {expected}, not {found}; another writer was there, start the controller again"
    )]
    OutOfSequence {
        path: PathBuf,
        expected: u64,
        found: u64,
    },
    #[error("failed to read {path}: {what}; it was altered, restore it from a backup")]
    Content { path: PathBuf, what: String },
}
