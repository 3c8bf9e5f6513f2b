//! The receiver's end of one agent's stream: it authenticates the agent, takes batches and acknowledges them.
//!
//! Acknowledgements leave in the order in which batches came, and before any answer to a later batch. So the agent knows
//! that a refusal is about the first batch that is not acknowledged.

use super::super::proto::Acknowledgement;
use super::super::{WireError, decode};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use nanoseg_flow::{BatchId, FlowBatch, Teller};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Code, Status, Streaming};

/// How many batches of one stream may be unstored: one is being written while the others arrive.
const IN_FLIGHT: usize = 16;

/// The identity of an agent, as far as its token shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentIdentity {
    /// The only node whose batches the agent may send; `None`: any, which is for tests.
    pub node: Option<String>,
    /// For how long the token is valid; `None`: forever.
    pub good_for: Option<Duration>,
}

/// Why a stream or a batch was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word for metrics.
    pub kind: &'static str,
    /// For people. Never holds the token.
    pub reason: String,
}

/// Decides who may send, and counts what was refused.
pub trait Authenticator: Send + Sync + 'static {
    /// Checks the bearer token of a new stream. May ask the API server about it.
    ///
    /// # Errors
    /// Why the token is refused.
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<AgentIdentity, Refusal>>;

    /// Checks the token that came with a message of a queue, which took it at that time. The token may have expired
    /// since, and its pod be gone.
    ///
    /// # Errors
    /// Why the token is refused; of kind `no-keys`: it cannot be checked yet.
    fn authenticate_queued<'a>(
        &'a self,
        token: Option<&'a str>,
        queued: SystemTime,
    ) -> BoxFuture<'a, Result<AgentIdentity, Refusal>>;

    /// Is called for each batch and each stream that was refused.
    fn refused(&self, refusal: &Refusal);

    /// Is called for each message that was taken out of the queue for good without being stored. `is_kept`: there is
    /// a copy where somebody can look at it.
    fn set_aside(&self, kind: &'static str, is_kept: bool);
}

/// A batch, and the channel for the answer: it is stored, or why it is not.
#[derive(Debug)]
pub struct Incoming {
    pub batch: FlowBatch,
    pub teller: Teller,
    pub done: oneshot::Sender<Result<(), String>>,
}

/// What all streams share.
#[derive(Clone)]
pub struct Hall {
    pub authenticator: Arc<dyn Authenticator>,
    pub out: mpsc::Sender<Incoming>,
    /// Turns true when no more batches are accepted.
    pub stop: watch::Receiver<bool>,
}

type AcknowledgeResult = Result<Acknowledgement, Status>;

/// Takes batches until the stream ends, an error occurs, or the receiver stops. Batches that were taken by then are
/// acknowledged before the stream ends.
pub async fn run(
    hall: Hall,
    agent: AgentIdentity,
    mut batches: Streaming<Vec<u8>>,
    answers: mpsc::Sender<AcknowledgeResult>,
) {
    let mut pending = FuturesOrdered::new();
    let stopped = stopped(hall.stop.clone());
    let expired = expiry(agent.good_for);
    tokio::pin!(expired, stopped);
    let end = loop {
        tokio::select! {
            biased;
            Some(stored) = pending.next(), if !pending.is_empty() => {
                match stored {
                    Ok(acknowledgement) => {
                        if answers.send(Ok(acknowledgement)).await.is_err() {
                            return;
                        }
                    }
                    Err(status) => break Some(status),
                }
            }
            () = &mut stopped => break None,
            () = &mut expired => break Some(Status::unauthenticated("the token has expired")),
            message = batches.message(), if pending.len() < IN_FLIGHT => {
                let bytes = match message {
                    Ok(Some(bytes)) => bytes,
                    Err(status) if status.code() == Code::OutOfRange => {
                        break Some(too_large(&hall, &status));
                    }
                    // The agent is gone, so there is nobody to answer.
                    Ok(None) | Err(_) => break None,
                };
                match take_batch(&hall, &agent, &bytes).await {
                    Ok(stored) => pending.push_back(stored),
                    Err(status) => break Some(status),
                }
            }
        }
    };
    while let Some(stored) = pending.next().await {
        let failed = stored.is_err();
        if answers.send(stored).await.is_err() || failed {
            return;
        }
    }
    if let Some(status) = end {
        let _ = answers.send(Err(status)).await;
    }
}

/// Refuses a message that is longer than any batch, and that was not read for that reason.
fn too_large(hall: &Hall, status: &Status) -> Status {
    let refusal = Refusal {
        kind: "too-large",
        reason: status.message().to_owned(),
    };
    hall.authenticator.refused(&refusal);
    Status::invalid_argument(refusal.reason)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A dropped sender is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn expiry(good_for: Option<Duration>) {
    match good_for {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn admit_batch(hall: &Hall, agent: &AgentIdentity, bytes: &[u8]) -> Result<FlowBatch, Status> {
    let batch = decode(bytes).map_err(|error| {
        let refusal = Refusal {
            kind: error.reason(),
            reason: error.to_string(),
        };
        hall.authenticator.refused(&refusal);
        let code = match error {
            WireError::Schema { .. } => Code::FailedPrecondition,
            _ => Code::InvalidArgument,
        };
        Status::new(code, refusal.reason)
    })?;
    match &agent.node {
        Some(node) if **node != *batch.node => {
            let refusal = Refusal {
                kind: "other-node",
                reason: format!(
                    "failed to accept a batch of node {}: the token is of a pod on node {node}",
                    batch.node
                ),
            };
            hall.authenticator.refused(&refusal);
            Err(Status::permission_denied(refusal.reason))
        }
        _ => Ok(batch),
    }
}

/// Decodes the batch and puts it into the queue, once there is a place for it: however many streams there are, no more
/// batches are decoded than the queue has places. Returns a future that ends when the batch is stored.
async fn take_batch(
    hall: &Hall,
    agent: &AgentIdentity,
    bytes: &[u8],
) -> Result<impl Future<Output = AcknowledgeResult> + use<>, Status> {
    let stopping = || Status::unavailable("the receiver is stopping");
    let place = hall.out.reserve().await.map_err(|_| stopping())?;
    let batch = admit_batch(hall, agent, bytes)?;
    let id = BatchId::of(&batch);
    let (done, stored) = oneshot::channel();
    place.send(Incoming {
        batch,
        teller: Teller::Agent,
        done,
    });
    Ok(async move {
        match stored.await {
            Ok(Ok(())) => Ok(Acknowledgement {
                instance: id.instance.0.to_vec(),
                first_sequence: id.sequence.0,
                last_sequence: id.sequence.1,
            }),
            Ok(Err(reason)) => Err(Status::unavailable(reason)),
            Err(_) => Err(stopping()),
        }
    })
}
