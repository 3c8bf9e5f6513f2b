//! The language of `traffic.txt`: connections in words → the frames that a capture would hold.
//! `tests/scenarios/README.md` describes it.

mod parse;
mod play;
mod steps;

use super::capture::{self, Captured, Format};
use super::frames::Link;
use std::net::{IpAddr, SocketAddr};

/// A whole `traffic.txt`.
#[derive(Debug, Clone)]
pub struct Script {
    /// Nanoseconds since the epoch at time 0.
    pub start: i64,
    pub format: Format,
    /// Bytes that are missing at the end of the last file: a capture that was killed.
    pub cut: usize,
    pub taps: Vec<Tap>,
    pub events: Vec<Event>,
}

/// Where frames are captured.
#[derive(Debug, Clone)]
pub struct Tap {
    pub name: String,
    pub link: Link,
    /// From the outside in.
    pub vlans: Vec<u16>,
    pub tunnel: Option<Tunnel>,
    pub snap: usize,
}

/// An overlay around everything that a tap sees; the outer addresses are the client's node and the
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
    /// What the client calls; several for a scan, 10 ms apart.
    pub servers: Vec<SocketAddr>,
    pub dnat: Option<SocketAddr>,
    pub snat: Option<SocketAddr>,
    pub verb: Verb,
    /// Payload bytes to the server and back.
    pub bytes: (usize, usize),
    /// How often, and how many nanoseconds apart; each time from the next client port.
    pub times: (usize, i64),
    pub retransmit: bool,
    /// Still open when the capture ends.
    pub open: bool,
    /// Nanoseconds after the start at which data flows once more.
    pub until: Option<i64>,
    /// Nanoseconds after the close at which a stray packet with these flags comes from the server.
    pub late: Option<(u8, i64)>,
    pub sightings: Vec<Sighting>,
}

#[derive(Debug, Clone)]
pub enum Verb {
    /// TCP, SCTP: opened, data both ways, closed. UDP: request and reply.
    Connect,
    /// As `Connect`, but the SYN is not in the capture.
    SynAckOnly,
    /// Data both ways, no packet that opens or closes.
    Midstream,
    /// The server's packet is the first one in the capture.
    ReplyFirst,
    /// SYN and SYN-ACK, then nothing.
    HalfOpen,
    /// Opened this many times without an answer; UDP: this many datagrams without an answer.
    Unanswered(usize),
    /// RST or ABORT.
    Refused,
    /// ICMP unreachable, by the server or by the router named.
    Unreachable(Option<IpAddr>),
    /// One packet with these flags from the server, of a connection nobody saw.
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

/// At which tap an event is seen.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    pub tap: usize,
    /// Before address translation; `None` for both legs.
    pub before: Option<bool>,
    pub ttl: Option<u8>,
}

impl Script {
    /// Reads a `traffic.txt`; the error names the line.
    pub fn parse(text: &str) -> Result<Script, String> {
        parse::script(text)
    }

    /// All frames in order of time, with the number of the tap that saw them.
    pub fn frames(&self) -> Vec<(usize, Captured)> {
        let mut frames: Vec<(usize, Captured)> = Vec::new();
        for (number, event) in self.events.iter().enumerate() {
            frames.extend(play::frames(self, number, event));
        }
        frames.sort_by_key(|(_, frame)| frame.nanos);
        frames
    }

    /// File names and contents.
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
