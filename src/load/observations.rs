//! Captures and flow logs, up to flow records and an inventory.

mod captures;
mod findings;
mod flow_logs;
mod no_pods;
#[cfg(feature = "cluster")]
mod stores;
mod vantage;
#[cfg(not(feature = "cluster"))]
mod without_stores;

#[cfg(feature = "cluster")]
pub use flow_logs::loss_findings;

use super::cluster_source::read_source;
use super::error::LoadError;
use super::notice::NoticeSink;
use super::source_path::{SourcePath, paths};
use crate::cluster::{ConnectSettings, append};
use crate::finding::{Code, Finding};
use crate::flow::{AddressEpochs, FlowConfig, FlowResult, NodeAddresses, SkipCounters};
use crate::graph::{History, Vantage, address_epochs};
use crate::inventory::{ImageScan, Inventory, Objects, OwnerRule, foreign_policies};
use crate::net::Timestamp;
use crate::observe::{CaptureRead, CaptureSummary};
use crate::plugin::{ClusterPlugin, NetworkPlugin, Profile, ToldBy};
use crate::report::period::Period;
use crate::report::{CaptureInput, Inputs, SnapshotInput};
use captures::{observed, read_captures};
use flow_logs::FlowLogs;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use vantage::VantageBuilder;

/// Where observations come from.
#[derive(Debug, Clone)]
pub struct TrafficSource {
    /// Files, folders, or `-`.
    pub captures: Vec<SourcePath>,
    /// Files, folders, stores, or `-`.
    pub flows: Vec<SourcePath>,
    /// Ranges that pods get addresses from; empty: those of the nodes' podCIDRs.
    pub pod_ranges: Vec<ipnet::IpNet>,
    /// Ranges that Services get addresses from; empty: those that the Services show.
    pub service_ranges: Vec<ipnet::IpNet>,
    /// The network plugin, if it is not the one that the cluster's objects show.
    pub network_plugin: Option<Profile>,
    /// Connections held in memory at once.
    pub max_connections: usize,
    /// If set, no flow record spans an hour or one of these times.
    cuts: Option<[Option<Timestamp>; 2]>,
    /// The hours since the Unix epoch for which the folded edges of a controller's store are read; `None`: none.
    folded: Option<Range<i64>>,
}

impl TrafficSource {
    /// With default limits, and ranges as the cluster shows them.
    pub fn new(captures: Vec<SourcePath>, flows: Vec<SourcePath>) -> Self {
        TrafficSource {
            captures,
            flows,
            pod_ranges: Vec::new(),
            service_ranges: Vec::new(),
            network_plugin: None,
            max_connections: FlowConfig::default().max_connections,
            cuts: None,
            folded: None,
        }
    }

    /// The same, with records cut at each hour and at these times, so that records can be attributed to hours and to
    /// the period between these times.
    pub fn cut_at(self, from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        TrafficSource {
            cuts: Some([from, to]),
            ..self
        }
    }

