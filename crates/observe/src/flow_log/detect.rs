//! Which form a flow log has, by how it begins.

use super::FlowLogFormat;
use super::parsed_line::LineError;
use serde_json::{Map, Value};

/// How the first line begins that is not blank.
pub(super) enum Beginning {
    /// One object a line.
    Lines(FlowLogFormat),
    Csv,
    /// JSON over several lines, or an array.
    Document,
}

/// Tells by the first line.
///
/// # Errors
/// A line that begins no flow log.
pub(super) fn beginning(line: &str) -> Result<Beginning, LineError> {
    if line.starts_with('[') {
        return Ok(Beginning::Document);
    }
    if !line.starts_with('{') {
        return is_header(line).then_some(Beginning::Csv).ok_or_else(|| {
            LineError("neither JSON nor a CSV header with client and server".into())
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
    Err(LineError(
        "the first object is no flow of nanoseg, Hubble, Calico or Goldmane".into(),
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
    ["items", "flows"]
        .iter()
        .any(|name| object.get(*name).is_some_and(Value::is_array))
}

fn is_header(line: &str) -> bool {
    let columns: Vec<&str> = line
        .split(',')
        .map(|c| c.trim().trim_matches('"'))
        .collect();
    columns.contains(&"client") && columns.contains(&"server")
}
