//! NetObserv's flows as JSON: the agent's and flowlogs-pipeline's records, and the forms in which Loki and its console
//! give them. (netobserv/flowlogs-pipeline: `pkg/api`; netobserv/netobserv-ebpf-agent: `pkg/decode`.)
//!
//! A record is one direction at one or several interfaces of one node; both ends' nodes report it. Flags tell a SYN from a
//! SYN-ACK.

use super::entry::Entry;
use super::parsed_line::LineError;
use super::time::FlowTime;
use super::uniflow::{FlagsSeen, Uniflow};
use nanoseg_flow::{Loss, PeerLabel, PodLabel};
use nanoseg_net::{Timestamp, parse_address};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::net::{IpAddr, SocketAddr};

/// Returns true if the object is a record of NetObserv.
pub(super) fn is_record(object: &Map<String, Value>) -> bool {
    let has = |name: &str| object.contains_key(name);
    has("SrcAddr") && has("DstAddr") && has("Proto")
}

/// The records in an object of Loki (`stream` and `values`, or `labels` and `line`) or of NetObserv's console
/// (`labels` and `fields`): labels that were taken out of a record are put back. `None`: it is none of these.
pub(super) fn unwrap(object: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
    let labels = object.get("stream").or_else(|| object.get("labels"));
    let labels = labels.and_then(Value::as_object).cloned();
    let record = |line: &Value| {
        let mut record = match line {
            Value::String(text) => serde_json::from_str::<Map<String, Value>>(text).ok()?,
            Value::Object(fields) => fields.clone(),
            _ => return None,
        };
        for (name, value) in labels.iter().flatten() {
            record.entry(name).or_insert_with(|| value.clone());
        }
        Some(record)
    };
    if let Some(Value::Array(values)) = object.get("values") {
        labels.as_ref()?;
        return Some(
            values
                .iter()
                .filter_map(|pair| record(pair.get(1)?))
                .collect(),
        );
    }
    let line = object.get("line").or_else(|| object.get("fields"))?;
    labels.as_ref()?;
    record(line).map(|record| vec![record])
}