    /// The same, with the folded edges of a controller's store for these hours since the Unix epoch.
    pub fn with_folded(self, hours: Range<i64>) -> Self {
        TrafficSource {
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

/// The hours since the Unix epoch that a period touches.
pub fn hours_of(period: Period) -> Range<i64> {
    const SECONDS: i64 = 3600;
    // Far enough, and without overflow when it becomes seconds.
    const FAR: i64 = i64::MAX / (SECONDS * 2);
    let first = period.from.map_or(-FAR, |from| from.hour());
    let end = period.to.map_or(FAR, |to| {
        to.hour() + i64::from(to > Timestamp::from_hour(to.hour()))
    });
    first..end
}

/// Everything that was read.
pub struct LoadedTraffic {
    pub inventory: Inventory,
    pub flows: FlowResult,
    /// The folded edges that were asked for.
    pub history: History,
    /// The first and last time of any packet or flow.
    pub span: (Timestamp, Timestamp),
    /// What could be seen in that time.
    pub vantage: Vantage,
    pub inputs: Inputs,
    /// Frames, files and objects that were skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
    /// Vulnerability scans that the snapshots hold.
    pub scans: Vec<ImageScan>,
    /// The NetworkPolicies of the snapshots that nanoseg does not manage.
    pub foreign_policies: Vec<NetworkPolicy>,
}

impl LoadedTraffic {
    /// Keeps only the period: connections that began in it, and scans that touch it.
    pub fn keep(&mut self, period: Period) {
        let flows = &mut self.flows;
        flows.records.retain(|record| period.contains(record.first));
        flows
            .scans
            .retain(|(_, scan)| period.touches(scan.first, Some(scan.last)));
    }

    /// Adds flow logs to the result of captures of the time `span`.
    fn add(
        &mut self,
        logs: FlowLogs,
        span: Option<(Timestamp, Timestamp)>,
        epochs: &AddressEpochs,
    ) {
        self.span = match (span, logs.span()) {
            (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
            (one, other) => one.or(other).unwrap_or_default(),
        };
        self.inputs.flows = logs.inputs();
        self.findings.extend(logs.findings());
        let captures = span.map(|_| std::mem::take(&mut self.flows));
        self.flows = logs.join(captures, &self.inventory, epochs);
    }
}

/// Reads snapshots, then captures and flow logs.
///
/// # Errors
/// Files that cannot be read, or are not what they should be.
pub fn read_with_snapshots(
    source: &TrafficSource,
    cluster: &[PathBuf],
    connect: &ConnectSettings,
    notices: &dyn NoticeSink,
) -> Result<LoadedTraffic, LoadError> {
    let (objects, snapshots, files) = read_snapshots(cluster, connect, notices)?;
    read(source, &objects, Snapshots { snapshots, files }, notices)
}

/// Reads the observations of a cluster whose objects are loaded already.
///
/// # Errors
/// As [`read_with_snapshots`].
pub fn read_traffic(
    source: &TrafficSource,
    objects: &Objects,
    notices: &dyn NoticeSink,
) -> Result<LoadedTraffic, LoadError> {
    read(source, objects, Snapshots::default(), notices)
}

/// Which snapshots were read.
#[derive(Default)]
struct Snapshots {
    snapshots: Vec<SnapshotInput>,
    /// How many files were not manifests.
    files: usize,
}

fn read(
    source: &TrafficSource,
    objects: &Objects,
    Snapshots { snapshots, files }: Snapshots,
    notices: &dyn NoticeSink,
) -> Result<LoadedTraffic, LoadError> {
    let nothing = NodeAddresses::default();
    let (mut inventory, mut findings) = inventory(source, objects, &snapshots, &nothing)?;
    for path in source.captures.iter().chain(&source.flows) {
        path.check(&inventory)?;
    }
    let logs = match source.flows.as_slice() {
        [] => None,
        flows => Some(flow_logs::read(
            &paths(flows),
            source.folded.as_ref(),
            notices,
        )?),
    };
    if let Some(told) = logs.as_ref().map(FlowLogs::node_addresses)
        && *told != nothing
    {
        (inventory, findings) = self::inventory(source, objects, &snapshots, told)?;
    }
    if logs.as_ref().is_some_and(FlowLogs::are_of_hubble) && inventory.network_plugin.is_unknown() {
        inventory.network_plugin = ClusterPlugin {
            profile: Profile::of(NetworkPlugin::Cilium),
            told: ToldBy::FlowLogs,
        };
    }
    let (flows, frames, summary, pairs) = match source.captures.as_slice() {
        [] => Default::default(),
        _ => read_captures(source, &mut inventory, notices)?,
    };
    if logs.is_none() && summary.is_undecodable() {
        return Err(LoadError::Undecodable(findings::undecodable(&summary)));
    }
    let mut seen = VantageBuilder::new(&inventory);
    if let Some(logs) = &logs {
        logs.views(&mut seen);
        findings.extend(seen.add(&source.flows, &logs.without_node()));
        findings.extend(no_pods::findings(&logs.summary.read, &inventory));
    }
    findings.extend(seen.add(&source.captures, &observed(&summary, pairs)));
    let (vantage, unknown_nodes) = seen.finish();
    findings.extend(unknown_nodes);
    findings.extend(summary.findings());
    findings.extend(overflow(&flows, source.max_connections));
    let foreign_policies = foreign_policies(objects);
    findings.extend(findings::of_objects(objects, &foreign_policies, &inventory));
    let mut skipped = skipped(objects, files, &frames, &summary, &flows);
    let mut loaded = LoadedTraffic {
        span: summary.span.unwrap_or_default(),
        vantage,
        inputs: Inputs {
            captures: capture_inputs(&summary),
            flows: Vec::new(),
            snapshots,
        },
        skipped: BTreeMap::new(),
        inventory,
        flows,
        history: History::default(),
        findings,
        scans: objects.scans.clone(),
        foreign_policies,
    };
    if let Some(mut logs) = logs {
        loaded.history = std::mem::take(&mut logs.history);
        let epochs = source.epochs(&loaded.inventory);
        skipped.extend(logs.skipped());
        loaded.add(logs, summary.span, &epochs);
    }
    loaded.skipped = skipped;
    Ok(loaded)
}

fn inventory(
    source: &TrafficSource,
    objects: &Objects,
    snapshots: &[SnapshotInput],
    told: &NodeAddresses,
) -> Result<(Inventory, Vec<Finding>), LoadError> {
    let (mut inventory, findings) =
        Inventory::build_with(objects, OwnerRule::Infer, &told.by_node());
    if !source.pod_ranges.is_empty() {
        inventory.pod_ranges.clone_from(&source.pod_ranges);
    }
    if !source.service_ranges.is_empty() {
        inventory.service_ranges.clone_from(&source.service_ranges);
    }
    inventory.take_network_plugin(source.network_plugin);
    // Who says both ranges says what is the cluster's and what is not.
    if !source.pod_ranges.is_empty() && !source.service_ranges.is_empty() {
        inventory.partial = false;
    }
    if inventory.pods.is_empty() {
        let names: Vec<&str> = snapshots.iter().map(|one| one.name.as_str()).collect();
        return Err(LoadError::NoPods(if names.is_empty() {
            "the cluster".to_owned()
        } else {
            names.join(", ")
        }));
    }
    Ok((inventory, findings))
}

/// The objects of all snapshots, what each snapshot holds, and how many files of folders were not manifests.
fn read_snapshots(
    cluster: &[PathBuf],
    connect: &ConnectSettings,
    notices: &dyn NoticeSink,
) -> Result<(Objects, Vec<SnapshotInput>, usize), LoadError> {
    let (mut all, mut inputs, mut files) = (Objects::default(), Vec::new(), 0);
    for path in cluster {
        let (objects, skipped) = read_source(path, connect, notices)?;
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

fn overflow(flows: &FlowResult, limit: usize) -> Option<Finding> {
    let evicted = flows.counters.evicted;
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
    flows: &FlowResult,
) -> BTreeMap<String, u64> {
    let mut skipped: BTreeMap<String, u64> = frames
        .listing()
        .into_iter()
        .map(|(reason, count)| (reason.to_string(), count))
        .collect();
    let counters = &flows.counters;
    for (reason, count) in [
        ("stray-segment", counters.stray_segments),
        ("stray-unreachable", counters.stray_unreachables),
        ("not-expressible", counters.not_expressible),
        ("malformed-dns", counters.dns_malformed),
        ("dns-answer-without-question", counters.dns_unasked),
        ("address-in-block", counters.addresses_merged),
        ("unnamed-address", flows.names.overflow()),
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
