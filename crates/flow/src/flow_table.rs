//! The connection table together with the sink of ended connections.

use super::record_builder::{RecordBuilder, ScanSummary};
use super::{
    AddressEpochs, ConnectionSink, ConnectionTable, Decoded, FlowConfig, FlowCounters, FlowRecord,
    Listeners, NameTable, Observers, OtherTraffic, OutOfBounds, PacketBatch, Views,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The result of all packets of a run.
#[derive(Debug, Clone, Default)]
pub struct FlowResult {
    /// In order of client, server, port, protocol and the rest.
    pub records: Vec<FlowRecord>,
    /// Clients with more failed targets than are recorded one by one, in order, and the nodes whose agents tell of it.
    pub scans: Vec<(Observers, ScanSummary)>,
    pub counters: FlowCounters,
    pub names: NameTable,
    /// Traffic that no NetworkPolicy can express, in order.
    pub other: Vec<OtherTraffic>,
    /// Packets of such traffic beyond the pairs in `other`.
    pub other_overflow: u64,
    /// What agents told of connections of other nodes, by node. Nothing else follows from it.
    pub out_of_bounds: BTreeMap<Arc<str>, OutOfBounds>,
    /// When each node's agent observed.
    pub views: Views,
}

/// A connection table whose ended connections go to the sink `S`. `L` knows the listeners.
pub struct FlowTable<L, S = RecordBuilder> {
    table: ConnectionTable<L>,
    sink: S,
}

impl<L: Listeners> FlowTable<L, RecordBuilder> {
    /// A table that makes flow records, none of which spans a time in `epochs`.
    pub fn new(listeners: L, epochs: AddressEpochs, config: FlowConfig) -> Self {
        let records = RecordBuilder::new(config.max_failed_targets).bounded();
        FlowTable::with_sink(listeners, epochs, config, records)
    }

    /// Ends all connections.
    pub fn finish(mut self) -> FlowResult {
        self.end_all();
        let (mut counters, names, other, other_overflow) = self.table.into_rest();
        counters.addresses_merged = self.sink.merged();
        let (records, scans) = self.sink.finish();
        FlowResult {
            records,
            scans,
            counters,
            names,
            other,
            other_overflow,
            out_of_bounds: BTreeMap::new(),
            views: Views::new(),
        }
    }
}

impl<L: Listeners, S: ConnectionSink> FlowTable<L, S> {
    /// A table that reports each connection to `sink` when it ends.
    pub fn with_sink(listeners: L, epochs: AddressEpochs, config: FlowConfig, sink: S) -> Self {
        FlowTable {
            table: ConnectionTable::new(listeners, epochs, config),
            sink,
        }
    }

    /// Processes one packet; see [`ConnectionTable::ingest`].
    #[inline]
    pub fn ingest(&mut self, decoded: &Decoded<'_>) {
        self.table.ingest(decoded);
        self.drain_ended();
    }

    /// Processes many packets, as [`FlowTable::ingest`] does one by one.
    pub fn ingest_batch(&mut self, batch: &PacketBatch) {
        self.table.ingest_batch(batch);
        self.drain_ended();
    }

    /// The table and the sink separately, so that each may have its own thread. The caller passes ended
    /// connections from the table to the sink, in order.
    pub fn parts(&mut self) -> (&mut ConnectionTable<L>, &mut S) {
        (&mut self.table, &mut self.sink)
    }

    /// Ends all connections and returns the sink.
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
