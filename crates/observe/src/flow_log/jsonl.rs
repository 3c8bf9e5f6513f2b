//! nanoseg's own form of flow logs: JSON, one object a line (docs/flows.md). What is written is read
//! again without any difference, so that `observe --out` loses nothing.

use super::parsed_line::{LineError, ParsedLine};
use super::time::FlowTime;
use nanoseg_flow::{
    ActivityWindows, FlowRecord, Loss, NameEntry, NamedBy, Observations, Observed, Observer,
    Opening, OtherTraffic, PeerLabels, ScanSummary, Source, Verdict,
};
use nanoseg_net::{
    Protocol, Timestamp, canonical_address, canonical_socket, deserialize_address,
    deserialize_socket,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Every field of every kind of line. Unknown ones are refused: `verdct` must not make a dropped
/// connection an established one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLine {
    #[serde(default, deserialize_with = "deserialize_address")]
    pub client: Option<IpAddr>,
    #[serde(default, deserialize_with = "deserialize_address")]
    pub server: Option<IpAddr>,
    pub port: Option<u16>,
    #[serde(default, deserialize_with = "protocol")]
    pub protocol: Option<Protocol>,
    #[serde(default, deserialize_with = "deserialize_socket")]
    pub via: Option<SocketAddr>,
    #[serde(default, deserialize_with = "deserialize_address")]
    pub seen_as: Option<IpAddr>,
    pub client_port: Option<u16>,
    pub verdict: Option<Verdict>,
    pub opening: Option<Opening>,
    #[serde(rename = "claims")]
    pub labels: Option<PeerLabels>,
    pub connections: Option<u64>,
    pub datagrams: Option<u64>,
    pub bytes_to_server: Option<u64>,
    pub bytes_to_client: Option<u64>,
    pub time: Option<FlowTime>,
    pub first: Option<FlowTime>,
    pub last: Option<FlowTime>,
    pub windows: Option<RawWindows>,
    pub node: Option<String>,
    pub source: Option<Source>,
    name: Option<String>,
    /// Of a name: an address, `source` or `unknown`.
    resolver: Option<String>,
    #[serde(default, deserialize_with = "deserialize_address")]
    address: Option<IpAddr>,
    from: Option<FlowTime>,
    until: Option<FlowTime>,
    other: Option<OtherTraffic>,
    scan: Option<ScanSummary>,
    loss: Option<String>,
    count: Option<u64>,
}

/// [`ActivityWindows`] with its bits as hexadecimal digits: 128 bits are more than JSON numbers hold everywhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindows {
    scale: u8,
    base: i64,
    bits: String,
}

/// The line of a flow, with fields in the order in which they are written.
#[derive(Serialize)]
struct FlowLine<'a> {
    client: IpAddr,
    server: IpAddr,
    port: u16,
    protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_as: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
    verdict: Verdict,
    opening: Opening,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "claims")]
    labels: Option<&'a PeerLabels>,
    connections: u64,
    #[serde(skip_serializing_if = "is_zero")]
    datagrams: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_to_server: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_to_client: u64,
    first: Timestamp,
    last: Timestamp,
    windows: RawWindows,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    source: Source,
}