/// Reads one record.
///
/// # Errors
/// A value that cannot be what its name says.
pub(super) fn parse(object: &Map<String, Value>) -> Result<Vec<Entry>, LineError> {
    Fields(object).parse()
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn address(&self, name: &str) -> Result<IpAddr, LineError> {
        let text = self.text(name).unwrap_or_default();
        parse_address(text).ok_or_else(|| LineError(format!("{name} cannot be {text:?}")))
    }

    fn time(&self, names: &[&str]) -> Option<Timestamp> {
        names.iter().find_map(|name| {
            let time = FlowTime::deserialize(self.0.get(*name)?).ok()?.0;
            (time > Timestamp::default()).then_some(time)
        })
    }

    fn parse(&self) -> Result<Vec<Entry>, LineError> {
        let addresses = [self.address("SrcAddr")?, self.address("DstAddr")?];
        let number = self.number("Proto").and_then(|n| u8::try_from(n).ok());
        let number = number.ok_or_else(|| LineError("Proto is no protocol's number".into()))?;
        let Some(first) = self.time(&["TimeFlowStartMs", "TimeFlowStart", "TimeReceived"]) else {
            return Ok(vec![Entry::Incomplete("time")]);
        };
        let last = self
            .time(&["TimeFlowEndMs", "TimeFlowEnd"])
            .unwrap_or(first)
            .max(first);
        let mut entries = Vec::new();
        if let Some(node) = self.text("AgentIP") {
            entries.push(Entry::Observer(node.to_owned(), first, last));
        }
        if self.number("Sampling").is_some_and(|one_of| one_of > 1) {
            entries.push(Entry::Lost(Loss::LogSampled, 1));
        }
        let Some(protocol) = super::jsonl::parse_protocol(&number.to_string()) else {
            let packets = self.number("Packets").unwrap_or(1);
            entries.push(Entry::other(addresses[0], addresses[1], number, packets));
            return Ok(entries);
        };
        let port = |name| {
            let number = self.number(name).and_then(|n| u16::try_from(n).ok());
            number.filter(|port| *port != 0)
        };
        let (Some(source), Some(destination)) = (port("SrcPort"), port("DstPort")) else {
            entries.push(Entry::Incomplete("port"));
            return Ok(entries);
        };
        let there = Uniflow {
            source: SocketAddr::new(addresses[0], source),
            destination: SocketAddr::new(addresses[1], destination),
            protocol,
            point: self.point().into(),
            flags: self.flags()?,
            blocked: self.is_dropped(),
            packets: self.number("Packets").unwrap_or(0),
            bytes: self.number("Bytes").unwrap_or(0),
            first,
            last,
            exact: self.0.contains_key("TimeFlowStartMs"),
            labels: [self.label("Src"), self.label("Dst")],
        };
        entries.extend(self.directions(there));
        Ok(entries)
    }

    /// A record of a whole conversation ("endConnection" and the like) has counts of both directions.
    fn directions(&self, flow: Uniflow) -> Vec<Entry> {
        let entry = |flow| Entry::Uniflow(Box::new(flow));
        let counts = ["Packets_AB", "Packets_BA"].map(|name| self.number(name));
        let [Some(there), Some(back)] = counts else {
            return match self.text("_RecordType") {
                None | Some("flowLog") => vec![entry(flow)],
                Some(_) => vec![Entry::Skipped("netobserv-conversation")],
            };
        };
        let mut entries = Vec::new();
        let point: std::sync::Arc<str> = "conversation".into();
        // Its flags are those of both directions together.
        let flags = FlagsSeen::default();
        if there > 0 {
            entries.push(entry(Uniflow {
                packets: there,
                bytes: self.number("Bytes_AB").unwrap_or(0),
                point: point.clone(),
                flags,
                exact: false,
                ..flow.clone()
            }));
        }
        if back > 0 {
            let [source, destination] = flow.labels.clone();
            entries.push(entry(Uniflow {
                source: flow.destination,
                destination: flow.source,
                packets: back,
                bytes: self.number("Bytes_BA").unwrap_or(0),
                point,
                flags,
                exact: false,
                labels: [destination, source],
                ..flow
            }));
        }
        entries
    }

    /// Agent, interfaces and direction. A record of several interfaces is one point: it counts their packets once.
    fn point(&self) -> String {
        let part = |name| self.0.get(name).map(Value::to_string).unwrap_or_default();
        let names = [
            "AgentIP",
            "Interface",
            "Interfaces",
            "FlowDirection",
            "IfDirection",
            "IfDirections",
        ];
        names.map(part).join("/")
    }

    /// The kernel dropped everything that it saw, as a policy makes it do.
    fn is_dropped(&self) -> bool {
        let dropped = self.number("PktDropPackets").unwrap_or(0);
        dropped > 0 && dropped >= self.number("Packets").unwrap_or(0)
    }

    /// A number, or the names of its bits.
    fn flags(&self) -> Result<FlagsSeen, LineError> {
        let names: Vec<&str> = match self.0.get("Flags") {
            None | Some(Value::Null) => return Ok(FlagsSeen::default()),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) if text.parse::<u16>().is_err() => {
                text.split([',', '|', ' ']).collect()
            }
            Some(_) => {
                let number = self.number("Flags").and_then(|n| u16::try_from(n).ok());
                let number = number.ok_or_else(|| LineError("Flags is no number".into()))?;
                return Ok(FlagsSeen::of_netobserv(number));
            }
        };
        let bit = |name: &str| match name {
            "FIN" => 0x01,
            "SYN" => 0x02,
            "RST" => 0x04,
            "PSH" => 0x08,
            "ACK" => 0x10,
            "SYN_ACK" => 0x100,
            "FIN_ACK" => 0x200,
            "RST_ACK" => 0x400,
            _ => 0,
        };
        let bits = names.into_iter().map(|name| bit(name.trim()));
        Ok(FlagsSeen::of_netobserv(bits.fold(0, |all, bit| all | bit)))
    }

    /// The pod at one end. Nodes and Services are known by their addresses.
    fn label(&self, side: &str) -> Option<PeerLabel> {
        let field = |what: &str| self.text(&format!("{side}K8S_{what}"));
        if field("Type").is_some_and(|kind| kind != "Pod") {
            return None;
        }
        let owner = (field("OwnerType"), field("OwnerName"));
        Some(PeerLabel::Pod(PodLabel {
            owner: match owner {
                (Some(kind), Some(name)) if kind != "Pod" => Some((kind.into(), name.into())),
                _ => None,
            },
            ..PodLabel::named(field("Namespace")?, field("Name")?)
        }))
    }
}
