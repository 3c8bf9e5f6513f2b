//! What stands before IP: Ethernet with its tags, cooked, loopback, PPP, 802.11.

use super::{Context, DecodeResult, ip, tunnel};
use crate::big_endian::{array, be16, byte, rest};
use crate::{LinkType, Skip};

pub(super) mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const TRANSPARENT_BRIDGING: u16 = 0x6558;
}

/// How many tags (VLAN, MPLS, …) are followed; real frames have fewer than five.
const MAX_TAGS: usize = 32;

#[inline]
pub(super) fn ethernet(data: &[u8], mut context: Context) -> DecodeResult<'_> {
    if let Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) = data.first_chunk::<6>() {
        context.broadcast = true;
    }
    let kind = be16(data, 12)?;
    let inner = rest(data, 14)?;
    match kind {
        ethertype::IPV4 => ip::v4(inner, context),
        _ => typed(kind, inner, context),
    }
}

/// Every link type but Ethernet.
pub(super) fn other(link: LinkType, data: &[u8], mut context: Context) -> DecodeResult<'_> {
    match link {
        LinkType::LINUX_SLL => {
            context.broadcast = be16(data, 0)? == 1;
            typed(be16(data, 14)?, rest(data, 16)?, context)
        }
        LinkType::LINUX_SLL2 => {
            context.broadcast = byte(data, 10)? == 1;
            typed(be16(data, 0)?, rest(data, 20)?, context)
        }
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => by_version(data, context),
        LinkType::IPV4 => ip::v4(data, context),
        LinkType::IPV6 => ip::v6(data, context),
        LinkType::NULL | LinkType::LOOP => loopback(data, context),
        LinkType::PPP | LinkType::PPP_HDLC | LinkType::PPP_ETHER => ppp(data, context),
        LinkType::CISCO_HDLC => typed(be16(data, 2)?, rest(data, 4)?, context),
        LinkType::IEEE802_11 => wlan(data, context),
        LinkType::IEEE802_11_RADIOTAP => {
            let length = u16::from_le_bytes(array(data, 2)?);
            wlan(rest(data, length as usize)?, context)
        }
        LinkType::NFLOG => nflog(data, context),
        LinkType::PKTAP => pktap(data, context),
        _ => Err(Skip::UnsupportedLinkType),
    }
}

/// What an EtherType announces; tags are followed to the packet behind them.
pub(super) fn typed<'a>(
    mut kind: u16,
    mut data: &'a [u8],
    mut context: Context,
) -> DecodeResult<'a> {
    for _ in 0..MAX_TAGS {
        match kind {
            ethertype::IPV4 => return ip::v4(data, context),
            ethertype::IPV6 => return ip::v6(data, context),
            // VLAN tags: customer, service, and the two older QinQ ones.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                context = context.in_vlan(be16(data, 0)?);
                kind = be16(data, 2)?;
                data = rest(data, 4)?;
            }
            // VN-Tag (Cisco) and E-Tag (802.1BR).
            0x8926 => (kind, data) = (be16(data, 4)?, rest(data, 6)?),
            0x893f => (kind, data) = (be16(data, 6)?, rest(data, 8)?),
            ethertype::MPLS | 0x8848 => return tunnel::mpls(data, context),
            ethertype::TRANSPARENT_BRIDGING => return ethernet(data, context.deeper()?),
            // Provider backbone bridging: the service tag, then the customer's whole frame.
            0x88e7 => return ethernet(rest(data, 4)?, context.deeper()?),
            // Cisco FabricPath: a 2-byte tag, then the whole frame.
            0x8903 => return ethernet(rest(data, 2)?, context.deeper()?),
            // PPPoE session: 6 bytes of header, then the PPP protocol number.
            0x8864 => return ppp_protocol(be16(data, 6)?, rest(data, 8)?, context),
            0x880b => return ppp(data, context),
            0x8863 => return Err(Skip::PppControl),
            0x0806 | 0x8035 => return Err(Skip::Arp),
            0x88cc => return Err(Skip::Lldp),
            0x888e => return Err(Skip::Eapol),
            0x8809 => return Err(Skip::SlowProtocol),
            // Cooked captures write 802.2 frames as type 4; below 1536 the field is a length.
            0..1536 => match llc(data)? {
                Some(inner) => (kind, data) = inner,
                None => return Err(Skip::Llc),
            },
            _ => return Err(Skip::UnsupportedEthertype),
        }
    }
    Err(Skip::BadHeader)
}

/// The EtherType in an 802.2 SNAP header, if there is one.
fn llc(data: &[u8]) -> Result<Option<(u16, &[u8])>, Skip> {
    match array::<3>(data, 0)? {
        // A SNAP header with organisation 0 carries an EtherType; lengths there are no types.
        [0xaa, 0xaa, 0x03] if array::<3>(data, 3)? == [0; 3] => {
            let kind = be16(data, 6)?;
            Ok((kind >= 1536).then_some((kind, rest(data, 8)?)))
        }
        [0x42, 0x42, _] => Err(Skip::Stp),
        _ => Ok(None),
    }
}

