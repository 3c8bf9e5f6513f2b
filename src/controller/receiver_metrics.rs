//! The receiver's metrics. Names and labels are stable.

use crate::flow::{Applied, FlowBatch};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::time::{SystemTime, UNIX_EPOCH};

type Labels = Vec<(&'static str, String)>;

#[derive(Debug, Default)]
pub struct ReceiverMetrics {
    batches: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    records: Counter,
    losses: Family<Labels, Counter>,
    last_batch: Family<Labels, Gauge>,
    store_errors: Counter,
}

impl ReceiverMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("nanoseg_receiver");
        registry.register(
            "batches",
            "Batches of agents, by whether they were new or had been applied before",
            self.batches.clone(),
        );
        registry.register(
            "refused",
            "Streams and batches that were refused, by reason",
            self.refused.clone(),
        );
        registry.register("records", "Flow records applied", self.records.clone());
        registry.register(
            "losses",
            "What agents say was lost before it reached them or on them, by node and reason",
            self.losses.clone(),
        );
        registry.register(
            "last_batch_timestamp_seconds",
            "When the last batch of a node was stored, in seconds since the Unix epoch",
            self.last_batch.clone(),
        );
        registry.register(
            "store_errors",
            "Times that the store could not be written; the batches come again",
            self.store_errors.clone(),
        );
    }

    pub fn refused(&self, reason: &'static str) {
        let labels = vec![("reason", reason.to_owned())];
        self.refused.get_or_create(&labels).inc();
    }

    pub fn store_failed(&self) {
        self.store_errors.inc();
    }

    pub fn applied(&self, batch: &FlowBatch, applied: Applied) {
        let result = match applied {
            Applied::New => "new",
            Applied::Duplicate => "duplicate",
        };
        let labels = vec![("result", result.to_owned())];
        self.batches.get_or_create(&labels).inc();
        let node = ("node", batch.node.to_string());
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
        self.last_batch.get_or_create(&vec![node.clone()]).set(now);
        if applied == Applied::Duplicate {
            return;
        }
        self.records.inc_by(batch.seen.records.len() as u64);
        for (loss, count) in &batch.seen.losses {
            let labels = vec![node.clone(), ("loss", loss.name().to_owned())];
            self.losses.get_or_create(&labels).inc_by(*count);
        }
    }
}
