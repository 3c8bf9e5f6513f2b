//! NetFlow and IPFIX as nfdump prints them: `-o csv` (of 1.6 and of 1.7) and `-o json`. (phaag/nfdump:
//! `output_csv.c`, `output_csv_fast.c`, `output_json.c`.)
//!
//! A record is one direction, or both where the exporter sends biflows; flags are those of all packets together. Times
//! have no zone: they are taken as UTC.

use super::entry::Entry;
use super::parsed_line::LineError;
use super::time::FlowTime;
use super::uniflow::{FlagsSeen, Uniflow};
use nanoseg_flow::Loss;
use nanoseg_net::{Protocol, Timestamp, parse_address};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The names that the versions have for one thing: CSV of 1.6, CSV of 1.7, JSON.
const FIRST: [&str; 4] = ["ts", "firstSeen", "first", "t_first"];
const LAST: [&str; 4] = ["te", "lastSeen", "last", "t_last"];
const SOURCE: [&str; 4] = ["sa", "srcAddr", "src4_addr", "src6_addr"];
const DESTINATION: [&str; 4] = ["da", "dstAddr", "dst4_addr", "dst6_addr"];
const SOURCE_PORT: [&str; 3] = ["sp", "srcPort", "src_port"];
const DESTINATION_PORT: [&str; 3] = ["dp", "dstPort", "dst_port"];
const PROTOCOL: [&str; 2] = ["pr", "proto"];
const FLAGS: [&str; 3] = ["flg", "flags", "tcp_flags"];
const PACKETS: [&str; 4] = ["ipkt", "packets", "inPackets", "in_packets"];
const BYTES: [&str; 4] = ["ibyt", "bytes", "inBytes", "in_bytes"];
const PACKETS_BACK: [&str; 3] = ["opkt", "outPackets", "out_packets"];
const BYTES_BACK: [&str; 3] = ["obyt", "outBytes", "out_bytes"];
const EXPORTER: [&str; 5] = ["ra", "router", "ip_router", "ip4_router", "ip6_router"];
const STATUS: [&str; 3] = ["fwd", "fwdStatus", "fwd_status"];

/// Reads lines below a header line.
#[derive(Debug)]
pub(super) struct NfdumpLines {
    columns: Vec<String>,
    /// The summary at the end has begun.
    ended: bool,
}

impl NfdumpLines {
    /// By the header line; `None` if it is no header of nfdump.
    pub fn detect(line: &str) -> Option<Result<NfdumpLines, LineError>> {
        let columns: Vec<String> = line.split(',').map(|c| c.trim().to_owned()).collect();
        let has = |names: &[&str]| columns.iter().any(|c| names.contains(&c.as_str()));
        if !(has(&["sa", "srcAddr"]) && has(&["da", "dstAddr"])) {
            return None;
        }
        let needed: [&[&str]; 4] = [&SOURCE_PORT, &DESTINATION_PORT, &PROTOCOL, &FIRST];
        if let Some(missing) = needed.into_iter().find(|names| !has(names)) {
            return Some(Err(LineError(format!(
                "nfdump's CSV has no column {}; print it with -o csv, and without -a",
                missing.first().unwrap_or(&"")
            ))));
        }
        Some(Ok(NfdumpLines {
            columns,
            ended: false,
        }))
    }

    /// Reads one line.
    ///
    /// # Errors
    /// A value that cannot be what its column says.
    pub fn parse(&mut self, line: &str) -> Result<Vec<Entry>, LineError> {
        if line.starts_with("Summary") || line.starts_with("No matched flows") {
            self.ended = true;
        }
        let is_header = NfdumpLines::detect(line).is_some();
        if is_header {
            // Files that were put together have a header each.
            self.ended = false;
        }
        if self.ended || is_header {
            return Ok(Vec::new());
        }
        let values: Vec<&str> = line.split(',').map(str::trim).collect();
        if values.len() < self.columns.len().min(8) {
            return Err(LineError(format!(
                "{} fields under {} columns",
                values.len(),
                self.columns.len()
            )));
        }
        let columns = self.columns.iter().map(String::as_str);
        let row = columns.zip(values.into_iter().map(str::to_owned));
        Row(row.collect()).parse()
    }
}

/// Returns true if the object is a record of nfdump.
pub(super) fn is_record(object: &Map<String, Value>) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| object.contains_key(*name));
    has(&SOURCE) && has(&DESTINATION) && has(&PROTOCOL) && has(&FIRST)
}

/// Reads one object.
///
/// # Errors
/// A value that cannot be what its name says.
pub(super) fn parse_object(object: &Map<String, Value>) -> Result<Vec<Entry>, LineError> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let row = object
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), text(value)?)));
    Row(row.collect()).parse()
}

struct Row<'a>(BTreeMap<&'a str, String>);

