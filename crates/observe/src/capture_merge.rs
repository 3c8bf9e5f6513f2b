//! Many captures as one stream in the order of time, since the same packet may be in two of them
//! (at a veth and at the bridge).

use super::capture_format::Head;
use super::capture_set::{Capture, CaptureReader, Frame, no_capture, open_file};
use super::{CaptureSummary, ObserveError};
use nanoseg_net::Timestamp;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

/// How often progress is reported, in packets.
const PROGRESS_EVERY: u64 = 1 << 14;

/// Read buffers of captures that are opened one after another.
const LATE_BUFFER: usize = 64 << 10;

/// A capture in the merge: its reader and its next packet.
struct Lane {
    reader: Box<CaptureReader>,
    head: Option<Head>,
}

/// Hands out all frames. A capture is opened when the time of its first packet has come and closed
/// at its end, so that captures written one after another need one open file at a time.
pub(super) fn merge(
    captures: Vec<Capture>,
    read: &Rc<Cell<u64>>,
    on_frame: &mut impl FnMut(Frame<'_>),
    report_progress: &mut impl FnMut(),
    summary: &mut CaptureSummary,
) -> Result<(), ObserveError> {
    let mut lanes: Vec<Option<Lane>> = Vec::with_capacity(captures.len());
    let mut closed = Vec::new();
    // The earliest first; of the same time the first capture first.
    let mut turns = BinaryHeap::new();
    for (index, capture) in captures.into_iter().enumerate() {
        let lane = match capture {
            Capture::Open(mut reader) => {
                let head = reader.next();
                let time = head.map_or(Timestamp::MAX, |head| head.time);
                turns.push(Reverse((time, index)));
                Some(Lane { reader, head })
            }
            Capture::Closed { path, first, shift } => {
                turns.push(Reverse((first, index)));
                closed.push((index, (path, shift)));
                None
            }
        };
        lanes.push(lane);
    }
    let mut packets = 0u64;
    while let Some(Reverse((_, index))) = turns.pop() {
        if lanes[index].is_none() {
            let Ok(place) = closed.binary_search_by_key(&index, |(index, _)| *index) else {
                continue;
            };
            let (path, shift) = closed[place].1.clone();
            let (mut reader, _) =
                open_file(&path, read, LATE_BUFFER).map_err(|error| no_capture(error, path))?;
            reader.shift = shift;
            let head = reader.next();
            lanes[index] = Some(Lane {
                reader: Box::new(reader),
                head,
            });
        }
        let Some(lane) = lanes[index].as_mut() else {
            continue;
        };
        // As long as this capture has the earliest packet the heap need not be asked.
        let until = turns.peek().map(|Reverse(turn)| *turn);
        while let Some(head) = lane.head {
            if until.is_some_and(|turn| (head.time, index) > turn) {
                turns.push(Reverse((head.time, index)));
                break;
            }
            on_frame(lane.reader.frame(&head, index as u32));
            lane.reader.consume(&head);
            lane.head = lane.reader.next();
            packets += 1;
            if packets.is_multiple_of(PROGRESS_EVERY) {
                report_progress();
            }
        }
        if lane.head.is_none() {
            lane.reader.add_to(summary, index as u32);
            lanes[index] = None;
        }
    }
    Ok(())
}
