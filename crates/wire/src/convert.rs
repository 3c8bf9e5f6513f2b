//! Flow batches as protobuf messages (proto/nanoseg/flows/v1) and back. Decoding trusts nothing: it checks the
//! size of a batch before it allocates memory, and then every field.

mod build;
mod parse;
mod size;
#[cfg(test)]
mod tests;

use super::proto;
use nanoseg_flow::FlowBatch;
use prost::Message;
use thiserror::Error;

/// The version of the schema that this program writes and reads.
pub const SCHEMA: u32 = 1;

/// The largest encoded batch, in bytes: what an agent puts into one
/// ([`nanoseg_flow::ObservationLimits`]), and what gRPC takes by default. A receiver takes nothing longer.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// The most records, scans, names, other traffic and losses of a batch together.
pub const MAX_ITEMS: usize = 1 << 17;

/// How much memory a batch may take once it is decoded, in bytes, by an estimate from above. The largest batch of an
/// agent has 20 000 records × (2 × 320 bytes + 5 fields) ≈ 25 MiB.
pub const MAX_DECODED_BYTES: usize = 32 << 20;

/// Why bytes are not a flow batch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    #[error("failed to read flow batch: no protobuf message of this schema: {0}")]
    Protobuf(String),
    #[error(
        "failed to read flow batch: it has schema {found}, this program knows {known}; upgrade the controller first"
    )]
    Schema { found: u32, known: u32 },
    #[error("failed to read flow batch: {found} {what}, at most {limit} are allowed")]
    TooLarge {
        what: &'static str,
        found: usize,
        limit: usize,
    },
    #[error("failed to read flow batch: {place}: {problem}")]
    Field { place: String, problem: String },
}

impl WireError {
    /// Returns a stable word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            WireError::Protobuf(_) => "malformed",
            WireError::Schema { .. } => "schema",
            WireError::TooLarge { .. } => "too-large",
            WireError::Field { .. } => "bad-field",
        }
    }
}

/// Encodes a batch as the bytes of a `nanoseg.flows.v1.FlowBatch`.
pub fn encode(batch: &FlowBatch) -> Vec<u8> {
    build::build_batch(batch).encode_to_vec()
}

/// Decodes the bytes of [`encode`].
///
/// # Errors
/// If they are anything else, are of another schema, or exceed [`MAX_BATCH_BYTES`], [`MAX_ITEMS`] or
/// [`MAX_DECODED_BYTES`].
pub fn decode(bytes: &[u8]) -> Result<FlowBatch, WireError> {
    size::check(bytes)?;
    let message =
        proto::FlowBatch::decode(bytes).map_err(|e| WireError::Protobuf(e.to_string()))?;
    parse::parse_batch(message)
}
