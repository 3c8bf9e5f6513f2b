//! Checks how much an encoded batch holds before anything is decoded: an empty message takes two bytes on the wire and
//! hundreds in memory.

use super::{MAX_BATCH_BYTES, MAX_ITEMS, SCHEMA, WireError};
use prost::encoding::DecodeContext;
use prost::encoding::{WireType, decode_key, decode_varint, skip_field};

/// The numbers of the fields of `FlowBatch` that repeat: records, scans, names, other, losses.
const REPEATED: std::ops::RangeInclusive<u32> = 8..=12;
/// `FlowBatch.scans`, whose samples repeat in turn.
const SCANS: u32 = 9;
/// `FlowBatch.schema`.
const SCHEMA_FIELD: u32 = 1;
/// The largest encoded scan, in bytes: 16 samples of less than 40 bytes and the numbers.
const MAX_SCAN_BYTES: usize = 1024;

/// Refuses a batch that is too large or of another schema.
pub fn check(bytes: &[u8]) -> Result<(), WireError> {
    within("bytes", bytes.len(), MAX_BATCH_BYTES)?;
    let malformed = |e: prost::DecodeError| WireError::Protobuf(e.to_string());
    let mut rest = bytes;
    let mut items = 0;
    let mut schema = 0;
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).map_err(malformed)?;
        if number == SCHEMA_FIELD && wire_type == WireType::Varint {
            schema = decode_varint(&mut rest).map_err(malformed)?;
            continue;
        }
        let before = rest.len();
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).map_err(malformed)?;
        if REPEATED.contains(&number) {
            items += 1;
        }
        if number == SCANS {
            within("bytes of one scan", before - rest.len(), MAX_SCAN_BYTES)?;
        }
    }
    // Another schema may count differently, so that error comes first.
    if schema != u64::from(SCHEMA) {
        return Err(WireError::Schema {
            found: u32::try_from(schema).unwrap_or(u32::MAX),
            known: SCHEMA,
        });
    }
    within("items", items, MAX_ITEMS)
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), WireError> {
    if found <= limit {
        return Ok(());
    }
    Err(WireError::TooLarge { what, found, limit })
}
