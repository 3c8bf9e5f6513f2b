//! Zeek's `conn.log`, as tab-separated text with its header lines and as JSON. (docs.zeek.org: "conn.log",
//! `base/protocols/conn/main.zeek`: `conn_state` and `history`.)
//!
//! `conn_state` names what Zeek saw of both sides, and `history` each kind of packet, in capitals those of the originator.
//! An originator is who sent first *in what Zeek saw*: it opened the connection only if a SYN or SYN-ACK is in the history.

use super::entry::Entry;
use super::parsed_line::LineError;
use super::time::FlowTime;
use super::uniflow::is_open_to_doubt;
use nanoseg_flow::{ActivityWindows, ConnectionReport, Opening, Verdict};
use nanoseg_net::{Protocol, Timestamp, parse_address};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Reads lines by the names in the `#fields` line.
#[derive(Debug)]
pub(super) struct ZeekLines {
    separator: char,
    unset: String,
    empty: String,
    fields: Vec<String>,
}

impl ZeekLines {
    pub fn new() -> Self {
        ZeekLines {
            separator: '\t',
            unset: "-".into(),
            empty: "(empty)".into(),
            fields: Vec::new(),
        }
    }

    /// Returns true if a file that begins so is a log of Zeek.
    pub fn is_header(line: &str) -> bool {
        ["#separator", "#fields", "#path", "#set_separator"]
            .iter()
            .any(|name| line.starts_with(name))
    }

    /// Reads one line.
    ///
    /// # Errors
    /// A line of another log of Zeek, or one before the names of the fields.
    pub fn parse(&mut self, line: &str) -> Result<Vec<Entry>, LineError> {
        if let Some(header) = line.strip_prefix('#') {
            self.take_header(header)?;
            return Ok(Vec::new());
        }
        if self.fields.is_empty() {
            return Err(LineError(
                "there is no #fields line before it; give the log with its header".into(),
            ));
        }
        let values = self.fields.iter().zip(line.split(self.separator));
        let set = values.filter(|(_, text)| **text != *self.unset && **text != *self.empty);
        let row = Row(set
            .map(|(name, text)| (name.as_str(), text.to_owned()))
            .collect());
        row.parse()
    }

