//! From the bytes of a conntrack message to an [`Event`] (linux/netfilter/nfnetlink_conntrack.h).
//! Attributes that are not needed are skipped, so newer kernels do no harm; numbers inside attributes
//! are in network byte order.

use super::event::{Counter, Event, IPPROTO_SCTP, IPPROTO_TCP, Kind, Status, Tuple};
use super::netlink::{Attributes, CT_DELETE, CT_NEW, FAMILY_HEADER, Malformed, Message};
use nanoseg_net::canonical_address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// NLM_F_CREATE and NLM_F_EXCL: an event of a new entry.
const NEW_FLAGS: u16 = 0x400 | 0x200;
/// IP_CT_TCP_FLAG_BE_LIBERAL.
const BE_LIBERAL: u8 = 0x08;
/// Nothing has carried 64 PiB; sums of such numbers would overflow.
const MAX_COUNT: u64 = 1 << 56;

/// Attributes of an entry (`enum ctattr_type`).
mod cta {
    pub const TUPLE_ORIG: u16 = 1;
    pub const TUPLE_REPLY: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const PROTOINFO: u16 = 4;
    pub const TIMEOUT: u16 = 7;
    pub const COUNTERS_ORIG: u16 = 9;
    pub const COUNTERS_REPLY: u16 = 10;
    pub const ID: u16 = 12;
    pub const ZONE: u16 = 18;
    pub const TIMESTAMP: u16 = 20;

    pub const TUPLE_IP: u16 = 1;
    pub const TUPLE_PROTO: u16 = 2;
    pub const TUPLE_ZONE: u16 = 3;

    pub const IP_V4_SRC: u16 = 1;
    pub const IP_V4_DST: u16 = 2;
    pub const IP_V6_SRC: u16 = 3;
    pub const IP_V6_DST: u16 = 4;

    pub const PROTO_NUM: u16 = 1;
    pub const PROTO_SRC_PORT: u16 = 2;
    pub const PROTO_DST_PORT: u16 = 3;

    pub const PROTOINFO_TCP: u16 = 1;
    pub const PROTOINFO_SCTP: u16 = 3;
    /// The state is the first attribute of each protocol's nest.
    pub const PROTOINFO_STATE: u16 = 1;
    pub const PROTOINFO_TCP_FLAGS_ORIGINAL: u16 = 4;

    pub const COUNTERS_PACKETS: u16 = 1;
    pub const COUNTERS_BYTES: u16 = 2;

    pub const TIMESTAMP_START: u16 = 1;
}

/// Reads one message. `None` if it is about something other than an entry of the table.
///
/// # Errors
/// If its attributes do not fit their bounds, or what every entry has is missing.
pub(super) fn parse_event(message: &Message<'_>, dumped: bool) -> Result<Option<Event>, Malformed> {
    let kind = match message.kind {
        CT_NEW if dumped => Kind::Dumped,
        CT_NEW if message.flags & NEW_FLAGS != 0 => Kind::New,
        CT_NEW => Kind::Update,
        CT_DELETE => Kind::Destroy,
        _ => return Ok(None),
    };
    let attributes = message.body.get(FAMILY_HEADER..).ok_or(Malformed)?;
    let mut parts = Parts::default();
    for attribute in Attributes::of(attributes) {
        let (what, value) = attribute?;
        parts.add(what, value)?;
    }
    let (Some((original, protocol)), Some((reply, _))) = (parts.original, parts.reply) else {
        return Err(Malformed);
    };
    let has_state = protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP;
    Ok(Some(Event {
        kind,
        protocol,
        original,
        reply,
        status: Status(parts.status),
        state: parts.state.filter(|_| has_state),
        liberal: parts.liberal && protocol == IPPROTO_TCP,
        counters: parts.counters[0]
            .zip(parts.counters[1])
            .map(|(o, r)| [o, r]),
        started: parts.started,
        timeout: parts.timeout,
        id: parts.id,
        zone: parts.zone,
    }))
}

/// The attributes read so far.
#[derive(Default)]
struct Parts {
    original: Option<(Tuple, u8)>,
    reply: Option<(Tuple, u8)>,
    status: u32,
    state: Option<u8>,
    liberal: bool,
    counters: [Option<Counter>; 2],
    started: Option<u64>,
    timeout: Option<u32>,
    id: u32,
    zone: u16,
}

