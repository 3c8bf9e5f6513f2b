//! A set of captures, read as one stream of frames in the order of time.

use super::capture_files::{self, Input};
use super::capture_merge;
use super::capture_summary::{
    CaptureRead, CaptureSummary, ClockNote, Progress, SkippedFile, Trouble, TroubleKind,
};
use super::decompression::{self, Source};
use super::{
    ObserveError,
    capture_format::{Format, Head, NoFormat, Step},
    read_buffer::{Filled, ReadBuffer},
};
use nanoseg_flow::LinkType;
use nanoseg_net::Timestamp;
use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::rc::Rc;

/// One frame, borrowed from the read buffer.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub time: Timestamp,
    pub link: LinkType,
    /// The number of the capture's interface, from 0; always 0 in a pcap file.
    pub interface: u32,
    pub data: &'a [u8],
    /// The frame's length on the wire, at least that of `data`.
    pub original_length: u32,
    /// Which of the captures, counted from 0 in the order of their paths.
    pub capture: u32,
}

/// The read buffer of a lone capture, and what all buffers of many captures take together.
const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 16 << 20;
pub(super) const SMALLEST_BUFFER: usize = 16 << 10;

/// With more captures than this, each is opened only when its first packet is next.
pub(super) const MAX_OPEN_AT_ONCE: usize = 500;

/// How often progress is reported, in packets.
const PROGRESS_EVERY: u64 = 1 << 14;

/// Captures that were found to be readable.
pub struct CaptureSet {
    pub(super) captures: Vec<Capture>,
    /// Where each can be read once more; `None`: standard input.
    pub(super) paths: Vec<Option<PathBuf>>,
    /// What is known of their clocks.
    pub(super) clocks: Vec<ClockNote>,
    skipped: Vec<SkippedFile>,
    read: Rc<Cell<u64>>,
    total: Option<u64>,
}

/// One capture, open or to be opened when its turn comes.
pub(super) enum Capture {
    Open(Box<CaptureReader>),
    Closed {
        path: PathBuf,
        first: Timestamp,
        /// What to add to its times, in nanoseconds.
        shift: i64,
    },
}

/// One capture that is being read.
pub(super) struct CaptureReader {
    pub name: String,
    buffer: ReadBuffer<Source>,
    format: Format,
    done: bool,
    pub packets: u64,
    pub span: Option<(Timestamp, Timestamp)>,
    pub troubles: Vec<(TroubleKind, String)>,
    /// What to add to its times, in nanoseconds.
    pub shift: i64,
}

impl CaptureSet {
    /// Opens files, folders (recursively) and `-` (standard input).
    ///
    /// # Errors
    /// A named file that cannot be opened or is no capture, a folder that cannot be listed, or
    /// nothing that is a capture at all.
    pub fn open(paths: &[PathBuf]) -> Result<CaptureSet, ObserveError> {
        let inputs = capture_files::list(paths)?;
        let read = Rc::new(Cell::new(0));
        let mut set = CaptureSet {
            captures: Vec::new(),
            paths: Vec::new(),
            clocks: Vec::new(),
            skipped: Vec::new(),
            read,
            total: Some(0),
        };
        let lazily = inputs.len() > MAX_OPEN_AT_ONCE;
        let capacity = (BUFFERS / inputs.len().max(1)).clamp(SMALLEST_BUFFER, BUFFER);
        for input in inputs {
            set.add(input, capacity, lazily)?;
        }
        if set.captures.is_empty() {
            let paths: Vec<_> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            return Err(ObserveError::NoCaptures {
                paths: paths.join(", "),
            });
        }
        Ok(set)
    }

