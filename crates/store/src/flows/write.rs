//! One batch into the tables, inside a transaction.

use super::read::{node_addresses, record_of, scan_of};
use super::words::{of_count, of_opening, of_other, of_verdict};
use nanoseg_flow::{
    Applied, FlowBatch, FlowRecord, Instance, NameEntry, OtherTraffic, ScanSummary, SequenceSet,
    Source,
};
use nanoseg_net::{TimeSpans, Timestamp};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, params, params_from_iter};
use std::net::IpAddr;

pub fn apply(transaction: &Transaction<'_>, batch: &FlowBatch) -> rusqlite::Result<Applied> {
    if !mark_applied(transaction, batch.instance, &batch.node, batch.sequence)? {
        return Ok(Applied::Duplicate);
    }
    add_view(transaction, batch)?;
    add_node_addresses(transaction, batch)?;
    for (source, record) in &batch.seen.records {
        add_record(transaction, &batch.node, *source, record)?;
    }
    for scan in &batch.seen.scans {
        add_scan(transaction, &batch.node, scan)?;
    }
    for (address, entry) in &batch.seen.names {
        add_name(transaction, *address, entry)?;
    }
    for traffic in &batch.seen.other {
        add_other(transaction, traffic)?;
    }
    for (loss, count) in &batch.seen.losses {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO losses (node, loss, count) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET count = iif(count > ?4 - excluded.count, ?4, count + excluded.count)",
        )?;
        statement.execute(params![
            &*batch.node,
            loss.name(),
            of_count(*count),
            i64::MAX
        ])?;
    }
    Ok(Applied::New)
}

/// Notes when the agent of the batch's node observed.
fn add_view(transaction: &Transaction<'_>, batch: &FlowBatch) -> rusqlite::Result<()> {
    let (node, (first, last)) = (&*batch.node, batch.span);
    let mut extend = transaction.prepare_cached(
        "UPDATE views SET last = max(last, ?3) WHERE node = ?1 AND first <= ?2 AND last >= ?2 \
         AND NOT EXISTS (SELECT 1 FROM views WHERE node = ?1 AND first > ?2 AND first <= ?3)",
    )?;
    // Nearly always the batch goes on where the last one ended.
    if extend.execute(params![node, first.nanos(), last.nanos()])? > 0 {
        return Ok(());
    }
    let mut times = views_of(transaction, node)?;
    times.insert(first, last);
    transaction
        .prepare_cached("DELETE FROM views WHERE node = ?1")?
        .execute([node])?;
    let mut keep =
        transaction.prepare_cached("INSERT INTO views (node, first, last) VALUES (?1, ?2, ?3)")?;
    for (first, last) in times.iter() {
        keep.execute(params![node, first.nanos(), last.nanos()])?;
    }
    Ok(())
}

/// Keeps the addresses that the agent told of its node, if it told none later.
fn add_node_addresses(transaction: &Transaction<'_>, batch: &FlowBatch) -> rusqlite::Result<()> {
    if batch.seen.node_addresses.is_empty() {
        return Ok(());
    }
    let mut known = node_addresses(transaction, Some(&batch.node))?;
    let told = &batch.seen.node_addresses;
    known.note(&batch.node, batch.span.1, told);
    let Some((at, addresses)) = known.of(&batch.node) else {
        return Ok(());
    };
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut keep = transaction.prepare_cached(
        "REPLACE INTO node_addresses (node, told, addresses) VALUES (?1, ?2, ?3)",
    )?;
    keep.execute(params![&*batch.node, at.nanos(), addresses.join(" ")])?;
    Ok(())
}

fn views_of(transaction: &Transaction<'_>, node: &str) -> rusqlite::Result<TimeSpans> {
    let mut times = TimeSpans::default();
    let mut known = transaction.prepare_cached("SELECT first, last FROM views WHERE node = ?1")?;
    let mut rows = known.query([node])?;
    while let Some(row) = rows.next()? {
        let (first, last) = (row.get(0)?, row.get(1)?);
        times.insert(Timestamp::from_nanos(first), Timestamp::from_nanos(last));
    }
    Ok(times)
}

/// Returns false if one of the numbers of this node's run was applied before.
fn mark_applied(
    transaction: &Transaction<'_>,
    instance: Instance,
    node: &str,
    (first, last): (u64, u64),
) -> rusqlite::Result<bool> {
    let instance = instance.to_string();
    // Of intervals apart from each other only these two can overlap or touch, if the upper one does not
    // overlap.
    let mut near = transaction.prepare_cached(
        "SELECT first, last FROM applied WHERE instance = ?1 AND first <= ?2 AND node = ?3 \
         ORDER BY first DESC LIMIT 2",
    )?;
    let (first_number, next) = (i64::try_from(first), i64::try_from(last.saturating_add(1)));
    let (Ok(_), Ok(next)) = (first_number, next) else {
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX));
    };
    let mut set = SequenceSet::default();
    let mut rows = near.query(params![instance, next, node])?;
    let mut known: Vec<i64> = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        known.push(first);
        set.insert(first.unsigned_abs(), last.unsigned_abs());
    }
    if !set.insert(first, last) {
        return Ok(false);
    }
    let mut forget = transaction
        .prepare_cached("DELETE FROM applied WHERE instance = ?1 AND first = ?2 AND node = ?3")?;
    for first in known {
        forget.execute(params![instance, first, node])?;
    }
    let mut keep = transaction.prepare_cached(
        "INSERT INTO applied (instance, first, last, node) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (first, last) in set.intervals() {
        keep.execute(params![instance, of_count(first), of_count(last), node])?;
    }
    Ok(true)
}

