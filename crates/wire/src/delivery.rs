//! Batches on their way from an agent to the receiver: one face for both ways.

use super::grpc::{GrpcDelivery, GrpcSettings};
use super::nats::{NatsDelivery, NatsSettings};
use nanoseg_flow::BatchId;
use thiserror::Error;

/// Why a batch is not there yet. After any error what was sent and not acknowledged has to be sent again,
/// except the one batch of [`DeliveryError::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeliveryError {
    /// The receiver is away, or does not answer in time. Try again, later each time.
    #[error("failed to {action}: {reason}")]
    Unavailable { action: String, reason: String },
    /// The receiver, or a file of ours, says who we are not. Try again: tokens rotate.
    #[error("failed to prove who we are: {reason}")]
    Unauthenticated { reason: String },
    /// The receiver is older than this agent. Try again: it will be upgraded.
    #[error("failed to deliver to a receiver of another version: {reason}")]
    Unsupported { reason: String },
    /// This batch can never be accepted. The others can.
    #[error("failed to deliver batch {0}: the receiver refuses it: {1}")]
    Refused(BatchId, String),
}

/// The way to the receiver.
#[derive(Debug)]
pub enum Delivery {
    Grpc(Box<GrpcDelivery>),
    Nats(Box<NatsDelivery>),
}

impl Delivery {
    /// Directly, by gRPC. Connects when there is something to send.
    ///
    /// # Errors
    /// If the settings contradict each other or their files cannot be read.
    pub fn grpc(settings: GrpcSettings) -> Result<Delivery, DeliveryError> {
        GrpcDelivery::new(settings).map(|grpc| Delivery::Grpc(Box::new(grpc)))
    }

    /// By way of NATS JetStream, as `node`. Connects when there is something to send.
    pub fn nats(settings: NatsSettings, node: &str) -> Delivery {
        Delivery::Nats(Box::new(NatsDelivery::new(settings, node)))
    }

    /// Sends a batch ([`super::encode`]d) and does not wait until it is stored. Connects if there is no
    /// connection, and waits while the receiver takes no more. If it is cancelled while it waits, the batch
    /// is not sent.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    pub async fn send(&mut self, id: BatchId, encoded: Vec<u8>) -> Result<(), DeliveryError> {
        match self {
            Delivery::Grpc(grpc) => grpc.send(id, encoded).await,
            Delivery::Nats(nats) => nats.send(id, encoded).await,
        }
    }

    /// Waits until a batch that was sent is stored for good, in the order in which that becomes known.
    /// Waits forever if nothing is under way. May be cancelled at any time.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    pub async fn acknowledged(&mut self) -> Result<BatchId, DeliveryError> {
        match self {
            Delivery::Grpc(grpc) => grpc.acknowledged().await,
            Delivery::Nats(nats) => nats.acknowledged().await,
        }
    }
}
