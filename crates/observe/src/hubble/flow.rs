//! One event of Hubble, as lines or the API give it: the fields that matter here.

use nanoseg_flow::{PeerLabel, TcpFlags};
use nanoseg_net::Timestamp;
use std::net::{IpAddr, SocketAddr};

/// The transport and its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer4 {
    /// Flags are missing where the event is no packet (layer 7).
    Tcp(Option<TcpFlags>),
    Udp,
    Sctp,
}

/// Whether an event is a reply. Field 26, `is_reply`, came with Cilium 1.10: it is absent where Cilium
/// does not know. Before there was only field 16, `reply`, which is absent where it is false *and* where
/// Cilium does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFlag {
    /// `is_reply: false`: from the client.
    Request,
    /// `is_reply` or `reply`: from the server.
    Reply,
    /// Neither field, at a place where Cilium had looked the connection up: from the client if the event
    /// is of a version without `is_reply`.
    Absent,
    Unknown,
}

/// What Cilium did with the packet or the message (rule: cilium-says-what-it-did).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketFate {
    /// It went on: FORWARDED, REDIRECTED to the proxy, or a place where nothing is decided.
    Passed,
    /// It went on, though a policy denies it: AUDIT.
    Audited,
    /// A policy denies it: DROPPED by a policy, or without a reason.
    Denied,
    /// It went no further, and no policy said so: DROPPED for another reason, or ERROR.
    Lost,
}

impl PacketFate {
    /// Returns true if it did not arrive.
    pub fn ended(self) -> bool {
        matches!(self, PacketFate::Denied | PacketFate::Lost)
    }
}

/// A DNS answer that Cilium's proxy saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsAnswer {
    pub query: String,
    pub addresses: Vec<IpAddr>,
    /// Seconds.
    pub ttl: u32,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubbleFlow {
    pub time: Timestamp,
    /// Of the packet, not of the connection: source and destination.
    pub ends: [SocketAddr; 2],
    pub layer4: Layer4,
    pub reply: ReplyFlag,
    pub fate: PacketFate,
    /// A message of layer 7, not a packet.
    pub layer7: bool,
    /// Where in the datapath: the same packet is seen at several places.
    pub point: i64,
    /// What stands at source and destination.
    pub labels: [Option<PeerLabel>; 2],
    /// Names under which source and destination were looked up.
    pub names: [Vec<String>; 2],
    /// The Service of source and destination.
    pub services: [Option<(String, String)>; 2],
    pub dns: Option<DnsAnswer>,
    /// The node that saw it, without the cluster's name; `None` where the source does not say.
    pub node: Option<String>,
    /// The cluster of that node; `None` where the source does not say.
    pub cluster: Option<String>,
}
