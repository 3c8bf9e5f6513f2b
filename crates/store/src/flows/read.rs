//! From rows back to the types of [`nanoseg_flow`].

use super::words::{parse_opening, parse_other, parse_verdict};
use crate::tables::{has_column, has_table};
use nanoseg_flow::{
    ActivityWindows, Aggregate, FlowRecord, Instance, Loss, NameEntry, NodeAddresses, Observations,
    Observed, Observer, OtherTraffic, PeerLabels, ScanSummary, Source, Told,
};
use nanoseg_net::{Protocol, TimeSpans, Timestamp, parse_address};
use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

/// The first column of `records` about when it was told.
const TOLD: usize = 22;

/// Why the store cannot be read.
#[derive(Debug)]
pub enum ReadError {
    Sqlite(rusqlite::Error),
    /// It holds values that nanoseg never writes.
    Content(String),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::FromSqlConversionFailure(_, _, what) => {
                ReadError::Content(what.to_string())
            }
            other => ReadError::Sqlite(other),
        }
    }
}

/// Reads everything, row by row, but of the records only those that began in this second since the Unix epoch or later.
pub fn load_since(connection: &Connection, began: i64) -> Result<Aggregate, ReadError> {
    // One transaction: all tables as they were at one time, while a receiver writes.
    let transaction = connection.unchecked_transaction()?;
    let connection = &*transaction;
    let mut all = Aggregate::default();
    each(
        connection,
        "SELECT instance, first, last, node FROM applied",
        |row| {
            let digits: String = row.get(0)?;
            let number = u128::from_str_radix(&digits, 16).map_err(|_| odd("instance", &digits))?;
            let instance = Instance(number.to_be_bytes());
            let node: String = row.get(3)?;
            let numbers = (count(row, 1)?, count(row, 2)?);
            all.mark_applied(&Arc::from(node), instance, numbers);
            Ok(())
        },
    )?;
    let began = began..i64::MAX;
    each_record(connection, began, |observed| all.add_record(observed))?;
    add_views(connection, &mut all)?;
    all.take_node_addresses(node_addresses(connection, None)?);
    add_scans(connection, &mut all)?;
    all.add(&Arc::from(""), rest(connection)?);
    Ok(all)
}

/// Reads the scans that each node's agent told of.
fn add_scans(connection: &Connection, all: &mut Aggregate) -> rusqlite::Result<()> {
    // A store of version 5 or earlier that is only read does not tell of whom they are.
    let query = if has_table(connection, "scans_by_node")? {
        "SELECT * FROM scans_by_node"
    } else {
        "SELECT '', * FROM scans"
    };
    each(connection, query, |row| {
        let node: String = row.get(0)?;
        all.add_scan(&Arc::from(node), scan_of(row)?);
        Ok(())
    })
}

/// Reads the records that began in these seconds since the Unix epoch, and all names.
pub fn load_records(connection: &Connection, began: Range<i64>) -> rusqlite::Result<Aggregate> {
    let mut all = Aggregate::default();
    each_record(connection, began, |observed| all.add_record(observed))?;
    add_views(connection, &mut all)?;
    let mut seen = Observations::default();
    each_name(connection, |address, entry| {
        seen.names.push((address, entry))
    })?;
    all.add(&Arc::from(""), seen);
    Ok(all)
}

/// Reads when each node's agent observed.
fn add_views(connection: &Connection, all: &mut Aggregate) -> rusqlite::Result<()> {
    // A store of version 4 or earlier that is only read has none.
    if !has_table(connection, "views")? {
        return Ok(());
    }
    each(connection, "SELECT node, first, last FROM views", |row| {
        let node: String = row.get(0)?;
        all.add_view(&Arc::from(node), (time(row, 1)?, time(row, 2)?));
        Ok(())
    })
}

