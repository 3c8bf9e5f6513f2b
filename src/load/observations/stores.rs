//! Stores of receivers and controllers among the flow logs.

use crate::flow::Aggregate;
use crate::graph::History;
use crate::load::error::LoadError;
use crate::load::notice::{Notice, NoticeSink};
use crate::net::Timestamp;
use crate::report::FlowInput;
use crate::store::{FlowStore, ReviewStore, ReviewStoreError};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Adds the records of the stores to `aggregate`, and the edges that controllers folded in these hours to
/// `history`.
///
/// # Errors
/// A store that cannot be opened.
pub fn read_stores(
    paths: &[PathBuf],
    folded: Option<&Range<i64>>,
    notices: &dyn NoticeSink,
    aggregate: &mut Aggregate,
    history: &mut History,
) -> Result<Vec<FlowInput>, LoadError> {
    let mut inputs = Vec::new();
    for path in paths {
        let (store, input) = read_store(path)?;
        aggregate.merge(store);
        inputs.push(input);
        // After the records: what is folded in between counts twice, and is not missed.
        match folded {
            Some(hours) => history.merge(&read_folded(path, hours, notices)?),
            None => report_left_out(path, notices)?,
        }
    }
    Ok(inputs)
}

/// The flow records that a receiver or controller stored.
fn read_store(path: &Path) -> Result<(Aggregate, FlowInput), LoadError> {
    let store = FlowStore::open_read_only(path)?.load()?;
    let span = store.span();
    let input = FlowInput {
        name: path.display().to_string(),
        format: "store",
        flows: store.records().count() as u64,
        names: store.names().listing().len() as u64,
        malformed: 0,
        bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
        first: span.map(|span| span.0),
        last: span.map(|span| span.1),
    };
    Ok((store, input))
}

/// The store as a controller's; `None` if a receiver wrote it, of a version that had no controllers.
fn of_controller(path: &Path) -> Result<Option<ReviewStore>, LoadError> {
    match ReviewStore::open_read_only(path) {
        Ok(store) => Ok(Some(store)),
        Err(ReviewStoreError::NoReviews { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The edges that a controller folded in these hours since the Unix epoch. Reports which hours there are.
fn read_folded(
    path: &Path,
    hours: &Range<i64>,
    notices: &dyn NoticeSink,
) -> Result<History, LoadError> {
    let Some(store) = of_controller(path)? else {
        return Ok(History::default());
    };
    let edges = store.hours(hours.clone())?;
    let mut history = if edges.is_empty() {
        History::default()
    } else {
        store.names(hours.clone())?
    };
    if let (Some(first), Some(last)) = (edges.first(), edges.last()) {
        notices.report(Notice::FoldedHours {
            store: path.to_owned(),
            from: Timestamp::from_hour(first.hour),
            to: Timestamp::from_hour(last.hour + 1),
        });
    }
    for one in edges {
        history.add_edge(&one.key, &one.edge);
    }
    for (client, scan) in store.scans(hours.clone())? {
        history.add_scan(&client, &scan);
    }
    Ok(history)
}

/// Reports which hours of a controller's store are left out where only flow records are read.
fn report_left_out(path: &Path, notices: &dyn NoticeSink) -> Result<(), LoadError> {
    let last = match of_controller(path)? {
        Some(store) => store.last_hour()?,
        None => None,
    };
    if let Some(last) = last {
        notices.report(Notice::FoldedHoursLeftOut {
            store: path.to_owned(),
            to: Timestamp::from_hour(last + 1),
        });
    }
    Ok(())
}
