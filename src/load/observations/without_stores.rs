//! A build without the feature `cluster` has no SQLite: stores are refused, never passed over.

use crate::flow::Aggregate;
use crate::graph::History;
use crate::load::error::LoadError;
use crate::load::notice::NoticeSink;
use crate::report::FlowInput;
use std::ops::Range;
use std::path::PathBuf;

/// Refuses the first store.
///
/// # Errors
/// There is one.
pub fn read_stores(
    paths: &[PathBuf],
    _folded: Option<&Range<i64>>,
    _notices: &dyn NoticeSink,
    _aggregate: &mut Aggregate,
    _history: &mut History,
) -> Result<Vec<FlowInput>, LoadError> {
    match paths.first() {
        None => Ok(Vec::new()),
        Some(path) => Err(LoadError::WithoutCluster(format!(
            "{} is the store of a receiver or controller",
            path.display()
        ))),
    }
}
