//! Which pods there were in a snapshot: the plain facts of one list.

use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// One list of objects as it was read: what there was at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The latest time that anything in it shows: it was taken then or later.
    pub shows: Option<Timestamp>,
    /// Nodes' heartbeats or leases show when it was taken, within minutes. The times of pods alone do not: a
    /// quiet cluster has none of today.
    pub timed: bool,
    /// The pods in it by uid, or by namespace and name.
    pub(super) pods: BTreeMap<String, ListedPod>,
    /// Namespaces in which it has pods or owners of pods.
    pub(super) namespaces: BTreeSet<String>,
    /// Other objects in it.
    pub(super) others: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListedPod {
    pub namespace: String,
    pub start: Option<Timestamp>,
    /// It had an address and was not over.
    pub alive: bool,
}

/// Where the objects of a list begin among all objects.
#[derive(Debug, Clone, Copy, Default)]
pub struct SnapshotMark(pub(super) [usize; 9]);

/// When a pod was last seen in a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LastSeen {
    /// The last snapshot that has it was taken then or later.
    pub at: Option<Timestamp>,
    /// That time is known within minutes.
    pub timed: bool,
    /// The snapshot without it shows a later time. Otherwise the order of the two is only that of reading.
    pub ordered: bool,
    /// A later snapshot of its namespace does not have it, or has it without an address.
    pub gone: bool,
}
