//! Records of earlier hours become edges, and go. What takes long is done between the transactions, and each transaction
//! is short, so that batches and decisions are written meanwhile (rule: folding-holds-up-nobody).

use super::edges::{add_scan, begin, columns, json};
use super::{ReviewStore, ReviewStoreError};
use crate::flows;
use nanoseg_flow::Aggregate;
use nanoseg_graph::{History, StoredEdge};
use nanoseg_net::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeMap;
use std::ops::Range;

const SECONDS_PER_HOUR: i64 = 3600;
/// So many records are folded in one step, if that is several hours; one hour has as many as the receiver takes in.
const STEP_RECORDS: i64 = 5_000;
/// So many edges are added in one transaction: some tens of milliseconds.
const STEP_EDGES: usize = 500;

/// What was folded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoldSummary {
    pub hours: usize,
    /// Records that were folded and deleted.
    pub records: usize,
    /// Edges that they came to, each hour's for itself.
    pub edges: usize,
}

/// What one step folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoldStep {
    /// By hour since the Unix epoch.
    pub hours: BTreeMap<i64, History>,
    pub records: usize,
}

/// What tells whether records were added meanwhile: their number, connections and bytes.
type Content = (i64, f64, f64);

impl ReviewStore {
    /// Folds the records of every whole hour before `before`: `fold` makes of one hour's records what they
    /// come to; that is kept and the records are deleted. Records that come later for such an hour are folded the next
    /// time, and added.
    ///
    /// # Errors
    /// If it cannot be written, or holds what nanoseg never writes; the hours before are folded then.
    pub fn fold(
        &mut self,
        before: Timestamp,
        mut fold: impl FnMut(&Aggregate) -> History,
    ) -> Result<FoldSummary, ReviewStoreError> {
        let mut summary = FoldSummary::default();
        loop {
            let step = self.fold_step(before, &mut fold)?;
            while self.add_backlog(STEP_EDGES)? > 0 {}
            let Some(step) = step else {
                return Ok(summary);
            };
            summary.hours += step.hours.len();
            summary.records += step.records;
            summary.edges += step
                .hours
                .values()
                .map(|one| one.edges().count())
                .sum::<usize>();
        }
    }

    /// Folds the oldest hours before `before` as [`ReviewStore::fold`] does, one at least and not many, and leaves their
    /// edges in the backlog ([`ReviewStore::add_backlog`]). Returns `None` if there is nothing to fold.
    ///
    /// Other writers wait only while the records are deleted. If some were added while `fold` worked, nothing is written
    /// and the step is empty.
    ///
    /// # Errors
    /// If it cannot be written, or holds what nanoseg never writes; then the step has not happened.
    pub fn fold_step(
        &mut self,
        before: Timestamp,
        fold: impl FnMut(&Aggregate) -> History,
    ) -> Result<Option<FoldStep>, ReviewStoreError> {
        let step = step(&mut self.connection, before.hour(), fold);
        step.map_err(|e| self.odd("fold records in", e))
    }
}

fn step(
    connection: &mut Connection,
    end: i64,
    mut fold: impl FnMut(&Aggregate) -> History,
) -> rusqlite::Result<Option<FoldStep>> {
    let Some(seconds) = oldest(connection, end)? else {
        return Ok(None);
    };
    let (mut records, content) = {
        let reading = connection.unchecked_transaction()?;
        let content = content(&reading, &seconds)?;
        (flows::load_records(&reading, seconds.clone())?, content)
    };
    let mut step = FoldStep {
        records: records.records().count(),
        ..FoldStep::default()
    };
    for (hour, records) in records.take_hours(end) {
        step.hours.insert(hour, fold(&records));
    }
    let rows = rows_of(&step)?;
    let transaction = begin(connection)?;
    if self::content(&transaction, &seconds)? != content {
        return Ok(Some(FoldStep::default()));
    }
    write(&transaction, &step, &rows)?;
    transaction.execute(
        "DELETE FROM records WHERE began >= ?1 AND began < ?2",
        params![seconds.start, seconds.end],
    )?;
    transaction.commit()?;
    Ok(Some(step))
}

/// The seconds of the oldest hours before the hour `end`: as many hours as have few records, one at least.
fn oldest(connection: &Connection, end: i64) -> rusqlite::Result<Option<Range<i64>>> {
    let end = end.saturating_mul(SECONDS_PER_HOUR);
    let query = "SELECT began FROM records WHERE began < ?1 ORDER BY began LIMIT 1 OFFSET ?2";
    let at = |place: i64| {
        let found = connection.query_row(query, [end, place], |row| row.get::<_, i64>(0));
        found.optional()
    };
    let Some(first) = at(0)? else {
        return Ok(None);
    };
    let hour = |began: i64| began.div_euclid(SECONDS_PER_HOUR) * SECONDS_PER_HOUR;
    let start = hour(first);
    let limit = at(STEP_RECORDS)?.map_or(end, hour);
    Ok(Some(
        start..limit.max(start.saturating_add(SECONDS_PER_HOUR)).min(end),
    ))
}

fn content(connection: &Connection, seconds: &Range<i64>) -> rusqlite::Result<Content> {
    connection.query_row(
        "SELECT count(*), total(connections), total(bytes_to_server) + total(bytes_to_client)
         FROM records WHERE began >= ?1 AND began < ?2",
        [seconds.start, seconds.end],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
}

/// A row of the backlog: the hour, the four columns of the key, and the edge.
type BacklogRow = (i64, [rusqlite::types::Value; 4], String);

fn rows_of(step: &FoldStep) -> rusqlite::Result<Vec<BacklogRow>> {
    let edges = step
        .hours
        .iter()
        .flat_map(|(hour, history)| history.edges().map(move |edge| (*hour, edge)));
    let rows = edges
        .map(|(hour, (key, edge))| Ok((hour, columns(key)?, json(&StoredEdge(edge.clone()))?)));
    rows.collect()
}

fn write(
    transaction: &Transaction<'_>,
    step: &FoldStep,
    rows: &[BacklogRow],
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO edge_backlog (hour, client, server, protocol, port, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (hour, [client, server, protocol, port], body) in rows {
        insert.execute(params![hour, client, server, protocol, port, body])?;
    }
    for history in step.hours.values() {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO edge_names (address, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        for (address, names) in history.names() {
            for name in names {
                statement.execute(params![address.to_string(), name])?;
            }
        }
        for (client, scan) in history.scans() {
            add_scan(transaction, client, scan)?;
        }
    }
    Ok(())
}
