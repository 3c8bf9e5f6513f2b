//! Flow logs beside or instead of captures.

#[cfg(feature = "cluster")]
use super::stores::read_stores;
use super::vantage::{UnnamedSource, VantageBuilder};
#[cfg(not(feature = "cluster"))]
use super::without_stores::read_stores;
use crate::finding::{Code, Finding};
use crate::flow::{
    AddressEpochs, Aggregate, FlowConfig, FlowCounters, FlowResult, Loss, NodeAddresses,
    Observations, Observed, Observer, Source,
};
use crate::graph::{History, InventoryListeners};
use crate::inventory::Inventory;
use crate::load::error::LoadError;
use crate::load::notice::NoticeSink;
use crate::net::Timestamp;
use crate::observe::flow_log::{FlowLogFormat, FlowLogRead, FlowLogSummary, read_flows};
use crate::report::FlowInput;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// The content of flow logs.
pub struct FlowLogs {
    aggregate: Aggregate,
    /// The edges that controllers' stores folded in the hours that were asked for.
    pub history: History,
    pub summary: FlowLogSummary,
    stores: Vec<FlowInput>,
}

/// Reads all flow logs, and the stores among them.
///
/// # Errors
/// As [`read_flows`], or a store that cannot be opened.
pub fn read(
    paths: &[PathBuf],
    folded: Option<&Range<i64>>,
    notices: &dyn NoticeSink,
) -> Result<FlowLogs, LoadError> {
    let (mut aggregate, summary) = read_flows(paths)?;
    let mut history = History::default();
    let stores = read_stores(
        &summary.stores,
        folded,
        notices,
        &mut aggregate,
        &mut history,
    )?;
    Ok(FlowLogs {
        aggregate,
        history,
        summary,
        stores,
    })
}

/// One finding for each way in which something was lost. `samples` are examples of it.
pub fn loss_findings(
    losses: &BTreeMap<Loss, u64>,
    samples: impl Fn(Loss) -> Vec<String>,
) -> Vec<Finding> {
    let losses = losses.iter().filter(|(_, count)| **count > 0);
    losses
        .map(|(loss, count)| {
            let samples = samples(*loss);
            let first = samples.first().map_or(String::new(), |s| format!(" ({s})"));
            let message = format!("counted {count}: {}{first}", loss.meaning());
            Finding::new(Code::ObservationLoss, loss.name(), message).with_samples(samples)
        })
        .collect()
}

impl FlowLogs {
    /// What agents told of their nodes, of a store.
    pub fn node_addresses(&self) -> &NodeAddresses {
        self.aggregate.node_addresses()
    }

    /// The first and the last time of any flow.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.aggregate.span()
    }

    /// Adds what the observers that name their node had in view.
    pub fn views(&self, seen: &mut VantageBuilder<'_>) {
        let mut spans: BTreeMap<&str, (Timestamp, Timestamp)> = BTreeMap::new();
        for (observer, record) in self.aggregate.records() {
            // Calico's reporters are two on each host: its name, a slash, and which end it is.
            let node = observer.node.split('/').next().unwrap_or_default();
            if !node.is_empty() {
                let span = spans.entry(node).or_insert((record.first, record.last));
                *span = (span.0.min(record.first), span.1.max(record.last));
            }
        }
        for (node, span) in spans {
            seen.add_named(node, span);
        }
        for read in self.summary.read.iter().filter(|read| read.whole_cluster) {
            read.span
                .into_iter()
                .for_each(|span| seen.add_whole_cluster(span));
        }
        for (node, times) in self.aggregate.views() {
            times.iter().for_each(|span| seen.add_named(node, span));
        }
    }

    /// The records whose observer does not name its node: of which nodes they are is found from their addresses.
    pub fn without_node(&self) -> Vec<UnnamedSource> {
        let mut span: Option<(Timestamp, Timestamp)> = None;
        let mut pairs = BTreeSet::new();
        let records = self.aggregate.records();
        for (_, record) in records.filter(|(observer, _)| observer.node.is_empty()) {
            let (first, last) = span.unwrap_or((record.first, record.last));
            span = Some((first.min(record.first), last.max(record.last)));
            let servers = [Some(record.server), record.via.map(|via| via.ip())];
            for server in servers.into_iter().flatten() {
                pairs.insert((record.client.min(server), record.client.max(server)));
            }
        }
        let reads = self.summary.read.iter();
        let names = reads
            .filter(|read| !read.names_observers && !read.whole_cluster)
            .map(|read| &read.name);
        let unnamed = |name: &String| UnnamedSource {
            name: name.clone(),
            span,
            pairs: pairs.iter().copied().collect(),
            may_be_of_several: true,
        };
        names.map(unnamed).collect()
    }

    /// The inputs that the report lists, one for each file.
    pub fn inputs(&self) -> Vec<FlowInput> {
        let input = |read: &FlowLogRead| FlowInput {
            name: read.name.clone(),
            format: read.format.name(),
            flows: read.flows,
            names: read.names,
            malformed: read.malformed,
            bytes: read.bytes,
            first: read.span.map(|span| span.0),
            last: read.span.map(|span| span.1),
        };
        let logs = self.summary.read.iter().map(input);
        logs.chain(self.stores.iter().cloned()).collect()
    }

    /// Returns true if some of the logs come from Hubble.
    pub fn are_of_hubble(&self) -> bool {
        let mut formats = self.summary.read.iter().map(|read| read.format);
        formats.any(|format| format == FlowLogFormat::Hubble)
    }

    /// One finding for each way in which something was lost.
    pub fn findings(&self) -> Vec<Finding> {
        let samples = |loss| match loss {
            Loss::LineMalformed => self.summary.malformed.clone(),
            Loss::FlowIncomplete => self.summary.incomplete.clone(),
            _ => Vec::new(),
        };
        loss_findings(self.aggregate.losses(), samples)
    }

    /// What was skipped, by reason.
    pub fn skipped(&self) -> BTreeMap<String, u64> {
        let mut skipped: BTreeMap<String, u64> = self
            .summary
            .skipped
            .iter()
            .map(|(reason, count)| ((*reason).to_owned(), *count))
            .collect();
        let files = self.summary.skipped_files.len() as u64;
        if files > 0 {
            skipped.insert("file-without-flows".into(), files);
        }
        skipped
    }

    /// Flow logs together with the result of captures, each connection counted once.
    pub fn join(
        mut self,
        captures: Option<FlowResult>,
        inventory: &Inventory,
        epochs: &AddressEpochs,
    ) -> FlowResult {
        let mut counters = FlowCounters::default();
        let mut overflow = 0;
        if let Some(seen) = captures {
            counters = seen.counters.clone();
            overflow = seen.other_overflow;
            self.add_captures(seen);
        }
        let mut seen = self.aggregate.into_result(
            &InventoryListeners(inventory),
            epochs,
            FlowConfig::default().max_failed_targets,
        );
        seen.counters = FlowCounters {
            connections: seen.counters.connections,
            ..counters
        };
        seen.other_overflow += overflow;
        seen
    }

    fn add_captures(&mut self, mut seen: FlowResult) {
        let node: Arc<str> = Arc::from("");
        for record in seen.records {
            self.aggregate.add_record(Observed {
                observer: Observer {
                    node: node.clone(),
                    source: Source::Capture,
                },
                record,
            });
        }
        let rest = Observations {
            scans: seen.scans.into_iter().map(|(_, scan)| scan).collect(),
            names: seen.names.drain(),
            other: seen.other,
            ..Observations::default()
        };
        self.aggregate.add(&node, rest);
    }
}
