//! The edges of folded records: of all time, and of each hour.

use super::{ReviewStore, ReviewStoreError, backlog};
use nanoseg_graph::{Edge, EdgeKey, FoldedScan, History, Peer, StoredEdge};
use nanoseg_net::{Protocol, Timestamp};
use rusqlite::types::{Type, Value};
use rusqlite::{
    Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::IpAddr;

impl ReviewStore {
    /// Returns the edges of all folded records.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn history(&self) -> Result<History, ReviewStoreError> {
        load(&self.connection).map_err(|e| self.odd("read", e))
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

pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Adds to the edge of all time, or to that of an hour.
pub(super) fn add_edge(
    transaction: &Transaction<'_>,
    hour: Option<i64>,
    key: &EdgeKey,
    edge: &Edge,
) -> rusqlite::Result<()> {
    let (select, replace) = match hour {
        None => (
            "SELECT body FROM edges
             WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4",
            "REPLACE INTO edges (client, server, protocol, port, last, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        ),
        Some(_) => (
            "SELECT body FROM edges_by_hour
             WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4 AND hour = ?5",
            "REPLACE INTO edges_by_hour (client, server, protocol, port, hour, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        ),
    };
    let mut values: Vec<Value> = columns(key)?.into();
    values.extend(hour.map(Value::Integer));
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
    if hour.is_none() {
        values.push(last_of(&merged).into());
    }
    values.push(json(&StoredEdge(merged))?.into());
    let mut replace = transaction.prepare_cached(replace)?;
    replace.execute(params_from_iter(&values))?;
    Ok(())
}

/// When it was last seen, in nanoseconds since the Unix epoch.
pub(super) fn last_of(edge: &Edge) -> i64 {
    edge.last.map_or(0, Timestamp::nanos)
}

pub(super) fn add_scan(
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
    let mut tables = vec!["edges"];
    tables.extend(backlog::is_there(&transaction)?.then_some("edge_backlog"));
    for table in tables {
        let query = format!("SELECT client, server, protocol, port, body FROM {table}");
        each(&transaction, &query, |row| {
            let StoredEdge(edge) = json_of(row, 4)?;
            history.add_edge(&key_of(row)?, &edge);
            Ok(())
        })?;
    }
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

/// The key in the first four columns.
pub(super) fn key_of(row: &Row<'_>) -> rusqlite::Result<EdgeKey> {
    let protocol: String = row.get(2)?;
    let protocol = Protocol::parse(&protocol).ok_or_else(|| odd("protocol", &protocol))?;
    Ok((json_of(row, 0)?, json_of(row, 1)?, protocol, row.get(3)?))
}

pub(super) fn columns(key: &EdgeKey) -> rusqlite::Result<[Value; 4]> {
    Ok([
        json(&key.0)?.into(),
        json(&key.1)?.into(),
        key.2.as_str().to_owned().into(),
        i64::from(key.3).into(),
    ])
}

pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
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
