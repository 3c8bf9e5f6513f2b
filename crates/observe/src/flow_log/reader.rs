//! Reads flow logs of any format one by one, and counts what could not be read.

use super::biflow_table::BiflowTable;
use super::detect::{Beginning, beginning};
use super::file_reader::FileReader;
use super::line_reader::{LineReader, MAX_LINE};
use super::parsed_line::{LineError, ParsedLine};
use super::uniflow::Uniflow;
use super::{FlowLogError, FlowLogFormat, FlowLogSummary};
use crate::hubble::{HubbleFlow, HubbleLimits, HubbleTable};
use nanoseg_flow::{
    AddressBound, Aggregate, Collector, CollectorLimits, ConnectionReport, ConnectionSink, Loss,
    Observations, Observed, Observer, Source, UNBOUNDED_RECORDS,
};
use nanoseg_net::{FILE_KIND_BYTES, FileKind, Timestamp};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

const SQLITE: &[u8] = b"SQLite format 3\0";
const PARQUET: &[u8] = b"PAR1";
/// Names of observers that are kept.
const MAX_OBSERVERS: usize = 1 << 14;

/// Everything that was read so far.
pub(super) struct FlowLogReader {
    aggregate: Aggregate,
    /// Counts outside addresses by block where there are too many.
    bound: AddressBound,
    /// Hubble's events of all files: the nodes of both ends report one connection.
    table: HubbleTable,
    collector: Collector,
    /// One-direction records of all files: the exporters of both ends report one connection.
    biflows: BiflowTable,
    /// Connections of logs that report them as such.
    connections: Collector,
    /// The latest time in them.
    now: Timestamp,
    /// Nodes and exporters that the logs name as those who observed, by name or address, with the times of their first and last
    /// flow.
    observers: BTreeMap<String, (Timestamp, Timestamp)>,
    pub summary: FlowLogSummary,
}

/// Reads one flow log that is in memory.
///
/// # Errors
/// As [`super::read_flows`] of one file.
pub fn parse_bytes(bytes: &[u8], name: &str) -> Result<(Aggregate, FlowLogSummary), FlowLogError> {
    let mut reader = FlowLogReader::new();
    let length = Cell::new(bytes.len() as u64);
    reader.read(Path::new(name), bytes, &length)?;
    Ok(reader.finish())
}

impl FlowLogReader {
    pub fn new() -> Self {
        FlowLogReader {
            aggregate: Aggregate::default(),
            bound: AddressBound::default(),
            table: HubbleTable::new(HubbleLimits::default()),
            collector: Collector::new(CollectorLimits::default()),
            biflows: BiflowTable::default(),
            connections: Collector::new(CollectorLimits::default()),
            now: Timestamp::MIN,
            observers: BTreeMap::new(),
            summary: FlowLogSummary::default(),
        }
    }

