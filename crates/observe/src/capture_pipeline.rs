//! Reading, decoding, connections and records in one go, on two threads: one keeps the live table, the
//! other reads and decodes before it and collects records behind it. Batches go round between them;
//! their number bounds the memory.

use super::capture_interface::Tallies;
use super::{AddressPairs, CaptureSet, CaptureSummary, ObserveError, Progress};
use nanoseg_flow::{
    ConnectionReport, ConnectionSink, ConnectionTable, FlowTable, LinkWatch, Listeners,
    PacketBatch, SkipCounters, decode,
};
use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// Batches on their way: enough that neither side waits for each step of the other.
const BATCHES: usize = 8;
/// Ended connections that are sent together.
const ENDED: usize = 256;
/// How long the reader waits for something to collect while the table is behind.
const NAP: Duration = Duration::from_micros(100);

/// What is noted of the packets besides connections. Empty notes ask for nothing.
#[derive(Default)]
pub struct CaptureNotes {
    /// Between which addresses each capture has packets.
    pub pairs: AddressPairs,
    /// The link identities of addresses.
    pub links: LinkWatch,
}

impl CaptureSet {
    /// [`CaptureSet::feed_watching`], where no address is watched.
    ///
    /// # Errors
    /// As [`CaptureSet::for_each`].
    pub fn feed<L: Listeners + Send, S: ConnectionSink>(
        self,
        table: &mut FlowTable<L, S>,
        on_progress: impl FnMut(Progress),
    ) -> Result<(CaptureSummary, SkipCounters), ObserveError> {
        self.feed_and_note(table, &mut CaptureNotes::default(), on_progress)
    }

    /// The same, and adds to `notes` what they ask for.
    ///
    /// # Errors
    /// As [`CaptureSet::for_each`].
    pub fn feed_and_note<L: Listeners + Send, S: ConnectionSink>(
        self,
        table: &mut FlowTable<L, S>,
        notes: &mut CaptureNotes,
        on_progress: impl FnMut(Progress),
    ) -> Result<(CaptureSummary, SkipCounters), ObserveError> {
        let (live, sink) = table.parts();
        let dns_ports = live.dns_ports().to_vec();
        let (full, to_table) = sync_channel::<PacketBatch>(BATCHES);
        let (done, empty) = sync_channel::<PacketBatch>(BATCHES);
        let (leave, left) = sync_channel::<Vec<ConnectionReport>>(BATCHES);
        thread::scope(|scope| {
            scope.spawn(move || keep_table(live, &to_table, &done, &leave));
            let mut reader = DecodingThread {
                full,
                empty,
                left,
                sink,
            };
            let outcome = self.decode_into(&dns_ports, &mut reader, notes, on_progress);
            reader.finish();
            outcome
        })
    }

    fn decode_into<S: ConnectionSink>(
        self,
        dns_ports: &[u16],
        reader: &mut DecodingThread<'_, S>,
        notes: &mut CaptureNotes,
        on_progress: impl FnMut(Progress),
    ) -> Result<(CaptureSummary, SkipCounters), ObserveError> {
        let mut skips = SkipCounters::default();
        let mut batch = PacketBatch::default();
        let watches = notes.links.is_active();
        let mut tallies = Tallies::default();
        let mut summary = self.for_each(
            |frame| {
                tallies.packet(frame.capture, frame.interface);
                match decode(frame.link, frame.data, frame.original_length, frame.time) {
                    Ok(mut decoded) => {
                        decoded.packet.place = (frame.capture % u32::from(u16::MAX)) as u16 + 1;
                        if watches {
                            let links = &mut notes.links;
                            links.note(frame.link, frame.data, &decoded.packet);
                        }
                        notes.pairs.note(frame.capture, &decoded.packet);
                        batch.push(&decoded, dns_ports);
                        if batch.is_full() {
                            let next = reader.empty.try_recv().unwrap_or_default();
                            reader.send(mem::replace(&mut batch, next));
                        }
                    }
                    Err(reason) => {
                        notes.pairs.note_skipped(&frame);
                        skips.add(reason);
                        tallies.skip(frame.capture, frame.interface, reason);
                    }
                }
            },
            on_progress,
        )?;
        if !batch.is_empty() {
            reader.send(batch);
        }
        for read in &mut summary.read {
            tallies.give_to(read.capture, &mut read.interfaces);
        }
        Ok((summary, skips))
    }
}

/// The table's thread: takes batches until there are no more.
fn keep_table<L: Listeners>(
    live: &mut ConnectionTable<L>,
    batches: &Receiver<PacketBatch>,
    done: &SyncSender<PacketBatch>,
    leave: &SyncSender<Vec<ConnectionReport>>,
) {
    for mut batch in batches {
        live.ingest_batch(&batch);
        batch.clear();
        // The reader may have ended already; then the batch is of no more use.
        let _ = done.try_send(batch);
        if live.ended().len() >= ENDED {
            let ended = mem::replace(live.ended(), Vec::with_capacity(2 * ENDED));
            // Cannot fail: the reader collects until this thread has ended.
            let _ = leave.send(ended);
        }
    }
}

/// The reader's side: what goes to the table's thread and what comes back.
struct DecodingThread<'s, S> {
    full: SyncSender<PacketBatch>,
    empty: Receiver<PacketBatch>,
    left: Receiver<Vec<ConnectionReport>>,
    sink: &'s mut S,
}

impl<S: ConnectionSink> DecodingThread<'_, S> {
    /// Sends a batch. While the table is behind, collects what it has ended: if both sides only
    /// waited for room, neither would ever go on.
    fn send(&mut self, mut batch: PacketBatch) {
        loop {
            while let Ok(ended) = self.left.try_recv() {
                collect(self.sink, &ended);
            }
            match self.full.try_send(batch) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => batch = back,
            }
            if let Ok(ended) = self.left.recv_timeout(NAP) {
                collect(self.sink, &ended);
            }
        }
    }

    /// Stops sending, and collects until the table's thread has ended. The table still holds what it has
    /// not sent by then, and reports it itself.
    fn finish(self) {
        let DecodingThread {
            full, left, sink, ..
        } = self;
        drop(full);
        for ended in left {
            collect(sink, &ended);
        }
    }
}

fn collect(sink: &mut impl ConnectionSink, ended: &[ConnectionReport]) {
    for connection in ended {
        sink.report(connection);
    }
}
