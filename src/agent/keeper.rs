//! The agent's main loop: takes observations from sources, puts batches into the spool, hands them to the sender, and
//! processes the answers.
//!
//! It has a thread of its own, since writing a batch to the disk can take long.

use super::batcher::Batcher;
use super::link::DeliveryOutcome;
use super::metrics::Metrics;
use super::own_addresses::OwnAddresses;
use super::sender::Outgoing;
use super::sources::Figures;
use crate::flow::{Observations, Source};
use crate::observe::Clock;
use crate::store::{BatchCodec, Spool};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender as Offers;

/// What wakes the main loop.
#[derive(Debug)]
pub enum Event {
    /// A source hands observations over.
    Seen(Observations),
    /// The sender has answers.
    Answered,
    /// All sources have ended: what was collected goes into the spool.
    SourcesEnded,
    /// Give up: batches that are not answered stay in the spool.
    GiveUp,
}

impl From<Observations> for Event {
    fn from(slice: Observations) -> Self {
        Event::Seen(slice)
    }
}

/// How long observations wait for those of other sources: their windows end together.
const GATHER: Duration = Duration::from_millis(250);
/// The longest time without a turn; a failing disk is tried again that often.
const LONGEST: Duration = Duration::from_secs(5);

/// The state of the main loop.
pub struct Keeper<C> {
    pub batcher: Batcher,
    pub spool: Spool<C>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// The counters of each source.
    pub figures: Vec<(Source, Figures)>,
    /// Takes batches to the sender; it has room for as many as the spool hands out.
    pub offers: Offers<Outgoing>,
    pub outcomes: Receiver<DeliveryOutcome>,
    pub addresses: OwnAddresses,
}

impl<C: BatchCodec> Keeper<C> {
    /// Runs until sources have ended and everything is answered, or until the event to give up.
    pub fn run(mut self, events: &Receiver<Event>) {
        let mut due: Option<Instant> = None;
        let mut retry = Instant::now() + LONGEST;
        let mut ending = false;
        self.offer();
        while !(ending && self.spool.is_empty()) {
            self.metrics.turned();
            let until = due.map_or(retry, |due| due.min(retry));
            match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Event::Seen(slice)) => {
                    self.metrics.seen(&slice);
                    self.batcher.add(slice);
                    due = due.or_else(|| Some(Instant::now() + GATHER));
                }
                Ok(Event::Answered) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Event::SourcesEnded) => {
                    ending = true;
                    self.flush(true);
                }
                Ok(Event::GiveUp) | Err(RecvTimeoutError::Disconnected) => {
                    self.flush(true);
                    break;
                }
            }
            if self.batcher.is_full() || due.is_some_and(|due| due <= Instant::now()) {
                due = None;
                self.flush(false);
            }
            if retry <= Instant::now() {
                retry = Instant::now() + LONGEST;
                self.spool.retry();
                if due.is_none() {
                    self.flush(false);
                }
            }
            self.take_answers();
            self.offer();
            self.update_metrics();
        }
        self.take_answers();
        self.update_metrics();
    }

    /// Puts what was collected into the spool.
    fn flush(&mut self, last_words: bool) {
        for (loss, count) in self.spool.take_losses() {
            self.metrics.lost(loss, count);
            self.batcher.lose(loss, count);
        }
        // The node's clock may have been set.
        self.clock.check_step();
        let now = self.clock.to_wall(self.clock.now());
        self.batcher.set_addresses(self.addresses.current(now));
        for batch in self.batcher.take(now, last_words) {
            self.metrics.batch_made();
            self.spool.push(&batch);
        }
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.outcomes.try_recv() {
            match answer {
                DeliveryOutcome::Acknowledged(which) => {
                    if self.spool.acknowledged(which) {
                        self.metrics.batch_acknowledged();
                    }
                }
                DeliveryOutcome::Malformed(which, _) => {
                    if self.spool.refused(which) {
                        self.metrics.batch_refused();
                    }
                }
            }
        }
    }

    fn offer(&mut self) {
        while let Some((which, content)) = self.spool.hand_out() {
            // There is room, since the spool hands out no more. If the sender is gone, the process ends.
            if self.offers.try_send(Outgoing { which, content }).is_err() {
                return;
            }
        }
    }

    fn update_metrics(&mut self) {
        for (loss, count) in self.spool.take_told_losses() {
            self.metrics.lost(loss, count);
        }
        self.metrics.spool(&self.spool.state());
        for (source, figures) in &self.figures {
            for (name, value) in figures() {
                self.metrics.figure(*source, name, value);
            }
        }
    }
}
