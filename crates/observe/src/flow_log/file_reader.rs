//! Reads one flow log, line by line or object by object.

use super::csv::CsvLines;
use super::detect::{HeaderTable, form_of};
use super::entry::Entry;
use super::line_reader::LineReader;
use super::parsed_line::{LineError, ParsedLine};
use super::reader::FlowLogReader;
use super::{
    FlowLogFormat, FlowLogRead, calico, json_document, jsonl, netobserv, nfdump, vpc, zeek,
};
use crate::hubble::{self, HubbleLine, HubbleLineError};
use nanoseg_flow::{Loss, PeerLabel};
use nanoseg_net::Timestamp;
use serde_json::{Map, Value};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;

/// How many bad lines are shown.
const SHOWN: usize = 5;
/// Addresses of one file that are kept, to tell whether any of them is a pod's.
const MAX_ENDS: usize = 1 << 16;

/// One file on its way in.
pub(super) struct FileReader<'i> {
    reader: &'i mut FlowLogReader,
    pub read: FlowLogRead,
    /// A line was good: from now on bad ones are counted.
    begun: bool,
}

impl<'i> FileReader<'i> {
    pub fn new(reader: &'i mut FlowLogReader, path: &Path) -> Self {
        FileReader {
            reader,
            read: FlowLogRead {
                name: path.display().to_string(),
                format: FlowLogFormat::Jsonl,
                bytes: 0,
                flows: 0,
                names: 0,
                malformed: 0,
                span: None,
                ends: Default::default(),
                named_ends: false,
                names_observers: false,
                whole_cluster: false,
                interface_addresses: false,
            },
            begun: false,
        }
    }

    pub fn read_lines(
        &mut self,
        format: FlowLogFormat,
        input: impl io::BufRead,
    ) -> Result<(), LineError> {
        self.read.format = format;
        let mut lines = LineReader::new(input);
        while let Some((number, line)) = lines.next() {
            let outcome = match line {
                Ok(text) => self.take(text, &number.to_string()),
                Err(bad) => Err(LineError(bad.to_string())),
            };
            self.count_outcome(&number.to_string(), outcome)?;
        }
        Ok(())
    }

    /// A log whose header line says what its lines hold.
    pub fn read_table(
        &mut self,
        mut table: HeaderTable,
        input: impl io::BufRead,
    ) -> Result<(), LineError> {
        self.read.format = table.format();
        self.read.interface_addresses = table.has_interface_addresses();
        let mut lines = LineReader::new(input);
        while let Some((number, line)) = lines.next() {
            let place = number.to_string();
            let outcome = match line {
                Ok(text) => table.parse(text),
                Err(bad) => Err(LineError(bad.to_string())),
            };
            // A header line says nothing of whether the file is a flow log.
            if outcome.as_ref().is_ok_and(Vec::is_empty) {
                continue;
            }
            let outcome = outcome.map(|entries| self.take_entries(entries, &place));
            self.count_outcome(&place, outcome)?;
        }
        Ok(())
    }

    /// An event stream (HTML standard, "Server-sent events"): JSON in lines that begin with `data:`.
    pub fn read_events(&mut self, input: impl io::BufRead) -> Result<(), LineError> {
        let mut lines = LineReader::new(input);
        let mut known = false;
        while let Some((number, line)) = lines.next() {
            let place = number.to_string();
            let outcome = match line {
                Ok(text) => match text.strip_prefix("data:") {
                    Some(data) => self.take_event_data(data.trim(), &place, &mut known),
                    // Comments, and the names and numbers of events.
                    None => continue,
                },
                Err(bad) => Err(LineError(bad.to_string())),
            };
            self.count_outcome(&place, outcome)?;
        }
        if self.begun {
            Ok(())
        } else {
            Err(LineError("the event stream has no data".into()))
        }
    }

