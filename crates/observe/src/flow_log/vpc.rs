//! AWS VPC flow logs as text, versions 2 to 8: lines of the default format, of a format of one's own below a header line,
//! as S3 and CloudWatch hold them. (AWS: "Flow log records", "Available fields".)
//!
//! A record is one direction within one aggregation interval at one network interface. ACCEPT says that the rules let
//! packets through, not that somebody answered (rule: answer-is-a-record-back). The interface's own address stands in
//! `srcaddr` and `dstaddr`; those of the packet, which are pods' addresses, in `pkt-srcaddr` and `pkt-dstaddr`.

use super::entry::Entry;
use super::parsed_line::LineError;
use super::time::FlowTime;
use super::uniflow::{FlagsSeen, Uniflow};
use nanoseg_flow::Loss;
use nanoseg_net::{Timestamp, parse_address};
use std::net::{IpAddr, SocketAddr};

/// The fields of version 2, in their order.
const DEFAULT: [&str; 14] = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
];

/// Reads lines by the names of their fields.
#[derive(Debug)]
pub(super) struct VpcLines {
    fields: Vec<String>,
}

impl VpcLines {
    /// By the first line: a header, or a record of the default format.
    ///
    /// # Errors
    /// `None`: the line is none of both. An error: a header without a field that is needed.
    pub fn detect(line: &str) -> Option<Result<VpcLines, LineError>> {
        let words: Vec<String> = line.split_ascii_whitespace().map(field_name).collect();
        let has = |name: &str| words.iter().any(|word| word == name);
        if has("srcaddr") && has("dstaddr") || has("pkt-srcaddr") && has("pkt-dstaddr") {
            return Some(VpcLines::with_header(words));
        }
        default_record(line).map(|_| Ok(VpcLines::default_format()))
    }

    /// Lines of the default format.
    pub fn default_format() -> VpcLines {
        VpcLines {
            fields: DEFAULT.map(str::to_owned).to_vec(),
        }
    }

    fn with_header(fields: Vec<String>) -> Result<VpcLines, LineError> {
        let needed = ["srcport", "dstport", "protocol", "start"];
        let missing: Vec<&str> = needed
            .into_iter()
            .filter(|name| !fields.iter().any(|field| field == name))
            .collect();
        if missing.is_empty() {
            return Ok(VpcLines { fields });
        }
        Err(LineError(format!(
            "this VPC flow log has no {}; add to its format: ${{pkt-srcaddr}} ${{pkt-dstaddr}} ${{srcport}} \
             ${{dstport}} ${{protocol}} ${{start}} ${{end}} ${{action}} ${{tcp-flags}} ${{log-status}}",
            missing.join(", ")
        )))
    }

    /// Returns true if the records have addresses of interfaces alone.
    pub fn has_interface_addresses(&self) -> bool {
        let has = |name: &str| self.fields.iter().any(|field| field == name);
        !(has("pkt-srcaddr") && has("pkt-dstaddr"))
    }

    /// Reads one line.
    ///
    /// # Errors
    /// Another number of fields, or a value that is none.
    pub fn parse(&self, line: &str) -> Result<Vec<Entry>, LineError> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words.iter().any(|word| field_name(word) == "dstport") {
            // Files that were put together have a header each.
            return Ok(Vec::new());
        }
        let words = match words.split_first() {
            // CloudWatch's export puts the time of the event first.
            Some((time, rest)) if rest.len() == self.fields.len() && is_time(time) => rest,
            _ => words.as_slice(),
        };
        if words.len() != self.fields.len() {
            return Err(LineError(format!(
                "{} fields, but the format has {}",
                words.len(),
                self.fields.len()
            )));
        }
        Record {
            fields: &self.fields,
            words,
        }
        .parse()
    }
}

/// A record of the default format, without the time that CloudWatch's export puts before it.
fn default_record(line: &str) -> Option<Vec<&str>> {
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    if words.len() == DEFAULT.len() + 1 && words.first().is_some_and(|time| is_time(time)) {
        words.remove(0);
    }
    let is_status = |word: &&str| ["OK", "NODATA", "SKIPDATA"].contains(word);
    let known = words.len() == DEFAULT.len()
        && words.first() == Some(&"2")
        && words.last().is_some_and(is_status);
    known.then_some(words)
}