    fn add(&mut self, input: Input, capacity: usize, lazily: bool) -> Result<(), ObserveError> {
        let (path, named) = match input {
            Input::File { path, named } => (path, named),
            Input::Stdin => {
                self.total = None;
                let path = PathBuf::from("-");
                let reader = CaptureReader::open(io::stdin(), "-".into(), &self.read, capacity);
                self.captures.push(Capture::Open(Box::new(
                    reader.map_err(|e| no_capture(e, path))?,
                )));
                self.paths.push(None);
                return Ok(());
            }
        };
        match open_file(&path, &self.read, capacity) {
            Ok((mut reader, length)) => {
                self.total = self.total.map(|total| total + length);
                self.paths.push(Some(path.clone()));
                self.captures.push(if lazily {
                    let first = reader.next().map_or(Timestamp::MAX, |head| head.time);
                    self.read.set(0);
                    Capture::Closed {
                        path,
                        first,
                        shift: 0,
                    }
                } else {
                    Capture::Open(Box::new(reader))
                });
                Ok(())
            }
            Err(error) if named => Err(no_capture(error, path)),
            Err(error) => {
                let (reason, kind) = error.reason();
                self.skipped.push(SkippedFile { path, reason, kind });
                Ok(())
            }
        }
    }

    /// The names of the captures, in the order of [`Frame::capture`].
    pub fn names(&self) -> Vec<String> {
        let name = |capture: &Capture| match capture {
            Capture::Open(reader) => reader.name.clone(),
            Capture::Closed { path, .. } => path.display().to_string(),
        };
        self.captures.iter().map(name).collect()
    }

    /// How many captures there are.
    pub fn len(&self) -> usize {
        self.captures.len()
    }

    /// Never true of a set that was opened.
    pub fn is_empty(&self) -> bool {
        self.captures.is_empty()
    }

