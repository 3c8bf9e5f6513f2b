//! The times at which addresses of the node's pods may have changed their owner. A source that sees
//! interfaces appear and vanish records them for the sources that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts changes; clones share the count. A source compares it with what it saw last and, where it has
/// grown, calls [`nanoseg_flow::Collector::address_change`].
#[derive(Debug, Clone, Default)]
pub struct AddressChanges(Arc<AtomicU32>);

impl AddressChanges {
    /// Connections that begin from now on must not be merged with earlier ones.
    pub fn record(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many changes there were; wraps around.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_see_each_other_s_cuts() {
        let changes = AddressChanges::default();
        let seen = changes.clone();
        changes.record();
        changes.record();
        assert_eq!(seen.count(), 2);
    }
}
