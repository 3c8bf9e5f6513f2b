//! What a receiver takes in of what agents send: within a budget, whatever that is (rule: bounded-memory). What is beyond
//! it is merged where that keeps the counts, and else left out; both are counted as losses of the node that sent it.
//!
//! In memory a record takes about 640 bytes, with its key and its share of the trees:
//!
//! | what | how many | bytes each | MiB |
//! |---|---|---|---|
//! | pairs of ends of the open hours | 3 hours × 40 000 | 640 | 74 |
//! | records of the last minutes, each for itself | 60 000 | 640 | 37 |
//! | records of hours before those, until they are folded | 10 000 | 640 | 7 |
//! | what this budget remembers of them | 130 000 pairs | 64 | 8 |
//! | DNS names | 50 000 | 200 | 10 |
//! | traffic that no policy can express | 20 000 | 100 | 2 |
//! | scanners | 4096 | 900 | 4 |
//! | | | | **142** |

pub(crate) mod pool;
#[cfg(test)]
mod tests;

use super::{Aggregate, FlowBatch, FlowRecord, Loss, Observations, Source};
use nanoseg_net::{BlockLimits, SECOND, Timestamp};
use pool::{Pool, Room};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
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
    /// Records that are kept each for itself, within [`FINE_MINUTES`].
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
}

impl Default for IntakeLimits {
    fn default() -> Self {
        IntakeLimits {
            pairs: 40_000,
            node_pairs: 8_000,
            fine: 60_000,
            node_fine: 6_000,
            late: 10_000,
            late_hours: 24,
            addresses: BlockLimits::OUTSIDE,
            names: 50_000,
            names_per_address: 64,
            node_names: 2_000,
            other: 20_000,
            scanners: 4096,
            nodes: 5000,
        }
    }
}

/// For so many hours before the present one records stay as they are; older ones become edges of their hour.
pub const HOT_HOURS: i64 = 2;
/// For so many minutes records are kept each for itself; then those of a minute, and later those of an hour, are merged.
pub const FINE_MINUTES: i64 = 3;

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
    scanners: FxHashSet<Option<IpAddr>>,
    nodes: FxHashSet<Arc<str>>,
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
            nodes: FxHashSet::default(),
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
        self.nodes.extend(stored.views().keys().cloned());
    }

    /// Cuts a batch down to what there is room for, and adds what that loses to the losses of the batch. Returns false if
    /// nothing of it is taken, since there are batches of too many nodes.
    pub fn admit(&mut self, batch: &mut FlowBatch, now: Timestamp) -> bool {
        self.begin(now);
        if !self.nodes.contains(&batch.node) {
            if self.nodes.len() >= self.limits.nodes {
                return false;
            }
            self.nodes.insert(batch.node.clone());
        }
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
        self.admit_rest(seen);
        true
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
        }
    }

    /// Forgets names that the store has forgotten.
    pub fn forget_names(&mut self) {
        self.names.clear();
        self.names_of.clear();
    }

    /// Forgets what does not count any more.
    fn begin(&mut self, now: Timestamp) {
        let hour = now.hour();
        self.open = self.open.split_off(&(hour - HOT_HOURS));
        self.fine = self
            .fine
            .split_off(&(minute(now) - FINE_MINUTES, Arc::from("")));
        if self.late_since != hour {
            self.late_since = hour;
            self.late = Pool::default();
            self.late_hours.clear();
            self.node_names.clear();
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
        if known.is_new || self.admit_fine(node, record, now) {
            return Taken::Yes;
        }
        record.first = known.first;
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
        let minute = minute(record.first).max(minute(now) - FINE_MINUTES);
        if self.fine_now(now) >= self.limits.fine {
            return false;
        }
        let of_node = self.fine.entry((minute, node.clone())).or_default();
        let has_room = *of_node < self.limits.node_fine;
        *of_node += usize::from(has_room);
        has_room
    }

    fn fine_now(&self, now: Timestamp) -> usize {
        let from = (minute(now) - FINE_MINUTES, Arc::from(""));
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

    fn admit_rest(&mut self, seen: &mut Observations) {
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
            let has_room =
                self.scanners.contains(&scan.client) || self.scanners.len() < limits.scanners;
            if has_room {
                self.scanners.insert(scan.client);
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
