//! The agent's end: publishes batches and waits until the stream has stored them.

use super::super::DeliveryError;
use super::connect::{NatsError, NatsSettings, connect, stream};
use super::subject_of;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use nanoseg_flow::BatchId;
use std::fmt;
use std::pin::Pin;

type Published = (BatchId, Result<(), PublishError>);

/// Sends batches over NATS.
pub struct NatsDelivery {
    settings: NatsSettings,
    subject: String,
    context: Option<Context>,
    in_flight: FuturesOrdered<Pin<Box<dyn Future<Output = Published> + Send>>>,
}

impl fmt::Debug for NatsDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDelivery")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl NatsDelivery {
    /// See [`super::super::Delivery::nats`].
    pub fn new(settings: NatsSettings, node: &str) -> Self {
        NatsDelivery {
            settings,
            subject: subject_of(node),
            context: None,
            in_flight: FuturesOrdered::new(),
        }
    }

    pub async fn send(&mut self, id: BatchId, encoded: Vec<u8>) -> Result<(), DeliveryError> {
        let context = match &self.context {
            Some(context) => context.clone(),
            None => {
                let context = connect(&self.settings).await.map_err(delivery_error)?;
                stream(&context, &self.settings)
                    .await
                    .map_err(delivery_error)?;
                self.context.insert(context).clone()
            }
        };
        // The server drops what it has seen under the same id.
        let message = PublishMessage::build()
            .payload(encoded.into())
            .message_id(id.to_string());
        match context.send_publish(self.subject.clone(), message).await {
            Ok(published) => {
                let outcome = async move { (id, published.await.map(|_| ())) };
                self.in_flight.push_back(Box::pin(outcome));
                Ok(())
            }
            Err(error) => Err(self.failed(id, &error)),
        }
    }

    pub async fn acknowledged(&mut self) -> Result<BatchId, DeliveryError> {
        match self.in_flight.next().await {
            Some((id, Ok(()))) => Ok(id),
            Some((id, Err(error))) => Err(self.failed(id, &error)),
            None => std::future::pending().await,
        }
    }

    /// Returns what an error means. Everything that is not acknowledged counts as not delivered.
    fn failed(&mut self, id: BatchId, error: &PublishError) -> DeliveryError {
        self.in_flight = FuturesOrdered::new();
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            let reason = format!("{error}; raise max_payload of the NATS server");
            return DeliveryError::Refused(id, reason);
        }
        if error.kind() == PublishErrorKind::StreamNotFound {
            // The stream may have been deleted: it is looked up, or created, before the next batch.
            self.context = None;
        }
        DeliveryError::Unavailable {
            action: "publish to NATS".into(),
            reason: error.to_string(),
        }
    }
}

fn delivery_error(error: NatsError) -> DeliveryError {
    let reason = error.to_string();
    match error {
        NatsError::File { .. } => DeliveryError::Unauthenticated { reason },
        NatsError::Connect(_) | NatsError::Stream(_) => DeliveryError::Unavailable {
            action: "publish to NATS".into(),
            reason,
        },
    }
}
