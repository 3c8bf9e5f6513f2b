//! What `generate` and `graph` read: captures, flow logs and a snapshot, up to flow records and an inventory.

mod flows;

pub use flows::loss_findings;

use super::progress::ReadingBar;
use crate::cluster::{append, read_cluster};
use crate::finding::{Code, Finding};
use crate::flow::{AddressEpochs, FlowConfig, FlowResult, FlowTable, SkipCounters};
use crate::graph::{GraphOptions, History, InventoryListeners, address_epochs};
use crate::inventory::{ImageScan, Inventory, Objects, OwnerRule, foreign_policies};
use crate::net::Timestamp;
use crate::observe::{CaptureRead, CaptureSet, CaptureSummary};
use crate::report::evidence::Period;
use crate::report::{CaptureInput, Inputs, SnapshotInput};
use anyhow::Context;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::slice;

/// Where observations come from.
#[derive(Debug, Clone, clap::Args)]
pub struct TrafficArgs {
    /// Packet captures: files (pcap or pcapng, plain, gzip or zstd), folders, or - for a stream.
    #[arg(long, short, required_unless_present = "flows", value_name = "FILE|DIR|-", num_args = 1..)]
    capture: Vec<PathBuf>,
    /// Flow logs, beside captures or instead: nanoseg's own (JSON lines, CSV), Hubble's jsonpb lines,
    /// Calico's or Goldmane's JSON, the receiver's store. Plain, gzip or zstd; folders; - for a stream.
    #[arg(long, value_name = "FILE|DIR|-", num_args = 1..)]
    flows: Vec<PathBuf>,
    /// A range that pods get addresses from, where the nodes' podCIDRs do not say it (repeatable).
    #[arg(long, value_name = "CIDR")]
    pod_cidr: Vec<ipnet::IpNet>,
    /// The range that Services get addresses from, where the Services seen do not show it (repeatable).
    #[arg(long, value_name = "CIDR")]
    service_cidr: Vec<ipnet::IpNet>,
    /// Connections held in memory at once, about 170 bytes each.
    #[arg(long, value_name = "N", default_value_t = FlowConfig::default().max_connections)]
    max_connections: usize,
    /// Where flow records must not span an hour, and neither of these times.
    #[arg(skip)]
    cuts: Option<[Option<Timestamp>; 2]>,
    /// The hours since the Unix epoch of which what a controller folded counts; absent: none.
    #[arg(skip)]
    folded: Option<Range<i64>>,
}

impl TrafficArgs {
    /// As given on a command line with options of its own.
    pub fn of(capture: &[PathBuf], flows: &[PathBuf]) -> Self {
        TrafficArgs {
            capture: capture.to_vec(),
            flows: flows.to_vec(),
            pod_cidr: Vec::new(),
            service_cidr: Vec::new(),
            max_connections: FlowConfig::default().max_connections,
            cuts: None,
            folded: None,
        }
    }

    /// The same, and what began in which hour, and between these times, can be told from the records.
    pub fn cut_at(self, from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        TrafficArgs {
            cuts: Some([from, to]),
            ..self
        }
    }

    /// The same, with what a controller's store has of these hours since the Unix epoch and is no flow record any more.
    pub fn with_folded(self, hours: Range<i64>) -> Self {
        TrafficArgs {
            folded: Some(hours),
            ..self
        }
    }

    fn epochs(&self, inventory: &Inventory) -> AddressEpochs {
        let epochs = address_epochs(inventory);
        match self.cuts {
            Some(at) => epochs.with_boundaries(at),
            None => epochs,
        }
    }
}

/// Observations, and the snapshots that say whose they are.
#[derive(Debug, clap::Args)]
pub struct CaptureArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
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
    pub seen: FlowResult,
    /// What was folded before, where that was asked for.
    pub history: History,
    /// The first and last time of any packet or flow.
    pub span: (Timestamp, Timestamp),
    pub inputs: Inputs,
    /// Frames, files and objects that were skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
    /// Vulnerability scans that the snapshots hold.
    pub scans: Vec<ImageScan>,
    /// The NetworkPolicies of the snapshots that nanoseg does not manage.
    pub foreign_policies: Vec<NetworkPolicy>,
}

impl Read {
    /// Keeps what was seen in the period: connections that began in it, scans that touch it.
    pub fn keep(&mut self, period: Period) {
        let seen = &mut self.seen;
        seen.records.retain(|record| period.contains(record.first));
        seen.scans
            .retain(|scan| period.touches(scan.first, Some(scan.last)));
    }
}

/// Reads the snapshot, then captures and flow logs.
///
/// # Errors
/// Files that cannot be read, or are not what they should be.
pub fn read(args: &CaptureArgs) -> anyhow::Result<Read> {
    check_stdin(&args.traffic, &args.cluster)?;
    let (objects, snapshots, files) = read_snapshots(&args.cluster)?;
    read_traffic(&args.traffic, &objects, snapshots, files)
}

/// Only one input can be standard input.
pub fn check_stdin(args: &TrafficArgs, cluster: &[PathBuf]) -> anyhow::Result<()> {
    let inputs = [args.capture.as_slice(), &args.flows, cluster];
    let is_stdin = |paths: &&&[PathBuf]| paths.iter().any(|path| path.as_os_str() == "-");
    anyhow::ensure!(
        inputs.iter().filter(is_stdin).count() < 2,
        "only one of --capture, --flows and --cluster can be standard input: give the others files"
    );
    Ok(())
}

