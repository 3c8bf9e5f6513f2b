//! TCP (RFC 9293), UDP (RFC 768) and SCTP (RFC 9260) headers.

use super::ip::Layer;
use super::{Context, DecodeResult, tunnel};
use crate::big_endian::{be16, be32, byte};
use crate::{SctpChunk, TcpFlags, Transport};

/// How many payload bytes go into a fingerprint: enough to distinguish datagrams, few enough to be
/// there under a short snap length too.
const FINGERPRINT_BYTES: usize = 32;

#[inline]
pub(super) fn tcp<'a>(layer: Layer<'a>, context: Context) -> DecodeResult<'a> {
    let Some(header) = layer.data.first_chunk::<20>() else {
        return cut_tcp(layer, context);
    };
    let header_length = usize::from(header[12] >> 4) * 4;
    let flags = TcpFlags(header[13]);
    let payload = layer.data.get(header_length..).unwrap_or(&[]);
    let transport = Transport::Tcp {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        flags,
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        acknowledgment: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        payload: layer.length.saturating_sub(header_length.max(20) as u32),
        timestamp: if flags.syn() {
            timestamp_option(layer.data, header_length)
        } else {
            0
        },
    };
    Ok(layer.packet(transport, context, payload))
}

/// A segment that the snap length cut inside the TCP header still has its ports. Without flags it
/// counts as a bare acknowledgment, which opens nothing and closes nothing.
#[cold]
fn cut_tcp<'a>(layer: Layer<'a>, context: Context) -> DecodeResult<'a> {
    let transport = Transport::Tcp {
        source_port: be16(layer.data, 0)?,
        destination_port: be16(layer.data, 2)?,
        flags: TcpFlags(byte(layer.data, 13).unwrap_or(TcpFlags::ACK)),
        sequence: be32(layer.data, 4).unwrap_or(0),
        acknowledgment: be32(layer.data, 8).unwrap_or(0),
        payload: 0,
        timestamp: 0,
    };
    Ok(layer.packet(transport, context, &[]))
}

/// TSval of the timestamps option (RFC 7323 section 3.2), 0 if there is none.
fn timestamp_option(segment: &[u8], header_length: usize) -> u32 {
    let mut options = segment
        .get(20..header_length.min(segment.len()))
        .unwrap_or(&[]);
    while let [kind, tail @ ..] = options {
        match (kind, tail) {
            (0, _) => break,
            (1, _) => options = tail,
            (8, [10, value @ ..]) => return be32(value, 0).unwrap_or(0),
            (_, [length, ..]) if *length >= 2 => {
                options = options.get(usize::from(*length)..).unwrap_or(&[]);
            }
            _ => break,
        }
    }
    0
}

#[inline]
pub(super) fn udp<'a>(layer: Layer<'a>, context: Context) -> DecodeResult<'a> {
    let source_port = be16(layer.data, 0)?;
    let destination_port = be16(layer.data, 2)?;
    let length = be16(layer.data, 4).map_or(0, u32::from);
    // Length 0 is a jumbogram (RFC 2675 section 4) or segmentation offload.
    let length = if length == 0 {
        layer.length
    } else {
        length.min(layer.length)
    };
    let end = layer.data.len().min(length as usize);
    let payload = layer.data.get(8..end).unwrap_or(&[]);
    if let Some(inner) = tunnel::over_udp(destination_port, payload, context) {
        return inner;
    }
    let transport = Transport::Udp {
        source_port,
        destination_port,
        payload: length.saturating_sub(8),
        fingerprint: fingerprint(payload, length),
    };
    Ok(layer.packet(transport, context, payload))
}

pub(super) fn sctp<'a>(layer: Layer<'a>, context: Context) -> DecodeResult<'a> {
    let chunks = layer.data.get(12..).unwrap_or(&[]);
    let transport = Transport::Sctp {
        source_port: be16(layer.data, 0)?,
        destination_port: be16(layer.data, 2)?,
        chunk: match byte(chunks, 0) {
            Ok(0) => SctpChunk::Data,
            Ok(1) => SctpChunk::Init,
            Ok(2) => SctpChunk::InitAck,
            Ok(6) => SctpChunk::Abort,
            Ok(7 | 8 | 14) => SctpChunk::Shutdown,
            _ => SctpChunk::Other,
        },
        payload: layer.length.saturating_sub(12),
        verification_tag: be32(layer.data, 4).unwrap_or(0),
        fingerprint: fingerprint(chunks, layer.length),
    };
    Ok(layer.packet(transport, context, &[]))
}

/// A hash of the first bytes and the length; not for hash tables, only to recognise copies.
#[inline]
fn fingerprint(payload: &[u8], length: u32) -> u32 {
    let mut hash = u64::from(length) ^ 0x243f_6a88_85a3_08d3;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0xf135_7aea_2e62_a9c5);
        hash ^= hash >> 29;
    };
    let (words, tail) = payload[..payload.len().min(FINGERPRINT_BYTES)].as_chunks::<8>();
    for word in words {
        mix(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    mix(u64::from_le_bytes(last));
    (hash >> 32) as u32
}
