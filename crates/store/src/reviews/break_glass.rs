//! The log of break-glass. An entry is on the disk before the first policy is deleted: the engine writes the record's
//! line later, and the leader may be killed before that. The next leader records the entries that are left.

use super::{ReviewStore, ReviewStoreError};
use crate::{FlowStoreError, flows};
use nanoseg_net::Timestamp;
use nanoseg_record::Actor;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long break-glass waits for other writers of the store: policies must be deleted within a second.
const PATIENCE: Duration = Duration::from_millis(250);

/// One entry: break-glass came on in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlassEntry {
    pub namespace: String,
    pub reason: String,
    /// Who began it.
    pub by: Actor,
    /// How many policies were to be deleted.
    pub policies: usize,
    pub at: Timestamp,
}

/// The log, with a connection of its own beside the [`ReviewStore`].
#[derive(Debug)]
pub struct BreakGlassLog {
    connection: Connection,
    path: PathBuf,
}

impl BreakGlassLog {
    /// Opens the log in the store at `path`, and creates the store if there is none.
    ///
    /// # Errors
    /// As [`ReviewStore::open`].
    pub fn open(path: &Path) -> Result<BreakGlassLog, ReviewStoreError> {
        let connection = flows::open(path)?;
        let patient = connection.busy_timeout(PATIENCE);
        patient.map_err(|e| FlowStoreError::of("open", path, e))?;
        let path = path.to_owned();
        Ok(BreakGlassLog { connection, path })
    }

    /// Writes entries; when this returns they are on the disk.
    ///
    /// # Errors
    /// If it could not be written within a quarter of a second.
    pub fn write(&mut self, broken: &[BreakGlassEntry]) -> Result<(), ReviewStoreError> {
        let outcome = (|| {
            // A transaction that is dropped without a commit is rolled back.
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            for entry in broken {
                transaction
                    .prepare_cached(
                        "REPLACE INTO broken_glass (namespace, at, reason, policies, actor)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        entry.namespace,
                        entry.at.nanos(),
                        entry.reason,
                        i64::try_from(entry.policies).unwrap_or(i64::MAX),
                        serde_json::to_string(&entry.by).unwrap_or_default()
                    ])?;
            }
            transaction.commit()
        })();
        let failed = |error| FlowStoreError::of("write to", &self.path, error).into();
        outcome.map_err(failed)
    }
}

impl ReviewStore {
    /// Returns the entries that no commit marked as recorded, the oldest first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn unrecorded_break_glass(&self) -> Result<Vec<BreakGlassEntry>, ReviewStoreError> {
        let query = "SELECT namespace, at, reason, policies, actor FROM broken_glass
             ORDER BY at, namespace";
        let broken = super::read::all(&self.connection, query, |row| {
            Ok(BreakGlassEntry {
                namespace: row.get(0)?,
                at: super::read::time(row, 1)?,
                reason: row.get(2)?,
                by: actor(row.get(4)?),
                policies: usize::try_from(row.get::<_, i64>(3)?).unwrap_or_default(),
            })
        });
        broken.map_err(|e| self.failed("read", e))
    }
}

/// Earlier versions did not write who it was.
fn actor(body: Option<String>) -> Actor {
    let known = body.and_then(|body| serde_json::from_str(&body).ok());
    known.unwrap_or(Actor::Unknown)
}

/// Removes entries that are recorded.
pub(super) fn recorded(
    transaction: &Transaction<'_>,
    entries: &[(String, Timestamp)],
) -> rusqlite::Result<()> {
    for (namespace, at) in entries {
        transaction
            .prepare_cached("DELETE FROM broken_glass WHERE namespace = ?1 AND at = ?2")?
            .execute(params![namespace, at.nanos()])?;
    }
    Ok(())
}
