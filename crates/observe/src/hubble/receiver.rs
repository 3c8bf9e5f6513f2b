//! The receiving side of Hubble's events, common to lines and the API: a queue between the thread that
//! reads and the one that polls, and what was put together of them.

use super::counters::{HubbleCounters, add};
use super::events::EventCollector;
use super::flow::HubbleFlow;
use super::json::{HubbleLine, HubbleLineError};
use super::scope::{HubbleScope, OneCluster, strip_names};
use super::table::HubbleLimits;
use crate::{Clock, LiveError, Urgency};
use nanoseg_flow::{CollectorLimits, Loss, Observations};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Events between the threads, about 600 bytes each. The reader waits while the queue is full: a pipe
/// fills, and Hubble counts what it cannot send.
pub(super) const QUEUE: usize = 4096;
/// How often connections are checked for something to report.
pub(super) const SETTLE: Duration = Duration::from_millis(500);

/// What comes through the queue.
#[derive(Debug)]
pub(super) enum Event {
    Line(Result<HubbleLine, HubbleLineError>),
    /// A line that is no text, or too long.
    NoLine,
    /// The connection broke; it is made again.
    #[cfg(feature = "relay")]
    Broken,
    /// Nothing more will come, and why.
    Failed(LiveError),
}

/// The polling end.
#[derive(Debug)]
pub(super) struct HubbleReceiver {
    events: Receiver<Event>,
    pub counters: Arc<HubbleCounters>,
    scope: HubbleScope,
    cluster: OneCluster,
    seen: EventCollector,
    clock: Clock,
    settled: Instant,
}

impl HubbleReceiver {
    /// A receiver, and the sender of events to it.
    pub fn new(scope: HubbleScope) -> (Self, SyncSender<Event>) {
        let (sender, events) = sync_channel(QUEUE);
        let receiver = HubbleReceiver {
            events,
            counters: Arc::default(),
            cluster: OneCluster::new(match &scope {
                HubbleScope::Everything => None,
                HubbleScope::Node { cluster, .. } => cluster.clone(),
            }),
            scope,
            seen: EventCollector::new(HubbleLimits::default(), CollectorLimits::default()),
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
            if self.seen.is_full() {
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
            Event::Line(Ok(HubbleLine::Flow(flow))) => self.ingest_flow(flow)?,
            Event::Line(Ok(HubbleLine::Lost { count, node })) => {
                let mine = self.scope.node();
                let is_mine = node.is_none_or(|node| mine.is_none_or(|mine| mine == node.name));
                let count = if is_mine { count } else { 0 };
                add(&counters.lost, count);
                self.seen.lose(Loss::LogLost, count);
            }
            Event::Line(Ok(HubbleLine::Nodes { .. } | HubbleLine::Skipped(_))) => {
                add(&counters.skipped, 1);
            }
            Event::Line(Err(HubbleLineError::Incomplete(_))) => {
                add(&counters.incomplete, 1);
                self.seen.lose(Loss::FlowIncomplete, 1);
            }
            Event::Line(Err(HubbleLineError::Malformed(_))) | Event::NoLine => {
                add(&counters.malformed, 1);
                self.seen.lose(Loss::LineMalformed, 1);
            }
            #[cfg(feature = "relay")]
            Event::Broken => {}
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn ingest_flow(&mut self, mut flow: Box<HubbleFlow>) -> Result<(), LiveError> {
        if let Some(mine) = self.scope.node() {
            if flow.node.as_deref() != Some(mine)
                || !self.cluster.admits(flow.cluster.as_deref())?
            {
                add(&self.counters.of_others, 1);
                return Ok(());
            }
            strip_names(&mut flow);
        }
        self.counters.note_fate(flow.fate);
        self.seen.ingest(&flow, self.clock.now());
        Ok(())
    }

    fn settle(&mut self) {
        self.settled = Instant::now();
        self.seen.settle(self.clock.now());
    }

    /// How soon the records should be taken.
    pub fn urgency(&self) -> Urgency {
        self.seen.urgency()
    }

    /// Removes and returns what was seen since the last call.
    pub fn take(&mut self) -> Observations {
        self.seen.take()
    }

    /// Nothing more will come: reports what was held back as it is.
    pub fn finish(&mut self) {
        self.seen.finish();
    }
}
