//! Checks how much an encoded batch takes in memory before anything is decoded: an empty message takes two bytes on the
//! wire and hundreds in memory (rule: bounded-memory).

use super::{MAX_BATCH_BYTES, MAX_DECODED_BYTES, MAX_ITEMS, SCHEMA, WireError, proto};
use prost::encoding::DecodeContext;
use prost::encoding::{WireType, decode_key, decode_varint, skip_field};

/// The numbers of the fields of `FlowBatch` that repeat: records, scans, names, other, losses, the node's
/// addresses.
const REPEATED: std::ops::RangeInclusive<u32> = 8..=13;
/// `FlowBatch.scans`, whose samples repeat in turn.
const SCANS: u32 = 9;
/// `FlowBatch.schema`.
const SCHEMA_FIELD: u32 = 1;
/// The largest encoded scan, in bytes: 16 samples of less than 40 bytes and the numbers.
const MAX_SCAN_BYTES: usize = 1024;

/// What text, bytes or an entry of a map take beside their content: a `String` in a vector, and the least that an
/// allocator gives out.
const TEXT: usize = size_of::<String>() + 32;

/// How a message of the schema is decoded: its size as a value, and which of its fields are messages.
struct Shape {
    size: usize,
    messages: &'static [(u32, &'static Shape)],
}

const fn shape<T>(messages: &'static [(u32, &'static Shape)]) -> Shape {
    Shape {
        size: size_of::<T>(),
        messages,
    }
}

const POD: Shape = shape::<proto::peer_label::Pod>(&[]);
const WORKLOAD: Shape = shape::<proto::peer_label::Workload>(&[]);
const LABEL: Shape = shape::<proto::PeerLabel>(&[(1, &POD), (2, &WORKLOAD)]);
const LABELS: Shape = shape::<proto::PeerLabels>(&[(1, &LABEL), (2, &LABEL)]);
const WINDOWS: Shape = shape::<proto::Windows>(&[]);
const SOCKET: Shape = shape::<proto::Socket>(&[]);
const TARGET: Shape = shape::<proto::Target>(&[(1, &SOCKET)]);
const RECORD: Shape = shape::<proto::FlowRecord>(&[(8, &SOCKET), (11, &LABELS), (18, &WINDOWS)]);
const SCAN: Shape = shape::<proto::ScanSummary>(&[(5, &TARGET)]);
const NAME: Shape = shape::<proto::Name>(&[]);
const OTHER: Shape = shape::<proto::OtherTraffic>(&[]);
/// Losses (12) are a map from text to a number.
const BATCH: Shape =
    shape::<proto::FlowBatch>(&[(8, &RECORD), (9, &SCAN), (10, &NAME), (11, &OTHER)]);

/// Refuses a batch that is too large or of another schema.
pub fn check(bytes: &[u8]) -> Result<(), WireError> {
    within("bytes", bytes.len(), MAX_BATCH_BYTES)?;
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
    within("items", items, MAX_ITEMS)?;
    within(
        "bytes of memory",
        decoded_bytes(bytes, &BATCH)?,
        MAX_DECODED_BYTES,
    )
}

/// What a message takes in memory once it is decoded, from above: its value, twice where it is an element of a vector,
/// since a vector that grows has room for twice its elements at most; and the content of text, bytes and further messages.
/// The depth is that of the schema, whatever the bytes say.
fn decoded_bytes(bytes: &[u8], shape: &Shape) -> Result<usize, WireError> {
    let mut total = 2 * shape.size;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).map_err(malformed)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, number, &mut rest, DecodeContext::default())
                .map_err(malformed)?;
            continue;
        }
        let length = decode_varint(&mut rest).map_err(malformed)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((content, after)) = rest.split_at_checked(length) else {
            return Err(WireError::Protobuf("a field ends after the message".into()));
        };
        rest = after;
        let message = shape.messages.iter().find(|(field, _)| *field == number);
        total += match message {
            Some((_, message)) => decoded_bytes(content, message)?,
            None => 2 * TEXT + length,
        };
    }
    Ok(total)
}

fn malformed(error: prost::DecodeError) -> WireError {
    WireError::Protobuf(error.to_string())
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), WireError> {
    if found <= limit {
        return Ok(());
    }
    Err(WireError::TooLarge { what, found, limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_flow::testing::batches::batches;
    use proptest::prelude::*;
    use prost::Message;

    /// `count` times the same field of a batch.
    fn repeated(field: u32, content: &[u8], count: usize) -> Vec<u8> {
        let mut bytes = vec![8, 1];
        for _ in 0..count {
            prost::encoding::bytes::encode(field, &content.to_vec(), &mut bytes);
        }
        bytes
    }

    #[test]
    fn many_small_fields_are_refused_before_they_are_decoded_wherever_they_repeat() {
        let labels = proto::PeerLabels {
            client: Some(proto::PeerLabel {
                claim: Some(proto::peer_label::Claim::Pod(proto::peer_label::Pod {
                    labels: vec![String::new(); 1_000_000],
                    ..Default::default()
                })),
            }),
            ..Default::default()
        };
        let labelled = proto::FlowRecord {
            claims: Some(labels),
            ..Default::default()
        };
        let bombs = [
            ("records", repeated(8, &[], 100_000)),
            ("names", repeated(10, &[10, 0, 18, 0, 26, 0], 131_000)),
            ("other", repeated(11, &[10, 0, 18, 0], 131_000)),
            (
                "labels of a claim",
                repeated(8, &labelled.encode_to_vec(), 1),
            ),
        ];
        for (what, bytes) in bombs {
            assert!(
                bytes.len() < MAX_BATCH_BYTES,
                "{what}: {} bytes",
                bytes.len()
            );
            let error = check(&bytes).expect_err(what);
            assert_eq!(error.reason(), "too-large", "{what}: {error}");
        }
    }

    #[test]
    fn the_largest_batch_of_an_agent_is_within_the_bounds() {
        let record = proto::FlowRecord {
            client: vec![1; 16],
            server: vec![2; 16],
            via: Some(proto::Socket {
                address: vec![3; 16],
                port: 65_535,
            }),
            windows: Some(proto::Windows {
                low: 1,
                high: 1,
                ..Default::default()
            }),
            connections: 1 << 20,
            bytes_to_client: 1 << 40,
            first: 1,
            last: 1,
            ..Default::default()
        };
        check(&repeated(8, &record.encode_to_vec(), 20_000)).expect("a full batch");
    }

    proptest! {
        #[test]
        fn the_estimate_is_never_below_the_content(batches in batches()) {
            for batch in batches {
                let message = super::super::build::build_batch(&batch);
                let content = message.records.len() * size_of::<proto::FlowRecord>()
                    + message.names.iter().map(|n| size_of_val(n) + n.name.len()).sum::<usize>()
                    + message.scans.iter().map(|s| size_of_val(s) + size_of_val(s.samples.as_slice())).sum::<usize>()
                    + size_of_val(message.other.as_slice());
                let estimate = decoded_bytes(&message.encode_to_vec(), &BATCH).expect("a message");
                prop_assert!(estimate >= content, "{estimate} < {content}");
            }
        }
    }
}