/// Reads the addresses that agents told of their nodes: of one node, or of all.
pub fn node_addresses(
    connection: &Connection,
    node: Option<&str>,
) -> rusqlite::Result<NodeAddresses> {
    let mut all = NodeAddresses::default();
    // A store of an earlier version that is only read has none.
    if node.is_none() && !has_table(connection, "node_addresses")? {
        return Ok(all);
    }
    let mut query = connection.prepare_cached(
        "SELECT node, told, addresses FROM node_addresses WHERE ?1 IS NULL OR node = ?1",
    )?;
    let mut rows = query.query([node])?;
    while let Some(row) = rows.next()? {
        let (node, texts): (String, String) = (row.get(0)?, row.get(2)?);
        let addresses = texts.split(' ').filter_map(parse_address).collect();
        all.note(&Arc::from(node), time(row, 1)?, &addresses);
    }
    Ok(all)
}

/// Returns when each node's agent observed.
pub fn views(connection: &Connection) -> rusqlite::Result<BTreeMap<Arc<str>, TimeSpans>> {
    let mut all = Aggregate::default();
    add_views(connection, &mut all)?;
    Ok(all.views().clone())
}

/// Reads the records that began in these seconds since the Unix epoch.
pub fn each_record(
    connection: &Connection,
    began: Range<i64>,
    mut one: impl FnMut(Observed),
) -> rusqlite::Result<()> {
    let mut nodes: BTreeMap<String, Arc<str>> = BTreeMap::new();
    let mut statement =
        connection.prepare("SELECT * FROM records WHERE began >= ?1 AND began < ?2")?;
    let mut rows = statement.query([began.start, began.end])?;
    while let Some(row) = rows.next()? {
        let (source, record) = record_of(row)?;
        let name: String = row.get("node")?;
        let node = nodes
            .entry(name)
            .or_insert_with_key(|name| name.as_str().into());
        let node = node.clone();
        one(Observed {
            observer: Observer { node, source },
            record,
        });
    }
    Ok(())
}

fn each_name(
    connection: &Connection,
    mut one: impl FnMut(IpAddr, NameEntry),
) -> rusqlite::Result<()> {
    // A store of version 8 or earlier that is only read does not tell who answered.
    let query = if has_column(connection, "names", "resolver")? {
        "SELECT address, name, client, resolver, first, until FROM names"
    } else {
        "SELECT address, name, client, 'unknown', first, until FROM names"
    };
    each(connection, query, |row| {
        let entry = NameEntry {
            name: row.get::<_, String>(1)?.into(),
            client: text(row, 2)?,
            by: text(row, 3)?,
            from: time(row, 4)?,
            until: time(row, 5)?,
        };
        one(text(row, 0)?, entry);
        Ok(())
    })
}

/// Reads what has no observer.
fn rest(connection: &Connection) -> Result<Observations, ReadError> {
    let mut seen = Observations::default();
    each_name(connection, |address, entry| {
        seen.names.push((address, entry))
    })?;
    each(
        connection,
        "SELECT source, destination, kind, packets FROM other_traffic",
        |row| {
            seen.other.push(OtherTraffic {
                source: text(row, 0)?,
                destination: text(row, 1)?,
                kind: word(row, 2, parse_other)?,
                packets: count(row, 3)?,
            });
            Ok(())
        },
    )?;
    for (loss, count) in load_losses(connection)? {
        seen.lose(loss, count);
    }
    Ok(seen)
}

/// Reads what observation lost.
pub fn load_losses(connection: &Connection) -> rusqlite::Result<BTreeMap<Loss, u64>> {
    let mut losses = BTreeMap::new();
    each(connection, "SELECT loss, count FROM losses", |row| {
        let loss = |name: &str| Loss::ALL.iter().copied().find(|loss| loss.name() == name);
        *losses.entry(word(row, 0, loss)?).or_default() += count(row, 1)?;
        Ok(())
    })?;
    Ok(losses)
}