/// IPv4 or IPv6 by the version nibble.
pub(super) fn by_version(data: &[u8], context: Context) -> DecodeResult<'_> {
    match byte(data, 0)? >> 4 {
        4 => ip::v4(data, context),
        6 => ip::v6(data, context),
        _ => Err(Skip::BadHeader),
    }
}

/// Address families differ by system (AF_INET6 is 10, 24, 28 or 30), and so does the byte order.
fn loopback(data: &[u8], context: Context) -> DecodeResult<'_> {
    let family = array::<4>(data, 0)?;
    let family = u32::from_be_bytes(family).min(u32::from_le_bytes(family));
    let inner = rest(data, 4)?;
    match family {
        2 => ip::v4(inner, context),
        10 | 23 | 24 | 28 | 30 => ip::v6(inner, context),
        _ => Err(Skip::UnsupportedEthertype),
    }
}

/// PPP with or without address and control bytes (RFC 1662 section 3.1).
pub(super) fn ppp(data: &[u8], context: Context) -> DecodeResult<'_> {
    let data = if array::<2>(data, 0)? == [0xff, 0x03] {
        rest(data, 2)?
    } else {
        data
    };
    let first = byte(data, 0)?;
    // An odd first byte is a compressed protocol field (RFC 1661 section 6.5).
    if first & 1 == 1 {
        ppp_protocol(first.into(), rest(data, 1)?, context)
    } else {
        ppp_protocol(be16(data, 0)?, rest(data, 2)?, context)
    }
}

fn ppp_protocol(protocol: u16, data: &[u8], context: Context) -> DecodeResult<'_> {
    match protocol {
        0x0021 => ip::v4(data, context),
        0x0057 => ip::v6(data, context),
        0x0281 | 0x0283 => tunnel::mpls(data, context),
        _ => Err(Skip::PppControl),
    }
}

/// An 802.11 data frame with an unencrypted LLC payload (IEEE 802.11 section 9.2.4).
fn wlan(data: &[u8], context: Context) -> DecodeResult<'_> {
    let control = byte(data, 0)?;
    let flags = byte(data, 1)?;
    let (kind, subtype) = ((control >> 2) & 3, control >> 4);
    let (no_payload, protected) = (subtype & 4 != 0, flags & 0x40 != 0);
    if kind != 2 || no_payload || protected {
        return Err(Skip::WlanControl);
    }
    let fourth_address = if flags & 3 == 3 { 6 } else { 0 };
    let qos = subtype & 8 != 0;
    let order = if qos && flags & 0x80 != 0 { 4 } else { 0 };
    let header = 24 + fourth_address + if qos { 2 } else { 0 } + order;
    // An A-MSDU holds subframes; the first is taken: two addresses and a length before its LLC.
    let aggregated = qos && byte(data, 24 + fourth_address)? & 0x80 != 0;
    let payload = rest(data, header + if aggregated { 14 } else { 0 })?;
    match llc(payload)? {
        Some((kind, inner)) => typed(kind, inner, context),
        None => Err(Skip::Llc),
    }
}

/// macOS's packet tap: the header's length, the kind of record (1 is a packet) and the link type of the frame behind
/// it, all little-endian (`net/pktap.h` of XNU).
fn pktap(data: &[u8], context: Context) -> DecodeResult<'_> {
    /// The shortest header that was ever written.
    const SHORTEST: usize = 108;
    let field = |offset| array(data, offset).map(u32::from_le_bytes);
    let (length, kind, link) = (field(0)? as usize, field(4)?, field(8)?);
    if length < SHORTEST || kind != 1 {
        return Err(Skip::BadHeader);
    }
    let inner = rest(data, length)?;
    match u16::try_from(link).map(LinkType) {
        Ok(LinkType::ETHERNET) => ethernet(inner, context),
        Ok(LinkType::PKTAP) | Err(_) => Err(Skip::UnsupportedLinkType),
        Ok(link) => other(link, inner, context),
    }
}

/// Netfilter's log: type-length-value fields in host order, of which number 9 is the packet.
fn nflog(data: &[u8], context: Context) -> DecodeResult<'_> {
    let mut fields = rest(data, 4)?;
    for _ in 0..MAX_TAGS {
        let length = u16::from_le_bytes(array(fields, 0)?) as usize;
        let kind = u16::from_le_bytes(array(fields, 2)?);
        if length < 4 {
            return Err(Skip::BadHeader);
        }
        if kind == 9 {
            return by_version(rest(fields, 4)?, context);
        }
        fields = rest(fields, length.next_multiple_of(4))?;
    }
    Err(Skip::BadHeader)
}
