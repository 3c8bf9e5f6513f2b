//! What `generate` and `graph` read: captures and a snapshot, up to flow records and an inventory.

use super::progress::ReadingBar;
use crate::cluster::read_cluster;
use crate::finding::Finding;
use crate::flow::FlowRecord;
use crate::graph::GraphOptions;
use crate::inventory::{Inventory, OwnerRule};
use crate::net::Timestamp;
use crate::report::Inputs;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// Where observations come from.
#[derive(Debug, clap::Args)]
pub struct CaptureArgs {
    /// Packet captures: files (pcap or pcapng, plain, gzip or zstd), folders, or - for a stream.
    #[arg(long, short, required = true, value_name = "FILE|DIR|-", num_args = 1..)]
    capture: Vec<PathBuf>,
    /// Snapshots of the cluster as kubectl get … -o yaml (or json) prints them, or folders of manifests.
    #[arg(long, required = true, value_name = "FILE|DIR", num_args = 1..)]
    cluster: Vec<PathBuf>,
}

/// What may be switched about the graph.
#[derive(Debug, clap::Args)]
pub struct GraphArgs {
    /// Do not allow DNS over TCP where only DNS over UDP was seen.
    #[arg(long)]
    no_implied_dns: bool,
}

impl GraphArgs {
    pub fn options(&self) -> GraphOptions {
        GraphOptions {
            implied_dns: !self.no_implied_dns,
        }
    }
}

/// Everything that was read.
pub struct Read {
    pub inventory: Inventory,
    pub records: Vec<FlowRecord>,
    pub names: BTreeMap<IpAddr, BTreeSet<String>>,
    /// The first and last packet's time.
    pub span: (Timestamp, Timestamp),
    pub inputs: Inputs,
    pub skipped: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
}
