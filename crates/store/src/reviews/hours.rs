//! What was seen in some hours: folded edges by hour, and records that are not folded yet.

use super::edges::{each, json_of, key_of, odd};
use super::{ReviewStore, ReviewStoreError, backlog};
use crate::flows;
use nanoseg_flow::{Aggregate, Loss, NodeAddresses};
use nanoseg_graph::{Edge, EdgeKey, FoldedScan, History, Peer, StoredEdge};
use nanoseg_net::Timestamp;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

/// One edge in one hour.
#[derive(Debug, Clone, PartialEq)]
pub struct HourEdge {
    /// Whole hours since the Unix epoch.
    pub hour: i64,
    pub key: EdgeKey,
    pub edge: Edge,
}

impl ReviewStore {
    /// Returns the folded edges of some hours since the Unix epoch, in order of hour and key.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn hours(&self, hours: Range<i64>) -> Result<Vec<HourEdge>, ReviewStoreError> {
        load(&self.connection, hours).map_err(|e| self.odd("read", e))
    }

    /// Returns the scans whose last attempt was in these hours since the Unix epoch: the begin of a scan is not kept.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn scans(&self, hours: Range<i64>) -> Result<Vec<(Peer, FoldedScan)>, ReviewStoreError> {
        let mut all = Vec::new();
        let query = "SELECT client, body FROM edge_scans";
        let read = each(&self.connection, query, |row| {
            let scan: FoldedScan = json_of(row, 1)?;
            if hours.contains(&scan.last.hour()) {
                all.push((json_of(row, 0)?, scan));
            }
            Ok(())
        });
        read.map_err(|e| self.odd("read", e))?;
        Ok(all)
    }

    /// Returns the addresses that agents told of their nodes.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn node_addresses(&self) -> Result<NodeAddresses, ReviewStoreError> {
        flows::node_addresses(&self.connection, None).map_err(|e| self.odd("read", e))
    }

    /// Returns what observation lost; the times are not kept.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn losses(&self) -> Result<BTreeMap<Loss, u64>, ReviewStoreError> {
        flows::load_losses(&self.connection).map_err(|e| self.odd("read", e))
    }

    /// Returns the last hour that has folded edges.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn last_hour(&self) -> Result<Option<i64>, ReviewStoreError> {
        let query = "SELECT max(hour) FROM edges_by_hour";
        let added: rusqlite::Result<Option<i64>> =
            self.connection.query_row(query, [], |row| row.get(0));
        let both = added.and_then(|added| Ok(added.max(backlog::last_hour(&self.connection)?)));
        both.map_err(|e| self.odd("read", e))
    }

    /// Returns the hours since the Unix epoch that have records which are not folded yet, in order.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn unfolded_hours(&self) -> Result<Vec<i64>, ReviewStoreError> {
        let mut hours: Vec<i64> = Vec::new();
        loop {
            let from = hours.last().map_or(i64::MIN, |hour| (hour + 1) * 3600);
            let query = "SELECT min(began) FROM records WHERE began >= ?1";
            let next: rusqlite::Result<Option<i64>> =
                self.connection.query_row(query, [from], |row| row.get(0));
            match next.map_err(|e| self.odd("read", e))? {
                Some(began) => hours.push(began.div_euclid(3600)),
                None => return Ok(hours),
            }
        }
    }

    /// DNS names of the outside addresses of folded edges in these hours since the Unix epoch, as a history
    /// without edges. Programs keep answers beyond their time: an address has the names that it had before if it
    /// was not looked up in these hours. What is looked up later is of another time.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn names(&self, hours: Range<i64>) -> Result<History, ReviewStoreError> {
        let [begin, end] = [hours.start, hours.end].map(Timestamp::from_hour);
        names(&self.connection, begin..end).map_err(|e| self.odd("read", e))
    }

    /// Returns the records that began in these seconds since the Unix epoch and are not folded yet.
    ///
    /// # Errors
    /// If it cannot be read, or holds what nanoseg never writes.
    pub fn unfolded(&self, seconds: Range<i64>) -> Result<Aggregate, ReviewStoreError> {
        flows::load_records(&self.connection, seconds).map_err(|e| self.odd("read", e))
    }
}

fn load(connection: &Connection, hours: Range<i64>) -> rusqlite::Result<Vec<HourEdge>> {
    let mut statement = connection.prepare(
        "SELECT client, server, protocol, port, body, hour FROM edges_by_hour
         WHERE hour >= ?1 AND hour < ?2",
    )?;
    let mut rows = statement.query([hours.start, hours.end])?;
    let mut all: BTreeMap<(i64, EdgeKey), Edge> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let StoredEdge(edge) = json_of(row, 4)?;
        all.insert((row.get(5)?, key_of(row)?), edge);
    }
    backlog::each_of(connection, hours, |hour, key, edge| {
        match all.get_mut(&(hour, key.clone())) {
            Some(known) => known.merge(&edge, &key.0, &key.1),
            None => {
                all.insert((hour, key), edge);
            }
        }
    })?;
    let all = all.into_iter();
    Ok(all
        .map(|((hour, key), edge)| HourEdge { hour, key, edge })
        .collect())
}

fn names(connection: &Connection, times: Range<Timestamp>) -> rusqlite::Result<History> {
    let mut statement = connection.prepare(
        "SELECT e.address, e.name, max(n.until) FROM edge_names e JOIN names n USING (address, name)
         WHERE n.first < ?1 GROUP BY e.address, e.name",
    )?;
    let mut rows = statement.query([times.end.nanos()])?;
    let mut by_address: BTreeMap<IpAddr, Vec<(String, bool)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let address = text.parse().map_err(|_| odd("address", &text))?;
        let is_current = row.get::<_, i64>(2)? >= times.start.nanos();
        let known = by_address.entry(address).or_default();
        known.push((row.get(1)?, is_current));
    }
    let mut history = History::default();
    for (address, names) in by_address {
        let any_is_current = names.iter().any(|(_, is_current)| *is_current);
        let names = names.into_iter();
        let names = names.filter(|(_, is_current)| *is_current || !any_is_current);
        history.add_names(address, names.map(|(name, _)| name));
    }
    Ok(history)
}
