//! The receiver's flow records in one SQLite file. Applying batches has exactly the
//! meaning of [`nanoseg_flow::Aggregate::apply`]; a batch is on the disk as a whole or not at all.
//!
//! Auditors may read the file with any SQLite: addresses and names are text, the view `flows` has the times
//! in RFC 3339; the tables keep them in nanoseconds since the Unix epoch.

mod error;
mod merge;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub use error::FlowStoreError;
pub(super) use merge::merge_records;
pub(super) use read::{each_record, load_losses, load_records, node_addresses};

use nanoseg_flow::{Aggregate, Applied, FlowBatch};
use nanoseg_net::TimeSpans;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for another process that is writing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many prepared statements are kept.
const STATEMENTS: usize = 32;

/// Opens a connection that may write, and brings the tables to this version.
pub(super) fn open(path: &Path) -> Result<Connection, FlowStoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags)?;
    let outcome = schema::prepare(&mut connection);
    outcome.map_err(|e| FlowStoreError::of("open", path, e))??;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, FlowStoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags)?;
    let outcome = schema::check(&connection);
    outcome.map_err(|e| FlowStoreError::of("open", path, e))??;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, FlowStoreError> {
    let failed = |e| FlowStoreError::of("open", path, e);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    Ok(connection)
}

/// Flow records on disk.
#[derive(Debug)]
pub struct FlowStore {
    connection: Connection,
    path: PathBuf,
}

impl FlowStore {
    /// Opens the store, and creates it if there is none.
    ///
    /// # Errors
    /// If the file is not a flow store, is one of a newer nanoseg, or cannot be written.
    pub fn open(path: &Path) -> Result<FlowStore, FlowStoreError> {
        let connection = open(path)?;
        let path = path.to_owned();
        Ok(FlowStore { connection, path })
    }

    /// Opens an existing store for reading. A receiver may go on writing to it.
    ///
    /// # Errors
    /// If there is no such file, or it is no flow store, or one of a newer nanoseg.
    pub fn open_read_only(path: &Path) -> Result<FlowStore, FlowStoreError> {
        let connection = open_read_only(path)?;
        let path = path.to_owned();
        Ok(FlowStore { connection, path })
    }

    /// Applies a batch, once. When this returns it is on the disk.
    ///
    /// # Errors
    /// If it could not be written; then the store is unchanged.
    pub fn apply(&mut self, batch: &FlowBatch) -> Result<Applied, FlowStoreError> {
        let applied = self.apply_all(std::slice::from_ref(batch))?;
        Ok(applied.first().copied().unwrap_or(Applied::Duplicate))
    }

    /// Applies several batches at once: either all of them or none is written. Returns the result
    /// of each, in their order.
    ///
    /// # Errors
    /// As [`FlowStore::apply`].
    pub fn apply_all(&mut self, batches: &[FlowBatch]) -> Result<Vec<Applied>, FlowStoreError> {
        let outcome = self.try_apply(batches);
        outcome.map_err(|e| self.failed("write to", e))
    }

    fn try_apply(&mut self, batches: &[FlowBatch]) -> rusqlite::Result<Vec<Applied>> {
        // Dropped without a commit it is rolled back.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let applied = batches
            .iter()
            .map(|batch| write::apply(&transaction, batch))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        transaction.commit()?;
        Ok(applied)
    }

    /// Reads everything in the store.
    ///
    /// # Errors
    /// If it cannot be read, or holds values that nanoseg never writes.
    pub fn load(&self) -> Result<Aggregate, FlowStoreError> {
        self.loaded(read::load_since(&self.connection, i64::MIN))
    }

    /// Reads what [`FlowStore::load`] reads, but only the records that began in the hour `hour` (since the Unix epoch) or
    /// later.
    ///
    /// # Errors
    /// If it cannot be read, or holds values that nanoseg never writes.
    pub fn load_since(&self, hour: i64) -> Result<Aggregate, FlowStoreError> {
        self.loaded(read::load_since(
            &self.connection,
            hour.saturating_mul(3600),
        ))
    }

    fn loaded(
        &self,
        outcome: Result<Aggregate, read::ReadError>,
    ) -> Result<Aggregate, FlowStoreError> {
        outcome.map_err(|e| match e {
            read::ReadError::Sqlite(e) => self.failed("read", e),
            read::ReadError::Content(what) => FlowStoreError::Content {
                path: self.path.clone(),
                what,
            },
        })
    }

    /// Reads when each node's agent observed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn views(&self) -> Result<BTreeMap<Arc<str>, TimeSpans>, FlowStoreError> {
        let views = read::views(&self.connection);
        views.map_err(|error| self.failed("read", error))
    }

    fn failed(&self, action: &'static str, error: rusqlite::Error) -> FlowStoreError {
        FlowStoreError::of(action, &self.path, error)
    }
}
