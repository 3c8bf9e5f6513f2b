//! The newest part of a record, for readers who cannot read the whole: its lines, the head before the first of
//! them, and the head of the last. Changing, removing or adding a line breaks the chain. A part that was made
//! anew as a whole is found by a [`Head`] that was kept from an earlier look.

use crate::{Break, Head, LineError, NotAHead, RecordLine, Verifier, parse_line};
use std::collections::BTreeMap;

/// The name of the ConfigMap with the newest part, in the controller's namespace.
pub const PUBLISHED: &str = "nanoseg-record";

/// The keys of its data.
const AFTER: &str = "after";
const HEAD: &str = "head";
const LINES: &str = "record.jsonl";

/// Lines that follow each other, up to the end of the record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tail {
    /// The head that the first line follows; its sequence is 0 if that is the record's first line.
    pub after: Head,
    /// The head of the last line.
    pub head: Head,
    /// Oldest first, without line breaks.
    pub lines: Vec<String>,
}

/// Data that is no part of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    #[error("failed to read published record: it has no {0:?}; it was changed or is none")]
    Missing(&'static str),
    #[error("failed to read published record: {0:?}: {1}")]
    Head(&'static str, NotAHead),
}

/// What is wrong with a part of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("line {line}: {error}")]
    Line {
        /// Its place in the part, from 1.
        line: usize,
        error: LineError,
    },
    #[error("entry {} {}", .0.sequence, .0.fault)]
    Broken(Break),
}

impl Tail {
    /// The part that consists of the record's last lines, oldest first; `None` if there are none.
    ///
    /// # Errors
    /// The first or the last is no line of a record.
    pub fn of_lines(lines: Vec<String>) -> Result<Option<Tail>, LineError> {
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return Ok(None);
        };
        let (first, last) = (parse_line(first)?, parse_line(last)?);
        Ok(Some(Tail {
            after: Head {
                sequence: first.sequence.saturating_sub(1),
                digest: first.previous,
            },
            head: last.head(),
            lines,
        }))
    }

    /// The data of a ConfigMap: `record.jsonl` is an export like that of `nanoseg record show -o json`.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        let mut lines = String::new();
        for line in &self.lines {
            lines.push_str(line);
            lines.push('\n');
        }
        BTreeMap::from([
            (AFTER.to_owned(), self.after.to_string()),
            (HEAD.to_owned(), self.head.to_string()),
            (LINES.to_owned(), lines),
        ])
    }

    /// Reads what [`Tail::to_data`] wrote; whether it is whole is for [`Tail::check`] to find.
    ///
    /// # Errors
    /// A key is missing, or its value is no head.
    pub fn from_data(data: &BTreeMap<String, String>) -> Result<Tail, TailError> {
        let get = |key: &'static str| data.get(key).ok_or(TailError::Missing(key));
        let head = |key| Head::parse(get(key)?).map_err(|error| TailError::Head(key, error));
        Ok(Tail {
            after: head(AFTER)?,
            head: head(HEAD)?,
            lines: get(LINES)?.lines().map(str::to_owned).collect(),
        })
    }

    /// Returns all lines that can be read, and everything that is wrong. `known` is the end of the record as it was
    /// seen before: its line must be there as it was, unless the part begins after it.
    pub fn check(&self, known: Option<&Head>) -> (Vec<RecordLine>, Vec<Problem>) {
        let mut verifier = Verifier::after(self.after.clone());
        if let Some(known) = known {
            verifier = verifier.with_anchor(known.clone());
        }
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for (number, line) in self.lines.iter().enumerate() {
            match parse_line(line) {
                Ok(entry) => {
                    if let Err(found) = verifier.check(&entry) {
                        problems.push(Problem::Broken(found));
                    }
                    entries.push(entry);
                }
                Err(error) => problems.push(Problem::Line {
                    line: number + 1,
                    error,
                }),
            }
        }
        let end = (self.head.sequence, self.head.digest.clone());
        if let Err(found) = verifier.finish(Some(end)) {
            problems.push(Problem::Broken(found));
        }
        (entries, problems)
    }
}
