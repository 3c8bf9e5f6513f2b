//! Reads lines of text from a source that may be damaged, cut off or endless.

use std::io::{BufRead, ErrorKind};

/// A longer line is none of a flow log; it is skipped without being kept.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// Why a line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadLine {
    TooLong,
    NoText,
    /// Reading failed; there are no further lines.
    Ended(String),
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadLine::TooLong => write!(f, "longer than {MAX_LINE} bytes"),
            BadLine::NoText => f.write_str("no UTF-8 text"),
            BadLine::Ended(why) => write!(f, "reading ended here: {why}"),
        }
    }
}

/// Reads lines one after another.
pub(crate) struct LineReader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    ended: bool,
}

impl<R: BufRead> LineReader<R> {
    pub fn new(input: R) -> Self {
        LineReader {
            input,
            line: Vec::new(),
            number: 0,
            ended: false,
        }
    }

    /// The next line that is not blank, without its end, and its number, counted from 1.
    pub fn next(&mut self) -> Option<(u64, Result<&str, BadLine>)> {
        loop {
            let outcome = self.read()?;
            if outcome.is_err() || !self.line.trim_ascii().is_empty() {
                let text = outcome.and_then(|()| {
                    let line = self.line.trim_ascii();
                    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                    std::str::from_utf8(line).map_err(|_| BadLine::NoText)
                });
                return Some((self.number, text));
            }
        }
    }

    /// Reads one line into the buffer.
    fn read(&mut self) -> Option<Result<(), BadLine>> {
        if self.ended {
            return None;
        }
        self.line.clear();
        self.number += 1;
        let mut length = 0usize;
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(BadLine::Ended(error.to_string())));
                }
            };
            if bytes.is_empty() {
                self.ended = true;
                if length == 0 {
                    return None;
                }
                break;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            length += taken;
            if length <= MAX_LINE {
                self.line.extend(bytes.iter().take(taken));
            }
            self.input.consume(taken);
            if end.is_some() {
                break;
            }
        }
        Some(if length <= MAX_LINE {
            Ok(())
        } else {
            Err(BadLine::TooLong)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    #[test]
    fn blank_lines_are_skipped_and_bad_ones_reported_with_their_numbers() {
        let long = "x".repeat(MAX_LINE + 1);
        let text = [
            &b"\xef\xbb\xbfone\r\n\n"[..],
            b"\xff\n",
            long.as_bytes(),
            b"\n two",
        ]
        .concat();
        let mut lines = LineReader::new(BufReader::with_capacity(7, Cursor::new(text)));
        assert_eq!(lines.next(), Some((1, Ok("one"))));
        assert_eq!(lines.next(), Some((3, Err(BadLine::NoText))));
        assert_eq!(lines.next(), Some((4, Err(BadLine::TooLong))));
        assert_eq!(lines.next(), Some((5, Ok("two"))));
        assert_eq!(lines.next(), None);
    }
}
