//! A copy of the controller's state: volume by the hour, and the record.

use super::error::LoadError;
use crate::controller::VolumeReader;
use crate::inventory::Inventory;
use crate::record::{Verifier, parse_line};
use crate::report::evidence::Event;
use crate::risk::VolumeReport;
use crate::store::ReviewStore;
use std::path::Path;

/// Volume by the hour, of the last two days in a copy of the controller's state.
///
/// # Errors
/// The copy cannot be read.
pub fn volume(
    state: Option<&Path>,
    inventory: &Inventory,
) -> Result<Option<VolumeReport>, LoadError> {
    let Some(path) = state else {
        return Ok(None);
    };
    let store = ReviewStore::open_read_only(path)?;
    let volumes = VolumeReader::default().read(&store, inventory)?;
    Ok(volumes.report(usize::MAX))
}

/// The events in a copy of the controller's state, and the first problem of their chain.
///
/// # Errors
/// The copy cannot be read.
pub fn record(state: Option<&Path>) -> Result<(Vec<Event>, Option<String>), LoadError> {
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
