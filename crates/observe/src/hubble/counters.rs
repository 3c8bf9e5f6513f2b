//! What a source of Hubble's events counts.

use super::flow::PacketFate;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that go on while the source runs on another thread.
#[derive(Debug, Default)]
pub struct HubbleCounters {
    /// Events that were read, of all kinds.
    pub events: AtomicU64,
    /// Events that belong to no connection: ICMP, sockets, nodes, agents.
    pub skipped: AtomicU64,
    /// Lines that are no event.
    pub malformed: AtomicU64,
    /// Flows without addresses, ports or time.
    pub incomplete: AtomicU64,
    /// Events that Hubble reports as lost.
    pub lost: AtomicU64,
    /// Connections to Relay that broke.
    pub reconnects: AtomicU64,
    /// Events of nodes that this source does not speak for.
    pub of_others: AtomicU64,
    /// Packets that a policy denied.
    pub denied: AtomicU64,
    /// Packets that a policy would have denied, and that its audit mode let pass.
    pub audited: AtomicU64,
    /// Packets that Cilium dropped, and no policy said so.
    pub dropped: AtomicU64,
}

impl HubbleCounters {
    /// Every counter with its name in metrics.
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("events", value(&self.events)),
            ("skipped", value(&self.skipped)),
            ("malformed", value(&self.malformed)),
            ("incomplete", value(&self.incomplete)),
            ("lost", value(&self.lost)),
            ("reconnects", value(&self.reconnects)),
            ("of-others", value(&self.of_others)),
            ("policy-denied", value(&self.denied)),
            ("policy-audited", value(&self.audited)),
            ("dropped", value(&self.dropped)),
        ]
    }

    /// Counts what became of a packet. The first that audit mode let pass is logged: policies are not enforced there.
    pub(super) fn note_fate(&self, fate: PacketFate) {
        match fate {
            PacketFate::Passed => {}
            PacketFate::Denied => add(&self.denied, 1),
            PacketFate::Lost => add(&self.dropped, 1),
            PacketFate::Audited => {
                if self.audited.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        "Cilium only audits policies: it lets pass what they deny (policy-audit-mode)"
                    );
                }
            }
        }
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