impl Row<'_> {
    fn text(&self, names: &[&str]) -> Option<&str> {
        let found = names.iter().find_map(|name| self.0.get(*name));
        found.map(String::as_str).filter(|text| !text.is_empty())
    }

    fn number(&self, names: &[&str]) -> Option<u64> {
        self.text(names)?.parse().ok()
    }

    fn bad(&self, names: &[&str]) -> LineError {
        let name = names.iter().find(|name| self.0.contains_key(**name));
        match (name, self.text(names)) {
            (Some(name), Some(text)) => LineError(format!("{name} cannot be {text:?}")),
            _ => LineError::missing(names.first().unwrap_or(&"")),
        }
    }

    fn address(&self, names: &[&str]) -> Result<IpAddr, LineError> {
        let found = self.text(names).and_then(parse_address);
        found.ok_or_else(|| self.bad(names))
    }

    fn time(&self, names: &[&str]) -> Result<Timestamp, LineError> {
        let text = self.text(names).ok_or_else(|| self.bad(names))?;
        // Without a zone, with a blank or a T between date and time.
        let civil = text.replacen(' ', "T", 1).parse::<jiff::civil::DateTime>();
        let utc = civil
            .ok()
            .filter(|_| !text.ends_with('Z'))
            .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok());
        match utc {
            Some(zoned) => Ok(zoned.timestamp().into()),
            None => FlowTime::parse(text)
                .map(|time| time.0)
                .ok_or_else(|| self.bad(names)),
        }
    }

    fn parse(&self) -> Result<Vec<Entry>, LineError> {
        let source = self.address(&SOURCE)?;
        let destination = self.address(&DESTINATION)?;
        let name = self.text(&PROTOCOL).ok_or_else(|| self.bad(&PROTOCOL))?;
        let first = self.time(&FIRST)?;
        let last = self.time(&LAST).unwrap_or(first).max(first);
        let mut entries = Vec::new();
        let exporter = self.text(&EXPORTER).and_then(parse_address);
        let exporter = exporter.filter(|address| !address.is_unspecified());
        if let Some(address) = exporter {
            entries.push(Entry::Observer(address.to_string(), first, last));
        }
        if self.number(&["sampled"]).is_some_and(|sampled| sampled > 0) {
            entries.push(Entry::Lost(Loss::LogSampled, 1));
        }
        let packets = self.number(&PACKETS).unwrap_or(0);
        let Some(protocol) = super::jsonl::parse_protocol(name) else {
            entries.push(match protocol_number(name) {
                Some(number) => Entry::other(source, destination, number, packets),
                None => Entry::Skipped("nfdump-other-protocol"),
            });
            return Ok(entries);
        };
        let port = |names| self.number(names).and_then(|n| u16::try_from(n).ok());
        let ports = (port(&SOURCE_PORT), port(&DESTINATION_PORT));
        let (Some(from @ 1..), Some(to @ 1..)) = ports else {
            entries.push(Entry::Incomplete("port"));
            return Ok(entries);
        };
        let ends = [
            SocketAddr::new(source, from),
            SocketAddr::new(destination, to),
        ];
        entries.extend(self.directions(ends, protocol, (first, last), packets)?);
        Ok(entries)
    }

    fn directions(
        &self,
        [source, destination]: [SocketAddr; 2],
        protocol: Protocol,
        (first, last): (Timestamp, Timestamp),
        packets: u64,
    ) -> Result<Vec<Entry>, LineError> {
        let back = self.number(&PACKETS_BACK).unwrap_or(0);
        let flags = match self.text(&FLAGS) {
            Some(text) if protocol == Protocol::Tcp => {
                FlagsSeen::parse_letters(text).ok_or_else(|| self.bad(&FLAGS))?
            }
            _ => 0,
        };
        let there = Uniflow {
            source,
            destination,
            protocol,
            point: self.text(&EXPORTER).unwrap_or_default().into(),
            flags: match flags {
                // A record without flags is of an exporter that sends none; one of both directions has them together.
                0 => FlagsSeen::default(),
                _ if back > 0 => FlagsSeen::default(),
                bits => FlagsSeen::combined(bits),
            },
            blocked: self.number(&STATUS).is_some_and(|s| s & 0xc0 == 0x80),
            packets,
            bytes: self.number(&BYTES).unwrap_or(0),
            first,
            last,
            exact: true,
            labels: [None, None],
        };
        let mut entries = Vec::new();
        if back > 0 {
            entries.push(Entry::Uniflow(Box::new(Uniflow {
                source: destination,
                destination: source,
                packets: back,
                bytes: self.number(&BYTES_BACK).unwrap_or(0),
                exact: false,
                ..there.clone()
            })));
        }
        entries.push(Entry::Uniflow(Box::new(there)));
        Ok(entries)
    }
}

/// The number of a protocol that no policy can express.
fn protocol_number(name: &str) -> Option<u8> {
    match name.to_ascii_uppercase().as_str() {
        "ICMP" => Some(1),
        "ICMP6" | "ICMPV6" | "IPV6-ICMP" => Some(58),
        "IGMP" => Some(2),
        "GRE" => Some(47),
        "ESP" => Some(50),
        "AH" => Some(51),
        "IPIP" | "IPENCAP" => Some(4),
        number => number.parse().ok(),
    }
}