impl Parts {
    fn add(&mut self, what: u16, value: &[u8]) -> Result<(), Malformed> {
        match what {
            cta::TUPLE_ORIG => self.original = Some(self.parse_tuple(value)?),
            cta::TUPLE_REPLY => self.reply = Some(self.parse_tuple(value)?),
            cta::STATUS => self.status = u32::from_be_bytes(fixed(value)?),
            cta::PROTOINFO => self.parse_state(value)?,
            cta::TIMEOUT => self.timeout = Some(u32::from_be_bytes(fixed(value)?)),
            cta::COUNTERS_ORIG => self.counters[0] = Some(parse_counter(value)?),
            cta::COUNTERS_REPLY => self.counters[1] = Some(parse_counter(value)?),
            cta::ID => self.id = u32::from_be_bytes(fixed(value)?),
            cta::ZONE => self.zone = u16::from_be_bytes(fixed(value)?),
            cta::TIMESTAMP => {
                for attribute in Attributes::of(value) {
                    if let (cta::TIMESTAMP_START, start) = attribute? {
                        self.started = Some(u64::from_be_bytes(fixed(start)?));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The tuple and its protocol.
    fn parse_tuple(&mut self, nest: &[u8]) -> Result<(Tuple, u8), Malformed> {
        let mut addresses: [Option<IpAddr>; 2] = [None; 2];
        let mut ports = [0; 2];
        let mut protocol = None;
        for attribute in Attributes::of(nest) {
            match attribute? {
                (cta::TUPLE_IP, nest) => parse_addresses(nest, &mut addresses)?,
                (cta::TUPLE_PROTO, nest) => {
                    for attribute in Attributes::of(nest) {
                        match attribute? {
                            (cta::PROTO_NUM, value) => protocol = Some(fixed::<1>(value)?[0]),
                            (cta::PROTO_SRC_PORT, value) => {
                                ports[0] = u16::from_be_bytes(fixed(value)?);
                            }
                            (cta::PROTO_DST_PORT, value) => {
                                ports[1] = u16::from_be_bytes(fixed(value)?);
                            }
                            _ => {}
                        }
                    }
                }
                (cta::TUPLE_ZONE, value) => self.zone = u16::from_be_bytes(fixed(value)?),
                _ => {}
            }
        }
        let [Some(source), Some(destination)] = addresses else {
            return Err(Malformed);
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(Malformed);
        }
        let tuple = Tuple {
            source: SocketAddr::new(source, ports[0]),
            destination: SocketAddr::new(destination, ports[1]),
        };
        Ok((tuple, protocol.ok_or(Malformed)?))
    }

    fn parse_state(&mut self, nest: &[u8]) -> Result<(), Malformed> {
        for attribute in Attributes::of(nest) {
            let (protocol @ (cta::PROTOINFO_TCP | cta::PROTOINFO_SCTP), nest) = attribute? else {
                continue;
            };
            for attribute in Attributes::of(nest) {
                match attribute? {
                    (cta::PROTOINFO_STATE, value) => self.state = Some(fixed::<1>(value)?[0]),
                    (cta::PROTOINFO_TCP_FLAGS_ORIGINAL, value)
                        if protocol == cta::PROTOINFO_TCP =>
                    {
                        // struct nf_ct_tcp_flags: flags, mask.
                        self.liberal = fixed::<2>(value)?[0] & BE_LIBERAL != 0;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn parse_addresses(nest: &[u8], addresses: &mut [Option<IpAddr>; 2]) -> Result<(), Malformed> {
    for attribute in Attributes::of(nest) {
        match attribute? {
            (what @ (cta::IP_V4_SRC | cta::IP_V4_DST), value) => {
                let address = Ipv4Addr::from(fixed::<4>(value)?);
                addresses[usize::from(what == cta::IP_V4_DST)] = Some(address.into());
            }
            (what @ (cta::IP_V6_SRC | cta::IP_V6_DST), value) => {
                let address = canonical_address(Ipv6Addr::from(fixed::<16>(value)?).into());
                addresses[usize::from(what == cta::IP_V6_DST)] = Some(address);
            }
            _ => {}
        }
    }
    Ok(())
}

fn parse_counter(nest: &[u8]) -> Result<Counter, Malformed> {
    let mut counter = Counter::default();
    for attribute in Attributes::of(nest) {
        match attribute? {
            (cta::COUNTERS_PACKETS, value) => counter.packets = u64::from_be_bytes(fixed(value)?),
            (cta::COUNTERS_BYTES, value) => counter.bytes = u64::from_be_bytes(fixed(value)?),
            _ => {}
        }
    }
    if counter.packets.max(counter.bytes) > MAX_COUNT {
        return Err(Malformed);
    }
    Ok(counter)
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed)
}
