//! Records of earlier hours become edges, and go: both in one transaction, hour by hour.

use super::{ReviewStore, ReviewStoreError};
use crate::flows;
use nanoseg_flow::Aggregate;
use nanoseg_graph::{Edge, EdgeKey, FoldedScan, History, Peer, StoredEdge};
use nanoseg_net::{Protocol, Timestamp};
use rusqlite::types::Type;
use rusqlite::{
    Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::ops::Range;

const SECONDS_PER_HOUR: i64 = 3600;

/// What was folded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoldSummary {
    pub hours: usize,
    /// Records that were folded and deleted.
    pub records: usize,
    /// Edges that they came to, each hour's for itself.
    pub edges: usize,
}

impl ReviewStore {
    /// Returns the edges of all folded records.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn history(&self) -> Result<History, ReviewStoreError> {
        load(&self.connection).map_err(|e| self.odd("read", e))
    }

    /// Folds the records of every whole hour before `before`: `fold` makes of one hour's records what they
    /// come to; that is kept and the records are deleted, in one transaction for each hour. Records that
    /// come later for such an hour are folded the next time, and added.
    ///
    /// Writers wait meanwhile, for about as long as `fold` takes.
    ///
    /// # Errors
    /// If it cannot be written, or holds what nanoseg never writes; the hours before are folded then.
    pub fn fold(
        &mut self,
        before: Timestamp,
        mut fold: impl FnMut(&Aggregate) -> History,
    ) -> Result<FoldSummary, ReviewStoreError> {
        let end = before.hour();
        let mut summary = FoldSummary::default();
        loop {
            let folded = fold_oldest(&mut self.connection, end, &mut fold);
            match folded.map_err(|e| self.odd("fold records in", e))? {
                Some((records, edges)) => {
                    summary.hours += 1;
                    summary.records += records;
                    summary.edges += edges;
                }
                None => return Ok(summary),
            }
        }
    }

    /// Deletes what is of the hours before `before`: the edges of each hour, names that nobody looked up
    /// since, scans and reviews that ended before. The edges of all time stay.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn forget_hours(&mut self, before: Timestamp) -> Result<(), ReviewStoreError> {
        forget(&mut self.connection, before).map_err(|e| self.odd("write to", e))
    }

    /// Deletes edges of all time, such as those of workloads that are gone for good.
    ///
    /// # Errors
    /// If it cannot be written; then all are there still.
    pub fn forget_edges(&mut self, keys: &[EdgeKey]) -> Result<(), ReviewStoreError> {
        let outcome = (|| {
            let transaction = begin(&mut self.connection)?;
            for key in keys {
                let mut statement = transaction.prepare_cached(
                    "DELETE FROM edges WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4",
                )?;
                statement.execute(params_from_iter(columns(key)?))?;
            }
            transaction.commit()
        })();
        outcome.map_err(|e: rusqlite::Error| self.odd("write to", e))
    }

    pub(super) fn odd(&self, action: &'static str, error: rusqlite::Error) -> ReviewStoreError {
        match error {
            rusqlite::Error::FromSqlConversionFailure(_, _, what) => ReviewStoreError::Content {
                path: self.path.clone(),
                what: what.to_string(),
            },
            other => self.failed(action, other),
        }
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Folds the oldest hour before the hour `end` that has records. Returns how many records and edges there were.
fn fold_oldest(
    connection: &mut Connection,
    end: i64,
    fold: &mut impl FnMut(&Aggregate) -> History,
) -> rusqlite::Result<Option<(usize, usize)>> {
    let oldest: Option<i64> =
        connection.query_row("SELECT min(began) FROM records", [], |row| row.get(0))?;
    let hour = match oldest.map(|began| began.div_euclid(SECONDS_PER_HOUR)) {
        Some(hour) if hour < end => hour,
        _ => return Ok(None),
    };
    let transaction = begin(connection)?;
    let start = hour.saturating_mul(SECONDS_PER_HOUR);
    let seconds = start..start.saturating_add(SECONDS_PER_HOUR);
    let records = flows::load_records(&transaction, seconds.clone())?;
    let count = records.records().count();
    let history = fold(&records);
    for (key, edge) in history.edges() {
        add_edge(&transaction, None, key, edge)?;
        add_edge(&transaction, Some(hour), key, edge)?;
    }
    for (address, names) in history.names() {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO edge_names (address, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        for name in names {
            statement.execute(params![address.to_string(), name])?;
        }
    }
    for (client, scan) in history.scans() {
        add_scan(&transaction, client, scan)?;
    }
    delete(&transaction, seconds)?;
    transaction.commit()?;
    Ok(Some((count, history.edges().count())))
}

fn delete(transaction: &Transaction<'_>, seconds: Range<i64>) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM records WHERE began >= ?1 AND began < ?2",
        params![seconds.start, seconds.end],
    )?;
    Ok(())
}

/// Adds to the edge of all time, or to that of an hour.
fn add_edge(
    transaction: &Transaction<'_>,
    hour: Option<i64>,
    key: &EdgeKey,
    edge: &Edge,
) -> rusqlite::Result<()> {
    let (select, replace) = match hour {
        None => (
            "SELECT body FROM edges
             WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4",
            "REPLACE INTO edges (client, server, protocol, port, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        ),
        Some(_) => (
            "SELECT body FROM edges_by_hour
             WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4 AND hour = ?5",
            "REPLACE INTO edges_by_hour (client, server, protocol, port, hour, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        ),
    };
    let mut values: Vec<rusqlite::types::Value> = columns(key)?.into();
    values.extend(hour.map(rusqlite::types::Value::Integer));
    let mut select = transaction.prepare_cached(select)?;
    let known = select
        .query_row(params_from_iter(&values), |row| json_of(row, 0))
        .optional()?;
    let merged = match known {
        Some(StoredEdge(mut known)) => {
            known.merge(edge, &key.0, &key.1);
            known
        }
        None => edge.clone(),
    };
    values.push(json(&StoredEdge(merged))?.into());
    let mut replace = transaction.prepare_cached(replace)?;
    replace.execute(params_from_iter(&values))?;
    Ok(())
}

fn add_scan(
    transaction: &Transaction<'_>,
    client: &Peer,
    scan: &FoldedScan,
) -> rusqlite::Result<()> {
    let client = json(client)?;
    let mut select = transaction.prepare_cached("SELECT body FROM edge_scans WHERE client = ?1")?;
    let known: Option<FoldedScan> = select
        .query_row([&client], |row| json_of(row, 0))
        .optional()?;
    let merged = match known {
        Some(mut known) => {
            known.merge(scan);
            known
        }
        None => scan.clone(),
    };
    let mut replace =
        transaction.prepare_cached("REPLACE INTO edge_scans (client, body) VALUES (?1, ?2)")?;
    replace.execute(params![client, json(&merged)?])?;
    Ok(())
}

fn load(connection: &Connection) -> rusqlite::Result<History> {
    // All tables as they were at one time.
    let transaction = connection.unchecked_transaction()?;
    let mut history = History::default();
    each(
        &transaction,
        "SELECT client, server, protocol, port, body FROM edges",
        |row| {
            let protocol: String = row.get(2)?;
            let protocol = Protocol::parse(&protocol).ok_or_else(|| odd("protocol", &protocol))?;
            let key = (json_of(row, 0)?, json_of(row, 1)?, protocol, row.get(3)?);
            let StoredEdge(edge) = json_of(row, 4)?;
            history.add_edge(&key, &edge);
            Ok(())
        },
    )?;
    each(
        &transaction,
        "SELECT address, name FROM edge_names",
        |row| {
            let text: String = row.get(0)?;
            let address: IpAddr = text.parse().map_err(|_| odd("address", &text))?;
            history.add_names(address, [row.get(1)?]);
            Ok(())
        },
    )?;
    each(&transaction, "SELECT client, body FROM edge_scans", |row| {
        history.add_scan(&json_of(row, 0)?, &json_of(row, 1)?);
        Ok(())
    })?;
    Ok(history)
}

fn forget(connection: &mut Connection, before: Timestamp) -> rusqlite::Result<()> {
    let transaction = begin(connection)?;
    let hour = before.hour();
    transaction.execute("DELETE FROM edges_by_hour WHERE hour < ?1", [hour])?;
    transaction.execute("DELETE FROM names WHERE until < ?1", [before.nanos()])?;
    transaction.execute(
        "DELETE FROM ended_reviews WHERE ended_at < ?1",
        [before.nanos()],
    )?;
    let mut ended: Vec<String> = Vec::new();
    each(&transaction, "SELECT client, body FROM edge_scans", |row| {
        let scan: FoldedScan = json_of(row, 1)?;
        if scan.last < before {
            ended.push(row.get(0)?);
        }
        Ok(())
    })?;
    for client in ended {
        transaction.execute("DELETE FROM edge_scans WHERE client = ?1", [client])?;
    }
    transaction.commit()
}

pub(super) fn each(
    connection: &Connection,
    query: &str,
    mut one: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        one(row)?;
    }
    Ok(())
}

fn columns(key: &EdgeKey) -> rusqlite::Result<[rusqlite::types::Value; 4]> {
    Ok([
        json(&key.0)?.into(),
        json(&key.1)?.into(),
        key.2.as_str().to_owned().into(),
        i64::from(key.3).into(),
    ])
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

pub(super) fn json_of<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|e| {
        let what = format!("{text:.60?} is no value of an edge's column: {e}");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
    })
}

pub(super) fn odd(what: &str, value: &str) -> rusqlite::Error {
    let message = format!("{value:.60?} is no value of {what}");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, message.into())
}
