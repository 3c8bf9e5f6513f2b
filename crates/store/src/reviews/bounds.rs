//! How large the store may become, and what is forgotten first (rule: bounded-memory). A few rows in each transaction, so
//! that other writers do not wait.

use super::edges::{add_edge, begin, columns, each, json_of, key_of};
use super::{ReviewStore, ReviewStoreError};
use nanoseg_flow::Loss;
use nanoseg_graph::{EdgeKey, FoldedScan, StoredEdge, beyond_bound};
use nanoseg_net::{BlockLimits, Timestamp};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

/// So many rows are deleted or moved in one transaction.
const STEP: i64 = 1_000;

/// How many rows there may be.
///
/// | what | how many | bytes each, in memory | MiB |
/// |---|---|---|---|
/// | edges of all time | 20 000 | 3 × 1.5 KiB: the history, the graph, a build | 88 |
/// | port scans | 500 | 1024 targets × 32 | 16 |
/// | DNS names | 50 000 | 200 | 10 |
///
/// On the disk an edge has about 1 KiB: 3 000 000 edges of hours are 3 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    pub edges: u64,
    pub hour_edges: u64,
    pub scans: u64,
    pub names: u64,
    /// Ends and kinds of traffic that no policy can express, and clients that failed often.
    pub other: u64,
    pub scanners: u64,
    /// Times at which the agent of one node observed, apart from each other.
    pub views: u64,
    /// Runs of the agent of one node, and of each the sequences of batches apart from each other.
    pub runs: u64,
    pub sequences: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            edges: 20_000,
            hour_edges: 3_000_000,
            scans: 500,
            names: 50_000,
            other: 20_000,
            scanners: 4096,
            views: 256,
            runs: 32,
            sequences: 256,
        }
    }
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSize {
    pub edges: u64,
    pub hour_edges: u64,
    /// Edges that are folded and not added yet.
    pub backlog: u64,
    pub scans: u64,
    pub names: u64,
    /// Of the file, in bytes.
    pub bytes: u64,
}

/// What was forgotten for lack of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    pub edges: u64,
    pub hour_edges: u64,
    pub names: u64,
    /// Batches that may have been missing.
    pub batches: u64,
    /// Edges of single outside addresses that are counted by block now.
    pub moved: u64,
}

impl ReviewStore {
    /// Deletes what was last seen before `before`: edges of all time and of each hour, names, views, scans, and reviews
    /// that ended before.
    ///
    /// # Errors
    /// If it cannot be written; what was deleted until then is gone.
    pub fn forget_hours(&mut self, before: Timestamp) -> Result<(), ReviewStoreError> {
        forget(&mut self.connection, before).map_err(|e| self.odd("write to", e))
    }

    /// Brings the store within the limits: outside addresses of a port become blocks, and beyond the number of rows those
    /// go that were seen longest ago. What is forgotten is counted as a loss.
    ///
    /// # Errors
    /// If it cannot be written; what was done until then is done.
    pub fn bound(&mut self, limits: StoreLimits) -> Result<Forgotten, ReviewStoreError> {
        bound(&mut self.connection, limits).map_err(|e| self.odd("write to", e))
    }

    /// Returns how large the store is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn size(&self) -> Result<StoreSize, ReviewStoreError> {
        size(&self.connection).map_err(|e| self.odd("read", e))
    }
}

fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let query = format!("SELECT count(*) FROM {table}");
    connection.query_row(&query, [], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
}

fn size(connection: &Connection) -> rusqlite::Result<StoreSize> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(StoreSize {
        edges: count(connection, "edges")?,
        hour_edges: count(connection, "edges_by_hour")?,
        backlog: count(connection, "edge_backlog")?,
        scans: count(connection, "edge_scans")?,
        names: count(connection, "names")?,
        bytes: (pragma("page_count")? * pragma("page_size")?).unsigned_abs(),
    })
}

fn forget(connection: &mut Connection, before: Timestamp) -> rusqlite::Result<()> {
    let (hour, nanos) = (before.hour(), before.nanos());
    delete_in_steps(
        connection,
        "DELETE FROM edges_by_hour WHERE (hour, client, server, protocol, port) IN (
            SELECT hour, client, server, protocol, port FROM edges_by_hour WHERE hour < ?1 LIMIT ?2)",
        hour,
    )?;
    delete_in_steps(
        connection,
        "DELETE FROM edges WHERE (client, server, protocol, port) IN (
            SELECT client, server, protocol, port FROM edges WHERE last < ?1 LIMIT ?2)",
        nanos,
    )?;
    delete_in_steps(
        connection,
        "DELETE FROM names WHERE (address, name, client, resolver) IN (
            SELECT address, name, client, resolver FROM names WHERE until < ?1 LIMIT ?2)",
        nanos,
    )?;
    forget_names_of_edges(connection)?;
    let transaction = begin(connection)?;
    transaction.execute("DELETE FROM views WHERE last < ?1", [nanos])?;
    transaction.execute("DELETE FROM ended_reviews WHERE ended_at < ?1", [nanos])?;
    transaction.commit()?;
    forget_scans(connection, |last, _| last < before)
}

