//! What the sender needs of a way to the receiver. The ways themselves are `wire`'s.

use crate::store::BatchKey;
use std::future::Future;
use thiserror::Error;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is stored for good, now or before.
    Acknowledged(BatchKey),
    /// No receiver will ever take it: it is malformed.
    Malformed(BatchKey, String),
}

/// Why nothing gets through for now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// It may work at any time again.
    #[error("{0}")]
    Away(String),
    /// Somebody has to do something first: an older receiver, a wrong token.
    #[error("{0}")]
    NeedsOperator(String),
}

/// A way to the receiver.
pub trait Link {
    /// Connects anew. Whatever was sent before and not answered is to be sent again.
    fn connect(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Sends a batch; its answer comes later.
    fn send(
        &mut self,
        which: BatchKey,
        content: &[u8],
    ) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// The next answer, in any order. Dropping the future loses none.
    fn answer(&mut self) -> impl Future<Output = Result<Answer, LinkError>> + Send;
}