#[derive(Serialize)]
struct NameLine<'a> {
    name: &'a str,
    address: IpAddr,
    client: IpAddr,
    resolver: NamedBy,
    from: Timestamp,
    until: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Tagged<'a> {
    Other(&'a OtherTraffic),
    Scan(&'a ScanSummary),
}

#[derive(Serialize)]
struct LossLine {
    loss: &'static str,
    count: u64,
}

/// A flow record as a line, without the line feed.
pub fn write_record(observer: &Observer, record: &FlowRecord) -> String {
    let (scale, base, bits) = record.windows.parts();
    json(&FlowLine {
        client: record.client,
        server: record.server,
        port: record.port,
        protocol: record.protocol,
        via: record.via,
        seen_as: record.seen_as,
        client_port: record.client_port,
        verdict: record.verdict,
        opening: record.opening,
        labels: record.labels.as_deref(),
        connections: record.connections,
        datagrams: record.datagrams,
        bytes_to_server: record.bytes_to_server,
        bytes_to_client: record.bytes_to_client,
        first: record.first,
        last: record.last,
        windows: RawWindows {
            scale,
            base,
            bits: format!("{bits:x}"),
        },
        node: &observer.node,
        source: observer.source,
    })
}

/// A DNS name as a line, without the line feed.
pub fn write_name(address: IpAddr, entry: &NameEntry) -> String {
    json(&NameLine {
        name: &entry.name,
        address,
        client: entry.client,
        resolver: entry.by,
        from: entry.from,
        until: entry.until,
    })
}

/// All observations as lines, each with its line feed.
pub fn write_slice(node: &Arc<str>, slice: &Observations) -> String {
    let mut lines = Vec::new();
    for (source, record) in &slice.records {
        let observer = Observer {
            node: node.clone(),
            source: *source,
        };
        lines.push(write_record(&observer, record));
    }
    lines.extend(slice.names.iter().map(|(a, entry)| write_name(*a, entry)));
    lines.extend(slice.other.iter().map(|t| json(&Tagged::Other(t))));
    lines.extend(slice.scans.iter().map(|s| json(&Tagged::Scan(s))));
    lines.extend(slice.losses.iter().map(|(loss, count)| {
        json(&LossLine {
            loss: loss.name(),
            count: *count,
        })
    }));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// serde_json fails only on maps with keys that are no strings, and there is none here.
fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Reads one line.
///
/// # Errors
/// A line that is none of the documented kinds.
pub(super) fn parse_line(text: &str) -> Result<ParsedLine, LineError> {
    let raw: RawLine = serde_json::from_str(text).map_err(|e| LineError::of_json(&e))?;
    raw.parse()
}

impl RawLine {
    /// Decides which kind of line it is.
    pub fn parse(self) -> Result<ParsedLine, LineError> {
        if let Some(traffic) = self.other {
            return Ok(ParsedLine::Other(OtherTraffic {
                source: canonical_address(traffic.source),
                destination: canonical_address(traffic.destination),
                ..traffic
            }));
        }
        if let Some(scan) = self.scan {
            let samples = scan.samples.into_iter();
            return Ok(ParsedLine::Scan(ScanSummary {
                client: scan.client.map(canonical_address),
                samples: samples
                    .map(|(to, protocol)| (canonical_socket(to), protocol))
                    .collect(),
                ..scan
            }));
        }
        if let Some(name) = &self.loss {
            let loss = Loss::ALL.iter().find(|loss| loss.name() == name);
            let loss = loss.ok_or_else(|| LineError(format!("there is no loss {name:?}")))?;
            return Ok(ParsedLine::Loss(*loss, self.count.unwrap_or(1)));
        }
        if self.name.is_some() {
            return self.parse_name();
        }
        self.parse_flow()
    }

    fn parse_name(self) -> Result<ParsedLine, LineError> {
        let (Some(name), Some(address), Some(client)) = (self.name, self.address, self.client)
        else {
            return Err(LineError::missing("name, address and client"));
        };
        let from = self.from.or(self.first).or(self.time);
        let from = from.ok_or_else(|| LineError::missing("from"))?.0;
        let by = self.resolver.as_deref().unwrap_or("unknown").parse();
        let odd = |_| LineError("resolver is neither an address nor source nor unknown".into());
        let by = match by.map_err(odd)? {
            NamedBy::Resolver(address) => NamedBy::Resolver(canonical_address(address)),
            by => by,
        };
        Ok(ParsedLine::Name(
            address,
            NameEntry {
                name: name.into(),
                client,
                by,
                from,
                until: self.until.map_or(from, |until| until.0),
            },
        ))
    }

    fn parse_flow(self) -> Result<ParsedLine, LineError> {
        let need = |what| LineError::missing(what);
        let protocol = self.protocol.ok_or_else(|| need("protocol"))?;
        let first = self.first.or(self.time);
        let first = first.ok_or_else(|| need("first (or time)"))?.0;
        // A clock that was put back must not cost an edge.
        let last = self.last.map_or(first, |last| last.0).max(first);
        let is_one = self.connections.unwrap_or(1) == 1 && protocol == Protocol::Tcp;
        let is_answered = self.verdict.unwrap_or(Verdict::Established) == Verdict::Established;
        let windows = match self.windows {
            Some(windows) => windows.parse()?,
            // One connection was open all the time.
            None if is_one && is_answered => ActivityWindows::span(first, last),
            None => {
                let mut windows = ActivityWindows::at(first);
                windows.mark(last);
                windows
            }
        };
        let opening = match (self.opening, protocol) {
            (Some(opening), _) => opening,
            (None, Protocol::Udp) => Opening::FirstPacket,
            (None, _) => Opening::Handshake,
        };
        let record = FlowRecord {
            observers: Default::default(),
            told: None,
            client: self.client.ok_or_else(|| need("client"))?,
            server: self.server.ok_or_else(|| need("server"))?,
            port: self.port.ok_or_else(|| need("port"))?,
            protocol,
            via: self.via,
            seen_as: self.seen_as,
            client_port: self.client_port,
            verdict: self.verdict.unwrap_or(Verdict::Established),
            opening,
            labels: self.labels.map(Arc::new),
            connections: self.connections.unwrap_or(1),
            datagrams: self.datagrams.unwrap_or(0),
            bytes_to_server: self.bytes_to_server.unwrap_or(0),
            bytes_to_client: self.bytes_to_client.unwrap_or(0),
            first,
            last,
            windows,
        };
        Ok(ParsedLine::Flow(Observed {
            observer: Observer {
                node: self.node.unwrap_or_default().into(),
                source: self.source.unwrap_or_default(),
            },
            record,
        }))
    }
}

impl RawWindows {
    fn parse(self) -> Result<ActivityWindows, LineError> {
        u128::from_str_radix(&self.bits, 16)
            .ok()
            .and_then(|bits| ActivityWindows::from_parts(self.scale, self.base, bits))
            .ok_or_else(|| LineError("windows are none; leave the field out".into()))
    }
}

/// A protocol by its name in any case, or by its IANA number.
pub(super) fn parse_protocol(text: &str) -> Option<Protocol> {
    match text {
        "6" => Some(Protocol::Tcp),
        "17" => Some(Protocol::Udp),
        "132" => Some(Protocol::Sctp),
        name => Protocol::parse(&name.to_ascii_uppercase()),
    }
}

fn protocol<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Protocol>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelling {
        Name(String),
        Number(u8),
    }
    let text = match Spelling::deserialize(deserializer)? {
        Spelling::Name(name) => name,
        Spelling::Number(number) => number.to_string(),
    };
    parse_protocol(&text).map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "protocol {text:?} is none of TCP, UDP and SCTP; leave other traffic out"
        ))
    })
}

#[cfg(test)]
mod tests;
