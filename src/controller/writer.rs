//! The one place that writes batches to the store. It takes out of each what its agent may not tell, writes many at a
//! time, and confirms each only after it is stored.

use super::receiver_metrics::ReceiverMetrics;
use super::room::IntakeRoom;
use crate::flow::{Admission, Applied, FlowBatch, Progresses};
use crate::net::{Outage, Timestamp};
use crate::store::FlowStore;
use crate::wire::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// How many batches may wait to be written, decoded: 2 × [`crate::wire::MAX_DECODED_BYTES`] are 64 MiB at most, and mostly
/// some hundred KiB.
pub const QUEUE: usize = 2;
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

/// What the writer needs.
pub struct Writer {
    pub store: FlowStore,
    /// What each node has told already.
    pub admission: Admission,
    /// How much there is room for.
    pub room: IntakeRoom,
    pub metrics: Arc<ReceiverMetrics>,
    pub health: StoreHealth,
    /// Receives each batch that was new, after it is stored.
    pub heard: Option<NewBatches>,
    pub now: fn() -> Timestamp,
    pub outage: Outage,
}

/// Writes until the queue is closed and empty. Blocks, so it needs a thread of its own.
pub fn run(mut writer: Writer, mut queue: mpsc::Receiver<Incoming>) {
    while let Some(first) = queue.blocking_recv() {
        let mut records = first.batch.seen.records.len();
        let mut group = vec![first];
        while records < GROUP
            && let Ok(next) = queue.try_recv()
        {
            records += next.batch.seen.records.len();
            group.push(next);
        }
        write(&mut writer, group);
    }
}

fn write(writer: &mut Writer, group: Vec<Incoming>) {
    let received = (writer.now)();
    // What comes again because it could not be stored was not told before.
    let mut told = Progresses::new();
    let (batches, done): (Vec<_>, Vec<_>) = group
        .into_iter()
        .filter_map(|incoming| {
            let batch = incoming.batch;
            let batch = writer
                .admission
                .admit(batch, incoming.teller, received, &mut told);
            writer.room.admit(batch, incoming.done, received)
        })
        .unzip();
    let Writer {
        store,
        admission,
        metrics,
        health,
        heard,
        outage,
        ..
    } = writer;
    match store.apply_all(&batches) {
        Ok(applied) => {
            admission.settle(told);
            health.set(None);
            if let Some(over) = outage.worked(received) {
                tracing::info!("batches are stored again {over}");
            }
            for ((batch, applied), done) in batches.into_iter().zip(applied).zip(done) {
                metrics.applied(&batch, applied);
                // The agent may be gone: it will send the batch again and be answered then.
                let _ = done.send(Ok(()));
                if let (Some(heard), Applied::New) = (&*heard, applied) {
                    // The engine may have ended: the next one reads the batch from the store.
                    let _ = heard.blocking_send(batch);
                }
            }
        }
        Err(error) => {
            let reason = error.to_string();
            // (rule: logs-tell-changes)
            if outage.failed(&reason, received) {
                tracing::error!("{reason}; agents keep their batches and send them again");
            }
            metrics.store_failed();
            health.set(Some(reason.clone()));
            for done in done {
                let _ = done.send(Err(reason.clone()));
            }
        }
    }
}
