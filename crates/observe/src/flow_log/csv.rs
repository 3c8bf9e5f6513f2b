//! nanoseg's flow log as CSV: the fields of the JSON form that hold one value, under the same names.

use super::jsonl::{RawLine, parse_protocol};
use super::parsed_line::{LineError, ParsedLine};
use super::time::FlowTime;
use nanoseg_net::{canonical_socket, parse_address};
use std::io::Read;
use std::net::IpAddr;
use std::str::FromStr;

/// Reads lines by the names of their columns.
pub(super) struct CsvLines<R> {
    reader: csv::Reader<R>,
    columns: csv::StringRecord,
    record: csv::StringRecord,
    /// Reading failed: there are no further lines.
    ended: bool,
}

/// The columns that may be there.
const COLUMNS: [&str; 17] = [
    "client",
    "server",
    "port",
    "protocol",
    "time",
    "first",
    "last",
    "via",
    "seen_as",
    "client_port",
    "verdict",
    "opening",
    "connections",
    "datagrams",
    "bytes_to_server",
    "bytes_to_client",
    "node",
];

impl<R: Read> CsvLines<R> {
    /// Reads the header line.
    ///
    /// # Errors
    /// A header with a name that is no column.
    pub fn open(input: R) -> Result<Self, LineError> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(input);
        let mut columns = reader
            .headers()
            .map_err(|e| LineError(e.to_string()))?
            .clone();
        if let Some(first) = columns.get(0).and_then(|c| c.strip_prefix('\u{feff}')) {
            let rest = columns.iter().skip(1);
            columns = std::iter::once(first).chain(rest).collect();
        }
        match columns.iter().find(|column| !COLUMNS.contains(column)) {
            Some(unknown) => Err(LineError(format!(
                "there is no column {unknown:?}; the columns are {}",
                COLUMNS.join(", ")
            ))),
            None => Ok(CsvLines {
                reader,
                columns,
                record: csv::StringRecord::new(),
                ended: false,
            }),
        }
    }

    /// The next line with its number, counted from 1; `None` at the end.
    pub fn next(&mut self) -> Option<(u64, Result<ParsedLine, LineError>)> {
        if self.ended {
            return None;
        }
        let line = self.reader.position().line();
        match self.reader.read_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                let line = self.record.position().map_or(line, csv::Position::line);
                Some((line, self.parse()))
            }
            Err(error) => {
                self.ended = error.is_io_error();
                Some((line, Err(LineError(error.to_string()))))
            }
        }
    }

    fn parse(&self) -> Result<ParsedLine, LineError> {
        if self.record.len() != self.columns.len() {
            return Err(LineError(format!(
                "{} fields under {} columns",
                self.record.len(),
                self.columns.len()
            )));
        }
        let mut line = RawLine::default();
        for (column, text) in self.columns.iter().zip(&self.record) {
            if !text.is_empty() {
                set(&mut line, column, text)?;
            }
        }
        line.parse()
    }
}

fn set(line: &mut RawLine, column: &str, text: &str) -> Result<(), LineError> {
    match column {
        "client" => line.client = Some(address(column, text)?),
        "server" => line.server = Some(address(column, text)?),
        "port" => line.port = parse(column, text)?,
        "protocol" => line.protocol = Some(parse_protocol(text).ok_or_else(|| bad(column, text))?),
        "time" => line.time = Some(FlowTime::parse(text).ok_or_else(|| bad(column, text))?),
        "first" => line.first = Some(FlowTime::parse(text).ok_or_else(|| bad(column, text))?),
        "last" => line.last = Some(FlowTime::parse(text).ok_or_else(|| bad(column, text))?),
        "via" => line.via = parse(column, text)?.map(canonical_socket),
        "seen_as" => line.seen_as = Some(address(column, text)?),
        "client_port" => line.client_port = parse(column, text)?,
        "verdict" => line.verdict = Some(word(column, text)?),
        "opening" => line.opening = Some(word(column, text)?),
        "connections" => line.connections = parse(column, text)?,
        "datagrams" => line.datagrams = parse(column, text)?,
        "bytes_to_server" => line.bytes_to_server = parse(column, text)?,
        "bytes_to_client" => line.bytes_to_client = parse(column, text)?,
        _ => line.node = Some(text.to_owned()),
    }
    Ok(())
}

fn address(column: &str, text: &str) -> Result<IpAddr, LineError> {
    parse_address(text).ok_or_else(|| bad(column, text))
}

fn parse<T: FromStr>(column: &str, text: &str) -> Result<Option<T>, LineError> {
    text.parse().map(Some).map_err(|_| bad(column, text))
}

/// One of an enum's words, as the JSON form spells them.
fn word<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, LineError> {
    serde_json::from_value(text.into()).map_err(|_| bad(column, text))
}

fn bad(column: &str, text: &str) -> LineError {
    LineError(format!("{column} cannot be {text:?}"))
}