    fn take_event_data(
        &mut self,
        data: &str,
        place: &str,
        known: &mut bool,
    ) -> Result<(), LineError> {
        if !*known {
            let object = parse_object(data)?;
            self.read.format = form_of(&object)?;
            *known = true;
        }
        self.take(data, place)
    }

    pub fn read_csv(&mut self, input: impl Read) -> Result<(), LineError> {
        self.read.format = FlowLogFormat::Csv;
        let mut lines = CsvLines::open(input)?;
        while let Some((number, line)) = lines.next() {
            let outcome = line.map(|line| self.take_own(line));
            self.count_outcome(&number.to_string(), outcome)?;
        }
        Ok(())
    }

    pub fn read_document(&mut self, input: impl Read) -> Result<(), LineError> {
        let mut number = 0u64;
        let mut refused = None;
        let end = json_document::read(input, |object| {
            number += 1;
            let place = format!("object {number}");
            let outcome = if self.begun {
                Ok(self.read.format)
            } else {
                form_of(&object)
            };
            let outcome = outcome.and_then(|format| {
                self.read.format = format;
                let text = serde_json::Value::Object(object).to_string();
                self.take(&text, &place)
            });
            if let Err(error) = self.count_outcome(&place, outcome) {
                refused.get_or_insert(error);
            }
        });
        refused.map_or(Ok(()), Err)?;
        self.count_outcome("end", end)
    }

    /// Counts what became of a line. The first one decides whether the file is a flow log.
    fn count_outcome(
        &mut self,
        place: &str,
        outcome: Result<(), LineError>,
    ) -> Result<(), LineError> {
        let Err(error) = outcome else {
            self.begun = true;
            return Ok(());
        };
        if !self.begun {
            return Err(LineError(format!("line {place}: {error}")));
        }
        self.read.malformed += 1;
        self.reader.lose(Loss::LineMalformed, 1);
        let shown = &mut self.reader.summary.malformed;
        if shown.len() < SHOWN {
            shown.push(format!("{}:{place}: {error}", self.read.name));
        }
        Ok(())
    }

    fn take(&mut self, text: &str, place: &str) -> Result<(), LineError> {
        match self.read.format {
            FlowLogFormat::Jsonl | FlowLogFormat::Csv => {
                let line = jsonl::parse_line(text)?;
                self.take_own(line);
            }
            FlowLogFormat::Hubble => self.take_hubble(text, place)?,
            FlowLogFormat::Calico => {
                let entries = calico::parse_line(text)?;
                let is_observer = |entry: &Entry| matches!(entry, Entry::Observer(..));
                self.read.whole_cluster |= !entries.iter().any(is_observer);
                self.take_entries(entries, place);
            }
            FlowLogFormat::Zeek => {
                let entries = zeek::parse_object(&parse_object(text)?)?;
                self.take_entries(entries, place);
            }
            FlowLogFormat::Nfdump => {
                let entries = nfdump::parse_object(&parse_object(text)?)?;
                self.take_entries(entries, place);
            }
            FlowLogFormat::NetObserv => {
                let object = parse_object(text)?;
                let records = netobserv::unwrap(&object).unwrap_or_else(|| vec![object]);
                for record in records {
                    let entries = netobserv::parse(&record)?;
                    self.take_entries(entries, place);
                }
            }
            FlowLogFormat::Vpc => {
                let object = parse_object(text)?;
                let message = object.get("message").and_then(Value::as_str);
                let message = message.ok_or_else(|| LineError::missing("message"))?;
                let lines = vpc::VpcLines::default_format();
                self.read.interface_addresses = lines.has_interface_addresses();
                let entries = lines.parse(message)?;
                self.take_entries(entries, place);
            }
        }
        Ok(())
    }

