//! The one place that writes batches to the store. It writes many at a time, and confirms each only after it is stored.

use super::receiver_metrics::ReceiverMetrics;
use super::store_metrics::StoreMetrics;
use crate::flow::{Applied, FlowBatch, IntakeBudget};
use crate::net::Timestamp;
use crate::store::FlowStore;
use crate::wire::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// How many batches may wait to be written, decoded: 4 × [`crate::wire::MAX_DECODED_BYTES`] are 128 MiB at most, while they
/// are decoded, and mostly some hundred KiB.
pub const QUEUE: usize = 4;
/// How many records are written together at most: a commit takes as long as writing a few hundred.
const GROUP: usize = 5_000;

/// Receives batches that were new, after they are stored.
pub type NewBatches = mpsc::Sender<FlowBatch>;

/// Holds why the last write failed, if it did.
#[derive(Debug, Clone, Default)]
pub struct StoreHealth(Arc<Mutex<Option<String>>>);

impl StoreHealth {
    fn set(&self, problem: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// # Errors
    /// Why the store could not be written when it was last tried.
    pub fn check(&self) -> Result<(), String> {
        let problem = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone().map_or(Ok(()), Err)
    }
}

/// Decides how much of a batch there is room for (rule: bounded-memory).
pub struct Admission {
    budget: IntakeBudget,
    metrics: Arc<StoreMetrics>,
    now: fn() -> Timestamp,
}

impl Admission {
    pub fn new(budget: IntakeBudget, metrics: Arc<StoreMetrics>, now: fn() -> Timestamp) -> Self {
        Admission {
            budget,
            metrics,
            now,
        }
    }

    /// Cuts each batch down to what there is room for, and answers those of which nothing is taken.
    fn admit(&mut self, group: Vec<Incoming>) -> Vec<Incoming> {
        let now = (self.now)();
        let mut taken = Vec::new();
        for mut incoming in group {
            match self.budget.admit(&mut incoming.batch, now) {
                Ok(()) => taken.push(incoming),
                Err(reason) => {
                    tracing::warn!(
                        node = &*incoming.batch.node,
                        "a batch is not taken: {reason}"
                    );
                    // The agent may be gone.
                    let _ = incoming.done.send(Err(reason.to_string()));
                }
            }
        }
        self.metrics.set_use(self.budget.usage(now));
        taken
    }
}

/// Writes until the queue is closed and empty. Blocks, so it needs a thread of its own.
pub fn run(
    mut store: FlowStore,
    mut queue: mpsc::Receiver<Incoming>,
    mut admission: Admission,
    metrics: &ReceiverMetrics,
    health: &StoreHealth,
    heard: Option<&NewBatches>,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut records = first.batch.seen.records.len();
        let mut group = vec![first];
        while records < GROUP
            && let Ok(next) = queue.try_recv()
        {
            records += next.batch.seen.records.len();
            group.push(next);
        }
        write(&mut store, admission.admit(group), metrics, health, heard);
    }
}

fn write(
    store: &mut FlowStore,
    group: Vec<Incoming>,
    metrics: &ReceiverMetrics,
    health: &StoreHealth,
    heard: Option<&NewBatches>,
) {
    let (batches, done): (Vec<_>, Vec<_>) = group
        .into_iter()
        .map(|incoming| (incoming.batch, incoming.done))
        .unzip();
    match store.apply_all(&batches) {
        Ok(applied) => {
            health.set(None);
            for ((batch, applied), done) in batches.into_iter().zip(applied).zip(done) {
                metrics.applied(&batch, applied);
                // The agent may be gone: it will send the batch again and be answered then.
                let _ = done.send(Ok(()));
                if let (Some(heard), Applied::New) = (heard, applied) {
                    // The engine may have ended: the next one reads the batch from the store.
                    let _ = heard.blocking_send(batch);
                }
            }
        }
        Err(error) => {
            let reason = error.to_string();
            tracing::error!(batches = batches.len(), "{reason}; the batches come again");
            metrics.store_failed();
            health.set(Some(reason.clone()));
            for done in done {
                let _ = done.send(Err(reason.clone()));
            }
        }
    }
}
