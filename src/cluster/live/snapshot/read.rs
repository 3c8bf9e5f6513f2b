//! A snapshot as `--cluster live` reads it: as if it had been a file.

use super::content::Snapshot;
use super::error::SnapshotError;
use super::text::{Format, write_list};
use crate::cluster::parse_objects;
use crate::inventory::Objects;

impl Snapshot {
    /// The objects, as the file of the snapshot would be read.
    ///
    /// # Errors
    /// More than a file may hold.
    pub fn objects(&self) -> Result<Objects, SnapshotError> {
        let mut text = Vec::new();
        let written = write_list(&mut text, Format::Json, self);
        written.map_err(|error| SnapshotError::Write(error.to_string()))?;
        let mut objects = Objects::default();
        parse_objects(&text, "the cluster", &mut objects)?;
        Ok(objects)
    }
}