/// Executes a statement with a bound and a number of rows until it deletes nothing.
fn delete_in_steps(connection: &Connection, statement: &str, bound: i64) -> rusqlite::Result<u64> {
    let mut deleted = 0;
    loop {
        match connection.execute(statement, [bound, STEP])? {
            0 => return Ok(deleted),
            some => deleted += some as u64,
        }
    }
}

/// Deletes names of addresses to which no edge leads any more.
fn forget_names_of_edges(connection: &Connection) -> rusqlite::Result<()> {
    if count(connection, "edge_backlog")? > 0 {
        return Ok(());
    }
    connection.execute(
        "DELETE FROM edge_names WHERE json_object('outside', address) NOT IN (SELECT server FROM edges)",
        [],
    )?;
    Ok(())
}

/// Deletes the scans for which `goes` returns true, by their time and their place, the latest first.
fn forget_scans(
    connection: &mut Connection,
    goes: impl Fn(Timestamp, u64) -> bool,
) -> rusqlite::Result<()> {
    let mut scans: Vec<(Timestamp, String)> = Vec::new();
    each(connection, "SELECT client, body FROM edge_scans", |row| {
        let scan: FoldedScan = json_of(row, 1)?;
        scans.push((scan.last, row.get(0)?));
        Ok(())
    })?;
    scans.sort();
    let transaction = begin(connection)?;
    for ((last, client), place) in scans.into_iter().rev().zip(0..) {
        if goes(last, place) {
            transaction.execute("DELETE FROM edge_scans WHERE client = ?1", [client])?;
        }
    }
    transaction.commit()
}

fn bound(connection: &mut Connection, limits: StoreLimits) -> rusqlite::Result<Forgotten> {
    let mut forgotten = Forgotten {
        moved: move_to_blocks(connection)?,
        edges: forget_edges(connection, limits.edges)?,
        hour_edges: forget_oldest_hours(connection, limits.hour_edges)?,
        names: forget_oldest_names(connection, limits.names)?,
        batches: 0,
    };
    if count(connection, "edge_scans")? > limits.scans {
        forget_scans(connection, |_, place| place >= limits.scans)?;
    }
    connection.execute(
        "DELETE FROM views WHERE (node, first) IN (SELECT node, first FROM (
            SELECT node, first, row_number() OVER (PARTITION BY node ORDER BY first DESC) AS place
            FROM views) WHERE place > ?1)",
        [of_limit(limits.views)],
    )?;
    connection.execute(
        "DELETE FROM other_traffic WHERE (source, destination, kind) IN (
            SELECT source, destination, kind FROM other_traffic ORDER BY packets DESC LIMIT -1 OFFSET ?1)",
        [of_limit(limits.other)],
    )?;
    connection.execute(
        "DELETE FROM scans_by_node WHERE (node, client) IN (
            SELECT node, client FROM scans_by_node ORDER BY last DESC LIMIT -1 OFFSET ?1)",
        [of_limit(limits.scanners)],
    )?;
    forgotten.batches = forget_runs(connection, limits)?;
    let edges = forgotten.edges + forgotten.hour_edges;
    for (loss, count) in [
        (Loss::EdgeForgotten, edges),
        (Loss::NameDropped, forgotten.names),
        (Loss::BatchForgotten, forgotten.batches),
    ] {
        if count > 0 {
            connection.execute(
                "INSERT INTO losses (node, loss, count) VALUES ('', ?1, ?2)
                 ON CONFLICT DO UPDATE SET count = count + excluded.count",
                params![loss.name(), of_limit(count)],
            )?;
        }
    }
    Ok(forgotten)
}

