//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, their fragments and extensions.

use super::{Context, DecodeResult, icmp, link_layer, transport, tunnel};
use crate::big_endian::{array, be16, byte, rest};
use crate::{Packet, Skip, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many IPv6 extension headers are followed.
const MAX_EXTENSIONS: usize = 16;

/// IANA protocol numbers that are decoded.
pub(super) mod protocol {
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const ETHERIP: u8 = 97;
    pub const SCTP: u8 = 132;
    pub const MPLS: u8 = 137;
    pub const ETHERNET: u8 = 143;
}

/// The fields of an IP header, and the bytes behind it.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ip_id: u16,
    pub ttl: u8,
    pub group: bool,
    /// The captured bytes behind the header.
    pub data: &'a [u8],
    /// How many bytes stood behind the header on the wire.
    pub length: u32,
}

impl<'a> Layer<'a> {
    #[inline(always)]
    pub fn packet(
        &self,
        transport: Transport,
        context: Context,
        payload: &'a [u8],
    ) -> super::Decoded<'a> {
        let packet = Packet {
            time: context.time,
            source: self.source,
            destination: self.destination,
            ip_id: self.ip_id,
            vlan: context.vlan,
            ttl: self.ttl,
            place: 0,
            // A broadcast frame carries a packet to a network's broadcast address, which its netmask
            // would show. TCP cannot be sent to a broadcast address.
            group: self.group || context.broadcast && !matches!(transport, Transport::Tcp { .. }),
            transport,
        };
        super::Decoded { packet, payload }
    }
}

#[inline]
pub(super) fn v4(data: &[u8], context: Context) -> DecodeResult<'_> {
    let Some(header) = data.first_chunk::<20>() else {
        return Err(Skip::TooShort);
    };
    let header_length = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_length < 20 {
        return Err(Skip::BadHeader);
    }
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Length 0 is what segmentation offload leaves in captures (and BIG TCP): the frame's end counts.
    let (end, wire) = if total == 0 {
        (data.len(), data.len() as u32 + context.cut)
    } else if total < header_length {
        return Err(Skip::BadHeader);
    } else {
        (total.min(data.len()), total as u32)
    };
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    if fragment != 0 {
        return Err(Skip::LaterFragment);
    }
    let layer = Layer {
        source: IpAddr::V4(Ipv4Addr::new(
            header[12], header[13], header[14], header[15],
        )),
        destination: IpAddr::V4(destination),
        ip_id: u16::from_be_bytes([header[4], header[5]]),
        ttl: header[8],
        // Nothing can answer a multicast source either (RFC 1122 section 3.2.1.3).
        group: header[16] >= 224 && (destination.is_multicast() || destination.is_broadcast())
            || header[12] & 0xf0 == 0xe0,
        data: data.get(header_length..end).ok_or(Skip::TooShort)?,
        length: wire - header_length as u32,
    };
    upper(header[9], layer, context)
}

pub(super) fn v6(data: &[u8], context: Context) -> DecodeResult<'_> {
    let Some(header) = data.first_chunk::<40>() else {
        return Err(Skip::TooShort);
    };
    if header[0] >> 4 != 6 {
        return Err(Skip::BadHeader);
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // Length 0 is a jumbogram (RFC 2675) or segmentation offload: the frame's end counts.
    let (end, wire) = if length == 0 {
        (data.len(), (data.len() - 40) as u32 + context.cut)
    } else {
        ((40 + length).min(data.len()), length as u32)
    };
    let destination = Ipv6Addr::from(array::<16>(data, 24)?);
    let layer = Layer {
        source: IpAddr::V6(Ipv6Addr::from(array::<16>(data, 8)?)),
        destination: IpAddr::V6(destination),
        ip_id: 0,
        ttl: header[7],
        group: destination.is_multicast(),
        data: data.get(40..end).ok_or(Skip::TooShort)?,
        length: wire,
    };
    extensions(header[6], layer, context)
}

/// Walks extension headers (RFC 8200 section 4) to the transport header.
fn extensions(mut next: u8, mut layer: Layer<'_>, context: Context) -> DecodeResult<'_> {
    for _ in 0..MAX_EXTENSIONS {
        let length = match next {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => (usize::from(byte(layer.data, 1)?) + 1) * 8,
            protocol::AH => (usize::from(byte(layer.data, 1)?) + 2) * 4,
            44 => {
                if be16(layer.data, 2)? & 0xfff8 != 0 {
                    return Err(Skip::LaterFragment);
                }
                8
            }
            _ => return upper(next, layer, context),
        };
        // Mobility without anything behind it (RFC 6275 section 6.1.1) is a protocol in itself.
        if next == 135 && byte(layer.data, 0)? == 59 {
            return upper(next, layer, context);
        }
        next = byte(layer.data, 0)?;
        layer.data = rest(layer.data, length)?;
        layer.length = layer.length.saturating_sub(length as u32);
    }
    Err(Skip::BadHeader)
}

#[inline]
fn upper(next: u8, layer: Layer<'_>, context: Context) -> DecodeResult<'_> {
    match next {
        protocol::TCP => transport::tcp(layer, context),
        protocol::UDP => transport::udp(layer, context),
        _ => uncommon(next, layer, context),
    }
}

fn uncommon(next: u8, mut layer: Layer<'_>, context: Context) -> DecodeResult<'_> {
    match next {
        protocol::SCTP => transport::sctp(layer, context),
        protocol::ICMP => icmp::v4(layer, context),
        protocol::ICMPV6 => icmp::v6(layer, context),
        protocol::IGMP => Err(Skip::GroupMembership),
        protocol::IPV4 => v4(layer.data, context.deeper()?),
        protocol::IPV6 => v6(layer.data, context.deeper()?),
        protocol::GRE => tunnel::gre(layer, context.deeper()?),
        protocol::MPLS => tunnel::mpls(layer.data, context.deeper()?),
        protocol::ETHERNET => link_layer::ethernet(layer.data, context.deeper()?),
        protocol::ETHERIP => link_layer::ethernet(rest(layer.data, 2)?, context.deeper()?),
        protocol::AH => {
            let next = byte(layer.data, 0)?;
            let length = (usize::from(byte(layer.data, 1)?) + 2) * 4;
            layer.data = rest(layer.data, length)?;
            layer.length = layer.length.saturating_sub(length as u32);
            upper(next, layer, context.deeper()?)
        }
        other => Ok(layer.packet(Transport::Other(other), context, &[])),
    }
}
