//! Tunnels: VXLAN, Geneve, GRE with its dialects, MPLS.

use super::ip::Layer;
use super::link_layer::{self, ethertype};
use super::{Context, DecodeResult};
use crate::Skip;
use crate::big_endian::{array, be16, byte, rest};

/// The packet inside a UDP tunnel; `None` if this is no tunnel but ordinary UDP. The tunnel's own
/// datagram never counts: its ports are a node's, not a workload's.
#[inline(always)]
pub(super) fn over_udp<'a>(
    port: u16,
    payload: &'a [u8],
    context: Context,
) -> Option<DecodeResult<'a>> {
    match port {
        4789 | 8472 => vxlan(payload, context),
        4790 => vxlan_gpe(payload, context),
        6081 => geneve(payload, context),
        _ => None,
    }
}

/// RFC 7348 section 5. A header without the I flag or with reserved bits set is something else (but the
/// group policy extension sets G and D and a group in the reserved bits).
fn vxlan(payload: &[u8], context: Context) -> Option<DecodeResult<'_>> {
    let header = payload.first_chunk::<8>()?;
    let plain = header[0] == 0x08 && header[1..4] == [0; 3];
    let grouped = header[0] == 0x88;
    if !(plain || grouped) || header[7] != 0 {
        return None;
    }
    Some(
        context
            .deeper()
            .and_then(|inner| link_layer::ethernet(&payload[8..], inner)),
    )
}

/// draft-ietf-nvo3-vxlan-gpe section 3: as VXLAN, with a next-protocol byte.
fn vxlan_gpe(payload: &[u8], context: Context) -> Option<DecodeResult<'_>> {
    let header = payload.first_chunk::<8>()?;
    let (instance, next_protocol) = (header[0] & 0x08 != 0, header[0] & 0x04 != 0);
    if !instance || header[0] & 0xf0 != 0 {
        return None;
    }
    let inner = &payload[8..];
    Some(
        context
            .deeper()
            .and_then(|context| match (next_protocol, header[3]) {
                (true, 1) => link_layer::typed(ethertype::IPV4, inner, context),
                (true, 2) => link_layer::typed(ethertype::IPV6, inner, context),
                (false, _) | (true, 3) => link_layer::ethernet(inner, context),
                (true, _) => Err(Skip::UnsupportedTunnel),
            }),
    )
}

/// RFC 8926 section 3.4.
fn geneve(payload: &[u8], context: Context) -> Option<DecodeResult<'_>> {
    let header = payload.first_chunk::<8>()?;
    let (version, reserved) = (header[0] >> 6, header[1] & 0x3f);
    if version != 0 || reserved != 0 || header[7] != 0 {
        return None;
    }
    let options = usize::from(header[0] & 0x3f) * 4;
    let kind = u16::from_be_bytes([header[2], header[3]]);
    let inner = rest(payload, 8 + options);
    Some(inner.and_then(|inner| link_layer::typed(kind, inner, context.deeper()?)))
}

/// GRE (RFC 2784, RFC 2890), PPTP's version 1 (RFC 2637 section 4.1) and ERSPAN inside it.
pub(super) fn gre<'a>(layer: Layer<'a>, context: Context) -> DecodeResult<'a> {
    let data = layer.data;
    let flags = be16(data, 0)?;
    let kind = be16(data, 2)?;
    let (checksum, routing) = (flags & 0x8000 != 0, flags & 0x4000 != 0);
    let (key, sequence) = (flags & 0x2000 != 0, flags & 0x1000 != 0);
    let mut header = 4;
    header += if checksum || routing { 4 } else { 0 };
    header += if key { 4 } else { 0 };
    header += if sequence { 4 } else { 0 };
    match flags & 7 {
        0 if routing => return Err(Skip::UnsupportedTunnel),
        0 => {}
        1 => header += if flags & 0x0080 != 0 { 4 } else { 0 },
        _ => return Err(Skip::BadHeader),
    }
    // A PPTP packet without payload only acknowledges.
    if flags & 7 == 1 && !sequence {
        return Err(Skip::PppControl);
    }
    let inner = rest(data, header)?;
    match kind {
        // ERSPAN type II has 8 bytes of its own and a GRE sequence number, type I has neither.
        0x88be => link_layer::ethernet(rest(inner, if sequence { 8 } else { 0 })?, context),
        // ERSPAN type III: 12 bytes, and 8 more with the O flag (draft-foschiano-erspan section 4.3).
        0x22eb => {
            let more = if byte(inner, 11)? & 1 != 0 { 8 } else { 0 };
            link_layer::ethernet(rest(inner, 12 + more)?, context)
        }
        0x0000..0x0600 => Err(Skip::UnsupportedTunnel),
        _ => match link_layer::typed(kind, inner, context) {
            Err(Skip::UnsupportedEthertype) => Err(Skip::UnsupportedTunnel),
            outcome => outcome,
        },
    }
}

/// Label stack (RFC 3032), then IP, or Ethernet with or without a control word (RFC 4448 section 4.6).
pub(super) fn mpls(mut data: &[u8], context: Context) -> DecodeResult<'_> {
    for _ in 0..32 {
        let label = array::<4>(data, 0)?;
        data = rest(data, 4)?;
        if label[2] & 1 == 0 {
            continue;
        }
        return match byte(data, 0)? >> 4 {
            4 | 6 => link_layer::by_version(data, context),
            0 if array::<4>(data, 0)? == [0; 4] => {
                link_layer::ethernet(rest(data, 4)?, context.deeper()?)
            }
            _ => link_layer::ethernet(data, context.deeper()?),
        };
    }
    Err(Skip::BadHeader)
}