fn each(
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

/// Returns a record from a whole row of `records`.
pub fn record_of(row: &Row<'_>) -> rusqlite::Result<(Source, FlowRecord)> {
    let source = |name: &str| Source::ALL.into_iter().find(|source| source.name() == name);
    let claims: String = row.get(12)?;
    let claims = match claims.as_str() {
        "" => None,
        json => {
            let parsed: PeerLabels = serde_json::from_str(json).map_err(|_| odd("claims", json))?;
            Some(Arc::new(parsed))
        }
    };
    let record = FlowRecord {
        observers: Default::default(),
        told: told_of(row)?,
        client: text(row, 3)?,
        server: text(row, 4)?,
        port: row.get(5)?,
        protocol: word(row, 6, Protocol::parse)?,
        via: text_or_none::<SocketAddr>(row, 7)?,
        seen_as: text_or_none::<IpAddr>(row, 8)?,
        client_port: match row.get::<_, i64>(9)? {
            -1 => None,
            _ => Some(row.get(9)?),
        },
        verdict: word(row, 10, parse_verdict)?,
        opening: word(row, 11, parse_opening)?,
        labels: claims,
        connections: count(row, 13)?,
        datagrams: count(row, 14)?,
        bytes_to_server: count(row, 15)?,
        bytes_to_client: count(row, 16)?,
        first: time(row, 17)?,
        last: time(row, 18)?,
        windows: windows(row)?,
    };
    Ok((word(row, 2, source)?, record))
}

/// When it was told. A row of an earlier version does not tell.
fn told_of(row: &Row<'_>) -> rusqlite::Result<Option<Told>> {
    if row.as_ref().column_count() <= TOLD {
        return Ok(None);
    }
    let at = |column| {
        Ok::<_, rusqlite::Error>(
            row.get::<_, Option<i64>>(column)?
                .map(Timestamp::from_nanos),
        )
    };
    Ok(match (at(TOLD)?, at(TOLD + 1)?) {
        (Some(first), Some(last)) => Some(Told { first, last }),
        _ => None,
    })
}

fn windows(row: &Row<'_>) -> rusqlite::Result<ActivityWindows> {
    let bits = u128::from_be_bytes(row.get::<_, [u8; 16]>(21)?);
    ActivityWindows::from_parts(row.get(19)?, row.get(20)?, bits)
        .ok_or_else(|| odd("windows", &format!("{bits:x}")))
}

/// Returns a summary from a whole row of `scans_by_node`.
pub fn scan_of(row: &Row<'_>) -> rusqlite::Result<ScanSummary> {
    let samples: String = row.get(5)?;
    let size = |column| {
        Ok::<_, rusqlite::Error>(usize::try_from(count(row, column)?).unwrap_or(usize::MAX))
    };
    Ok(ScanSummary {
        client: text_or_none(row, 1)?,
        connections: count(row, 2)?,
        addresses: size(3)?,
        ports: size(4)?,
        samples: serde_json::from_str(&samples).map_err(|_| odd("samples", &samples))?,
        first: time(row, 6)?,
        last: time(row, 7)?,
    })
}

fn odd(what: &str, value: &str) -> rusqlite::Error {
    let message = format!("{value:.60?} is no value of {what}");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, message.into())
}

fn text<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let value = row.get_ref(column)?.as_str()?;
    value.parse().map_err(|_| odd(&name_of(row, column), value))
}

fn text_or_none<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str()? {
        "" => Ok(None),
        _ => text(row, column).map(Some),
    }
}

fn word<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let value = row.get_ref(column)?.as_str()?;
    parse(value).ok_or_else(|| odd(&name_of(row, column), value))
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| odd(&name_of(row, column), &value.to_string()))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_nanos)
}

fn name_of(row: &Row<'_>, column: usize) -> String {
    row.as_ref()
        .column_name(column)
        .unwrap_or("a column")
        .to_owned()
}
