//! How watches are held.

use crate::inventory::kubernetes::Pod;
use std::time::Duration;

/// How watches are held, and what is kept of pods that are gone.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    /// How old what is known may be; at least 10 s.
    pub limit: Duration,
    /// How long pods stay after they lost their addresses.
    pub retention: Duration,
    /// The most pods that are kept so. A trimmed pod takes about 4 KiB.
    pub most_departed: usize,
    /// Pods of an earlier life, see [`Watches::restore`](super::Watches::restore).
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
