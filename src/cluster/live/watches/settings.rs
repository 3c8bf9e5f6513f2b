//! The settings of watches.

use crate::inventory::kubernetes::Pod;
use std::time::Duration;

/// The settings of watches, and of keeping pods that are gone.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    /// The greatest age of the known state; at least 10 s.
    pub limit: Duration,
    /// How long pods are kept after they lost their addresses.
    pub retention: Duration,
    /// The most pods that are kept. A trimmed pod takes about 4 KiB.
    pub most_departed: usize,
    /// Pods of an earlier process, see [`Watches::restore`](super::Watches::restore).
    pub restored: Vec<Pod>,
}

impl Default for WatchSettings {
    fn default() -> Self {
        WatchSettings {
            limit: Duration::from_secs(30),
            retention: Duration::from_secs(3600),
            most_departed: 50_000,
            restored: Vec::new(),
        }
    }
}
