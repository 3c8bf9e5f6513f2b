//! Hubble Relay as the controller's own source: what it tells of each node goes into the store like the batches of that
//! node's agent, and is judged the same way (rule: relay-speaks-for-its-nodes).

use super::receiver_metrics::ReceiverMetrics;
use crate::flow::{
    FlowBatch, Instance, MergedObservations, ObservationLimits, Observations, Teller,
};
use crate::net::{Outage, Timestamp};
use crate::observe::hubble::{HubbleCounters, HubbleNodes, HubbleSource, NodeObservations};
use crate::observe::{LiveError, Urgency};
use crate::wire::Incoming;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How often observations are taken, and how soon those of a new edge.
const WINDOW: Duration = Duration::from_secs(10);
const NEW_EDGE: Duration = Duration::from_secs(1);
/// The longest time between two checks for the end.
const TURN: Duration = Duration::from_millis(250);
/// Waits between attempts to reach Relay, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long a batch that the store refuses is tried again. Meanwhile Hubble's ring buffers hold what comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Batches that wait for their answers at once.
const OPEN: usize = 64;

/// What follows Relay and makes batches of it.
pub struct HubbleIntake {
    pub source: HubbleSource,
    pub out: mpsc::Sender<Incoming>,
    pub metrics: Arc<ReceiverMetrics>,
    pub now: fn() -> Timestamp,
}

impl HubbleIntake {
    /// Follows Relay until `stop` turns true.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let (ended, end) = oneshot::channel::<()>();
        let name = "hubble".to_owned();
        let spawned = thread::Builder::new().name(name).spawn(move || {
            match random_instance() {
                Some(instance) => Work::new(self, instance, stop).run(),
                None => {
                    tracing::error!("failed to follow Hubble: the system has no random numbers")
                }
            }
            drop(ended);
        });
        match spawned {
            Ok(_) => drop(end.await),
            Err(error) => tracing::error!("failed to follow Hubble: {error}"),
        }
    }
}

fn random_instance() -> Option<Instance> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(Instance(bytes))
}

/// The part on its own thread.
struct Work {
    intake: HubbleIntake,
    instance: Instance,
    /// The number of each node's last batch.
    sequences: BTreeMap<Arc<str>, u64>,
    counters: Arc<HubbleCounters>,
    outage: Outage,
    stop: watch::Receiver<bool>,
}

impl Work {
    fn new(intake: HubbleIntake, instance: Instance, stop: watch::Receiver<bool>) -> Work {
        Work {
            intake,
            instance,
            sequences: BTreeMap::new(),
            counters: Arc::default(),
            outage: Outage::default(),
            stop,
        }
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    fn run(mut self) {
        let mut wait = FIRST_WAIT;
        while !self.is_stopped() {
            let began = Instant::now();
            let outcome = self.follow();
            self.intake.metrics.hubble_running(false);
            if let Err(error) = outcome {
                self.log(&error);
            }
            if began.elapsed() >= LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            self.sleep(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// (rule: logs-tell-changes)
    fn log(&mut self, error: &LiveError) {
        let why = format!("{error}: {}", error.source);
        if self.outage.failed(&why, (self.intake.now)()) {
            tracing::error!("{why}; it is tried again");
        }
    }

    fn sleep(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.is_stopped() && Instant::now() < until {
            thread::sleep(TURN.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Follows Relay until the end, or until it cannot go on.
    fn follow(&mut self) -> Result<(), LiveError> {
        let source = self.intake.source.clone();
        let address = source.relay.address.clone();
        let mut nodes = HubbleNodes::open(source, Arc::clone(&self.counters))?;
        self.intake.metrics.hubble_running(true);
        match self.outage.worked((self.intake.now)()) {
            Some(over) => tracing::info!(address, "follows Hubble Relay again {over}"),
            None => tracing::info!(address, "follows Hubble Relay"),
        }
        let mut taken = Instant::now();
        loop {
            let polled = nodes.poll(TURN);
            let last = polled.is_err() || self.is_stopped();
            let due = match nodes.urgency() {
                Urgency::None => WINDOW,
                Urgency::NewEdge => NEW_EDGE,
                Urgency::Full => Duration::ZERO,
            };
            if last || taken.elapsed() >= due {
                taken = Instant::now();
                self.intake.metrics.hubble(&self.counters.read());
                let seen = nodes.take(last);
                let batches = seen.into_iter().flat_map(|one| self.batches(one)).collect();
                if !self.deliver(batches) {
                    return Ok(());
                }
            }
            polled?;
            if last {
                return Ok(());
            }
        }
    }

    /// What a node saw, as its next batches.
    fn batches(&mut self, one: NodeObservations) -> Vec<FlowBatch> {
        let mut seen = MergedObservations::default();
        seen.add(one.seen);
        let mut pieces = seen.into_chunks(ObservationLimits::default());
        if pieces.is_empty() {
            pieces.push(Observations::default());
        }
        let last = self.sequences.entry(Arc::clone(&one.node)).or_default();
        let batch = |seen| {
            *last += 1;
            FlowBatch {
                node: Arc::clone(&one.node),
                instance: self.instance,
                sequence: (*last, *last),
                span: one.span,
                seen,
            }
        };
        pieces.into_iter().map(batch).collect()
    }

    /// Brings batches into the store. Returns false if there is no store any more.
    fn deliver(&mut self, batches: Vec<FlowBatch>) -> bool {
        let mut left = batches;
        let deadline = Instant::now() + PATIENCE;
        while !left.is_empty() {
            let mut refused = Vec::new();
            for group in left.chunks(OPEN) {
                let Some(again) = self.deliver_group(group) else {
                    return false;
                };
                refused.extend(again);
            }
            left = refused;
            if !left.is_empty() && (self.is_stopped() || Instant::now() >= deadline) {
                let records = left
                    .iter()
                    .map(|batch| batch.seen.records.len())
                    .sum::<usize>();
                tracing::warn!(records, "what Hubble saw was not stored and is lost");
                self.intake.metrics.hubble_lost(records as u64);
                return true;
            }
            if !left.is_empty() {
                self.sleep(FIRST_WAIT);
            }
        }
        true
    }

    /// Returns those that were not stored; `None` if there is no store any more.
    fn deliver_group(&self, group: &[FlowBatch]) -> Option<Vec<FlowBatch>> {
        let mut waiting = Vec::with_capacity(group.len());
        for batch in group {
            let (done, stored) = oneshot::channel();
            let incoming = Incoming {
                batch: batch.clone(),
                teller: Teller::Relay,
                done,
            };
            self.intake.out.blocking_send(incoming).ok()?;
            waiting.push((batch, stored));
        }
        let mut refused = Vec::new();
        for (batch, stored) in waiting {
            match stored.blocking_recv() {
                Ok(Ok(())) => {}
                Ok(Err(_)) => refused.push(batch.clone()),
                Err(_) => return None,
            }
        }
        Some(refused)
    }
}