    /// Reads one flow log. `length` returns how many bytes of it were read from the disk.
    pub fn read(
        &mut self,
        path: &Path,
        mut source: impl Read,
        length: &Cell<u64>,
    ) -> Result<(), FlowLogError> {
        let refused = |error: LineError| FlowLogError::NotAFlowLog {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let head = head(&mut source).map_err(|source| FlowLogError::Open {
            path: path.to_path_buf(),
            source,
        })?;
        if head.starts_with(SQLITE) {
            if path == Path::new("-") {
                return Err(refused(LineError(
                    "a store cannot come by standard input".into(),
                )));
            }
            self.summary.stores.push(path.to_path_buf());
            return Ok(());
        }
        if head.starts_with(PARQUET) {
            return Err(refused(LineError(
                "Parquet is not read; deliver the log as plain text, or convert it to CSV or JSON"
                    .into(),
            )));
        }
        let kind = FileKind::of(&head).filter(|kind| *kind != FileKind::Text);
        if let Some(kind) = kind {
            return Err(refused(LineError(kind.to_string())));
        }
        let start = match LineReader::new(head.as_slice()).next() {
            None => Beginning::Lines(FlowLogFormat::Jsonl),
            Some((_, Err(bad))) => return Err(refused(LineError(bad.to_string()))),
            Some((_, Ok(line))) => beginning(line).map_err(refused)?,
        };
        let mut file = FileReader::new(self, path);
        let whole = Cursor::new(head).chain(source);
        match start {
            Beginning::Lines(format) => file.read_lines(format, BufReader::new(whole)),
            Beginning::Table(table) => file.read_table(table, BufReader::new(whole)),
            Beginning::EventStream => file.read_events(BufReader::new(whole)),
            Beginning::Csv => file.read_csv(whole),
            Beginning::Document => file.read_document(BufReader::new(whole)),
        }
        .map_err(refused)?;
        let mut read = file.read;
        read.bytes = length.get();
        self.summary.read.push(read);
        Ok(())
    }

    pub fn finish(mut self) -> (Aggregate, FlowLogSummary) {
        self.table.end_all(&mut self.collector);
        self.collect();
        self.biflows.end_all(&mut self.connections);
        self.collect_connections();
        for (node, span) in std::mem::take(&mut self.observers) {
            self.aggregate.add_view(&Arc::from(node), span);
        }
        let resets = self.table.lone_resets();
        if resets > 0 {
            *self.summary.skipped.entry("lone-reset").or_default() += resets;
        }
        let merged = self.bound.merged();
        self.lose(Loss::AddressMerged, merged);
        (self.aggregate, self.summary)
    }

    pub fn lose(&mut self, loss: Loss, count: u64) {
        let mut slice = Observations::default();
        slice.lose(loss, count);
        self.add(slice);
    }

    /// Adds the records of Hubble's events so far to the other records.
    fn collect(&mut self) {
        let slice = self.table.take(&mut self.collector);
        self.add(slice);
    }

    /// Adds one of Hubble's events.
    pub fn take_event(&mut self, flow: &HubbleFlow) {
        // Files may come in any order: the time goes forward all the same.
        self.now = self.now.max(flow.time);
        self.table.ingest(flow, self.now, &mut self.collector);
        if self.collector.is_full() {
            self.collect();
        }
    }

    /// Adds one direction of a connection.
    pub fn take_uniflow(&mut self, flow: &Uniflow) {
        self.biflows.ingest(flow, &mut self.connections);
        self.make_room();
    }

    /// Adds a connection.
    pub fn take_connection(&mut self, connection: &ConnectionReport) {
        self.connections.report(connection);
        self.make_room();
    }

    fn make_room(&mut self) {
        if self.connections.is_full() {
            self.collect_connections();
        }
    }

    fn collect_connections(&mut self) {
        let (records, scans, losses) = self.connections.take();
        let mut slice = Observations {
            records: records.into_iter().map(|r| (Source::FlowLog, r)).collect(),
            scans,
            losses,
            ..Observations::default()
        };
        slice.lose(Loss::ConnectionEvicted, self.biflows.take_evicted());
        slice.lose(Loss::DirectionMissing, self.biflows.take_one_sided());
        self.add(slice);
    }

    /// Notes that somebody observed something in that time.
    pub fn note_observer(&mut self, name: &str, first: Timestamp, last: Timestamp) {
        let observers = &mut self.observers;
        if let Some(span) = observers.get_mut(name) {
            *span = (span.0.min(first), span.1.max(last));
        } else if observers.len() < MAX_OBSERVERS {
            observers.insert(name.to_owned(), (first, last));
        }
    }

    fn add(&mut self, mut slice: Observations) {
        let node: Arc<str> = Arc::from("");
        for (source, record) in slice.records.drain(..) {
            let node = node.clone();
            self.add_record(Observed {
                observer: Observer { node, source },
                record,
            });
        }
        self.aggregate.add(&node, slice);
    }

    fn add_record(&mut self, mut observed: Observed) {
        if self.aggregate.len() >= UNBOUNDED_RECORDS {
            self.bound.apply(&observed.observer, &mut observed.record);
        }
        self.aggregate.add_record(observed);
    }

    pub fn take(&mut self, line: ParsedLine) {
        let mut slice = Observations::default();
        match line {
            ParsedLine::Flow(observed) => return self.add_record(observed),
            ParsedLine::Name(address, entry) => slice.names.push((address, entry)),
            ParsedLine::Other(traffic) => slice.other.push(traffic),
            ParsedLine::Scan(scan) => slice.scans.push(scan),
            ParsedLine::Loss(loss, count) => slice.lose(loss, count),
        }
        self.add(slice);
    }
}

/// The beginning of a file up to the end of its first line that is not blank; whatever of it can be
/// read, if the rest cannot.
fn head(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        let line = head.trim_ascii_start();
        let has_line = head.len() >= FILE_KIND_BYTES && line.contains(&b'\n');
        if head.len() > MAX_LINE || line.starts_with(SQLITE) || has_line {
            return Ok(head);
        }
        match source.read(&mut chunk) {
            Ok(0) => return Ok(head),
            Ok(count) => head.extend(chunk.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if head.is_empty() => return Err(error),
            Err(_) => return Ok(head),
        }
    }
}
