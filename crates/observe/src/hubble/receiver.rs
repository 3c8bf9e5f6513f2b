//! The receiving side of Hubble's events, common to lines and the API: a queue between the thread that
//! reads and the one that polls, the table, and the collector.

use super::json::{HubbleLine, HubbleLineError};
use super::table::{HubbleLimits, HubbleTable};
use crate::{Clock, LiveError, Urgency};
use nanoseg_flow::{Collector, CollectorLimits, Loss, Observations, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Events between the threads, about 600 bytes each. The reader waits while the queue is full: a pipe
/// fills, and Hubble counts what it cannot send.
const QUEUE: usize = 4096;
/// How often connections are checked for something to report.
const SETTLE: Duration = Duration::from_millis(500);

/// What comes through the queue.
#[derive(Debug)]
pub(super) enum Event {
    Line(Result<HubbleLine, HubbleLineError>),
    /// A line that is no text, or too long.
    NoLine,
    /// Nothing more will come, and why.
    Failed(LiveError),
}

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
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// The polling end.
#[derive(Debug)]
pub(super) struct HubbleReceiver {
    events: Receiver<Event>,
    pub counters: Arc<HubbleCounters>,
    table: HubbleTable,
    collector: Collector,
    clock: Clock,
    settled: Instant,
}

impl HubbleReceiver {
    /// A receiver, and the sender of events to it.
    pub fn new() -> (Self, SyncSender<Event>) {
        let (sender, events) = sync_channel(QUEUE);
        let receiver = HubbleReceiver {
            events,
            counters: Arc::default(),
            table: HubbleTable::new(HubbleLimits::default()),
            collector: Collector::new(CollectorLimits::default()),
            clock: Clock::start(),
            settled: Instant::now(),
        };
        (receiver, sender)
    }

    /// Waits for events, and processes what has come. Returns false if nothing more will come.
    pub fn poll(&mut self, patience: Duration) -> Result<bool, LiveError> {
        let mut patience = patience;
        // At most as many as the queue holds: the caller has other work, however fast events come.
        for _ in 0..QUEUE {
            match self.events.recv_timeout(patience) {
                Ok(event) => self.ingest(event)?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
            if self.collector.is_full() {
                break;
            }
            patience = Duration::ZERO;
        }
        if self.settled.elapsed() >= SETTLE {
            self.settle();
        }
        Ok(true)
    }

    fn ingest(&mut self, event: Event) -> Result<(), LiveError> {
        let counters = Arc::clone(&self.counters);
        match event {
            Event::Line(Ok(HubbleLine::Flow(flow))) => {
                let now = self.clock.now();
                self.table.ingest(&flow, now, &mut self.collector);
            }
            Event::Line(Ok(HubbleLine::Lost(count))) => {
                add(&counters.lost, count);
                self.collector.lose(Loss::LogLost, count);
            }
            Event::Line(Ok(HubbleLine::Skipped(_))) => add(&counters.skipped, 1),
            Event::Line(Err(HubbleLineError::Incomplete(_))) => {
                add(&counters.incomplete, 1);
                self.collector.lose(Loss::FlowIncomplete, 1);
            }
            Event::Line(Err(HubbleLineError::Malformed(_))) | Event::NoLine => {
                add(&counters.malformed, 1);
                self.collector.lose(Loss::LineMalformed, 1);
            }
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.settled = Instant::now();
        self.table.settle(self.clock.now(), &mut self.collector);
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
        let (records, scans, losses) = self.collector.take();
        let records = records.into_iter().map(|r| (Source::Hubble, r)).collect();
        let (names, names_lost) = self.table.take_names();
        let mut slice = Observations {
            records,
            scans,
            names,
            losses,
            ..Observations::default()
        };
        slice.lose(Loss::NameDropped, names_lost);
        slice.lose(Loss::ConnectionEvicted, self.table.take_evicted());
        slice
    }

    /// Nothing more will come: reports what was held back as it is.
    pub fn finish(&mut self) {
        self.table.end_all(&mut self.collector);
    }
}
