//! What the sender needs of a connection to the receiver. gRPC and NATS themselves are in `wire`.

use crate::flow::BatchId;
use crate::wire::{Delivery, DeliveryError};
use std::future::Future;
use thiserror::Error;

/// The outcome of sending a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver has stored it, now or before.
    Acknowledged(BatchId),
    /// It is malformed: no receiver will ever accept it.
    Malformed(BatchId, String),
}

/// Why batches cannot be delivered now. What was sent and not acknowledged has to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The receiver is not reachable. It may work again at any time.
    #[error("{0}")]
    Away(String),
    /// The receiver rejects our token. Tokens rotate, so it may work later.
    #[error("{0}")]
    Denied(String),
    /// The receiver is too old: somebody has to upgrade it first.
    #[error("{0}")]
    TooOld(String),
    /// This batch is malformed: no receiver will ever accept it, and it has to be put aside first.
    #[error("the receiver refused a batch for good: {1}")]
    Malformed(BatchId, String),
}

/// A connection to the receiver.
pub trait Link {
    /// Sends a batch; its answer comes later. Connects if there is no connection.
    fn send(
        &mut self,
        which: BatchId,
        content: &[u8],
    ) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Waits for the next batch that the receiver has stored, in any order. Dropping the future loses none.
    fn acknowledged(&mut self) -> impl Future<Output = Result<BatchId, LinkError>> + Send;
}

impl Link for Delivery {
    async fn send(&mut self, which: BatchId, content: &[u8]) -> Result<(), LinkError> {
        let sent = Delivery::send(self, which, content.to_vec()).await;
        sent.map_err(link_error)
    }

    async fn acknowledged(&mut self) -> Result<BatchId, LinkError> {
        let id = Delivery::acknowledged(self).await;
        id.map_err(link_error)
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
        DeliveryError::Refused(id, why) => LinkError::Malformed(id, why),
    }
}
