//! What the sender needs of a way to the receiver. The ways themselves are `wire`'s.

use crate::store::BatchKey;
use crate::wire::{BatchId, Delivery, DeliveryError};
use std::future::Future;
use thiserror::Error;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It is stored for good, now or before.
    Acknowledged(BatchKey),
    /// No receiver will ever take it: it is malformed.
    Malformed(BatchKey, String),
}

/// Why nothing gets through for now. What was sent and not acknowledged is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// It may work at any time again.
    #[error("{0}")]
    Away(String),
    /// The receiver does not believe who we are; tokens rotate, so it may work later.
    #[error("{0}")]
    Denied(String),
    /// Somebody has to do something first: the receiver is too old.
    #[error("{0}")]
    TooOld(String),
    /// This batch is in the way, and no receiver will ever take it.
    #[error("the receiver refused a batch for good: {1}")]
    Malformed(BatchKey, String),
}

/// A way to the receiver.
pub trait Link {
    /// Sends a batch; its answer comes later. Connects if need be.
    fn send(
        &mut self,
        which: BatchKey,
        content: &[u8],
    ) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// The next batch that is stored for good, in any order. Dropping the future loses none.
    fn acknowledged(&mut self) -> impl Future<Output = Result<BatchKey, LinkError>> + Send;
}

impl Link for Delivery {
    async fn send(&mut self, which: BatchKey, content: &[u8]) -> Result<(), LinkError> {
        let id = BatchId {
            instance: which.instance,
            sequence: which.sequence,
        };
        let sent = Delivery::send(self, id, content.to_vec()).await;
        sent.map_err(link_error)
    }

    async fn acknowledged(&mut self) -> Result<BatchKey, LinkError> {
        let id = Delivery::acknowledged(self).await;
        id.map(key).map_err(link_error)
    }
}

fn key(id: BatchId) -> BatchKey {
    BatchKey {
        instance: id.instance,
        sequence: id.sequence,
    }
}

fn link_error(error: DeliveryError) -> LinkError {
    let text = error.to_string();
    match error {
        DeliveryError::Unavailable { .. } => LinkError::Away(text),
        DeliveryError::Unauthenticated { .. } => LinkError::Denied(text),
        DeliveryError::Unsupported { .. } => {
            LinkError::TooOld(format!("{text}; upgrade the receiver"))
        }
        DeliveryError::Refused(id, why) => LinkError::Malformed(key(id), why),
    }
}
