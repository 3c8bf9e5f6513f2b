//! Edges of folded hours that are still to be added to the others, a few in each transaction: so other writers never wait
//! for long (rule: folding-holds-up-nobody).

use super::edges::{add_edge, begin, each, json_of, key_of};
use super::{ReviewStore, ReviewStoreError};
use crate::tables::has_table;
use nanoseg_graph::{Edge, EdgeKey, StoredEdge};
use rusqlite::{Connection, params};
use std::ops::Range;

impl ReviewStore {
    /// Adds at most so many edges of the backlog to those of their hour and of all time, in one transaction. Returns how
    /// many there were.
    ///
    /// # Errors
    /// If it cannot be written, or holds what nanoseg never writes; then all are there still.
    pub fn add_backlog(&mut self, most: usize) -> Result<usize, ReviewStoreError> {
        add(&mut self.connection, most).map_err(|e| self.odd("fold records in", e))
    }
}

fn add(connection: &mut Connection, most: usize) -> rusqlite::Result<usize> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let transaction = begin(connection)?;
    let mut rows: Vec<(i64, i64, EdgeKey, Edge)> = Vec::new();
    {
        let mut statement = transaction.prepare_cached(
            "SELECT client, server, protocol, port, body, hour, rowid FROM edge_backlog
             ORDER BY rowid LIMIT ?1",
        )?;
        let mut found = statement.query([most])?;
        while let Some(row) = found.next()? {
            let StoredEdge(edge) = json_of(row, 4)?;
            rows.push((row.get(6)?, row.get(5)?, key_of(row)?, edge));
        }
    }
    for (_, hour, key, edge) in &rows {
        add_edge(&transaction, None, key, edge)?;
        add_edge(&transaction, Some(*hour), key, edge)?;
    }
    if let Some((last, ..)) = rows.last() {
        transaction.execute("DELETE FROM edge_backlog WHERE rowid <= ?1", [last])?;
    }
    transaction.commit()?;
    Ok(rows.len())
}

/// Returns true if the file has a backlog: one of an earlier version that is only read has none.
pub(super) fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    has_table(connection, "edge_backlog")
}

/// Calls `one` with each edge of these hours.
pub(super) fn each_of(
    connection: &Connection,
    hours: Range<i64>,
    mut one: impl FnMut(i64, EdgeKey, Edge),
) -> rusqlite::Result<()> {
    if !is_there(connection)? {
        return Ok(());
    }
    let mut statement = connection.prepare(
        "SELECT client, server, protocol, port, body, hour FROM edge_backlog
         WHERE hour >= ?1 AND hour < ?2",
    )?;
    let mut rows = statement.query(params![hours.start, hours.end])?;
    while let Some(row) = rows.next()? {
        let StoredEdge(edge) = json_of(row, 4)?;
        one(row.get(5)?, key_of(row)?, edge);
    }
    Ok(())
}

/// The last hour that has edges in the backlog.
pub(super) fn last_hour(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut last = None;
    if is_there(connection)? {
        each(connection, "SELECT max(hour) FROM edge_backlog", |row| {
            last = row.get(0)?;
            Ok(())
        })?;
    }
    Ok(last)
}