    /// Calls `on_frame` with every frame, in the order of time across captures; frames of the same
    /// time come in the order of the captures' paths, and those of one capture as they stand there.
    ///
    /// # Errors
    /// Only if a capture that was there when the set was opened cannot be opened again.
    pub fn for_each(
        self,
        mut on_frame: impl FnMut(Frame<'_>),
        mut on_progress: impl FnMut(Progress),
    ) -> Result<CaptureSummary, ObserveError> {
        let CaptureSet {
            mut captures,
            paths: _,
            clocks,
            skipped,
            read,
            total,
        } = self;
        let mut summary = CaptureSummary {
            captures: captures.len(),
            skipped_files: skipped,
            clocks,
            ..CaptureSummary::default()
        };
        let mut report_progress = || {
            on_progress(Progress {
                bytes: read.get(),
                total,
            })
        };
        if let [Capture::Open(reader)] = captures.as_mut_slice() {
            reader.read_alone(&mut on_frame, &mut report_progress);
            reader.add_to(&mut summary, 0);
        } else {
            capture_merge::merge(
                captures,
                &read,
                &mut on_frame,
                &mut report_progress,
                &mut summary,
            )?;
        }
        report_progress();
        summary.troubles.sort();
        summary.read.sort();
        Ok(summary)
    }
}

pub(super) fn no_capture(error: NoFormat, path: PathBuf) -> ObserveError {
    match error {
        NoFormat::Io(source) => ObserveError::Open { path, source },
        other => ObserveError::NotACapture {
            path,
            reason: other.reason().0,
        },
    }
}

/// Opens one file. Also returns its length on the disk, in bytes.
pub(super) fn open_file(
    path: &std::path::Path,
    read: &Rc<Cell<u64>>,
    capacity: usize,
) -> Result<(CaptureReader, u64), NoFormat> {
    let length = fs::metadata(path).map_err(NoFormat::Io)?.len();
    let file = File::open(path).map_err(NoFormat::Io)?;
    Ok((
        CaptureReader::open(file, path.display().to_string(), read, capacity)?,
        length,
    ))
}

/// Reads one capture from memory: what [`CaptureSet`] does, for tests and fuzzing.
///
/// # Errors
/// Why the bytes are no capture.
pub fn read_capture_bytes(
    bytes: &[u8],
    mut on_frame: impl FnMut(Frame<'_>),
) -> Result<CaptureSummary, String> {
    let source = io::Cursor::new(bytes.to_vec());
    let mut reader = CaptureReader::open(source, "bytes".into(), &Rc::default(), SMALLEST_BUFFER)
        .map_err(|error| error.reason().0)?;
    reader.read_alone(&mut on_frame, &mut || {});
    let mut summary = CaptureSummary {
        captures: 1,
        ..CaptureSummary::default()
    };
    reader.add_to(&mut summary, 0);
    Ok(summary)
}

impl CaptureReader {
    pub fn open(
        raw: impl io::Read + 'static,
        name: String,
        read: &Rc<Cell<u64>>,
        capacity: usize,
    ) -> Result<CaptureReader, NoFormat> {
        let source = decompression::decompressed(raw, Rc::clone(read)).map_err(NoFormat::Io)?;
        let mut buffer = ReadBuffer::new(source, capacity);
        let format = Format::detect(&mut buffer)?;
        Ok(CaptureReader {
            name,
            buffer,
            format,
            done: false,
            packets: 0,
            span: None,
            troubles: vec![],
            shift: 0,
        })
    }

    /// The next packet, at the start of the buffer; it stays there until [`CaptureReader::consume`].
    #[inline(always)]
    pub fn next(&mut self) -> Option<Head> {
        loop {
            match self.format.step(self.buffer.data()) {
                Step::Packet(mut head) => {
                    head.time = head.time.plus_nanos(self.shift);
                    return Some(head);
                }
                Step::Skip(length) => self.buffer.consume(length),
                Step::Need(wanted) => {
                    if !self.more(wanted) {
                        return None;
                    }
                }
                Step::Damaged(what) => {
                    self.end(Some((
                        TroubleKind::Damaged,
                        format!("{what}; the rest is left out"),
                    )));
                    return None;
                }
            }
        }
    }

    /// Reads on; false at the end of the capture, however it comes.
    #[cold]
    fn more(&mut self, wanted: usize) -> bool {
        let trouble = match self.buffer.fill(wanted) {
            _ if self.done => None,
            Ok(Filled::Enough) => return true,
            Ok(Filled::Ended) if self.buffer.data().is_empty() => None,
            Ok(Filled::Ended) => {
                let message = format!("ends inside a record, after {} packets", self.packets);
                Some((TroubleKind::Truncated, message))
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let message = format!(
                    "ends inside compressed data, after {} packets",
                    self.packets
                );
                Some((TroubleKind::Truncated, message))
            }
            Err(error) => {
                let message = format!("cannot be read on after {} packets: {error}", self.packets);
                Some((TroubleKind::Damaged, message))
            }
        };
        self.end(trouble);
        false
    }

    fn end(&mut self, trouble: Option<(TroubleKind, String)>) {
        if !self.done {
            self.done = true;
            self.troubles.extend(self.format.take_trouble());
            self.troubles.extend(trouble);
        }
        let rest = self.buffer.data().len();
        self.buffer.consume(rest);
    }

    /// The frame of the packet that [`CaptureReader::next`] found.
    #[inline(always)]
    pub fn frame(&self, head: &Head, capture: u32) -> Frame<'_> {
        Frame {
            time: head.time,
            link: head.link,
            interface: head.interface,
            data: &self.buffer.data()[head.from..head.to],
            original_length: head.original_length,
            capture,
        }
    }

    /// Done with that packet.
    #[inline(always)]
    pub fn consume(&mut self, head: &Head) {
        self.packets += 1;
        self.span = Some(match self.span {
            None => (head.time, head.time),
            Some((first, last)) => (first.min(head.time), last.max(head.time)),
        });
        self.buffer.consume(head.length);
    }

    fn read_alone(
        &mut self,
        on_frame: &mut impl FnMut(Frame<'_>),
        report_progress: &mut impl FnMut(),
    ) {
        while let Some(head) = self.next() {
            on_frame(self.frame(&head, 0));
            self.consume(&head);
            if self.packets.is_multiple_of(PROGRESS_EVERY) {
                report_progress();
            }
        }
    }

    /// Adds the summary of this capture, of which `capture` is the number.
    pub fn add_to(&mut self, summary: &mut CaptureSummary, capture: u32) {
        summary.packets += self.packets;
        summary.read.push(CaptureRead {
            name: self.name.clone(),
            capture,
            packets: self.packets,
            span: self.span,
            interfaces: self.format.interfaces(),
        });
        summary.other_blocks += self.format.other_blocks();
        if let Some((first, last)) = self.span {
            let (earliest, latest) = summary.span.unwrap_or((first, last));
            summary.span = Some((earliest.min(first), latest.max(last)));
        }
        summary
            .troubles
            .extend(self.troubles.drain(..).map(|(kind, message)| Trouble {
                capture: self.name.clone(),
                kind,
                message,
            }));
    }
}
