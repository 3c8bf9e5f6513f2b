//! Reads flow logs of any format one by one, and counts what could not be read.

use super::calico::{self, CalicoLine};
use super::csv::CsvLines;
use super::detect::{Beginning, beginning, form_of};
use super::line_reader::{LineReader, MAX_LINE};
use super::parsed_line::{LineError, ParsedLine};
use super::{FlowLogError, FlowLogFormat, FlowLogRead, FlowLogSummary, json_document, jsonl};
use crate::hubble::{self, HubbleLimits, HubbleLine, HubbleLineError, HubbleTable};
use nanoseg_flow::{Aggregate, Collector, CollectorLimits, Loss, Observations, Source};
use nanoseg_net::{FILE_KIND_BYTES, FileKind, Timestamp};
use std::cell::Cell;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

/// How many bad lines are shown.
const SHOWN: usize = 5;
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Everything that was read so far.
pub(super) struct FlowLogReader {
    aggregate: Aggregate,
    /// Hubble's events of all files: the nodes of both ends report one connection.
    table: HubbleTable,
    collector: Collector,
    /// The latest time in them.
    now: Timestamp,
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
            table: HubbleTable::new(HubbleLimits::default()),
            collector: Collector::new(CollectorLimits::default()),
            now: Timestamp::MIN,
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
        let resets = self.table.lone_resets();
        if resets > 0 {
            *self.summary.skipped.entry("lone-reset").or_default() += resets;
        }
        (self.aggregate, self.summary)
    }

    fn lose(&mut self, loss: Loss, count: u64) {
        let mut slice = Observations::default();
        slice.lose(loss, count);
        self.add(slice);
    }

    /// Adds the records of Hubble's events so far to the other records.
    fn collect(&mut self) {
        let (records, scans, losses) = self.collector.take();
        let records = records.into_iter().map(|r| (Source::Hubble, r)).collect();
        let (names, names_lost) = self.table.take_names();
        let mut slice = Observations {
            records,
            scans,
            names,
            losses,
            ..Observations::default()
        };
        slice.lose(Loss::NameDropped, names_lost);
        slice.lose(Loss::ConnectionEvicted, self.table.take_evicted());
        self.add(slice);
    }

    fn add(&mut self, slice: Observations) {
        self.aggregate.add(&Arc::from(""), slice);
    }

    fn take(&mut self, line: ParsedLine) {
        let mut slice = Observations::default();
        match line {
            ParsedLine::Flow(observed) => return self.aggregate.add_record(observed),
            ParsedLine::Name(address, entry) => slice.names.push((address, entry)),
            ParsedLine::Other(traffic) => slice.other.push(traffic),
            ParsedLine::Scan(scan) => slice.scans.push(scan),
            ParsedLine::Loss(loss, count) => slice.lose(loss, count),
        }
        self.add(slice);
    }
}

/// One file on its way in.
struct FileReader<'i> {
    reader: &'i mut FlowLogReader,
    read: FlowLogRead,
    /// A line was good: from now on bad ones are counted.
    begun: bool,
}

impl<'i> FileReader<'i> {
    fn new(reader: &'i mut FlowLogReader, path: &Path) -> Self {
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
            },
            begun: false,
        }
    }

    fn read_lines(
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

    fn read_csv(&mut self, input: impl Read) -> Result<(), LineError> {
        self.read.format = FlowLogFormat::Csv;
        let mut lines = CsvLines::open(input)?;
        while let Some((number, line)) = lines.next() {
            let outcome = line.map(|line| self.take_own(line));
            self.count_outcome(&number.to_string(), outcome)?;
        }
        Ok(())
    }

    fn read_document(&mut self, input: impl Read) -> Result<(), LineError> {
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
            FlowLogFormat::Calico => match calico::parse_line(text)? {
                CalicoLine::Flow(line) => self.take_own(*line),
                CalicoLine::Skipped(reason) => self.skip(reason),
                CalicoLine::Incomplete(what) => self.incomplete(place, what),
            },
        }
        Ok(())
    }

    fn take_hubble(&mut self, text: &str, place: &str) -> Result<(), LineError> {
        match hubble::parse_line(text) {
            Ok(HubbleLine::Flow(flow)) => {
                self.read.flows += 1;
                self.note_span(flow.time, flow.time);
                let reader = &mut *self.reader;
                // Files may come in any order: the time goes forward all the same.
                reader.now = reader.now.max(flow.time);
                reader
                    .table
                    .ingest(&flow, reader.now, &mut reader.collector);
                if reader.collector.is_full() {
                    reader.collect();
                }
            }
            Ok(HubbleLine::Lost(count)) => self.reader.lose(Loss::LogLost, count),
            Ok(HubbleLine::Skipped(reason)) => self.skip(reason),
            Err(HubbleLineError::Incomplete(what)) => self.incomplete(place, what),
            Err(error) => return Err(LineError(error.to_string())),
        }
        Ok(())
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
                self.read.flows += 1;
                self.note_span(observed.record.first, observed.record.last);
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
