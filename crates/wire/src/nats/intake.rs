//! The receiver's end: takes batches from the stream, and acknowledges them when they are stored.

use super::super::{Authenticator, Incoming, Refusal, WireError, decode};
use super::connect::{NatsError, NatsSettings, connect, stream};
use super::{CONSUMER, subject_of};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::message::AckKind;
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nanoseg_flow::FlowBatch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How many messages all receivers together may hold unstored: flow control.
const MAX_ACK_PENDING: i64 = 256;
/// How many messages one receiver holds.
const IN_FLIGHT: usize = 16;
/// After this long a message goes to another receiver: this one may be dead.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// When a message that could not be stored is delivered again.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// When a message of an unknown schema is delivered again: perhaps to an upgraded receiver.
const SCHEMA_RETRY: Duration = Duration::from_secs(60);
/// How long stopping waits until the batches that were taken are stored and acknowledged to NATS.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long to wait after the consumer failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes batches from NATS.
pub struct NatsIntake {
    settings: NatsSettings,
    context: Context,
    authenticator: Arc<dyn Authenticator>,
    out: mpsc::Sender<Incoming>,
}

impl NatsIntake {
    /// Connects, and creates stream and consumer if they are missing and we have the rights.
    ///
    /// # Errors
    /// If NATS cannot be reached, or refuses.
    pub async fn start(
        settings: NatsSettings,
        authenticator: Arc<dyn Authenticator>,
        out: mpsc::Sender<Incoming>,
    ) -> Result<NatsIntake, NatsError> {
        let context = connect(&settings).await?;
        let intake = NatsIntake {
            settings,
            context,
            authenticator,
            out,
        };
        intake.consumer().await?;
        Ok(intake)
    }

    async fn consumer(&self) -> Result<Consumer<pull::Config>, NatsError> {
        let stream = stream(&self.context, &self.settings).await?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.into()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            ..pull::Config::default()
        };
        let consumer = stream.get_or_create_consumer(CONSUMER, config).await;
        consumer.map_err(|e| NatsError::Stream(e.to_string()))
    }

    /// Takes batches until `stop` turns true, and returns when all of them are stored, or back in the stream. Every
    /// failure is tried again.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        tokio::pin!(stopped);
        let mut pending = FuturesUnordered::new();
        loop {
            let taken = self.take(&mut pending);
            tokio::select! {
                () = &mut stopped => break,
                reason = taken => tracing::warn!("{reason}; trying again"),
            }
            tokio::select! {
                () = &mut stopped => break,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        let farewell = async {
            while pending.next().await.is_some() {}
            self.context.client().flush().await.is_ok()
        };
        // Without a connection NATS's client waits for one, however long that takes.
        if tokio::time::timeout(FAREWELL, farewell).await != Ok(true) {
            tracing::warn!(
                "failed to acknowledge a batch to NATS; it comes again and counts as a duplicate"
            );
        }
    }

    /// Takes batches until the consumer fails, and returns why.
    async fn take(&self, pending: &mut FuturesUnordered<Settling>) -> String {
        let consumer = match self.consumer().await {
            Ok(consumer) => consumer,
            Err(error) => return error.to_string(),
        };
        let messages = consumer
            .stream()
            .max_messages_per_batch(IN_FLIGHT)
            .messages()
            .await;
        let mut messages = match messages {
            Ok(messages) => messages,
            Err(error) => return format!("failed to read from NATS: {error}"),
        };
        loop {
            tokio::select! {
                Some(()) = pending.next(), if !pending.is_empty() => {}
                message = messages.next(), if pending.len() < IN_FLIGHT => match message {
                    Some(Ok(message)) => match self.hand_on(message).await {
                        Some(settling) => pending.push(settling),
                        None => continue,
                    },
                    Some(Err(error)) => return format!("failed to read from NATS: {error}"),
                    None => return "failed to read from NATS: the consumer ended".into(),
                },
            }
        }
    }

    /// Puts a message's batch into the queue. Returns a future that answers the message.
    async fn hand_on(&self, message: Message) -> Option<Settling> {
        let batch = match self.authenticate(&message) {
            Ok(batch) => batch,
            Err(kind) => {
                settle(&message, kind).await;
                return None;
            }
        };
        let (done, stored) = oneshot::channel();
        if self.out.send(Incoming { batch, done }).await.is_err() {
            settle(&message, AckKind::Nak(None)).await;
            return None;
        }
        Some(Box::pin(async move {
            let kind = match stored.await {
                Ok(Ok(())) => AckKind::Ack,
                Ok(Err(_)) => AckKind::Nak(Some(STORE_RETRY)),
                Err(_) => AckKind::Nak(None),
            };
            settle(&message, kind).await;
        }))
    }

    fn authenticate(&self, message: &Message) -> Result<FlowBatch, AckKind> {
        let (refusal, kind) = match decode(&message.payload) {
            Ok(batch) if subject_of(&batch.node) == *message.subject => return Ok(batch),
            Ok(batch) => {
                let reason = format!(
                    "failed to accept a batch of node {} that came as {}",
                    batch.node, message.subject
                );
                (
                    Refusal {
                        kind: "other-node",
                        reason,
                    },
                    AckKind::Term,
                )
            }
            Err(error) => {
                let kind = match error {
                    WireError::Schema { .. } => AckKind::Nak(Some(SCHEMA_RETRY)),
                    _ => AckKind::Term,
                };
                let reason = format!("{error} ({})", message.subject);
                (
                    Refusal {
                        kind: error.reason(),
                        reason,
                    },
                    kind,
                )
            }
        };
        self.authenticator.refused(&refusal);
        Err(kind)
    }
}

type Settling = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn settle(message: &Message, kind: AckKind) {
    // Without an answer the message comes again after the ack wait, and counts as a duplicate then.
    if let Err(error) = message.ack_with(kind).await {
        tracing::warn!("failed to settle a message of NATS: {error}; it will come again");
    }
}
