//! Flow logs: files in which somebody else, or `nanoseg observe`, has written down connections. Which
//! format a file has is decided by its content, never by its name.
//!
//! A line that cannot be read is counted and named, and the rest of the file is used; a file whose first
//! line is no flow is refused, for it is the wrong file.

mod biflow_table;
mod calico;
mod csv;
mod detect;
mod entry;
mod error;
mod file_reader;
#[cfg(test)]
mod format_tests;
mod json_document;
mod jsonl;
pub(crate) mod line_reader;
mod netobserv;
mod nfdump;
mod parsed_line;
mod reader;
mod summary;
#[cfg(test)]
mod tests;
mod time;
mod uniflow;
mod vpc;
mod zeek;

pub use error::FlowLogError;
pub use jsonl::{write_name, write_record, write_slice};
pub use reader::parse_bytes;
pub use summary::{FlowLogFormat, FlowLogRead, FlowLogSummary};

use super::SkippedFile;
use super::capture_files::{self, Input};
use super::decompression;
use nanoseg_flow::Aggregate;
use reader::FlowLogReader;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Reads files, folders (recursively) and `-` (standard input).
///
/// # Errors
/// A named file that cannot be opened or is no flow log, a folder that cannot be listed, or nothing
/// that is a flow log at all.
pub fn read_flows(paths: &[PathBuf]) -> Result<(Aggregate, FlowLogSummary), FlowLogError> {
    let mut reader = FlowLogReader::new();
    for input in capture_files::list(paths)? {
        let (path, named) = match input {
            Input::File { path, named } => (path, named),
            Input::Stdin => (PathBuf::from("-"), true),
        };
        match read_one(&path, &mut reader) {
            Err(FlowLogError::NotAFlowLog { path, reason }) if !named => {
                reader.summary.skipped_files.push(SkippedFile {
                    path,
                    reason,
                    kind: None,
                });
            }
            outcome => outcome?,
        }
    }
    let (aggregate, summary) = reader.finish();
    if summary.read.is_empty() && summary.stores.is_empty() {
        let paths: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(FlowLogError::NoFlowLogs {
            paths: paths.join(", "),
        });
    }
    Ok((aggregate, summary))
}

fn read_one(path: &Path, reader: &mut FlowLogReader) -> Result<(), FlowLogError> {
    let failed = |source| FlowLogError::Open {
        path: path.to_path_buf(),
        source,
    };
    let read = Rc::new(Cell::new(0));
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let source = decompression::decompressed_text(raw, Rc::clone(&read)).map_err(failed)?;
    reader.read(path, source, &read)
}
