//! The live table together with where ended connections go.

use super::record_builder::{RecordBuilder, ScanSummary};
use super::{
    AddressEpochs, ConnectionSink, ConnectionTable, Decoded, FlowConfig, FlowCounters, FlowRecord,
    Listeners, NameTable, OtherTraffic, PacketBatch,
};

/// What all packets of a run came to.
#[derive(Debug, Clone, Default)]
pub struct FlowResult {
    /// In order of client, server, port, protocol and the rest.
    pub records: Vec<FlowRecord>,
    /// Clients with more failed targets than are recorded one by one, in order.
    pub scans: Vec<ScanSummary>,
    pub counters: FlowCounters,
    pub names: NameTable,
    /// Traffic that no NetworkPolicy can express, in order.
    pub other: Vec<OtherTraffic>,
    /// Packets of such traffic beyond the pairs in `other`.
    pub other_overflow: u64,
}

/// From packets to what `S` makes of connections. `L` knows listeners.
pub struct FlowTable<L, S = RecordBuilder> {
    table: ConnectionTable<L>,
    sink: S,
}

impl<L: Listeners> FlowTable<L, RecordBuilder> {
    /// A table that makes flow records, none of which spans a time in `epochs`.
    pub fn new(listeners: L, epochs: AddressEpochs, config: FlowConfig) -> Self {
        let records = RecordBuilder::new(config.max_failed_targets);
        FlowTable::with_sink(listeners, epochs, config, records)
    }

    /// Ends all connections.
    pub fn finish(mut self) -> FlowResult {
        self.end_all();
        let (counters, names, other, other_overflow) = self.table.into_rest();
        let (records, scans) = self.sink.finish();
        FlowResult {
            records,
            scans,
            counters,
            names,
            other,
            other_overflow,
        }
    }
}

impl<L: Listeners, S: ConnectionSink> FlowTable<L, S> {
    /// A table that hands each connection to `sink` when it ends.
    pub fn with_sink(listeners: L, epochs: AddressEpochs, config: FlowConfig, sink: S) -> Self {
        FlowTable {
            table: ConnectionTable::new(listeners, epochs, config),
            sink,
        }
    }

    /// Takes in one packet; see [`ConnectionTable::ingest`].
    #[inline]
    pub fn ingest(&mut self, decoded: &Decoded<'_>) {
        self.table.ingest(decoded);
        self.drain_ended();
    }

    /// Takes in many packets, as [`FlowTable::ingest`] does one by one.
    pub fn ingest_batch(&mut self, batch: &PacketBatch) {
        self.table.ingest_batch(batch);
        self.drain_ended();
    }

    /// The table and the sink apart, so that each may have a thread of its own. Whoever takes them
    /// hands what ended from one to the other, in order.
    pub fn parts(&mut self) -> (&mut ConnectionTable<L>, &mut S) {
        (&mut self.table, &mut self.sink)
    }

    /// Ends all connections and gives the sink back.
    pub fn into_sink(mut self) -> (S, FlowCounters) {
        self.end_all();
        (self.sink, self.table.into_rest().0)
    }

    fn end_all(&mut self) {
        self.table.end_all();
        self.drain_ended();
    }

    #[inline]
    fn drain_ended(&mut self) {
        for connection in self.table.ended().drain(..) {
            self.sink.report(&connection);
        }
    }
}
