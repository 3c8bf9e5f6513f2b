//! That a glass is being broken is on the disk before the first policy goes: the record's line is written by the
//! engine, when it comes to it, and the leader may be killed before that. What is untold then, the next one tells.

use super::{ReviewStore, ReviewStoreError};
use crate::net::Timestamp;
use crate::store::{FlowStoreError, flows};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long who breaks a glass waits for others that write to the store: policies must be gone within a second.
const PATIENCE: Duration = Duration::from_millis(250);

/// A namespace whose policies are to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlassEntry {
    pub namespace: String,
    pub reason: String,
    /// How many policies there were to take away.
    pub policies: usize,
    pub at: Timestamp,
}

/// Where glasses that are being broken are written down, beside the [`ReviewStore`] that tells of them.
#[derive(Debug)]
pub struct BreakGlassLog {
    connection: Connection,
    path: PathBuf,
}

impl BreakGlassLog {
    /// Opens it in the store at `path`, and makes that if there is none.
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

    /// Writes down what is to be broken; when this returns it is on the disk.
    ///
    /// # Errors
    /// If it could not be written within a quarter of a second.
    pub fn write(&mut self, broken: &[BreakGlassEntry]) -> Result<(), ReviewStoreError> {
        let outcome = (|| {
            // Dropped without a commit it is rolled back.
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            for entry in broken {
                transaction
                    .prepare_cached(
                        "REPLACE INTO broken_glass (namespace, at, reason, policies) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![
                        entry.namespace,
                        entry.at.nanos(),
                        entry.reason,
                        i64::try_from(entry.policies).unwrap_or(i64::MAX)
                    ])?;
            }
            transaction.commit()
        })();
        let failed = |error| FlowStoreError::of("write to", &self.path, error).into();
        outcome.map_err(failed)
    }
}

impl ReviewStore {
    /// The glasses of which no commit said that they are told, the oldest first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn unrecorded_break_glass(&self) -> Result<Vec<BreakGlassEntry>, ReviewStoreError> {
        let query =
            "SELECT namespace, at, reason, policies FROM broken_glass ORDER BY at, namespace";
        let broken = super::read::all(&self.connection, query, |row| {
            Ok(BreakGlassEntry {
                namespace: row.get(0)?,
                at: super::read::time(row, 1)?,
                reason: row.get(2)?,
                policies: usize::try_from(row.get::<_, i64>(3)?).unwrap_or_default(),
            })
        });
        broken.map_err(|e| self.failed("read", e))
    }
}

/// Forgets what is told.
pub(super) fn recorded(
    transaction: &Transaction<'_>,
    told: &[(String, Timestamp)],
) -> rusqlite::Result<()> {
    for (namespace, at) in told {
        transaction
            .prepare_cached("DELETE FROM broken_glass WHERE namespace = ?1 AND at = ?2")?
            .execute(params![namespace, at.nanos()])?;
    }
    Ok(())
}
