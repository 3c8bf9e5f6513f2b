//! What a folder and a cluster have in common: volume by the hour, the record.

use crate::cli::record::event;
use crate::graph::{Edge, History};
use crate::inventory::Inventory;
use crate::report::evidence::Event;
use crate::review::record::{Verifier, parse_line};
use crate::risk::Volumes;
use crate::store::ReviewStore;
use std::path::Path;

/// So many hours tell what is usual.
const HOURS: i64 = 48;
const SECONDS: i64 = 3600;

/// Volume by the hour, of the last two days that a copy of the controller's state knows.
pub fn volumes(state: Option<&Path>, inventory: &Inventory) -> anyhow::Result<Volumes> {
    let mut volumes = Volumes::default();
    let Some(path) = state else {
        return Ok(volumes);
    };
    let store = ReviewStore::open_read_only(path)?;
    let hot = store.unfolded(i64::MIN / SECONDS..i64::MAX / SECONDS)?;
    let by_hour = hot.clone().take_hours(i64::MAX / SECONDS);
    let last = by_hour.keys().copied().max();
    let Some(last) = last.max(store.last_hour()?) else {
        return Ok(volumes);
    };
    let bytes = |edge: &Edge| edge.bytes_to_server.saturating_add(edge.bytes_to_client);
    for one in store.hours(last - HOURS..last + 1)? {
        let connections = one.edge.connections();
        volumes.add(&one.key, one.hour, bytes(&one.edge), connections);
    }
    for (hour, records) in by_hour {
        for (key, edge) in History::fold(&records, inventory).edges() {
            volumes.add(key, hour, bytes(edge), edge.connections());
        }
    }
    Ok(volumes)
}

/// The events of a copy of the controller's state, and what is wrong with their chain.
pub fn record(state: Option<&Path>) -> anyhow::Result<(Vec<Event>, Option<String>)> {
    let Some(path) = state else {
        return Ok((Vec::new(), None));
    };
    let store = ReviewStore::open_read_only(path)?;
    let (mut events, mut problem) = (Vec::new(), None);
    let mut verifier = Verifier::default();
    store.record_lines(1, |number, line| {
        match parse_line(line) {
            Ok(entry) => {
                if let Err(found) = verifier.check(&entry) {
                    problem.get_or_insert(format!("entry {} {}", found.sequence, found.fault));
                }
                events.push(event(entry));
            }
            Err(error) => {
                problem.get_or_insert(format!("entry {number}: {error}"));
            }
        }
        true
    })?;
    Ok((events, problem))
}
