//! The delivery of batches from an agent to the receiver, with one interface for both transports.

use super::grpc::{GrpcDelivery, GrpcSettings};
use super::nats::{NatsDelivery, NatsSettings};
use nanoseg_flow::BatchId;
use std::path::PathBuf;
use thiserror::Error;

/// Why a batch was not delivered. After any error everything that was sent and not acknowledged has to be sent again,
/// except the batch of [`DeliveryError::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeliveryError {
    /// The receiver is not reachable, or does not answer in time. Try again, with a longer pause each time.
    #[error("failed to {action}: {reason}")]
    Unavailable { action: String, reason: String },
    /// The receiver rejects our token, or the token's file cannot be read. Try again: tokens rotate.
    #[error("failed to prove who we are: {reason}")]
    Unauthenticated { reason: String },
    /// The receiver is older than this agent. Try again: it will be upgraded.
    #[error("failed to deliver to a receiver of another version: {reason}")]
    Unsupported { reason: String },
    /// This batch can never be accepted. The others can.
    #[error("failed to deliver batch {0}: the receiver refuses it: {1}")]
    Refused(BatchId, String),
}

/// The transport to the receiver.
#[derive(Debug)]
pub enum Delivery {
    Grpc(Box<GrpcDelivery>),
    Nats(Box<NatsDelivery>),
}

impl Delivery {
    /// Delivers directly, by gRPC. Connects when there is something to send.
    ///
    /// # Errors
    /// If the settings contradict each other or their files cannot be read.
    pub fn grpc(settings: GrpcSettings) -> Result<Delivery, DeliveryError> {
        GrpcDelivery::new(settings).map(|grpc| Delivery::Grpc(Box::new(grpc)))
    }

    /// Delivers over NATS JetStream, as `node`, each batch with the ServiceAccount token in the file `token`, which is
    /// read again each time. Connects when there is something to send.
    ///
    /// # Errors
    /// If the operating system gives no random numbers.
    pub fn nats(
        settings: NatsSettings,
        node: &str,
        token: Option<PathBuf>,
    ) -> Result<Delivery, DeliveryError> {
        let nats = NatsDelivery::new(settings, node, token)?;
        Ok(Delivery::Nats(Box::new(nats)))
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
