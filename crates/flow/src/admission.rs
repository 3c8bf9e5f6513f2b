//! What a batch of an agent may tell, by the receiver's clock (rule: told-by-the-receivers-clock). An agent speaks of
//! what its own sources saw, of times that its spool explains, and of each time once.

use super::{
    FlowBatch, FlowRecord, Loss, NameEntry, NamedBy, SPOOL_REACH, ScanSummary, Source, Told,
};
use nanoseg_net::{TimeSpans, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How far ahead of the receiver's clock a node's may be, in seconds.
const AHEAD: i64 = 60;
/// How late a batch may tell what happened before its own time, in seconds: a source waits for the end of what it
/// saw, and connection tracking for two minutes after the end of a TCP connection.
const LATE: i64 = 120;
/// How long the answer of a name server may hold, in seconds.
const LONGEST_NAME: i64 = 7 * 24 * 3600;
/// Nodes whose times are kept, for each teller. What others tell is believed for the time at which it comes.
const MAX_TELLERS: usize = 1 << 17;

/// Who tells what a node saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Teller {
    /// The node's own agent.
    Agent,
    /// Hubble Relay, which the operator named (rule: relay-speaks-for-its-nodes).
    Relay,
}

impl Teller {
    /// Returns true if it has a source of this kind.
    fn has(self, source: Source) -> bool {
        match (self, source) {
            (Teller::Agent, Source::Capture | Source::Conntrack | Source::Hubble) => true,
            (Teller::Relay, Source::Hubble) => true,
            (Teller::Agent, Source::FlowLog) | (Teller::Relay, _) => false,
        }
    }
}

/// What each node has told already. Agent and Relay tell of the same times, each once.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    nodes: Progresses,
}

/// What was told of a node, once its batches are stored ([`Admission::settle`]).
pub type Progresses = BTreeMap<(Arc<str>, Teller), Progress>;

/// How far a node has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    until: Timestamp,
    /// The span of its last batch: much of one time comes in several batches.
    last: (Timestamp, Timestamp),
}

/// The times that a batch may tell of.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// When the receiver took it.
    received: Timestamp,
    /// No spool reaches back further.
    earliest: Timestamp,
    /// No clock is further ahead.
    latest: Timestamp,
    /// What happened earlier was to be told by an earlier batch.
    from: Timestamp,
}

impl Admission {
    /// From when each node was observed, as the store has it: it does not tell by whom, so each teller is taken to have
    /// told all of it.
    pub fn new(views: &BTreeMap<Arc<str>, TimeSpans>) -> Admission {
        let mut nodes = Progresses::new();
        for (node, times) in views {
            let Some(last) = times.range() else {
                continue;
            };
            let until = last.1;
            for teller in [Teller::Agent, Teller::Relay] {
                nodes.insert((node.clone(), teller), Progress { until, last });
            }
        }
        Admission { nodes }
    }

    /// Takes out of a batch what its agent may not tell, and counts it as lost. Each record gets the receiver's time.
    /// `done` has the batches that are not stored yet.
    pub fn admit(
        &self,
        mut batch: FlowBatch,
        teller: Teller,
        received: Timestamp,
        done: &mut Progresses,
    ) -> FlowBatch {
        let who = (batch.node.clone(), teller);
        let known = done.get(&who).or_else(|| self.nodes.get(&who)).copied();
        let mut times = Times {
            received,
            earliest: received.plus_secs(-SPOOL_REACH),
            latest: received.plus_secs(AHEAD),
            from: received,
        };
        let (first, last) = batch.span;
        batch.span = (first.max(times.earliest), last.min(times.latest));
        times.from = begin(batch.span, known, times.latest);
        let seen = &mut batch.seen;
        let mut refused: BTreeMap<Loss, u64> = BTreeMap::new();
        let mut keep = |outcome: Result<(), Loss>| {
            if let Err(loss) = outcome {
                *refused.entry(loss).or_default() += 1;
            }
            outcome.is_ok()
        };
        seen.records
            .retain_mut(|(source, record)| keep(times.admit_record(teller, *source, record)));
        seen.scans.retain_mut(|scan| keep(times.admit_scan(scan)));
        seen.names
            .retain_mut(|(_, entry)| keep(times.admit_name(entry)));
        // (rule: node-by-address)
        seen.node_addresses.retain(super::is_of_node);
        for (loss, count) in refused {
            seen.lose(loss, count);
        }
        let is_known = known.is_some() || self.nodes.len() + done.len() < MAX_TELLERS;
        if batch.span.0 <= batch.span.1 && is_known {
            let until = known.map_or(batch.span.1, |known| known.until.max(batch.span.1));
            let progress = Progress {
                until,
                last: batch.span,
            };
            done.insert(who, progress);
        }
        batch
    }

    /// Notes that batches are stored.
    pub fn settle(&mut self, done: Progresses) {
        self.nodes.extend(done);
    }
}

/// From when on a batch tells what no batch of its node told before it.
fn begin(
    (first, last): (Timestamp, Timestamp),
    known: Option<Progress>,
    latest: Timestamp,
) -> Timestamp {
    match known {
        None => first,
        Some(known) if first >= known.until || (first, last) == known.last => first,
        // Batches may pass each other on the way; then what this one tells is taken for what happens now.
        Some(known) if last < known.until => latest,
        Some(known) => known.until,
    }
}

impl Times {
    fn admit_record(
        &self,
        teller: Teller,
        source: Source,
        record: &mut FlowRecord,
    ) -> Result<(), Loss> {
        if !teller.has(source) {
            return Err(Loss::SourceRefused);
        }
        let is_named = |address: IpAddr| super::is_stand_in(address);
        if record.labels.is_some() || is_named(record.client) || is_named(record.server) {
            return Err(Loss::ClaimRefused);
        }
        self.admit_times(record.first, record.last)?;
        // What goes on for longer than the spool reaches back began when that begins, to the hour: it stays one record.
        if record.first < self.earliest {
            record.first = Timestamp::from_hour(self.earliest.hour() + 1).min(record.last);
        }
        record.last = record.last.min(self.latest);
        let since = self.from.plus_secs(-LATE);
        let is_late = record.last < since;
        let (active_from, active_until) = if is_late {
            (self.received, self.received)
        } else {
            (record.first.max(since).min(record.last), record.last)
        };
        record.windows = record.windows.within(active_from, active_until);
        record.told = Some(Told {
            first: self.received,
            last: if is_late { self.received } else { record.last },
        });
        Ok(())
    }

    fn admit_scan(&self, scan: &mut ScanSummary) -> Result<(), Loss> {
        self.admit_times(scan.first, scan.last)?;
        scan.first = scan.first.max(self.earliest);
        scan.last = scan.last.min(self.latest);
        Ok(())
    }

    /// An agent's sources see who answered; what says a name of its own accord is none of them.
    fn admit_name(&self, entry: &mut NameEntry) -> Result<(), Loss> {
        match entry.by {
            NamedBy::Resolver(_) => {}
            NamedBy::Unknown | NamedBy::Source => return Err(Loss::ClaimRefused),
        }
        self.admit_times(entry.from, entry.until)?;
        entry.from = entry.from.max(self.earliest);
        entry.until = entry.until.min(self.latest.plus_secs(LONGEST_NAME));
        Ok(())
    }

    /// Something that began ahead of every clock, or ended before any spool, is refused.
    fn admit_times(&self, first: Timestamp, last: Timestamp) -> Result<(), Loss> {
        if first > self.latest || last < self.earliest || last < first {
            return Err(Loss::TimeRefused);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
