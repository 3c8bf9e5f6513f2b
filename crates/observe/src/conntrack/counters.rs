//! What the source counts, for metrics.

use std::sync::{Arc, Mutex, PoisonError};

/// Numbers of one running source, since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConntrackCounts {
    /// Events of new entries.
    pub new: u64,
    /// Events of changed entries that passed the kernel's filter.
    pub updates: u64,
    /// Events of ended entries.
    pub destroyed: u64,
    /// Entries listed by dumps.
    pub dumped: u64,
    /// Dumps that were completed.
    pub dumps: u64,
    /// Overruns of the receive buffer.
    pub overruns: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Entries that a stray segment made.
    pub strays: u64,
    /// Connections remembered now.
    pub held: u64,
    /// Whether the kernel leaves out updates that do not matter.
    pub filtered: bool,
}

/// Shared with the running source, which brings it up to date each time it has read.
#[derive(Debug, Clone, Default)]
pub struct ConntrackCounters(Arc<Mutex<ConntrackCounts>>);

impl ConntrackCounters {
    /// The numbers as of the last read of the source.
    pub fn read(&self) -> ConntrackCounts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, counts: ConntrackCounts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}
