//! The receiver's end: takes batches from the stream, and acknowledges them when they are stored.

use super::super::{Authenticator, Incoming, LogLimit, Refusal, WireError, decode};
use super::aside::{Copies, Retries, TRY_AFTER};
use super::connect::{Connection, NatsError, NatsSettings, connect};
use super::stream::{check, consumer, prepare_rejected};
use super::{RECEIVER_INBOX, STREAM, TOKEN, subject_of};
use async_nats::jetstream::Message;
use async_nats::jetstream::message::AckKind;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nanoseg_flow::{FlowBatch, Teller};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};

/// How many messages one receiver holds.
const IN_FLIGHT: usize = 16;
/// When a message that could not be stored, or whose token could not be checked, is delivered again.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// How long stopping waits until the batches that were taken are stored and acknowledged to NATS.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long to wait after the consumer failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the configuration of the stream is looked at again.
const LOOK_AT_STREAM: Duration = Duration::from_secs(60);

/// Holds why batches do not come from NATS, if they do not. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct NatsHealth(Arc<Mutex<Option<String>>>);

impl NatsHealth {
    fn set(&self, problem: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// # Errors
    /// Why nothing can be taken from the stream: somebody has to mend its configuration.
    pub fn check(&self) -> Result<(), String> {
        let problem = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone().map_or(Ok(()), Err)
    }
}

/// What becomes of a message.
enum Fate {
    Take(FlowBatch),
    /// Nothing is known against it.
    Later(Refusal),
    /// It cannot be accepted; another receiver or other keys may change that.
    Again(Refusal),
    /// It can never be accepted.
    Never(Refusal),
}

/// Takes batches from NATS.
pub struct NatsIntake {
    settings: NatsSettings,
    connection: Connection,
    authenticator: Arc<dyn Authenticator>,
    out: mpsc::Sender<Incoming>,
    health: NatsHealth,
    retries: Mutex<Retries>,
    copies: Copies,
    log: LogLimit,
}

impl NatsIntake {
    /// Connects, creates streams and consumer if they are missing and we are to, and checks their configuration.
    ///
    /// # Errors
    /// If NATS cannot be reached, refuses, or has a stream that would lose or leak batches.
    pub async fn start(
        settings: NatsSettings,
        authenticator: Arc<dyn Authenticator>,
        out: mpsc::Sender<Incoming>,
        health: NatsHealth,
    ) -> Result<NatsIntake, NatsError> {
        let connection = connect(&settings, RECEIVER_INBOX).await?;
        check(&connection.context, &settings).await?;
        if let Err(error) = prepare_rejected(&connection.context, &settings).await {
            tracing::warn!("{error}; of messages that no receiver accepts no copy is kept");
        }
        Ok(NatsIntake {
            settings,
            copies: Copies::new(connection.context.clone()),
            connection,
            authenticator,
            out,
            health,
            retries: Mutex::default(),
            log: LogLimit::default(),
        })
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
                reason = taken => if let Some(left_out) = self.log.admit("failed", Instant::now()) {
                    tracing::warn!(left_out, "{reason}; trying again");
                },
            }
            tokio::select! {
                () = &mut stopped => break,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        let farewell = async {
            while pending.next().await.is_some() {}
            self.connection.context.client().flush().await.is_ok()
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
        let context = &self.connection.context;
        let consumer = match consumer(context, &self.settings).await {
            Ok(consumer) => consumer,
            Err(error) => return self.unusable(&error),
        };
        self.health.set(None);
        let messages = consumer
            .stream()
            .max_messages_per_batch(IN_FLIGHT)
            .messages()
            .await;
        let mut messages = match messages {
            Ok(messages) => messages,
            Err(error) => return format!("failed to read from NATS: {error}"),
        };
        let mut look =
            tokio::time::interval_at(tokio::time::Instant::now() + LOOK_AT_STREAM, LOOK_AT_STREAM);
        loop {
            tokio::select! {
                Some(()) = pending.next(), if !pending.is_empty() => {}
                _ = look.tick() => if let Err(error) = check(context, &self.settings).await {
                    return self.unusable(&error);
                },
                message = messages.next(), if pending.len() < IN_FLIGHT => match message {
                    Some(Ok(message)) => {
                        let settling = self.hand_on(message).await;
                        pending.push(settling);
                    }
                    Some(Err(error)) => return format!("failed to read from NATS: {error}"),
                    None => return "failed to read from NATS: the consumer ended".into(),
                },
            }
        }
    }

    /// Notes a configuration that somebody has to mend. Whatever else fails mends itself.
    fn unusable(&self, error: &NatsError) -> String {
        if let NatsError::Wrong { .. } = error {
            self.health.set(Some(error.to_string()));
        }
        error.to_string()
    }

    /// Decides about a message. Returns a future that answers it.
    async fn hand_on(&self, message: Message) -> Settling {
        let refusal = match self.judge(&message).await {
            Fate::Take(batch) => return self.store(message, batch).await,
            Fate::Later(refusal) => {
                self.authenticator.refused(&refusal);
                return Box::pin(settle(message, AckKind::Nak(Some(STORE_RETRY))));
            }
            Fate::Again(refusal) if self.may_come_again(&message) => {
                tracing::debug!("{}; it comes again", refusal.reason);
                return Box::pin(settle(message, AckKind::Nak(Some(TRY_AFTER))));
            }
            Fate::Again(refusal) | Fate::Never(refusal) => refusal,
        };
        self.authenticator.refused(&refusal);
        let (copies, authenticator) = (self.copies.clone(), self.authenticator.clone());
        Box::pin(async move {
            let is_kept = copies.keep(&message, &refusal).await;
            authenticator.set_aside(refusal.kind, is_kept);
            settle(message, AckKind::Term).await;
        })
    }

    fn may_come_again(&self, message: &Message) -> bool {
        let delivered = message.info().map_or(i64::MAX, |info| info.delivered);
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        retries.admit(delivered, Instant::now())
    }

    /// Puts a message's batch into the queue. Returns a future that ends when it is stored.
    async fn store(&self, message: Message, batch: FlowBatch) -> Settling {
        let (done, stored) = oneshot::channel();
        let incoming = Incoming {
            batch,
            teller: Teller::Agent,
            done,
        };
        if self.out.send(incoming).await.is_err() {
            return Box::pin(settle(message, AckKind::Nak(None)));
        }
        Box::pin(async move {
            let kind = match stored.await {
                Ok(Ok(())) => AckKind::Ack,
                Ok(Err(_)) => AckKind::Nak(Some(STORE_RETRY)),
                Err(_) => AckKind::Nak(None),
            };
            settle(message, kind).await;
        })
    }

    /// Checks what came with the message before what is in it: the token of who sent it, for the node of its subject,
    /// at the time at which the stream took it.
    async fn judge(&self, message: &Message) -> Fate {
        let Some(queued) = queued(message) else {
            return Fate::Never(refusal(
                "malformed",
                "failed to accept a message: it is not of our stream",
            ));
        };
        let headers = message.headers.as_ref();
        let token = headers.and_then(|headers| headers.get(TOKEN));
        let token = token.map(async_nats::HeaderValue::as_str);
        let agent = match self.authenticator.authenticate_queued(token, queued).await {
            Ok(agent) => agent,
            Err(refusal) => {
                return match refusal.kind {
                    "no-keys" | "no-review" => Fate::Later(refusal),
                    // Keys rotate, and their file may be replaced a moment later.
                    "unknown-key" => Fate::Again(refusal),
                    _ => Fate::Never(refusal),
                };
            }
        };
        if let Some(node) = &agent.node
            && subject_of(node) != *message.subject
        {
            let reason = format!(
                "failed to accept a message: the token is of a pod on node {node}, and it came as {}",
                message.subject
            );
            return Fate::Never(refusal("other-node", reason));
        }
        match decode(&message.payload) {
            Ok(batch) if !is_of(&batch, message, agent.node.as_deref()) => {
                let reason = format!(
                    "failed to accept a batch of node {:.253} that came as {}",
                    batch.node, message.subject
                );
                Fate::Never(refusal("other-node", reason))
            }
            Ok(batch) => Fate::Take(batch),
            Err(error) => {
                let refusal = refusal(error.reason(), format!("{error} ({})", message.subject));
                match error {
                    WireError::Schema { .. } => Fate::Again(refusal),
                    _ => Fate::Never(refusal),
                }
            }
        }
    }
}

/// Whether the batch is of the node of the message's subject and of the token.
fn is_of(batch: &FlowBatch, message: &Message, node: Option<&str>) -> bool {
    subject_of(&batch.node) == *message.subject && node.is_none_or(|node| *batch.node == *node)
}

/// When our stream took a message; `None` if it did not.
fn queued(message: &Message) -> Option<SystemTime> {
    let info = message.info().ok()?;
    let nanos = u64::try_from(info.published.unix_timestamp_nanos()).ok()?;
    (info.stream == STREAM).then(|| UNIX_EPOCH + Duration::from_nanos(nanos))
}

fn refusal(kind: &'static str, reason: impl Into<String>) -> Refusal {
    Refusal {
        kind,
        reason: reason.into(),
    }
}

type Settling = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn settle(message: Message, kind: AckKind) {
    // Without an answer the message comes again after the ack wait, and counts as a duplicate then.
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!("failed to settle a message of NATS: {error}; it will come again");
    }
}
