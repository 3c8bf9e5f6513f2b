//! From rows back to values.

use super::{DepartedPod, EndedReview, Loaded, StoredDecision, StoredSegment};
use crate::tables::has_table;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

pub fn load(connection: &Connection) -> rusqlite::Result<Loaded> {
    // All tables as they were at one time.
    let transaction = connection.unchecked_transaction()?;
    let reviews = all(
        &transaction,
        "SELECT namespace, kind, name, body FROM reviews ORDER BY namespace, name, kind",
        |row| {
            let id = WorkloadId {
                namespace: row.get(0)?,
                kind: row.get(1)?,
                name: row.get(2)?,
            };
            Ok((id, row.get(3)?))
        },
    )?;
    let segments = all(
        &transaction,
        "SELECT namespace, observing_since, body FROM segments ORDER BY namespace",
        |row| {
            Ok(StoredSegment {
                namespace: row.get(0)?,
                observing_since: time(row, 1)?,
                body: row.get(2)?,
            })
        },
    )?;
    let decisions = all(
        &transaction,
        "SELECT uid, namespace, name, at, outcome, body FROM decisions ORDER BY uid",
        |row| {
            Ok(StoredDecision {
                uid: row.get(0)?,
                namespace: row.get(1)?,
                name: row.get(2)?,
                at: time(row, 3)?,
                outcome: row.get(4)?,
                body: row.get(5)?,
            })
        },
    )?;
    let departed = all(
        &transaction,
        "SELECT uid, gone_at, body FROM departed_pods ORDER BY uid",
        |row| {
            Ok(DepartedPod {
                uid: row.get(0)?,
                gone_at: time(row, 1)?,
                body: row.get(2)?,
            })
        },
    )?;
    // A file that is read only may be one of an earlier version.
    let memories = if has_table(&transaction, "memories")? {
        all(
            &transaction,
            "SELECT namespace, body FROM memories ORDER BY namespace",
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
    } else {
        Vec::new()
    };
    let record_head = transaction
        .query_row("SELECT sequence, line FROM record_head", [], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?))
        })
        .optional()?;
    Ok(Loaded {
        reviews,
        segments,
        decisions,
        record_head,
        departed,
        memories,
    })
}

pub fn ended_reviews(connection: &Connection) -> rusqlite::Result<Vec<EndedReview>> {
    if !has_table(connection, "ended_reviews")? {
        return Ok(Vec::new());
    }
    all(
        connection,
        "SELECT namespace, kind, name, ended_at, body FROM ended_reviews
         ORDER BY namespace, name, kind, ended_at",
        |row| {
            Ok(EndedReview {
                workload: WorkloadId {
                    namespace: row.get(0)?,
                    kind: row.get(1)?,
                    name: row.get(2)?,
                },
                ended_at: time(row, 3)?,
                body: row.get(4)?,
            })
        },
    )
}

pub fn record_lines(
    connection: &Connection,
    from: u64,
    mut each: impl FnMut(u64, &str) -> bool,
) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare("SELECT sequence, line FROM record WHERE sequence >= ?1 ORDER BY sequence")?;
    let mut rows = statement.query([i64::try_from(from).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let sequence: i64 = row.get(0)?;
        if !each(sequence.unsigned_abs(), row.get_ref(1)?.as_str()?) {
            break;
        }
    }
    Ok(())
}

pub fn record_tail(connection: &Connection, most: usize) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT line FROM record ORDER BY sequence DESC")?;
    let mut rows = statement.query([])?;
    let (mut lines, mut bytes) = (Vec::new(), 0usize);
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        bytes = bytes.saturating_add(line.len() + 1);
        if bytes > most && !lines.is_empty() {
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    Ok(lines)
}

pub fn all<T>(
    connection: &Connection,
    query: &str,
    one: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare(query)?;
    statement.query_map([], one)?.collect()
}

pub fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_nanos)
}
