//! The summary of reading captures: counts, and the faults of each capture.

use nanoseg_finding::{Code, Finding};
use nanoseg_net::Timestamp;
use std::path::PathBuf;

/// How far reading has come, in bytes as they are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub bytes: u64,
    /// `None` while a stream is among the captures.
    pub total: Option<u64>,
}

/// What is wrong with a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// It ends in the middle of a packet: the writer was killed.
    Truncated,
    /// Something in it cannot be read.
    Damaged,
}

/// One capture that could not be read to its end, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// The capture's name as it was given.
    pub capture: String,
    pub kind: TroubleKind,
    /// What happened, starting after the capture's name.
    pub message: String,
}

/// What is known of the clock of a capture beside others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClockNote {
    /// Its times were moved by so many nanoseconds, to those of the reference.
    Moved {
        capture: String,
        by: i64,
        reference: String,
    },
    /// Both see the same connections, but no packets show how far their clocks are apart.
    Unclear { capture: String, reference: String },
    /// Standard input cannot be read before the other captures.
    Stream,
}

impl ClockNote {
    fn finding(&self) -> Finding {
        match self {
            ClockNote::Moved {
                capture,
                by,
                reference,
            } => {
                let (sign, tenths) = (
                    if *by < 0 { '-' } else { '+' },
                    (by.unsigned_abs() + 50_000_000) / 100_000_000,
                );
                let message = format!(
                    "its times were moved by {sign}{}.{} s, since {reference} has the same packets at other times",
                    tenths / 10,
                    tenths % 10
                );
                Finding::new(Code::ClockMoved, capture.clone(), message)
            }
            ClockNote::Unclear { capture, reference } => {
                let message = format!(
                    "has connections that are in {reference} too, but too few packets are in both to compare the clocks; \
                     its times are taken as they are"
                );
                Finding::new(Code::ClockUnclear, capture.clone(), message)
            }
            ClockNote::Stream => {
                let message = "standard input cannot be read twice, so its clock is not compared with those of the other \
                               captures; its times are taken as they are";
                Finding::new(Code::ClockUnclear, "-", message)
            }
        }
    }
}

/// A file in a folder that is no capture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkippedFile {
    pub path: PathBuf,
    pub reason: String,
}

/// The summary of one capture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaptureRead {
    /// The capture's name as it was given.
    pub name: String,
    pub packets: u64,
    /// The earliest and latest packet time.
    pub span: Option<(Timestamp, Timestamp)>,
}

/// The summary of reading a set of captures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureSummary {
    pub captures: usize,
    /// Each capture, in order of name.
    pub read: Vec<CaptureRead>,
    pub packets: u64,
    /// Blocks of pcapng files that carry no packet (statistics, names, comments, unknown ones).
    pub other_blocks: u64,
    /// The earliest and latest packet time.
    pub span: Option<(Timestamp, Timestamp)>,
    pub troubles: Vec<Trouble>,
    pub skipped_files: Vec<SkippedFile>,
    /// Captures whose clocks differ, or cannot be compared.
    pub clocks: Vec<ClockNote>,
}

impl CaptureSummary {
    /// One finding per damaged or truncated capture, and per capture whose clock is another.
    pub fn findings(&self) -> Vec<Finding> {
        let code = |kind| match kind {
            TroubleKind::Truncated => Code::TruncatedCapture,
            TroubleKind::Damaged => Code::DamagedCapture,
        };
        let mut findings: Vec<_> = self
            .troubles
            .iter()
            .map(|t| Finding::new(code(t.kind), t.capture.clone(), t.message.clone()))
            .collect();
        findings.extend(self.clocks.iter().map(ClockNote::finding));
        findings.sort();
        findings
    }
}