/// The message of a CloudWatch event, if it is a record of the default format.
pub(super) fn is_default_record(message: &str) -> bool {
    default_record(message).is_some()
}

fn is_time(word: &str) -> bool {
    word.contains('T') && FlowTime::parse(word).is_some()
}

/// Tools write a field as `${pkt-srcaddr}`, `pkt_srcaddr` or `pkt-srcaddr`.
fn field_name(word: &str) -> String {
    let name = word.trim_start_matches("${").trim_end_matches('}');
    name.to_ascii_lowercase().replace('_', "-")
}

struct Record<'a> {
    fields: &'a [String],
    words: &'a [&'a str],
}

impl Record<'_> {
    /// A field's value; `-` means that there is none.
    fn text(&self, name: &str) -> Option<&str> {
        let place = self.fields.iter().position(|field| field == name)?;
        self.words.get(place).copied().filter(|word| *word != "-")
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, LineError> {
        let parse = |text: &str| {
            let bad = || LineError(format!("{name} cannot be {text:?}"));
            text.parse().map_err(|_| bad())
        };
        self.text(name).map(parse).transpose()
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>, LineError> {
        let parse = |text: &str| {
            let bad = || LineError(format!("{name} cannot be {text:?}"));
            FlowTime::parse(text).map(|time| time.0).ok_or_else(bad)
        };
        self.text(name).map(parse).transpose()
    }

    /// The packet's own address goes before the interface's.
    fn address(&self, side: &str) -> Result<Option<IpAddr>, LineError> {
        let packet = format!("pkt-{side}addr");
        let Some(text) = self
            .text(&packet)
            .or_else(|| self.text(&format!("{side}addr")))
        else {
            return Ok(None);
        };
        let bad = || LineError(format!("{side}addr cannot be {text:?}"));
        parse_address(text).map(Some).ok_or_else(bad)
    }

    fn parse(&self) -> Result<Vec<Entry>, LineError> {
        match self.text("log-status") {
            Some("NODATA") => return Ok(vec![Entry::Skipped("vpc-no-data")]),
            Some("SKIPDATA") => return Ok(vec![Entry::Lost(Loss::LogLost, 1)]),
            _ => {}
        }
        let (Some(source), Some(destination)) = (self.address("src")?, self.address("dst")?) else {
            return Ok(vec![Entry::Incomplete("address")]);
        };
        let Some(protocol) = self.number::<u8>("protocol")? else {
            return Ok(vec![Entry::Incomplete("protocol")]);
        };
        let packets = self.number("packets")?.unwrap_or(0);
        let Some(transport) = super::jsonl::parse_protocol(&protocol.to_string()) else {
            return Ok(vec![Entry::other(source, destination, protocol, packets)]);
        };
        let ports = (self.number("srcport")?, self.number("dstport")?);
        let (Some(1..), Some(1..)) = ports else {
            return Ok(vec![Entry::Incomplete("port")]);
        };
        let Some(first) = self.time("start")? else {
            return Ok(vec![Entry::Incomplete("start time")]);
        };
        let last = self.time("end")?.unwrap_or(first).max(first);
        let flags = self.number::<u16>("tcp-flags")?;
        let part = |name| self.text(name).unwrap_or_default();
        let point = format!("{}/{}", part("interface-id"), part("flow-direction"));
        Ok(vec![Entry::Uniflow(Box::new(Uniflow {
            source: SocketAddr::new(source, ports.0.unwrap_or(0)),
            destination: SocketAddr::new(destination, ports.1.unwrap_or(0)),
            protocol: transport,
            point: point.into(),
            flags: flags.map(FlagsSeen::of_vpc).unwrap_or_default(),
            blocked: self.text("action") == Some("REJECT"),
            packets,
            bytes: self.number("bytes")?.unwrap_or(0),
            first,
            last,
            exact: false,
            labels: [None, None],
        }))])
    }
}
