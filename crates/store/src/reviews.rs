//! What the controller must not forget, in the same SQLite file as the flow records: where each review
//! stands, decisions, segmented namespaces, departed pods and the record. All of one step is written
//! together: it is either on the disk for good or has not happened.
//!
//! Bodies are JSON that rooms below write and read; here they are text.

mod backlog;
#[cfg(test)]
mod bound_tests;
mod bounds;
mod break_glass;
mod condense;
mod edges;
mod error;
mod fold;
mod hours;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use bounds::{Forgotten, StoreLimits, StoreSize};
pub use break_glass::{BreakGlassEntry, BreakGlassLog};
pub use error::ReviewStoreError;
pub use fold::{FoldStep, FoldSummary};
pub use hours::HourEdge;

use super::flows;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};

/// The first version of the file that has these tables.
const SINCE_VERSION: i64 = 2;

/// The controller's state on disk.
#[derive(Debug)]
pub struct ReviewStore {
    connection: Connection,
    path: PathBuf,
}

/// Everything in the store but flow records and edges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The body of each workload's review, in order.
    pub reviews: Vec<(WorkloadId, String)>,
    /// In order of namespace.
    pub segments: Vec<StoredSegment>,
    /// All decisions that were answered, in order of UID.
    pub decisions: Vec<StoredDecision>,
    /// The record's last sequence number and line.
    pub record_head: Option<(u64, String)>,
    /// In order of UID.
    pub departed: Vec<DepartedPod>,
    /// What is remembered of each namespace, in order.
    pub memories: Vec<(String, String)>,
}

/// A namespace that is segmented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSegment {
    pub namespace: String,
    /// Since when its traffic is learned from.
    pub observing_since: Timestamp,
    pub body: String,
}

/// The review of a workload that went, or of a namespace that is not segmented any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedReview {
    pub workload: WorkloadId,
    pub ended_at: Timestamp,
    pub body: String,
}

/// A decision that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// When it was answered.
    pub at: Timestamp,
    /// One word: what became of it.
    pub outcome: String,
    pub body: String,
}

/// A pod that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepartedPod {
    pub uid: String,
    pub gone_at: Timestamp,
    pub body: String,
}

/// What one step changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Reviews to be put or replaced.
    pub reviews: Vec<(WorkloadId, String)>,
    /// Reviews that ended: they are kept apart, for reports.
    pub ended_reviews: Vec<EndedReview>,
    /// Segments to be put or replaced, and to be removed by namespace.
    pub segments: Vec<StoredSegment>,
    pub removed_segments: Vec<String>,
    pub decisions: Vec<StoredDecision>,
    /// New lines of the record: sequence number and line, following the last one without a gap.
    pub record_lines: Vec<(u64, String)>,
    pub departed: Vec<DepartedPod>,
    /// Forgets pods that were gone before this.
    pub forget_departed_before: Option<Timestamp>,
    /// Break-glass entries, by namespace and time, whose line of the record is in this commit.
    pub recorded_break_glass: Vec<(String, Timestamp)>,
    /// What is remembered of namespaces, to be put or replaced.
    pub memories: Vec<(String, String)>,
}

impl Commit {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Commit::default()
    }
}

impl ReviewStore {
    /// Opens the state, and makes it if there is none; a file of an older version is brought to this one.
    ///
    /// # Errors
    /// If the file is something else's, one of a newer nanoseg, or cannot be written.
    pub fn open(path: &Path) -> Result<ReviewStore, ReviewStoreError> {
        let connection = flows::open(path)?;
        let path = path.to_owned();
        Ok(ReviewStore { connection, path })
    }

    /// Opens existing state for reading. A controller may go on writing to it.
    ///
    /// # Errors
    /// If there is no such file, or it is something else's, or one without these tables.
    pub fn open_read_only(path: &Path) -> Result<ReviewStore, ReviewStoreError> {
        let connection = flows::open_read_only(path)?;
        let path = path.to_owned();
        let store = ReviewStore { connection, path };
        let version: Result<i64, _> =
            store
                .connection
                .pragma_query_value(None, "user_version", |row| row.get(0));
        match version.map_err(|e| store.failed("open", e))? {
            SINCE_VERSION.. => Ok(store),
            _ => Err(ReviewStoreError::NoReviews { path: store.path }),
        }
    }

    /// Everything but flow records and edges, as it was at one time.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn load(&self) -> Result<Loaded, ReviewStoreError> {
        read::load(&self.connection).map_err(|e| self.failed("read", e))
    }

    /// The reviews that ended, in order of workload and time; none in a file of a version that forgot them.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn ended_reviews(&self) -> Result<Vec<EndedReview>, ReviewStoreError> {
        read::ended_reviews(&self.connection).map_err(|e| self.failed("read", e))
    }

    /// Writes all of `commit`; when this returns it is on the disk.
    ///
    /// # Errors
    /// If it could not be written, or a line of the record does not follow the last one; then the store is
    /// as it was.
    pub fn commit(&mut self, commit: &Commit) -> Result<(), ReviewStoreError> {
        if commit.is_empty() {
            return Ok(());
        }
        match self.try_commit(commit) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(write::OutOfSequence { expected, found })) => {
                Err(ReviewStoreError::OutOfSequence {
                    path: self.path.clone(),
                    expected,
                    found,
                })
            }
            Err(error) => Err(self.failed("write to", error)),
        }
    }

    fn try_commit(
        &mut self,
        commit: &Commit,
    ) -> rusqlite::Result<Result<(), write::OutOfSequence>> {
        // Dropped without a commit it is rolled back.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Err(wrong) = write::commit(&transaction, commit)? {
            return Ok(Err(wrong));
        }
        transaction.commit()?;
        Ok(Ok(()))
    }

    /// Calls `each` with every line of the record from the sequence number `from` on, in order and as they
    /// are at one time; ends early where `each` returns false.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn record_lines(
        &self,
        from: u64,
        each: impl FnMut(u64, &str) -> bool,
    ) -> Result<(), ReviewStoreError> {
        read::record_lines(&self.connection, from, each).map_err(|e| self.failed("read", e))
    }

    /// The record's last lines, oldest first: as many as have `most` bytes together, but one at least.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn record_tail(&self, most: usize) -> Result<Vec<String>, ReviewStoreError> {
        read::record_tail(&self.connection, most).map_err(|e| self.failed("read", e))
    }

    fn failed(&self, action: &'static str, source: rusqlite::Error) -> ReviewStoreError {
        super::FlowStoreError::of(action, &self.path, source).into()
    }
}
