//! What a receiver takes in of what agents send: within a budget, whatever that is (rule: bounded-memory). What is beyond
//! it is merged where that keeps the counts, and else left out; both are counted as losses of the node that sent it.
//!
//! In memory a record takes about 640 bytes, with its key and its share of the trees:
//!
//! | what | how many | bytes each | MiB |
//! |---|---|---|---|
//! | pairs of ends of the open hours | 3 hours × 32 000 | 640 | 59 |
//! | records of the last 20 minutes beside those | 60 000 | 640 | 37 |
//! | records of hours before those, until they are folded | 10 000 | 640 | 6 |
//! | what this budget remembers of them | 106 000 pairs | 64 | 7 |
//! | DNS names | 50 000 | 200 | 10 |
//! | traffic that no policy can express | 20 000 | 100 | 2 |
//! | scanners | 4096 | 900 | 4 |
//! | | | | **125** |

mod node_losses;
pub(crate) mod pool;
#[cfg(test)]
mod tests;

use super::{Aggregate, FlowBatch, FlowRecord, Instance, Loss, Observations, SequenceSet, Source};
pub use node_losses::NodeLosses;

use nanoseg_net::{BlockLimits, SECOND, Timestamp};
use pool::{Pool, Room};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

/// How much is taken in. See the module for the arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Pairs of ends in one hour: whatever differs in more than its time.
    pub pairs: usize,
    /// Of those from one node.
    pub node_pairs: usize,
    /// Records beside the first of each pair, within [`SEPARATE_MINUTES`].
    pub fine: usize,
    /// Of those from one node, in one minute.
    pub node_fine: usize,
    /// Records of hours that are not open any more, in an hour of reception.
    pub late: usize,
    /// How many such hours there may be: each is folded for itself.
    pub late_hours: usize,
    /// Single addresses beyond the cluster that call one port, or that are called by one client at one port, as one node
    /// sees it in an hour. What is beyond is counted by block.
    pub addresses: BlockLimits,
    pub names: usize,
    pub names_per_address: usize,
    /// New names from one node in an hour of reception.
    pub node_names: usize,
    /// Ends and kinds of traffic that no policy can express.
    pub other: usize,
    pub scanners: usize,
    /// Nodes of which batches are taken: Kubernetes is tested with 5000.
    pub nodes: usize,
    /// Runs of the agent of one node in an hour of reception, and of each the sequences of batches apart from each other:
    /// an agent counts without gaps.
    pub runs: usize,
    pub sequences: usize,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        IntakeLimits {
            pairs: 32_000,
            node_pairs: 8_000,
            fine: 60_000,
            node_fine: 4_000,
            late: 10_000,
            late_hours: 24,
            addresses: BlockLimits::OUTSIDE,
            names: 50_000,
            names_per_address: 64,
            node_names: 2_000,
            other: 20_000,
            scanners: 4096,
            nodes: 5000,
            runs: 60,
            sequences: 256,
        }
    }
}

/// For so many hours before the present one records stay as they are; older ones become edges of their hour.
pub const HOT_HOURS: i64 = 2;
/// For so many minutes records are kept each for itself; then those of a minute are merged.
pub const FINE_MINUTES: i64 = 3;
/// For so many minutes each minute has records of its own, as long as a change of a policy is watched; then those of an hour
/// are merged.
pub const SEPARATE_MINUTES: i64 = 20;

/// Why a batch is not taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untaken {
    Nodes,
    Runs,
    Sequences,
}

impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Untaken::Nodes => "batches of more nodes came than a cluster has",
            Untaken::Runs => "the agent of this node started too often within an hour",
            Untaken::Sequences => "too many batches are missing between those of this run",
        })
    }
}

/// What is in use, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IntakeUse {
    /// Of the hour with most.
    pub pairs: usize,
    pub fine: usize,
    pub late: usize,
    pub open_hours: usize,
    pub names: usize,
    pub other: usize,
    pub scanners: usize,
    pub nodes: usize,
    /// Single addresses of the port, or of the client, with most.
    pub addresses: usize,
    /// Of the run with most, apart from each other.
    pub sequences: usize,
}

/// What was taken in so far, as far as it counts for the budget.
#[derive(Debug)]
pub struct IntakeBudget {
    limits: IntakeLimits,
    /// Keyed at random: nobody can send what collides.
    hashing: RandomState,
    /// By hour.
    open: BTreeMap<i64, Pool>,
    /// Records of hours before those, and the hours that they are of, since `late_since`.
    late: Pool,
    late_hours: FxHashSet<i64>,
    late_since: i64,
    /// Records that are kept each for itself, by minute and node.
    fine: BTreeMap<(i64, Arc<str>), usize>,
    names: FxHashSet<u64>,
    names_of: rustc_hash::FxHashMap<IpAddr, usize>,
    node_names: BTreeMap<Arc<str>, usize>,
    other: FxHashSet<u64>,
    scanners: FxHashSet<u64>,
    /// With the hour in which a batch last came.
    nodes: BTreeMap<Arc<str>, i64>,
    /// Since `late_since`.
    runs: BTreeMap<(Arc<str>, Instance), SequenceSet>,
}

