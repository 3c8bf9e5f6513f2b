//! The summary of reading captures: counts, and the faults of each capture.

use super::capture_interface::{CaptureLoss, InterfaceRead};
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::Skip;
use nanoseg_net::{FileKind, Timestamp};
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
    /// The kind of file, where it is known and of another sort.
    pub kind: Option<FileKind>,
}

/// The summary of one capture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaptureRead {
    /// The capture's name as it was given.
    pub name: String,
    /// Which of the captures, as in [`super::Frame::capture`].
    pub capture: u32,
    pub packets: u64,
    /// The earliest and latest packet time.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Each interface in the order of the file.
    pub interfaces: Vec<InterfaceRead>,
}

/// With at least this many of a hundred packets undecodable, an interface is a finding.
const LARGE_PART: u64 = 10;

impl CaptureRead {
    /// What the capture lacks, by its own account.
    pub fn loss(&self) -> CaptureLoss {
        let mut all = CaptureLoss::default();
        self.interfaces.iter().for_each(|one| all.add(one.loss));
        all
    }

    /// Returns true if the capture has packets, and none of them could be decoded (rule: undecodable-capture).
    pub fn is_undecodable(&self) -> bool {
        let count = |of: fn(&InterfaceRead) -> u64| self.interfaces.iter().map(of).sum::<u64>();
        count(|one| one.decoded) == 0 && count(|one| one.undecodable) > 0
    }

    /// Findings about packets that could not be decoded, and about packets that the capture lacks.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let hidden = self.interfaces.iter().filter(|one| one.undecodable > 0);
        if self.is_undecodable() {
            let worst = hidden.max_by_key(|one| one.undecodable);
            let message = worst.map_or(String::new(), |one| {
                format!(
                    "none of its {} packets could be decoded: {one}: {}",
                    self.packets,
                    why(one.reason)
                )
            });
            findings.push(Finding::new(Code::UndecodableCapture, &self.name, message));
        } else {
            let large = hidden.filter(|one| one.undecodable * 100 >= one.packets * LARGE_PART);
            findings.extend(large.map(|one| {
                let message = format!(
                    "{} of {} packets could not be decoded: {one}: {}",
                    one.undecodable,
                    one.packets,
                    why(one.reason)
                );
                Finding::new(Code::PartlyUndecodableCapture, &self.name, message)
            }));
        }
        let lossy = self.interfaces.iter().filter(|one| one.loss.total() > 0);
        findings.extend(lossy.map(|one| {
            let message = format!(
                "{one}: {} packets were dropped and {} passed the filter and are not in the file, as the capture \
                 itself says",
                one.loss.dropped, one.loss.missing
            );
            Finding::new(Code::ObservationLoss, &self.name, message)
        }));
        findings
    }
}

/// Why packets could not be decoded, and what helps.
fn why(reason: Option<Skip>) -> String {
    let Some(reason) = reason else {
        return String::new();
    };
    let remedy = match reason {
        Skip::UnsupportedLinkType => {
            "capture on Ethernet or with tcpdump -i any, or convert the file to Ethernet frames"
        }
        Skip::TooShort => "capture with a longer snap length (tcpdump -s 256)",
        Skip::WlanControl => "capture where the frames are not encrypted, such as on the node",
        _ => "capture at the pods' interfaces or with tcpdump -i any",
    };
    format!("{reason}; {remedy}")
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
    /// Returns true if all captures have packets that nobody can decode, and not one that was decoded.
    pub fn is_undecodable(&self) -> bool {
        let decoded = |read: &CaptureRead| read.interfaces.iter().any(|one| one.decoded > 0);
        self.read.iter().any(CaptureRead::is_undecodable) && !self.read.iter().any(decoded)
    }

    /// Findings about captures that are damaged, truncated, undecodable or not complete, or whose clock is another.
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
        findings.extend(self.read.iter().flat_map(CaptureRead::findings));
        let packed = self.skipped_files.iter();
        let packed = packed.filter(|file| file.kind.is_some_and(FileKind::may_hold_captures));
        findings.extend(packed.map(|file| {
            let message = format!("was left out: {}", file.reason);
            Finding::new(
                Code::ObservationLoss,
                file.path.display().to_string(),
                message,
            )
        }));
        findings.extend(self.clocks.iter().map(ClockNote::finding));
        findings.sort();
        findings
    }
}
