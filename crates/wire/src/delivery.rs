//! Batches on their way from an agent to the receiver: one face for both ways.

use super::grpc::{GrpcDelivery, GrpcSettings};
use super::nats::{NatsDelivery, NatsSettings};
use nanoseg_flow::{FlowBatch, Instance};
use std::fmt;
use thiserror::Error;

/// Which batch: the agent's run and the numbers that the batch stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId {
    pub instance: Instance,
    pub sequence: (u64, u64),
}

impl BatchId {
    pub fn of(batch: &FlowBatch) -> BatchId {
        BatchId {
            instance: batch.instance,
            sequence: batch.sequence,
        }
    }
}

impl fmt::Display for BatchId {
    /// `instance-first-last`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.sequence;
        write!(f, "{}-{first}-{last}", self.instance)
    }
}

impl std::str::FromStr for BatchId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(());
        let digits = next()?;
        if digits.len() != 32 {
            return Err(());
        }
        let instance = u128::from_str_radix(digits, 16).map_err(|_| ())?;
        let first = next()?.parse().map_err(|_| ())?;
        let last = next()?.parse().map_err(|_| ())?;
        Ok(BatchId {
            instance: Instance(instance.to_be_bytes()),
            sequence: (first, last),
        })
    }
}

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
