//! The language of `traffic.txt`: from connections as text to the frames of a capture.
//! `tests/scenarios/README.md` describes it.

mod parse;
mod play;
mod steps;

use super::capture::{self, Captured, Format};
use super::frames::Link;
use std::net::{IpAddr, SocketAddr};

/// A complete `traffic.txt`.
#[derive(Debug, Clone)]
pub struct Script {
    /// Nanoseconds since the epoch at time 0.
    pub start: i64,
    pub format: Format,
    /// The number of missing bytes at the end of the last file, as of a killed capture.
    pub cut: usize,
    pub taps: Vec<Tap>,
    pub events: Vec<Event>,
    /// In the order of the lines.
    pub links: Vec<LinkChange>,
}

/// From a time on an address sends with another MAC address, at another interface of its node.
#[derive(Debug, Clone, Copy)]
pub struct LinkChange {
    /// Nanoseconds after the start.
    pub at: i64,
    pub address: IpAddr,
    pub mac: [u8; 6],
    pub interface: u32,
}

/// A place where frames are captured.
#[derive(Debug, Clone)]
pub struct Tap {
    pub name: String,
    pub link: Link,
    /// The outermost first.
    pub vlans: Vec<u16>,
    pub tunnel: Option<Tunnel>,
    pub snap: usize,
    /// How far the clock of the capturing node is ahead, in nanoseconds.
    pub clock: i64,
}

/// An overlay around everything that a tap captures. The outer addresses are those of the client's node and the
/// server's node.
#[derive(Debug, Clone, Copy)]
pub struct Tunnel {
    pub kind: TunnelKind,
    pub client: IpAddr,
    pub server: IpAddr,
}

#[derive(Debug, Clone, Copy)]
pub enum TunnelKind {
    Vxlan(u16),
    Geneve,
    IpIp,
    Gre,
}

/// One connection, or one scan of many targets.
#[derive(Debug, Clone)]
pub struct Event {
    /// Nanoseconds after the start.
    pub at: i64,
    pub protocol: String,
    pub client: SocketAddr,
    /// The addresses that the client calls; several for a scan, 10 ms apart.
    pub servers: Vec<SocketAddr>,
    pub dnat: Option<SocketAddr>,
    pub snat: Option<SocketAddr>,
    pub verb: Verb,
    /// Payload bytes to the server and back.
    pub bytes: (usize, usize),
    /// The number of repetitions and their distance in nanoseconds; each uses the next client port.
    pub times: (usize, i64),
    pub retransmit: bool,
    /// Is true if the connection is open when the capture ends.
    pub open: bool,
    /// The time of further data, in nanoseconds after the start.
    pub until: Option<i64>,
    /// The time in nanoseconds after the close, and the flags, of a stray packet from the server.
    pub late: Option<(u8, i64)>,
    /// UDP: the same bytes as every other event with it.
    pub same: bool,
    /// Without an IPv4 identification, as for IPv6.
    pub no_id: bool,
    pub sightings: Vec<Sighting>,
}

#[derive(Debug, Clone)]
pub enum Verb {
    /// TCP, SCTP: opened, data in both directions, closed. UDP: request and reply.
    Connect,
    /// The same as `Connect`, but the SYN is not in the capture.
    SynAckOnly,
    /// Data in both directions, without packets that open or close.
    Midstream,
    /// The server's packet is the first one in the capture.
    ReplyFirst,
    /// SYN and SYN-ACK, then nothing.
    HalfOpen,
    /// SYN and SYN-ACK (INIT and INIT ACK), which the client answers with RST (ABORT).
    Probed,
    /// The handshake, then the client aborts.
    Checked,
    /// This many attempts without an answer; UDP: this many datagrams without an answer.
    Unanswered(usize),
    /// RST or ABORT.
    Refused,
    /// ICMP unreachable, from the server or from the given router.
    Unreachable(Option<IpAddr>),
    /// One packet with these flags from the server, of a connection that was not captured.
    Stray(u8),
    /// ICMP echo and its reply.
    Ping,
    Dns(DnsExchange),
    Arp,
}

#[derive(Debug, Clone)]
pub struct DnsExchange {
    pub kind: u16,
    pub name: String,
    /// CNAMEs and addresses in the order of the chain.
    pub answers: Vec<String>,
    pub ttl: u32,
}

/// The tap at which an event is captured.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    pub tap: usize,
    /// Before address translation; `None` for both legs.
    pub before: Option<bool>,
    pub ttl: Option<u8>,
}

impl Script {
    /// Parses a `traffic.txt`. The error has the line.
    pub fn parse(text: &str) -> Result<Script, String> {
        parse::script(text)
    }

    /// Returns all frames in the order of time, with the index of the tap that captured them.
    pub fn frames(&self) -> Vec<(usize, Captured)> {
        let mut frames: Vec<(usize, Captured)> = Vec::new();
        for (number, event) in self.events.iter().enumerate() {
            frames.extend(play::frames(self, number, event));
        }
        frames.sort_by_key(|(_, frame)| frame.nanos);
        frames
    }

    /// Returns file names and contents.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let frames = self.frames();
        let mut files = Vec::new();
        if self.format == Format::PcapNg {
            let interfaces: Vec<_> = self.taps.iter().map(|t| (t.name.clone(), t.link)).collect();
            let bytes = capture::pcapng(&interfaces, &frames);
            files.push(("capture.pcapng".to_owned(), bytes));
        } else {
            for (tap, place) in self.taps.iter().zip(0..) {
                let own = frames.iter().filter(|(at, _)| *at == place);
                let own: Vec<Captured> = own.map(|(_, frame)| frame.clone()).collect();
                let bytes = capture::pcap(tap.link, self.format, &own);
                files.push((format!("{}.pcap", tap.name), bytes));
            }
        }
        if let Some((_, bytes)) = files.last_mut() {
            bytes.truncate(bytes.len().saturating_sub(self.cut));
        }
        files
    }
}