    fn take_entries(&mut self, entries: Vec<Entry>, place: &str) {
        for entry in entries {
            match entry {
                Entry::Line(line) => self.take_own(*line),
                Entry::Connection(connection) => {
                    let [client, server] = [connection.client.ip(), connection.server.ip()];
                    self.note_flow([client, server], [None, None]);
                    self.note_span(connection.first, connection.last);
                    self.reader.take_connection(&connection);
                }
                Entry::Uniflow(flow) => {
                    let ends = [flow.source.ip(), flow.destination.ip()];
                    self.note_flow(ends, [flow.labels[0].as_ref(), flow.labels[1].as_ref()]);
                    self.note_span(flow.first, flow.last);
                    self.reader.take_uniflow(&flow);
                }
                Entry::Skipped(reason) => self.skip(reason),
                Entry::Incomplete(what) => self.incomplete(place, what),
                Entry::Lost(loss, count) => self.reader.lose(loss, count),
                Entry::Observer(name, first, last) => {
                    self.read.names_observers = true;
                    self.reader.note_observer(&name, first, last);
                }
            }
        }
    }

    fn take_hubble(&mut self, text: &str, place: &str) -> Result<(), LineError> {
        match hubble::parse_line(text) {
            Ok(HubbleLine::Flow(flow)) => {
                let ends = flow.ends.map(|end| end.ip());
                self.note_flow(ends, [flow.labels[0].as_ref(), flow.labels[1].as_ref()]);
                self.note_span(flow.time, flow.time);
                if let Some(node) = &flow.node {
                    self.read.names_observers = true;
                    self.reader.note_observer(node, flow.time, flow.time);
                }
                self.reader.take_event(&flow);
            }
            Ok(HubbleLine::Lost { count, .. }) => self.reader.lose(Loss::LogLost, count),
            Ok(HubbleLine::Nodes { .. }) => self.skip("hubble-node-status"),
            Ok(HubbleLine::Skipped(reason)) => self.skip(reason),
            Err(HubbleLineError::Incomplete(what)) => self.incomplete(place, what),
            Err(error) => return Err(LineError(error.to_string())),
        }
        Ok(())
    }

    /// Counts a flow, and keeps who its ends are.
    fn note_flow(&mut self, ends: [IpAddr; 2], labels: [Option<&PeerLabel>; 2]) {
        self.read.flows += 1;
        let named = |label: &Option<&PeerLabel>| {
            matches!(label, Some(PeerLabel::Pod(_) | PeerLabel::Workload { .. }))
        };
        self.read.named_ends |= labels.iter().any(named);
        if self.read.ends.len() < MAX_ENDS {
            self.read.ends.extend(ends);
        }
    }

    fn skip(&mut self, reason: &'static str) {
        *self.reader.summary.skipped.entry(reason).or_default() += 1;
    }

    /// Counts a flow without addresses or ports.
    fn incomplete(&mut self, place: &str, what: &str) {
        self.reader.lose(Loss::FlowIncomplete, 1);
        let shown = &mut self.reader.summary.incomplete;
        if shown.len() < SHOWN {
            shown.push(format!("{}:{place}: no {what}", self.read.name));
        }
    }

    fn take_own(&mut self, line: ParsedLine) {
        match &line {
            ParsedLine::Flow(observed) => {
                let record = &observed.record;
                let labels = record.labels.as_deref();
                let label =
                    |end: fn(&nanoseg_flow::PeerLabels) -> Option<&PeerLabel>| labels.and_then(end);
                self.note_flow(
                    [record.client, record.server],
                    [label(|l| l.client.as_ref()), label(|l| l.server.as_ref())],
                );
                self.note_span(record.first, record.last);
            }
            ParsedLine::Name(..) => self.read.names += 1,
            _ => {}
        }
        self.reader.take(line);
    }

    fn note_span(&mut self, first: Timestamp, last: Timestamp) {
        let span = self.read.span.get_or_insert((first, last));
        *span = (span.0.min(first), span.1.max(last));
    }
}

fn parse_object(text: &str) -> Result<Map<String, Value>, LineError> {
    serde_json::from_str(text).map_err(|error| LineError::of_json(&error))
}
