//! Hubble's events put together to what was seen: of all nodes as one observer, or of one node.

use super::flow::HubbleFlow;
use super::table::{HubbleLimits, HubbleTable};
use crate::Urgency;
use nanoseg_flow::{Collector, CollectorLimits, Loss, Observations};
use nanoseg_net::Timestamp;

/// The connections of the events so far, and the records that are ready.
#[derive(Debug)]
pub(super) struct EventCollector {
    table: HubbleTable,
    collector: Collector,
}

impl EventCollector {
    pub fn new(limits: HubbleLimits, records: CollectorLimits) -> Self {
        EventCollector {
            table: HubbleTable::new(limits),
            collector: Collector::new(records),
        }
    }

    /// Sets how many connections are held at once, from now on.
    #[cfg(feature = "relay")]
    pub fn set_limits(&mut self, limits: HubbleLimits) {
        self.table.set_limits(limits);
    }

    pub fn ingest(&mut self, flow: &HubbleFlow, now: Timestamp) {
        self.table.ingest(flow, now, &mut self.collector);
    }

    pub fn lose(&mut self, loss: Loss, count: u64) {
        self.collector.lose(loss, count);
    }

    /// Reports what is settled.
    pub fn settle(&mut self, now: Timestamp) {
        self.table.settle(now, &mut self.collector);
    }

    /// The number of records that wait.
    #[cfg(feature = "relay")]
    pub fn len(&self) -> usize {
        self.collector.len()
    }

    /// Returns true if no more records have room.
    pub fn is_full(&self) -> bool {
        self.collector.is_full()
    }

    /// How soon the records should be taken.
    pub fn urgency(&self) -> Urgency {
        if self.collector.is_full() {
            Urgency::Full
        } else if self.collector.has_new_edges() {
            Urgency::NewEdge
        } else {
            Urgency::None
        }
    }

    /// Removes and returns what was seen since the last call.
    pub fn take(&mut self) -> Observations {
        self.table.take(&mut self.collector)
    }

    /// Nothing more will come: reports what was held back as it is.
    pub fn finish(&mut self) {
        self.table.end_all(&mut self.collector);
    }
}