/// Columns 1 to 13 identify the record, in the order of the primary key.
const INSERT_RECORD: &str = "INSERT INTO records VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)
    ON CONFLICT DO NOTHING";
pub(super) const SELECT_RECORD: &str =
    "SELECT * FROM records WHERE began = ?1 AND node = ?2 AND source = ?3
    AND client = ?4 AND server = ?5 AND port = ?6 AND protocol = ?7 AND via = ?8 AND seen_as = ?9
    AND client_port = ?10 AND verdict = ?11 AND opening = ?12 AND claims = ?13";
pub(super) const REPLACE_RECORD: &str = "REPLACE INTO records VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)";
/// How many columns identify the record.
pub(super) const IDENTITY: usize = 13;

fn add_record(
    transaction: &Transaction<'_>,
    node: &str,
    source: Source,
    record: &FlowRecord,
) -> rusqlite::Result<()> {
    let row = row_of(node, source, record)?;
    let mut insert = transaction.prepare_cached(INSERT_RECORD)?;
    // Most are new: a connection's record is of the 10 seconds in which it began.
    if insert.execute(params_from_iter(&row))? > 0 {
        return Ok(());
    }
    let mut select = transaction.prepare_cached(SELECT_RECORD)?;
    let identity = row.iter().take(IDENTITY);
    let mut known = select.query_row(params_from_iter(identity), record_of)?;
    known.1.absorb(record);
    let mut replace = transaction.prepare_cached(REPLACE_RECORD)?;
    replace.execute(params_from_iter(&row_of(node, source, &known.1)?))?;
    Ok(())
}

pub(super) fn row_of(
    node: &str,
    source: Source,
    record: &FlowRecord,
) -> rusqlite::Result<[Value; 24]> {
    let text = |text: &str| Value::Text(text.to_owned());
    let claims = match record.labels.as_deref() {
        Some(claims) => json(claims)?,
        None => String::new(),
    };
    let (scale, base, bits) = record.windows.parts();
    Ok([
        Value::Integer(record.began()),
        text(node),
        text(source.name()),
        Value::Text(record.client.to_string()),
        Value::Text(record.server.to_string()),
        Value::Integer(record.port.into()),
        text(record.protocol.as_str()),
        Value::Text(record.via.map(|via| via.to_string()).unwrap_or_default()),
        Value::Text(
            record
                .seen_as
                .map(|seen| seen.to_string())
                .unwrap_or_default(),
        ),
        Value::Integer(record.client_port.map_or(-1, i64::from)),
        text(of_verdict(record.verdict)),
        text(of_opening(record.opening)),
        Value::Text(claims),
        Value::Integer(of_count(record.connections)),
        Value::Integer(of_count(record.datagrams)),
        Value::Integer(of_count(record.bytes_to_server)),
        Value::Integer(of_count(record.bytes_to_client)),
        Value::Integer(record.first.nanos()),
        Value::Integer(record.last.nanos()),
        Value::Integer(scale.into()),
        Value::Integer(base),
        Value::Blob(bits.to_be_bytes().to_vec()),
        told(record.told.map(|told| told.first)),
        told(record.told.map(|told| told.last)),
    ])
}

fn told(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| Value::Integer(at.nanos()))
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

fn add_scan(transaction: &Transaction<'_>, node: &str, scan: &ScanSummary) -> rusqlite::Result<()> {
    let client = scan.client.map(|c| c.to_string()).unwrap_or_default();
    let mut select = transaction
        .prepare_cached("SELECT * FROM scans_by_node WHERE node = ?1 AND client = ?2")?;
    let known = select.query_row([node, &client], scan_of).optional()?;
    let merged = match known {
        Some(mut known) => {
            known.absorb(scan.clone());
            known
        }
        None => scan.clone().in_order(),
    };
    let mut replace = transaction
        .prepare_cached("REPLACE INTO scans_by_node VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    replace.execute(params![
        node,
        client,
        of_count(merged.connections),
        of_count(merged.addresses as u64),
        of_count(merged.ports as u64),
        json(&merged.samples)?,
        merged.first.nanos(),
        merged.last.nanos(),
    ])?;
    Ok(())
}

fn add_name(
    transaction: &Transaction<'_>,
    address: IpAddr,
    entry: &NameEntry,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO names (address, name, client, resolver, first, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET first = min(first, excluded.first), until = max(until, excluded.until)",
    )?;
    statement.execute(params![
        address.to_string(),
        entry.name,
        entry.client.to_string(),
        entry.by.to_string(),
        entry.from.nanos(),
        entry.until.nanos(),
    ])?;
    Ok(())
}

fn add_other(transaction: &Transaction<'_>, traffic: &OtherTraffic) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO other_traffic (source, destination, kind, packets) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET
         packets = iif(packets > ?5 - excluded.packets, ?5, packets + excluded.packets)",
    )?;
    statement.execute(params![
        traffic.source.to_string(),
        traffic.destination.to_string(),
        of_other(traffic.kind),
        of_count(traffic.packets),
        i64::MAX,
    ])?;
    Ok(())
}
