//! ICMP (RFC 792) and ICMPv6 (RFC 4443): "destination unreachable" quotes the packet that was refused.

use super::ip::{Layer, protocol};
use super::{Context, DecodeResult};
use crate::big_endian::{array, be16, byte, rest};
use crate::{IcmpUnreachable, Skip, Transport};
use nanoseg_net::Protocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) fn v4<'a>(layer: Layer<'a>, context: Context) -> DecodeResult<'a> {
    let (kind, code) = (byte(layer.data, 0)?, byte(layer.data, 1)?);
    // Code 4 asks for smaller packets (RFC 1191) and refuses nothing.
    let unreachable = (kind == 3 && code != 4).then(|| rest(layer.data, 8).and_then(original_v4));
    Ok(layer.packet(transport(unreachable, protocol::ICMP), context, &[]))
}

pub(super) fn v6<'a>(layer: Layer<'a>, context: Context) -> DecodeResult<'a> {
    let unreachable = match byte(layer.data, 0)? {
        1 => Some(rest(layer.data, 8).and_then(original_v6)),
        130..=132 | 143 => return Err(Skip::GroupMembership),
        133..=137 => return Err(Skip::NeighbourDiscovery),
        _ => None,
    };
    Ok(layer.packet(transport(unreachable, protocol::ICMPV6), context, &[]))
}

/// An "unreachable" whose original packet cannot be read is just ICMP.
fn transport(unreachable: Option<Result<IcmpUnreachable, Skip>>, number: u8) -> Transport {
    match unreachable {
        Some(Ok(unreachable)) => Transport::Unreachable(unreachable),
        _ => Transport::Other(number),
    }
}

fn original_v4(data: &[u8]) -> Result<IcmpUnreachable, Skip> {
    let header = array::<20>(data, 0)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return Err(Skip::BadHeader);
    }
    let source = Ipv4Addr::from(array::<4>(data, 12)?);
    let destination = Ipv4Addr::from(array::<4>(data, 16)?);
    original(
        source.into(),
        destination.into(),
        header[9],
        rest(data, length)?,
    )
}

fn original_v6(data: &[u8]) -> Result<IcmpUnreachable, Skip> {
    let source = Ipv6Addr::from(array::<16>(data, 8)?);
    let destination = Ipv6Addr::from(array::<16>(data, 24)?);
    original(
        source.into(),
        destination.into(),
        byte(data, 6)?,
        rest(data, 40)?,
    )
}

fn original(
    source: IpAddr,
    destination: IpAddr,
    number: u8,
    data: &[u8],
) -> Result<IcmpUnreachable, Skip> {
    let protocol = match number {
        protocol::TCP => Protocol::Tcp,
        protocol::UDP => Protocol::Udp,
        protocol::SCTP => Protocol::Sctp,
        _ => return Err(Skip::BadHeader),
    };
    Ok(IcmpUnreachable {
        protocol,
        original_source: (source, be16(data, 0)?),
        original_destination: (destination, be16(data, 2)?),
    })
}
