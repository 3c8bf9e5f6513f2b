//! The tables, and how a file of an older version is brought to this one.

use super::FlowStoreError;
use rusqlite::Connection;

/// "nseg": distinguishes a flow store from other SQLite files.
const APPLICATION: i64 = 0x6e73_6567;

/// Each script migrates the store from the version of its index to the next. Scripts are never changed, only added.
const MIGRATIONS: &[&str] = &[
    include_str!("version_1.sql"),
    include_str!("version_2.sql"),
    include_str!("version_3.sql"),
    include_str!("version_4.sql"),
    include_str!("version_5.sql"),
    include_str!("version_6.sql"),
    include_str!("version_7.sql"),
    include_str!("version_8.sql"),
    include_str!("version_9.sql"),
    include_str!("version_10.sql"),
    include_str!("version_11.sql"),
];

type Checked = Result<(), FlowStoreError>;

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

fn path(connection: &Connection) -> std::path::PathBuf {
    connection.path().unwrap_or_default().into()
}

/// Checks that this program can read the store.
pub fn check(connection: &Connection) -> rusqlite::Result<Checked> {
    let (application, found) = (
        number(connection, "application_id")?,
        number(connection, "user_version")?,
    );
    let known = MIGRATIONS.len() as i64;
    let path = path(connection);
    Ok(if application != APPLICATION {
        Err(FlowStoreError::Stranger { path })
    } else if found > known {
        Err(FlowStoreError::Newer { path, found, known })
    } else {
        Ok(())
    })
}

/// Creates the tables, or migrates them to this version.
pub fn prepare(connection: &mut Connection) -> rusqlite::Result<Checked> {
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if objects > 0 {
        let checked = check(connection)?;
        if checked.is_err() {
            return Ok(checked);
        }
    }
    // A commit is on the disk when it returns: only then is a batch acknowledged.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // 8 MiB, in KiB, for each of three connections: what is read often is the newest records.
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version = number(&transaction, "user_version")?;
    let missing = MIGRATIONS.get(usize::try_from(version).unwrap_or(usize::MAX)..);
    for migration in missing.unwrap_or_default() {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    Ok(Ok(()))
}
