//! The identity of a batch, in the agent's spool, on the wire and at the receiver.

use super::observations::{FlowBatch, Instance};
use std::fmt;

/// Identifies a batch: the run of the agent that made it, and the first and last sequence number that the batch
/// stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId {
    pub instance: Instance,
    pub sequence: (u64, u64),
}

impl BatchId {
    /// Returns the identity of a batch.
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
