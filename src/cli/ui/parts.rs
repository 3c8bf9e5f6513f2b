//! What a folder and a cluster have in common: volume by the hour, the record.

use crate::controller::VolumeReader;
use crate::inventory::Inventory;
use crate::record::{Verifier, parse_line};
use crate::report::evidence::Event;
use crate::risk::VolumeReport;
use crate::store::ReviewStore;
use std::path::Path;

/// Volume by the hour, of the last two days that a copy of the controller's state knows.
pub fn volume(state: Option<&Path>, inventory: &Inventory) -> anyhow::Result<Option<VolumeReport>> {
    let Some(path) = state else {
        return Ok(None);
    };
    let store = ReviewStore::open_read_only(path)?;
    let volumes = VolumeReader::default().read(&store, inventory)?;
    Ok(volumes.report(usize::MAX))
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
                events.push(Event::from(entry));
            }
            Err(error) => {
                problem.get_or_insert(format!("entry {number}: {error}"));
            }
        }
        true
    })?;
    Ok((events, problem))
}