impl IntakeBudget {
    /// Nothing is taken in yet.
    pub fn new(limits: IntakeLimits) -> Self {
        IntakeBudget {
            limits,
            hashing: RandomState::new(),
            open: BTreeMap::new(),
            late: Pool::default(),
            late_hours: FxHashSet::default(),
            late_since: i64::MIN,
            fine: BTreeMap::new(),
            names: FxHashSet::default(),
            names_of: rustc_hash::FxHashMap::default(),
            node_names: BTreeMap::new(),
            other: FxHashSet::default(),
            scanners: FxHashSet::default(),
            nodes: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// Counts what a store has already, when it is opened.
    pub fn note(&mut self, stored: &Aggregate, now: Timestamp) {
        self.begin(now);
        for (observer, record) in stored.records() {
            let mut record = record.clone();
            self.admit_record(&observer.node, observer.source, &mut record, now);
        }
        for (address, entry) in stored.names().listing() {
            let hash = self.hashing.hash_one((address, &entry.name, entry.client));
            if self.names.insert(hash) {
                *self.names_of.entry(address).or_default() += 1;
            }
        }
        for (node, view) in stored.views() {
            let last = view.range().map_or(i64::MIN, |(_, last)| last.hour());
            self.nodes.insert(node.clone(), last);
        }
        self.forget_nodes(now.hour());
    }

    /// Cuts a batch down to what there is room for, and adds what that loses to the losses of the batch.
    ///
    /// # Errors
    /// Why nothing of it is taken.
    pub fn admit(&mut self, batch: &mut FlowBatch, now: Timestamp) -> Result<(), Untaken> {
        self.begin(now);
        if !self.nodes.contains_key(&batch.node) && self.nodes.len() >= self.limits.nodes {
            return Err(Untaken::Nodes);
        }
        self.nodes.insert(batch.node.clone(), now.hour());
        self.admit_sequence(batch)?;
        let node = batch.node.clone();
        let seen = &mut batch.seen;
        let (mut merged, mut dropped, mut addresses) = (0, 0, 0);
        seen.records.retain_mut(|(source, record)| {
            let is_single = record.labels.is_none();
            let taken = self.admit_record(&node, *source, record, now);
            merged += u64::from(taken == Taken::Merged);
            dropped += u64::from(taken == Taken::No);
            addresses += u64::from(taken != Taken::No && is_single && record.labels.is_some());
            taken != Taken::No
        });
        seen.lose(Loss::CountersMerged, merged);
        seen.lose(Loss::RecordOverBudget, dropped);
        seen.lose(Loss::AddressMerged, addresses);
        self.admit_names(&node, seen);
        self.admit_rest(&node, seen);
        Ok(())
    }

    fn admit_sequence(&mut self, batch: &FlowBatch) -> Result<(), Untaken> {
        let (first, last) = ((batch.node.clone(), Instance([0; 16])), Instance([255; 16]));
        let of_node = self.runs.range(first..=(batch.node.clone(), last)).count();
        let run = (batch.node.clone(), batch.instance);
        if !self.runs.contains_key(&run) && of_node >= self.limits.runs {
            return Err(Untaken::Runs);
        }
        let sequences = self.runs.entry(run).or_default();
        let mut with = sequences.clone();
        with.insert(batch.sequence.0, batch.sequence.1);
        if with.intervals().count() > self.limits.sequences {
            return Err(Untaken::Sequences);
        }
        *sequences = with;
        Ok(())
    }

    /// What is in use.
    pub fn usage(&self, now: Timestamp) -> IntakeUse {
        let pools = || self.open.values().chain([&self.late]);
        IntakeUse {
            pairs: pools().map(Pool::pairs).max().unwrap_or(0),
            fine: self.fine_now(now),
            late: self.late.pairs(),
            open_hours: self.open.len() + self.late_hours.len(),
            names: self.names.len(),
            other: self.other.len(),
            scanners: self.scanners.len(),
            nodes: self.nodes.len(),
            addresses: pools().map(Pool::most_addresses).max().unwrap_or(0),
            sequences: self.most_sequences(),
        }
    }

    fn most_sequences(&self) -> usize {
        let sequences = self.runs.values().map(|set| set.intervals().count());
        sequences.max().unwrap_or(0)
    }

    /// Forgets nodes of which nothing came for a day.
    fn forget_nodes(&mut self, hour: i64) {
        self.nodes.retain(|_, last| *last >= hour - 24);
    }

    /// Forgets what does not count any more.
    fn begin(&mut self, now: Timestamp) {
        let hour = now.hour();
        self.open = self.open.split_off(&(hour - HOT_HOURS));
        self.fine = self
            .fine
            .split_off(&(minute(now) - SEPARATE_MINUTES, Arc::from("")));
        if self.late_since != hour {
            self.late_since = hour;
            self.late = Pool::default();
            self.late_hours.clear();
            self.node_names.clear();
            self.runs.clear();
            self.forget_nodes(hour);
            if self.names.len() >= self.limits.names {
                // The store forgets the oldest ones each hour.
                self.names.clear();
                self.names_of.clear();
            }
        }
    }

    fn admit_record(
        &mut self,
        node: &Arc<str>,
        source: Source,
        record: &mut FlowRecord,
        now: Timestamp,
    ) -> Taken {
        let (hour, present) = (record.hour(), now.hour());
        let is_open = (present - HOT_HOURS..=present + 1).contains(&hour);
        if !is_open && !self.is_late(hour, present) {
            return Taken::No;
        }
        let limits = self.limits;
        let (pool, room) = if is_open {
            (self.open.entry(hour).or_default(), limits.pairs)
        } else {
            (&mut self.late, limits.late)
        };
        let room = Room {
            all: room,
            node: limits.node_pairs.min(room),
        };
        pool.bound_addresses(node, record, limits.addresses, room);
        let mut identity = record.identity();
        identity.began = i64::from(!is_open) * hour;
        let pair = self.hashing.hash_one((node, source, identity));
        let Some(known) = pool.admit(pair, node, record.first, room) else {
            return Taken::No;
        };
        let latest = record.first;
        if known.is_new || self.admit_fine(node, record, now) {
            let pool = if is_open {
                self.open.get_mut(&hour)
            } else {
                Some(&mut self.late)
            };
            pool.into_iter()
                .for_each(|pool| pool.note_latest(pair, latest));
            return Taken::Yes;
        }
        // Into the latest one, so that it is known of the pair that it still had connections.
        record.first = known.latest;
        Taken::Merged
    }

    /// Returns true if records of an hour that is over may still be taken.
    fn is_late(&mut self, hour: i64, present: i64) -> bool {
        let known = self.late_hours.contains(&hour);
        let has_room = self.late_hours.len() < self.limits.late_hours;
        hour < present && (known || (has_room && self.late_hours.insert(hour)))
    }

    /// Returns true if a record is kept for itself.
    fn admit_fine(&mut self, node: &Arc<str>, record: &FlowRecord, now: Timestamp) -> bool {
        // What is older is merged soon.
        let minute = minute(record.first).max(minute(now) - SEPARATE_MINUTES);
        if self.fine_now(now) >= self.limits.fine {
            return false;
        }
        let of_node = self.fine.entry((minute, node.clone())).or_default();
        let has_room = *of_node < self.limits.node_fine;
        *of_node += usize::from(has_room);
        has_room
    }

    fn fine_now(&self, now: Timestamp) -> usize {
        let from = (minute(now) - SEPARATE_MINUTES, Arc::from(""));
        self.fine.range(from..).map(|(_, count)| count).sum()
    }

    fn admit_names(&mut self, node: &Arc<str>, seen: &mut Observations) {
        let before = seen.names.len();
        let limits = self.limits;
        let of_node = self.node_names.entry(node.clone()).or_default();
        seen.names.retain(|(address, entry)| {
            let hash = self.hashing.hash_one((address, &entry.name, entry.client));
            if self.names.contains(&hash) {
                return true;
            }
            let of_address = self.names_of.get(address).copied().unwrap_or(0);
            let has_room = self.names.len() < limits.names
                && of_address < limits.names_per_address
                && *of_node < limits.node_names;
            if has_room {
                self.names.insert(hash);
                *self.names_of.entry(*address).or_default() += 1;
                *of_node += 1;
            }
            has_room
        });
        let lost = before - seen.names.len();
        seen.lose(Loss::NameDropped, lost as u64);
    }

    fn admit_rest(&mut self, node: &Arc<str>, seen: &mut Observations) {
        let limits = self.limits;
        let mut lost = 0;
        seen.other.retain(|other| {
            let hash = (other.source, other.destination, other.kind);
            let hash = self.hashing.hash_one(hash);
            let has_room = self.other.contains(&hash) || self.other.len() < limits.other;
            if has_room {
                self.other.insert(hash);
            } else {
                lost = u64::saturating_add(lost, other.packets);
            }
            has_room
        });
        seen.lose(Loss::OtherDropped, lost);
        for scan in &mut seen.scans {
            let hash = self.hashing.hash_one((node, scan.client));
            if self.scanners.contains(&hash) || self.scanners.len() < limits.scanners {
                self.scanners.insert(hash);
            } else {
                // Of more clients than are told apart.
                scan.client = None;
            }
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    /// Its counts are added to an earlier record of the same ends.
    Merged,
    No,
}

/// Whole minutes since the Unix epoch.
fn minute(at: Timestamp) -> i64 {
    at.nanos().div_euclid(60 * SECOND)
}
