//! Which form a flow log has, by how it begins.

use super::entry::Entry;
use super::nfdump::NfdumpLines;
use super::parsed_line::LineError;
use super::vpc::VpcLines;
use super::zeek::ZeekLines;
use super::{FlowLogFormat, netobserv, nfdump, vpc, zeek};
use serde_json::{Map, Value};

/// How the first line begins that is not blank.
pub(super) enum Beginning {
    /// One object a line.
    Lines(FlowLogFormat),
    Csv,
    /// Lines below a header that says what they hold.
    Table(HeaderTable),
    /// JSON in the data of an event stream.
    EventStream,
    /// JSON over several lines, or an array.
    Document,
}

/// A log whose header line says what its lines hold.
#[derive(Debug)]
pub(super) enum HeaderTable {
    Zeek(ZeekLines),
    Vpc(VpcLines),
    Nfdump(NfdumpLines),
}

impl HeaderTable {
    /// The table that a file with this first line is.
    fn detect(line: &str) -> Option<Result<HeaderTable, LineError>> {
        if ZeekLines::is_header(line) {
            return Some(Ok(HeaderTable::Zeek(ZeekLines::new())));
        }
        let vpc = || Some(VpcLines::detect(line)?.map(HeaderTable::Vpc));
        let nfdump = || Some(NfdumpLines::detect(line)?.map(HeaderTable::Nfdump));
        vpc().or_else(nfdump)
    }

    pub fn format(&self) -> FlowLogFormat {
        match self {
            HeaderTable::Zeek(_) => FlowLogFormat::Zeek,
            HeaderTable::Vpc(_) => FlowLogFormat::Vpc,
            HeaderTable::Nfdump(_) => FlowLogFormat::Nfdump,
        }
    }

    /// The lines have addresses of interfaces alone.
    pub fn has_interface_addresses(&self) -> bool {
        matches!(self, HeaderTable::Vpc(lines) if lines.has_interface_addresses())
    }

    /// Reads one line, the header lines too.
    ///
    /// # Errors
    /// A line that the table cannot have.
    pub fn parse(&mut self, line: &str) -> Result<Vec<Entry>, LineError> {
        match self {
            HeaderTable::Zeek(lines) => lines.parse(line),
            HeaderTable::Vpc(lines) => lines.parse(line),
            HeaderTable::Nfdump(lines) => lines.parse(line),
        }
    }
}

/// Tells by the first line.
///
/// # Errors
/// A line that begins no flow log.
pub(super) fn beginning(line: &str) -> Result<Beginning, LineError> {
    if line.starts_with('[') {
        return Ok(Beginning::Document);
    }
    if is_event_stream(line) {
        return Ok(Beginning::EventStream);
    }
    if !line.starts_with('{') {
        if let Some(table) = HeaderTable::detect(line) {
            return table.map(Beginning::Table);
        }
        return is_header(line).then_some(Beginning::Csv).ok_or_else(|| {
            LineError(
                "neither JSON nor a CSV header with client and server, and no header of Zeek, nfdump or a VPC \
                 flow log (one with a format of its own needs the line with its fields)"
                    .into(),
            )
        });
    }
    match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(object) if is_container(&object) => Ok(Beginning::Document),
        Ok(object) => form_of(&object).map(Beginning::Lines),
        Err(error) if error.is_eof() => Ok(Beginning::Document),
        Err(error) => Err(LineError::of_json(&error)),
    }
}

/// The form of an object by its fields.
///
/// # Errors
/// An object that is no flow.
pub(super) fn form_of(object: &Map<String, Value>) -> Result<FlowLogFormat, LineError> {
    let has = |names: &[&str]| names.iter().any(|name| object.contains_key(*name));
    let is_hubble = |flow: &Map<String, Value>| {
        flow.contains_key("verdict")
            && [
                "IP",
                "ip",
                "l4",
                "l7",
                "event_type",
                "eventType",
                "Type",
                "type",
            ]
            .iter()
            .any(|name| flow.contains_key(*name))
    };
    if has(&["other", "scan", "loss", "name"]) || has(&["client"]) && has(&["server"]) {
        return Ok(FlowLogFormat::Jsonl);
    }
    let inner = object.get("flow").and_then(Value::as_object);
    let envelope = [
        "node_status",
        "nodeStatus",
        "lost_events",
        "lostEvents",
        "agent_event",
        "agentEvent",
        "debug_event",
        "debugEvent",
    ];
    if has(&envelope) || is_hubble(object) || inner.is_some_and(is_hubble) {
        return Ok(FlowLogFormat::Hubble);
    }
    if is_calico(object) || inner.is_some_and(is_calico) {
        return Ok(FlowLogFormat::Calico);
    }
    if let Some(records) = netobserv::unwrap(object) {
        return match records.first() {
            Some(record) if netobserv::is_record(record) => Ok(FlowLogFormat::NetObserv),
            _ => Err(LineError(
                "the first line of Loki's is no flow of NetObserv".into(),
            )),
        };
    }
    if netobserv::is_record(object) {
        return Ok(FlowLogFormat::NetObserv);
    }
    if zeek::is_conn(object) {
        return Ok(FlowLogFormat::Zeek);
    }
    if nfdump::is_record(object) {
        return Ok(FlowLogFormat::Nfdump);
    }
    let message = object.get("message").and_then(Value::as_str);
    if message.is_some_and(vpc::is_default_record) {
        return Ok(FlowLogFormat::Vpc);
    }
    Err(LineError(
        "the first object is no flow of nanoseg, Hubble, Calico or Goldmane, Zeek, NetObserv, nfdump or a VPC flow log"
            .into(),
    ))
}

fn is_calico(object: &Map<String, Value>) -> bool {
    let keys = ["Key", "key"];
    let object = keys
        .iter()
        .find_map(|key| object.get(*key)?.as_object())
        .unwrap_or(object);
    let named = |names: &[&str]| names.iter().any(|name| object.contains_key(*name));
    named(&["dest_port", "destPort"]) && named(&["reporter", "proto", "protocol"])
}

/// Returns true if it is but a wrapping around a list of flows.
pub(super) fn is_container(object: &Map<String, Value>) -> bool {
    let inner = object.get("data").and_then(Value::as_object);
    CONTAINERS
        .iter()
        .any(|name| object.get(*name).is_some_and(Value::is_array))
        || inner.is_some_and(is_container)
}

/// The names of lists of flows: of Goldmane and Whisker, of CloudWatch, of Loki.
pub(super) const CONTAINERS: [&str; 6] =
    ["items", "flows", "events", "logEvents", "streams", "result"];

fn is_event_stream(line: &str) -> bool {
    let field = line.split_once(':').map(|(field, _)| field);
    field.is_some_and(|field| ["data", "event", "id", "retry", ""].contains(&field))
}

fn is_header(line: &str) -> bool {
    let columns: Vec<&str> = line
        .split(',')
        .map(|c| c.trim().trim_matches('"'))
        .collect();
    columns.contains(&"client") && columns.contains(&"server")
}
