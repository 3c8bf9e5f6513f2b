//! Flow records together with their observer, and the batch in which they are sent.

use super::{FlowRecord, NameEntry, OtherTraffic, ScanSummary};
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The kind of source that a flow record comes from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Packets: a capture file, or AF_PACKET on a node.
    Capture,
    /// The kernel's connection tracking.
    Conntrack,
    /// Cilium's Hubble.
    Hubble,
    /// Any other flow log.
    #[default]
    FlowLog,
}

impl Source {
    /// Every source.
    pub const ALL: [Source; 4] = [
        Source::Capture,
        Source::Conntrack,
        Source::Hubble,
        Source::FlowLog,
    ];

    /// Its name in files, metrics and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Capture => "capture",
            Source::Conntrack => "conntrack",
            Source::Hubble => "hubble",
            Source::FlowLog => "flow-log",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One source on one node. A connection is seen by several observers (both ends' nodes, conntrack and
/// capture) and by each of them once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Observer {
    /// The node's name; empty where a file does not name it.
    pub node: Arc<str>,
    pub source: Source,
}

/// A flow record with its observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub observer: Observer,
    pub record: FlowRecord,
}

macro_rules! losses {
    ($( $variant:ident $name:literal $meaning:literal; )*) => {
        /// A way in which observation may lose something (rule: loss-is-counted); each has its own counter. The
        /// kebab-case name is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Loss { $( #[doc = $meaning] $variant, )* }

        impl Loss {
            /// Every kind of loss.
            pub const ALL: &'static [Loss] = &[ $( Loss::$variant, )* ];
            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str { match self { $( Loss::$variant => $name, )* } }
            /// What was lost, one sentence.
            pub const fn meaning(self) -> &'static str { match self { $( Loss::$variant => $meaning, )* } }
        }
    };
}

losses! {
    CaptureDropped "capture-dropped" "Packets that the kernel dropped because the ring buffer was full.";
    CaptureSampled "capture-sampled" "UDP packets, and packets that no policy can express, beyond the budget: only a sample was looked at.";
    CaptureUndecoded "capture-undecoded" "Captured packets that could not be decoded.";
    InterfaceLost "interface-lost" "Captures that ended because their interface vanished.";
    ConntrackOverrun "conntrack-overrun" "Receive-buffer overruns of conntrack events, each answered by a new dump.";
    ConntrackMalformed "conntrack-malformed" "Conntrack messages that could not be read.";
    ConntrackForgotten "conntrack-forgotten" "Connections that found no room in the table: their end is counted as a connection of its own.";
    ConnectionEvicted "connection-evicted" "Connections that left the table of the capture early because it was full.";
    ClientPortMerged "client-port-merged" "Connections without a handshake that were merged to one record because there were too many.";
    CountersMerged "counters-merged" "Flow records whose counts were merged into an older one's, for lack of room.";
    RecordDropped "record-dropped" "Flow records that were lost for lack of room.";
    NameDropped "name-dropped" "DNS names that were lost for lack of room.";
    OtherDropped "other-dropped" "Packets that no policy can express and that found no room in the table.";
    SpoolFailed "spool-failed" "Batches that could not be written to the spool and were kept in memory.";
    SpoolDamaged "spool-damaged" "Files of the spool that could not be read.";
    ClockStepped "clock-stepped" "Jumps of the node's clock.";
    LineMalformed "line-malformed" "Lines of a flow log that could not be read.";
    FlowIncomplete "flow-incomplete" "Flows of a flow log without addresses or ports.";
    LogLost "log-lost" "Flows that the flow log itself reports as lost.";
    LogSampled "log-sampled" "Flows of a log that counted only some of the packets: an answer may not have been seen.";
    TimeRefused "time-refused" "Records, scans and names of an agent of times that no spool explains: older than it reaches back, or ahead of the receiver's clock. The receiver refused them.";
    SourceRefused "source-refused" "Records of an agent of a kind of source that no agent runs. The receiver refused them.";
    ClaimRefused "claim-refused" "Records of an agent that say by name who the ends are: only flow logs do, and agents send none. The receiver refused them.";
    RecordOverBudget "record-over-budget" "Flow records beyond the receiver's budget, or of a time for which it has none: they teach nothing.";
    AddressMerged "address-merged" "Flow records of which one address is counted by its block, since too many addresses beyond the cluster came.";
    EdgeForgotten "edge-forgotten" "Edges that the store forgot before their time, for lack of room.";
    BatchForgotten "batch-forgotten" "Batches of which the receiver no longer knows whether they came, since too many were missing between others.";
    DirectionMissing "direction-missing" "Connections of which the flow log has one direction alone, though the flags show that the other was there; they count as answered only if a SYN-ACK or an acknowledgement proves it.";
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What sources saw in one period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observations {
    pub records: Vec<(Source, FlowRecord)>,
    pub scans: Vec<ScanSummary>,
    pub names: Vec<(IpAddr, NameEntry)>,
    pub other: Vec<OtherTraffic>,
    pub losses: BTreeMap<Loss, u64>,
    /// The addresses of the node's own interfaces; empty: they are not told.
    pub node_addresses: BTreeSet<IpAddr>,
}

impl Observations {
    /// Returns true if nothing was seen and nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.scans.is_empty()
            && self.names.is_empty()
            && self.other.is_empty()
            && self.losses.is_empty()
    }

    /// Counts a loss.
    pub fn lose(&mut self, loss: Loss, count: u64) {
        if count > 0 {
            *self.losses.entry(loss).or_default() += count;
        }
    }

    /// Appends other observations.
    pub fn append(&mut self, other: Observations) {
        self.records.extend(other.records);
        self.scans.extend(other.scans);
        self.names.extend(other.names);
        self.other.extend(other.other);
        for (loss, count) in other.losses {
            self.lose(loss, count);
        }
        if !other.node_addresses.is_empty() {
            self.node_addresses = other.node_addresses;
        }
    }
}

/// One run of an agent: a random number, new at each start, so that sequence numbers may start from 1 again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance(pub [u8; 16]);

impl fmt::Display for Instance {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// How far back an agent may tell of what it saw, in seconds: for so long its spool keeps batches while nobody takes
/// them.
pub const SPOOL_REACH: i64 = 7 * 24 * 3600;

/// What one node's agent sends at a time. A receiver applies each (instance, sequence) once, so that a
/// batch may be sent again whenever it is not certain that it has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowBatch {
    pub node: Arc<str>,
    pub instance: Instance,
    /// The sequence numbers of this batch, first and last, counted from 1. They differ only where
    /// batches that were never sent had to be merged.
    pub sequence: (u64, u64),
    /// The time it covers.
    pub span: (Timestamp, Timestamp),
    pub seen: Observations,
}
