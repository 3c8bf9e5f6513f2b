//! Reading, decoding and connections in one go, on two threads: one reads and decodes, the other
//! keeps the table. Batches go round between them; their number bounds the memory.

use super::{CaptureSet, CaptureSummary, ObserveError, Progress};
use crate::flow::{ConnectionSink, FlowTable, Listeners, PacketBatch, SkipCounters, decode};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Batches on their way: enough that neither side waits for the other's every breath.
const BATCHES: usize = 8;

impl CaptureSet {
    /// Feeds every frame of the captures to `table`. Returns what reading came to, and how many
    /// frames were skipped for which reason.
    ///
    /// # Errors
    /// As [`CaptureSet::for_each`].
    pub fn feed<L: Listeners + Send, S: ConnectionSink + Send>(
        self,
        table: &mut FlowTable<L, S>,
        on_progress: impl FnMut(Progress),
    ) -> Result<(CaptureSummary, SkipCounters), ObserveError> {
        let dns_ports = table.dns_ports().to_vec();
        let (full, to_table) = sync_channel::<PacketBatch>(BATCHES);
        let (done, empty) = sync_channel::<PacketBatch>(BATCHES);
        thread::scope(move |scope| {
            scope.spawn(move || {
                for mut batch in to_table {
                    table.ingest_batch(&batch);
                    batch.clear();
                    // The reader may have ended already; then the batch is of no more use.
                    let _ = done.try_send(batch);
                }
            });
            let outcome = self.decode_into(&dns_ports, &full, &empty, on_progress);
            // The table's thread ends with the last batch.
            drop(full);
            outcome
        })
    }

    fn decode_into(
        self,
        dns_ports: &[u16],
        full: &SyncSender<PacketBatch>,
        empty: &Receiver<PacketBatch>,
        on_progress: impl FnMut(Progress),
    ) -> Result<(CaptureSummary, SkipCounters), ObserveError> {
        let mut skips = SkipCounters::default();
        let mut batch = PacketBatch::default();
        let summary = self.for_each(
            |frame| match decode(frame.link, frame.data, frame.original_length, frame.time) {
                Ok(decoded) => {
                    batch.push(&decoded, dns_ports);
                    if batch.is_full() {
                        let next = empty.try_recv().unwrap_or_default();
                        // Cannot fail: the other side takes batches until this one stops sending.
                        let _ = full.send(std::mem::replace(&mut batch, next));
                    }
                }
                Err(reason) => skips.add(reason),
            },
            on_progress,
        )?;
        if !batch.is_empty() {
            let _ = full.send(batch);
        }
        Ok((summary, skips))
    }
}
