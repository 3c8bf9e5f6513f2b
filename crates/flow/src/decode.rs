//! From the bytes of a frame to a [`Packet`]: link layer, IP, tunnels, transport.
//!
//! Pure and total: any bytes give a packet or a [`Skip`], never a panic, never an allocation.
//! Tunnels that carry a node's or an overlay's traffic (VXLAN, Geneve, IP-in-IP, GRE) are unwrapped,
//! so that a packet is the same packet inside and outside. GTP-U, Teredo and AYIYA are not: between
//! pods these are the application itself (a 5G user plane pod speaks GTP-U), and that UDP is what a
//! NetworkPolicy sees.

mod arp;
mod icmp;
mod ip;
mod link_layer;
mod transport;
mod tunnel;

pub use arp::arp_addresses;

use super::{LinkType, Packet, Skip};
use nanoseg_net::Timestamp;

/// How many IP headers and tunnel headers may stand inside each other.
const MAX_DEPTH: u8 = 8;

/// A decoded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'a> {
    pub packet: Packet,
    /// The captured part of the transport payload (UDP datagram, TCP segment), for DNS.
    pub payload: &'a [u8],
}

/// What is known of a frame so far on the way inwards.
#[derive(Debug, Clone, Copy)]
struct Context {
    time: Timestamp,
    vlan: u16,
    depth: u8,
    /// The link layer's destination is broadcast.
    broadcast: bool,
    /// Bytes at the frame's end that the snap length cut off.
    cut: u32,
}

impl Context {
    /// One tunnel further in.
    fn deeper(mut self) -> Result<Context, Skip> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(Skip::TunnelDepth)
        } else {
            Ok(self)
        }
    }

    /// Inside one more VLAN tag. Tag 0 is a priority tag and no VLAN (IEEE 802.1Q section 9.6).
    fn in_vlan(mut self, tag: u16) -> Context {
        let id = tag & 0x0fff;
        self.vlan = self.vlan.wrapping_mul(0x1003) ^ id;
        self
    }
}

type DecodeResult<'a> = Result<Decoded<'a>, Skip>;

/// Decodes one frame as far as ports and flags. `original_length` is the frame's length on the wire.
#[inline]
pub fn decode(
    link: LinkType,
    data: &[u8],
    original_length: u32,
    time: Timestamp,
) -> DecodeResult<'_> {
    let cut = original_length.saturating_sub(data.len() as u32);
    let context = Context {
        time,
        vlan: 0,
        depth: 0,
        broadcast: false,
        cut,
    };
    match link {
        LinkType::ETHERNET => link_layer::ethernet(data, context),
        other => link_layer::other(other, data, context),
    }
}
