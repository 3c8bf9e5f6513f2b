//! Hubble's events as lines: a file, which is read to its end, or standard input, which is followed for as
//! long as it is open (`hubble observe --follow -o jsonpb | nanoseg observe --hubble -`).

use super::counters::{HubbleCounters, add};
use super::json::parse_line;
use super::receiver::{Event, HubbleReceiver};
use super::scope::HubbleScope;
use crate::decompression::decompressed;
use crate::flow_log::line_reader::{BadLine, LineReader};
use crate::{LiveError, LiveSource, Urgency};
use nanoseg_flow::{Observations, Source};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

/// Bad lines that are logged one by one; more are only counted.
const MAX_LOGGED: u64 = 5;

/// Reads lines on its own thread.
#[derive(Debug)]
pub struct HubbleLines {
    receiver: HubbleReceiver,
}

impl HubbleLines {
    /// Opens a file or, as `-`, standard input; compressed or not.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, LiveError> {
        let failed = failed(path);
        if path == Path::new("-") {
            return HubbleLines::spawn(io::stdin(), "standard input".to_owned()).map_err(failed);
        }
        let file = File::open(path).map_err(failed)?;
        if file.metadata().is_ok_and(|about| about.is_dir()) {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        HubbleLines::spawn(file, path.display().to_string()).map_err(failed)
    }

    fn spawn(input: impl Read + Send + 'static, name: String) -> io::Result<Self> {
        let (receiver, out) = HubbleReceiver::new(HubbleScope::Everything);
        let counters = Arc::clone(&receiver.counters);
        // Nobody waits for this thread: it may stand in a read that never ends.
        thread::Builder::new()
            .name("hubble-lines".to_owned())
            .spawn(move || read(input, &name, &counters, &out))?;
        Ok(HubbleLines { receiver })
    }

    /// Counters that go on while the source runs on another thread.
    pub fn counters(&self) -> Arc<HubbleCounters> {
        Arc::clone(&self.receiver.counters)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> LiveError + Copy {
    move |source| LiveError {
        action: format!("read Hubble's events from {}", path.display()),
        remedy: Some("give a file of `hubble observe -o jsonpb`, or - for standard input".into()),
        source,
    }
}

/// Reads until the end, or until the receiver of events is gone.
fn read(
    input: impl Read + 'static,
    name: &str,
    counters: &HubbleCounters,
    out: &SyncSender<Event>,
) {
    let failed = |source| {
        Event::Failed(LiveError {
            action: format!("read Hubble's events from {name}"),
            remedy: None,
            source,
        })
    };
    let input = match decompressed(input, Rc::new(Cell::new(0))) {
        Ok(input) => input,
        Err(error) => {
            let _ = out.send(failed(error));
            return;
        }
    };
    let mut lines = LineReader::new(BufReader::new(input));
    let mut logged = 0;
    while let Some((number, line)) = lines.next() {
        let event = match line.map(parse_line) {
            Ok(parsed) => Event::Line(parsed),
            Err(BadLine::Ended(why)) => failed(io::Error::other(why)),
            Err(BadLine::TooLong | BadLine::NoText) => Event::NoLine,
        };
        if matches!(event, Event::Line(Err(_)) | Event::NoLine) && logged < MAX_LOGGED {
            logged += 1;
            tracing::warn!(input = name, line = number, "a line is no flow of Hubble");
        }
        if out.send(event).is_err() {
            return;
        }
        add(&counters.events, 1);
    }
}

impl LiveSource for HubbleLines {
    fn source(&self) -> Source {
        Source::Hubble
    }

    fn poll(&mut self, patience: Duration) -> Result<bool, LiveError> {
        self.receiver.poll(patience)
    }

    fn urgency(&self) -> Urgency {
        self.receiver.urgency()
    }

    fn take(&mut self) -> Observations {
        self.receiver.take()
    }

    fn finish(&mut self) {
        self.receiver.finish();
    }
}