    fn take_header(&mut self, header: &str) -> Result<(), LineError> {
        // The line that names the separator has a space.
        if let Some(text) = header.strip_prefix("separator ") {
            let text = text.trim();
            let code = text.strip_prefix("\\x");
            let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            self.separator = code.map(char::from).or(text.chars().next()).unwrap_or('\t');
            return Ok(());
        }
        let mut words = header.split(self.separator);
        match words.next().unwrap_or_default() {
            "unset_field" => self.unset = words.next().unwrap_or("-").to_owned(),
            "empty_field" => self.empty = words.next().unwrap_or("(empty)").to_owned(),
            "path" => match words.next() {
                Some("conn") | None => {}
                Some(other) => {
                    return Err(LineError(format!(
                        "this is Zeek's {other} log; give its conn log"
                    )));
                }
            },
            "fields" => {
                self.fields = words.map(str::to_owned).collect();
                if !self.fields.iter().any(|field| field == "conn_state") {
                    return Err(LineError(
                        "there is no field conn_state: no conn log of Zeek".into(),
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns true if the object is a line of `conn.log`.
pub(super) fn is_conn(object: &Map<String, Value>) -> bool {
    let ends = ["id.orig_h", "id_orig_h"];
    let nested = |id: &Value| id.get("orig_h").is_some();
    object.contains_key("conn_state")
        && (ends.iter().any(|name| object.contains_key(*name))
            || object.get("id").is_some_and(nested))
}

/// Reads one object.
///
/// # Errors
/// A value that cannot be what its name says.
pub(super) fn parse_object(object: &Map<String, Value>) -> Result<Vec<Entry>, LineError> {
    let mut row = BTreeMap::new();
    for (name, value) in object {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        row.insert(name.as_str(), text);
    }
    for name in ["orig_h", "orig_p", "resp_h", "resp_p"] {
        let nested = object.get("id").and_then(|id| id.get(name));
        let flat = object.get(&format!("id_{name}"));
        let text = match nested.or(flat) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        let full = match name {
            "orig_h" => "id.orig_h",
            "orig_p" => "id.orig_p",
            "resp_h" => "id.resp_h",
            _ => "id.resp_p",
        };
        row.insert(full, text);
    }
    Row(row).parse()
}

/// The fields of one line that are set.
struct Row<'a>(BTreeMap<&'a str, String>);

impl Row<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn bad(&self, name: &str) -> LineError {
        match self.text(name) {
            Some(text) => LineError(format!("{name} cannot be {text:?}")),
            None => LineError::missing(name),
        }
    }

    fn end(&self, side: &str) -> Result<SocketAddr, LineError> {
        let (host, port) = (format!("id.{side}_h"), format!("id.{side}_p"));
        let address = self.text(&host).and_then(parse_address);
        let number = self.text(&port).and_then(|text| text.parse().ok());
        Ok(SocketAddr::new(
            address.ok_or_else(|| self.bad(&host))?,
            number.ok_or_else(|| self.bad(&port))?,
        ))
    }

    fn parse(&self) -> Result<Vec<Entry>, LineError> {
        let ends = [self.end("orig")?, self.end("resp")?];
        let protocol = match self.text("proto").ok_or_else(|| self.bad("proto"))? {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Ok(self.parse_other(other, ends)),
        };
        if ends.iter().any(|end| end.port() == 0) {
            return Ok(vec![Entry::Incomplete("port")]);
        }
        let time = self.text("ts").and_then(FlowTime::parse);
        let first = time.ok_or_else(|| self.bad("ts"))?.0;
        let Some(outcome) = self.outcome(protocol) else {
            return Ok(vec![Entry::Skipped("zeek-one-side-seen")]);
        };
        Ok(vec![Entry::Connection(Box::new(
            self.report(ends, protocol, first, outcome),
        ))])
    }

    fn report(
        &self,
        [client, server]: [SocketAddr; 2],
        protocol: Protocol,
        first: Timestamp,
        (verdict, opening): (Verdict, Opening),
    ) -> ConnectionReport {
        let duration: f64 = self
            .text("duration")
            .and_then(|text| text.parse().ok())
            .filter(|seconds: &f64| (0.0..1e9).contains(seconds))
            .unwrap_or(0.0);
        let last = first.plus_nanos((duration * 1e9) as i64);
        // A line is one connection, which was open all the time.
        let windows = ActivityWindows::span(first, last);
        ConnectionReport {
            client,
            server,
            protocol,
            vlan: 0,
            via: None,
            seen_as: None,
            verdict,
            opening,
            counted: false,
            labels: None,
            mid_stream: is_open_to_doubt(opening, [client, server]),
            datagrams: match protocol {
                Protocol::Tcp => 0,
                _ => self.number("orig_pkts").unwrap_or(1),
            },
            bytes_to_server: self.number("orig_bytes").unwrap_or(0),
            bytes_to_client: self.number("resp_bytes").unwrap_or(0),
            first,
            last,
            windows,
            epochs: [0, 0],
        }
    }

    /// ICMP has its type and code in place of ports.
    fn parse_other(&self, protocol: &str, [source, destination]: [SocketAddr; 2]) -> Vec<Entry> {
        let stated = self.text("ip_proto").and_then(|text| text.parse().ok());
        let Some(number) = stated.or((protocol == "icmp").then_some(1)) else {
            return vec![Entry::Skipped("zeek-unknown-transport")];
        };
        if number == 132 {
            return vec![Entry::Incomplete("port")];
        }
        let (source, destination) = (source.ip(), destination.ip());
        let sent = self.number("orig_pkts").unwrap_or(1);
        let mut entries = vec![Entry::other(source, destination, number, sent)];
        if let Some(answers @ 1..) = self.number("resp_pkts") {
            entries.push(Entry::other(destination, source, number, answers));
        }
        entries
    }

    /// Returns true if that side sent more than resets. Packets' kinds decide; where Zeek wrote none, their number, and where
    /// it counted none, `unsaid`.
    fn took_part(&self, side: &str, unsaid: bool) -> bool {
        if let Some(history) = self.text("history") {
            let letters = match side {
                "orig" => ['S', 'H', 'A', 'D', 'F'],
                _ => ['s', 'h', 'a', 'd', 'f'],
            };
            return history.contains(letters);
        }
        let counts = ["pkts", "bytes", "ip_bytes"];
        let counts = counts.map(|what| self.number(&format!("{side}_{what}")));
        let mut known = counts.into_iter().flatten().peekable();
        if known.peek().is_none() {
            return unsaid;
        }
        known.any(|count| count > 0)
    }

    /// The verdict, and whether the originator is known to have opened it. `None`: nothing that a connection needs was
    /// seen.
    fn outcome(&self, protocol: Protocol) -> Option<(Verdict, Opening)> {
        let state = self.text("conn_state").unwrap_or("OTH");
        let history = self.text("history").unwrap_or_default();
        let (client, server) = (self.took_part("orig", true), self.took_part("resp", true));
        if protocol == Protocol::Udp {
            return udp_outcome(state, history, client, server);
        }
        let handshake = self.text("history").is_none() || history.contains(['S', 'h']);
        let opening = if handshake {
            Opening::Handshake
        } else {
            Opening::Undecided
        };
        let probe = history.contains('R') && !history.contains(['A', 'D', 'F']);
        match state {
            "S0" | "SH" | "RSTOS0" => Some((Verdict::Unanswered, Opening::Handshake)),
            "REJ" => Some((Verdict::Refused, Opening::Handshake)),
            // SYN, SYN-ACK, RST (rule: scan-teaches-nothing).
            "RSTO" if probe && !history.contains(['d', 'f']) && !history.is_empty() => {
                Some((Verdict::Unanswered, opening))
            }
            "RSTR" if !server => Some((Verdict::Refused, opening)),
            "S1" | "S2" | "S3" | "SF" | "RSTO" | "RSTR" if server => {
                Some((Verdict::Established, opening))
            }
            "S1" | "S2" | "S3" | "SF" | "RSTO" => Some((Verdict::Unanswered, opening)),
            // A server ends only what the client has confirmed, though Zeek saw nothing of that side.
            "SHR" => Some((Verdict::Established, Opening::Undecided)),
            "RSTRH" if client || history.contains('d') => {
                Some((Verdict::Established, Opening::Undecided))
            }
            "RSTRH" => Some((Verdict::Unanswered, Opening::Undecided)),
            // OTH, and what a later version of Zeek adds.
            _ if self.took_part("orig", false) && self.took_part("resp", false) => {
                Some((Verdict::Established, Opening::Undecided))
            }
            _ => None,
        }
    }
}

fn udp_outcome(
    state: &str,
    history: &str,
    client: bool,
    server: bool,
) -> Option<(Verdict, Opening)> {
    // Zeek exchanged the ends for their ports.
    let opening = if history.starts_with('^') {
        Opening::Undecided
    } else {
        Opening::FirstPacket
    };
    match state {
        "S0" => Some((Verdict::OneWay, opening)),
        "SF" if server => Some((Verdict::Established, opening)),
        "SF" => Some((Verdict::OneWay, opening)),
        "SHR" => Some((Verdict::OneWay, Opening::Undecided)),
        "REJ" => Some((Verdict::Refused, opening)),
        _ if client && server && !history.is_empty() => {
            Some((Verdict::Established, Opening::Undecided))
        }
        _ => None,
    }
}