/// Reads the observations of a cluster whose objects are known already. `files` of them were no manifests.
pub fn read_traffic(
    args: &TrafficArgs,
    objects: &Objects,
    snapshots: Vec<SnapshotInput>,
    files: usize,
) -> anyhow::Result<Read> {
    let (mut inventory, mut findings) = Inventory::build(objects, OwnerRule::Infer);
    if !args.pod_cidr.is_empty() {
        inventory.pod_ranges.clone_from(&args.pod_cidr);
    }
    if !args.service_cidr.is_empty() {
        inventory.service_ranges.clone_from(&args.service_cidr);
    }
    anyhow::ensure!(
        !inventory.pods.is_empty(),
        "no pods in {}: make the snapshot with kubectl get pods,… -A -o yaml",
        match snapshots.as_slice() {
            [] => "the cluster".to_owned(),
            some => some
                .iter()
                .map(|s| s.name.clone())
                .collect::<Vec<_>>()
                .join(", "),
        }
    );
    let flows = match args.flows.as_slice() {
        [] => None,
        paths => Some(flows::read(paths, args.folded.as_ref())?),
    };
    let (seen, frames, summary) = match args.capture.as_slice() {
        [] => Default::default(),
        _ => read_captures(args, &inventory)?,
    };
    findings.extend(summary.findings());
    findings.extend(overflow(&seen, args.max_connections));
    let mut skipped = skipped(objects, files, &frames, &summary, &seen);
    let mut read = Read {
        span: summary.span.unwrap_or_default(),
        inputs: Inputs {
            captures: capture_inputs(&summary),
            flows: Vec::new(),
            snapshots,
        },
        skipped: BTreeMap::new(),
        inventory,
        seen,
        history: History::default(),
        findings,
        scans: objects.scans.clone(),
        foreign_policies: foreign_policies(objects),
    };
    if let Some(mut flows) = flows {
        read.history = std::mem::take(&mut flows.history);
        let epochs = args.epochs(&read.inventory);
        skipped.extend(flows.skipped());
        read.add(flows, summary.span, &epochs);
    }
    read.skipped = skipped;
    Ok(read)
}

impl Read {
    /// Adds flow logs to what captures showed in the time `span`.
    fn add(
        &mut self,
        flows: flows::Flows,
        span: Option<(Timestamp, Timestamp)>,
        epochs: &AddressEpochs,
    ) {
        self.span = match (span, flows.span()) {
            (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
            (one, other) => one.or(other).unwrap_or_default(),
        };
        self.inputs.flows = flows.inputs();
        self.findings.extend(flows.findings());
        let captures = span.map(|_| std::mem::take(&mut self.seen));
        self.seen = flows.join(captures, &self.inventory, epochs);
    }
}

/// The objects of all snapshots, what each came to, and how many files of folders were no manifests.
fn read_snapshots(cluster: &[PathBuf]) -> anyhow::Result<(Objects, Vec<SnapshotInput>, usize)> {
    let (mut all, mut inputs, mut files) = (Objects::default(), Vec::new(), 0);
    for path in cluster {
        let (objects, skipped) = read_cluster(slice::from_ref(path))?;
        inputs.push(SnapshotInput {
            name: path.display().to_string(),
            snapshots: objects.snapshots as u64,
            objects: objects.count() as u64,
        });
        files += skipped.len();
        append(&mut all, objects);
    }
    Ok((all, inputs, files))
}

fn read_captures(
    args: &TrafficArgs,
    inventory: &Inventory,
) -> anyhow::Result<(FlowResult, SkipCounters, CaptureSummary)> {
    let captures = CaptureSet::open(&args.capture)?;
    let limits = FlowConfig {
        max_connections: args.max_connections,
        ..FlowConfig::default()
    };
    let listeners = InventoryListeners(inventory);
    let mut table = FlowTable::new(listeners, args.epochs(inventory), limits);
    let bar = ReadingBar::new();
    let (summary, frames) = captures
        .feed(&mut table, |progress| bar.update(progress))
        .context("failed to read captures")?;
    bar.finish();
    Ok((table.finish(), frames, summary))
}

fn overflow(seen: &FlowResult, limit: usize) -> Option<Finding> {
    let evicted = seen.counters.evicted;
    let message =
        format!("{evicted} connections were closed early, since more than {limit} were open");
    (evicted > 0).then(|| Finding::new(Code::TableOverflow, "captures", message))
}

fn capture_inputs(summary: &CaptureSummary) -> Vec<CaptureInput> {
    let input = |read: &CaptureRead| CaptureInput {
        bytes: std::fs::metadata(&read.name).map_or(0, |file| file.len()),
        name: read.name.clone(),
        packets: read.packets,
        first: read.span.map(|span| span.0),
        last: read.span.map(|span| span.1),
    };
    summary.read.iter().map(input).collect()
}

/// What was skipped, by reason: nothing is lost silently (rule: loss-is-counted).
fn skipped(
    objects: &Objects,
    files: usize,
    frames: &SkipCounters,
    summary: &CaptureSummary,
    seen: &FlowResult,
) -> BTreeMap<String, u64> {
    let mut skipped: BTreeMap<String, u64> = frames
        .listing()
        .into_iter()
        .map(|(reason, count)| (reason.to_string(), count))
        .collect();
    let counters = &seen.counters;
    for (reason, count) in [
        ("stray-segment", counters.stray_segments),
        ("stray-unreachable", counters.stray_unreachables),
        ("not-expressible", counters.not_expressible),
        ("malformed-dns", counters.dns_malformed),
        ("unnamed-address", seen.names.overflow()),
        ("file-without-capture", summary.skipped_files.len() as u64),
        ("file-without-objects", files as u64),
        ("pcapng-block-without-packet", summary.other_blocks),
    ] {
        if count > 0 {
            *skipped.entry(reason.into()).or_default() += count;
        }
    }
    for (kind, count) in &objects.skipped {
        *skipped.entry(format!("object {kind}")).or_default() += *count as u64;
    }
    skipped
}
