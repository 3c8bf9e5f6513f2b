//! The summary of reading flow logs.

use crate::SkippedFile;
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// The form of a flow log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowLogFormat {
    /// nanoseg's own, one JSON object a line.
    Jsonl,
    /// nanoseg's own, with a header line.
    Csv,
    /// `hubble observe -o jsonpb`.
    Hubble,
    /// Calico's flow logs, and Goldmane's flows.
    Calico,
    /// Zeek's `conn.log`, as text or JSON.
    Zeek,
    /// AWS VPC flow logs.
    Vpc,
    /// NetObserv's records.
    NetObserv,
    /// NetFlow and IPFIX, as nfdump prints them.
    Nfdump,
}

impl FlowLogFormat {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            FlowLogFormat::Jsonl => "jsonl",
            FlowLogFormat::Csv => "csv",
            FlowLogFormat::Hubble => "hubble",
            FlowLogFormat::Calico => "calico",
            FlowLogFormat::Zeek => "zeek",
            FlowLogFormat::Vpc => "vpc",
            FlowLogFormat::NetObserv => "netobserv",
            FlowLogFormat::Nfdump => "nfdump",
        }
    }
}

/// The summary of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowLogRead {
    /// The file as it was given, `-` for standard input.
    pub name: String,
    pub format: FlowLogFormat,
    /// Bytes on the disk, compressed or not.
    pub bytes: u64,
    /// Flows in the file: flow records, or events of connections.
    pub flows: u64,
    pub names: u64,
    /// Lines that could not be read.
    pub malformed: u64,
    /// The time of the earliest and the latest flow.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Addresses of the flows' ends, up to 65536.
    pub ends: BTreeSet<IpAddr>,
    /// Some end is named as a pod or workload.
    pub named_ends: bool,
    /// Flows of it name the nodes that observed them: they are among the aggregate's views.
    pub names_observers: bool,
    /// The source gathers the flows of all nodes, and does not name them (Goldmane).
    pub whole_cluster: bool,
    /// The addresses are those of network interfaces, that is of nodes, since the log leaves out those of packets.
    pub interface_addresses: bool,
}

/// The summary of all files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowLogSummary {
    /// Each file, in order of name.
    pub read: Vec<FlowLogRead>,
    /// SQLite files: flow records that a receiver stored. The store opens them.
    pub stores: Vec<PathBuf>,
    /// Files of folders that are no flow logs.
    pub skipped_files: Vec<SkippedFile>,
    /// Flows that are no connection, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// The first few lines that could not be read: file, line and reason.
    pub malformed: Vec<String>,
    /// The first few flows without addresses or ports: file, line and reason.
    pub incomplete: Vec<String>,
}
