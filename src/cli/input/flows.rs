//! Flow logs beside or instead of captures: what `--flows` reads.

use crate::finding::{Code, Finding};
use crate::flow::{
    AddressEpochs, Aggregate, FlowCounters, FlowLimits, FlowResult, Loss, Observed, Observer,
    Slice, Source,
};
use crate::graph::InventoryListeners;
use crate::inventory::Inventory;
use crate::net::Timestamp;
use crate::observe::flow_log::{FlowLogRead, FlowLogSummary, read_flows};
use crate::report::FlowInput;
use crate::store::FlowStore;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the flow logs came to.
pub struct Flows {
    aggregate: Aggregate,
    pub summary: FlowLogSummary,
    stores: Vec<FlowInput>,
}

/// Reads all flow logs, and the stores among them.
///
/// # Errors
/// As [`read_flows`], or a store that cannot be opened.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Flows> {
    let (mut aggregate, summary) = read_flows(paths)?;
    let mut stores = Vec::new();
    for path in &summary.stores {
        let (store, input) = read_store(path)?;
        aggregate.merge(store);
        stores.push(input);
    }
    Ok(Flows {
        aggregate,
        summary,
        stores,
    })
}

/// What a receiver has stored.
fn read_store(path: &Path) -> anyhow::Result<(Aggregate, FlowInput)> {
    let store = FlowStore::open_read_only(path)?.load()?;
    let span = store.span();
    let input = FlowInput {
        name: path.display().to_string(),
        format: "store",
        flows: store.records().count() as u64,
        names: store.names().listing().len() as u64,
        malformed: 0,
        bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
        first: span.map(|span| span.0),
        last: span.map(|span| span.1),
    };
    Ok((store, input))
}

impl Flows {
    /// The first and the last time of any flow.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.aggregate.span()
    }

    /// What the report says of each file.
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

    /// One finding for each way in which something was lost.
    pub fn findings(&self) -> Vec<Finding> {
        let samples = |loss| match loss {
            Loss::LineMalformed => self.summary.malformed.clone(),
            Loss::FlowIncomplete => self.summary.incomplete.clone(),
            _ => Vec::new(),
        };
        let losses = self.aggregate.losses().iter();
        let losses = losses.filter(|(_, count)| **count > 0);
        losses
            .map(|(loss, count)| {
                let samples = samples(*loss);
                let first = samples.first().map_or(String::new(), |s| format!(" ({s})"));
                let message = format!("counted {count}: {}{first}", loss.meaning());
                Finding::new(Code::ObservationLoss, loss.name(), message).with_samples(samples)
            })
            .collect()
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

    /// Flow logs and what captures showed, each connection counted once.
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
            FlowLimits::default().max_failed_targets,
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
        let rest = Slice {
            scans: seen.scans,
            names: seen.names.drain(),
            other: seen.other,
            ..Slice::default()
        };
        self.aggregate.add(&node, rest);
    }
}