fn of_limit(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Counts outside addresses beyond the bound by their blocks (rule: outside-addresses-are-bounded).
fn move_to_blocks(connection: &mut Connection) -> rusqlite::Result<u64> {
    let mut keys: Vec<EdgeKey> = Vec::new();
    each(
        connection,
        "SELECT client, server, protocol, port FROM edges
         WHERE client LIKE '{\"outside\"%' OR server LIKE '{\"outside\"%'
            OR client LIKE '{\"unattributed\"%' OR server LIKE '{\"unattributed\"%'",
        |row| {
            keys.push(key_of(row)?);
            Ok(())
        },
    )?;
    let moves = beyond_bound(keys.iter(), BlockLimits::OUTSIDE);
    for step in moves.chunks(STEP as usize / 2) {
        let transaction = begin(connection)?;
        for (from, to) in step {
            let columns = columns(from)?;
            let edge: Option<StoredEdge> = transaction
                .prepare_cached(
                    "SELECT body FROM edges
                     WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4",
                )?
                .query_row(params_from_iter(&columns), |row| json_of(row, 0))
                .optional()?;
            if let Some(StoredEdge(edge)) = edge {
                add_edge(&transaction, None, to, &edge)?;
            }
            transaction
                .prepare_cached(
                    "DELETE FROM edges
                     WHERE client = ?1 AND server = ?2 AND protocol = ?3 AND port = ?4",
                )?
                .execute(params_from_iter(&columns))?;
        }
        transaction.commit()?;
    }
    Ok(moves.len() as u64)
}

/// Deletes the edges that were seen longest ago, until there are so many.
fn forget_edges(connection: &Connection, most: u64) -> rusqlite::Result<u64> {
    let mut deleted = 0;
    loop {
        let beyond = count(connection, "edges")?.saturating_sub(most);
        let some = connection.execute(
            "DELETE FROM edges WHERE (client, server, protocol, port) IN (
                SELECT client, server, protocol, port FROM edges ORDER BY last, client, server LIMIT ?1)",
            [of_limit(beyond).min(STEP)],
        )?;
        if some == 0 {
            return Ok(deleted);
        }
        deleted += some as u64;
    }
}

/// Deletes edges of the oldest hours, until there are so many.
fn forget_oldest_hours(connection: &Connection, most: u64) -> rusqlite::Result<u64> {
    let beyond = count(connection, "edges_by_hour")?.saturating_sub(most);
    if beyond == 0 {
        return Ok(0);
    }
    let hour: i64 = connection.query_row(
        "SELECT hour FROM edges_by_hour ORDER BY hour LIMIT 1 OFFSET ?1",
        [of_limit(beyond)],
        |row| row.get(0),
    )?;
    delete_in_steps(
        connection,
        "DELETE FROM edges_by_hour WHERE (hour, client, server, protocol, port) IN (
            SELECT hour, client, server, protocol, port FROM edges_by_hour WHERE hour <= ?1 LIMIT ?2)",
        hour,
    )
}

/// Deletes a tenth of the names, those that were looked up longest ago, if there are too many.
fn forget_oldest_names(connection: &Connection, most: u64) -> rusqlite::Result<u64> {
    let known = count(connection, "names")?;
    if known < most {
        return Ok(0);
    }
    let beyond = known - most + most / 10;
    let until: i64 = connection.query_row(
        "SELECT until FROM names ORDER BY until LIMIT 1 OFFSET ?1",
        [of_limit(beyond)],
        |row| row.get(0),
    )?;
    delete_in_steps(
        connection,
        "DELETE FROM names WHERE (address, name, client, resolver) IN (
            SELECT address, name, client, resolver FROM names WHERE until < ?1 LIMIT ?2)",
        until,
    )
}

/// Keeps of each node the latest runs, and of each run so many sequences: gaps between the first ones count as applied.
/// Returns how many batches may have been missing there.
fn forget_runs(connection: &mut Connection, limits: StoreLimits) -> rusqlite::Result<u64> {
    let transaction = begin(connection)?;
    transaction.execute(
        "DELETE FROM runs WHERE (node, instance) IN (SELECT node, instance FROM (
            SELECT node, instance, row_number() OVER (PARTITION BY node ORDER BY at DESC, instance) AS place
            FROM runs) WHERE place > ?1)",
        [of_limit(limits.runs)],
    )?;
    transaction.execute(
        "DELETE FROM applied WHERE (node, instance) NOT IN (SELECT node, instance FROM runs)",
        [],
    )?;
    let mut many: Vec<(String, String, [i64; 3])> = Vec::new();
    each(
        &transaction,
        &format!(
            "SELECT instance, node, min(first), max(last), sum(last - first + 1) FROM (
                SELECT *, row_number() OVER (PARTITION BY node, instance ORDER BY first DESC) AS place
                FROM applied) WHERE place >= {} GROUP BY node, instance HAVING count(*) > 1",
            limits.sequences
        ),
        |row| {
            let numbers = [row.get(2)?, row.get(3)?, row.get(4)?];
            many.push((row.get(0)?, row.get(1)?, numbers));
            Ok(())
        },
    )?;
    let mut missing = 0;
    for (instance, node, [first, last, applied]) in many {
        transaction.execute(
            "DELETE FROM applied WHERE instance = ?1 AND first >= ?2 AND last <= ?3 AND node = ?4",
            params![instance, first, last, node],
        )?;
        transaction.execute(
            "INSERT INTO applied (instance, first, last, node) VALUES (?1, ?2, ?3, ?4)",
            params![instance, first, last, node],
        )?;
        missing += (last - first + 1 - applied).unsigned_abs();
    }
    transaction.commit()?;
    Ok(missing)
}
