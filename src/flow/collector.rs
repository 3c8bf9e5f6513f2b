//! What a live source collects until the next time its records are taken: flow records of one window, in
//! bounded space.

use super::{
    BEGAN_SECONDS, ConnectionReport, ConnectionSink, FlowRecord, Loss, Records, ScanSummary,
};
use crate::net::{Protocol, Timestamp};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Bounds of a [`Collector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectorLimits {
    /// Records held at once, about 250 bytes each.
    pub max_records: usize,
    /// Failed targets recorded one by one, per client; more are summed up.
    pub max_failed_targets: usize,
}

impl Default for CollectorLimits {
    /// 16 MiB at most; a port scan is plain after 256 targets.
    fn default() -> Self {
        CollectorLimits {
            max_records: 1 << 16,
            max_failed_targets: 256,
        }
    }
}

/// Edges remembered as known to the receiver, 16 bytes each.
const MAX_FAMILIAR: usize = 1 << 16;
/// How long failed targets of a client are counted together, in nanoseconds.
const FAILURES_FOR: i64 = 600 * 1_000_000_000;

/// The edge of a record, as far as a node knows it.
type Way = (IpAddr, IpAddr, u16, Protocol, super::Verdict);

/// Collects [`ConnectionReport`]s into flow records.
#[derive(Debug)]
pub struct Collector {
    records: Records,
    limits: CollectorLimits,
    familiar: FxHashSet<Way>,
    news: bool,
    /// Counts the times at which addresses may have changed hands.
    cuts: u32,
    /// Where counting failed targets began.
    failures_since: Timestamp,
    losses: BTreeMap<Loss, u64>,
}

impl Collector {
    pub fn new(limits: CollectorLimits) -> Self {
        Collector {
            records: Records::new(limits.max_failed_targets),
            limits,
            familiar: FxHashSet::default(),
            news: false,
            cuts: 0,
            failures_since: Timestamp::MIN,
            losses: BTreeMap::new(),
        }
    }

    /// Connections that begin from now on go to other records: an address may have a new owner.
    pub fn cut(&mut self) {
        self.cuts += 1;
    }

    /// Whether an edge is among the records that was not there for long: those are not kept waiting.
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// Whether the records should be taken before their time.
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.limits.max_records / 8 * 7
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.losses.is_empty()
    }

    /// Takes what has been collected.
    pub fn take(&mut self) -> (Vec<FlowRecord>, Vec<ScanSummary>, BTreeMap<Loss, u64>) {
        self.news = false;
        let (records, scans) = self.records.drain();
        (records, scans, std::mem::take(&mut self.losses))
    }

    /// Notes that something was lost.
    pub fn lose(&mut self, loss: Loss, count: u64) {
        if count > 0 {
            *self.losses.entry(loss).or_default() += count;
        }
    }
}

impl ConnectionSink for Collector {
    fn report(&mut self, connection: &ConnectionReport) {
        if connection.last.since(self.failures_since) > FAILURES_FOR {
            self.failures_since = connection.last;
            self.records.forget_failures();
        }
        let (client, server) = (connection.client.ip(), connection.server);
        let way = (
            client,
            server.ip(),
            server.port(),
            connection.protocol,
            connection.verdict,
        );
        if !self.familiar.contains(&way) {
            if self.familiar.len() >= MAX_FAMILIAR {
                self.familiar.clear();
            }
            self.familiar.insert(way);
            self.news = true;
        }
        let began = connection
            .first
            .nanos()
            .div_euclid(BEGAN_SECONDS * 1_000_000_000);
        let mut report = ConnectionReport {
            epochs: [began as u32, self.cuts],
            ..connection.clone()
        };
        if self.records.len() >= self.limits.max_records && report.mid_stream {
            report.mid_stream = false;
            self.lose(Loss::ClientPortMerged, 1);
        }
        if self.records.len() >= 2 * self.limits.max_records {
            self.lose(Loss::RecordDropped, 1);
            return;
        }
        self.records.report(&report);
    }
}
