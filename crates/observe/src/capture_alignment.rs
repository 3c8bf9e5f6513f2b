//! Sets the times of captures right whose clocks differ, before they are merged.

use super::capture_clocks::{self, PACKETS, PACKETS_OF_ALL, Sample};
use super::capture_set::{Capture, CaptureSet, SMALLEST_BUFFER, open_file};
use super::capture_summary::ClockNote;
use nanoseg_net::Timestamp;
use std::path::Path;
use std::rc::Rc;

impl CaptureSet {
    /// Compares the clocks of the captures by the packets that are in several of them, and sets the times of those
    /// right that differ (rule: clocks-are-aligned). Reads the first packets of each file once more.
    pub fn align_clocks(&mut self) {
        if self.captures.len() < 2 {
            return;
        }
        let most = (PACKETS_OF_ALL / self.captures.len()).min(PACKETS);
        let samples: Vec<Option<Sample>> = self
            .paths
            .iter()
            .map(|path| sample(path.as_deref()?, most))
            .collect();
        let clocks = capture_clocks::compare(&samples);
        let name = |place: usize| match self.paths.get(place) {
            Some(Some(path)) => path.display().to_string(),
            _ => "-".to_owned(),
        };
        for (place, shift) in clocks.shifts.iter().enumerate() {
            if *shift != 0 {
                self.clocks.push(ClockNote::Moved {
                    capture: name(place),
                    by: *shift,
                    reference: name(clocks.references[place]),
                });
            }
        }
        let unclear = clocks.unclear.iter();
        self.clocks.extend(unclear.map(|(a, b)| ClockNote::Unclear {
            capture: name(*b),
            reference: name(*a),
        }));
        if self.paths.iter().any(Option::is_none) {
            self.clocks.push(ClockNote::Stream);
        }
        for (capture, by) in self.captures.iter_mut().zip(clocks.shifts) {
            match capture {
                Capture::Open(reader) => reader.shift = by,
                Capture::Closed { first, shift, .. } => {
                    *shift = by;
                    if *first != Timestamp::MAX {
                        *first = first.plus_nanos(by);
                    }
                }
            }
        }
    }
}

/// The first packets of a file; `None` if it cannot be opened any more.
fn sample(path: &Path, most: usize) -> Option<Sample> {
    let (mut reader, _) = open_file(path, &Rc::default(), SMALLEST_BUFFER).ok()?;
    let mut sample = Sample::default();
    for _ in 0..most {
        let Some(head) = reader.next() else { break };
        let frame = reader.frame(&head, 0);
        sample.add(frame.link, frame.data, frame.original_length, frame.time);
        reader.consume(&head);
    }
    Some(sample)
}
