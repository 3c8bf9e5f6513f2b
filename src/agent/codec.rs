//! How the spool writes batches down: as they are sent.

use crate::flow::FlowBatch;
use crate::store::BatchCodec;
use crate::wire;

/// The message schema.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireCodec;

impl BatchCodec for WireCodec {
    fn encode(&self, batch: &FlowBatch) -> Vec<u8> {
        wire::encode(batch)
    }

    fn decode(&self, bytes: &[u8]) -> Result<FlowBatch, String> {
        wire::decode(bytes).map_err(|error| error.to_string())
    }
}
