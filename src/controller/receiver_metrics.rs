//! The receiver's metrics. Names and labels are stable.

use crate::flow::{Applied, FlowBatch};
use crate::observe::hubble::HubbleCounters;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// For how long `/readyz` tells of messages that were set aside.
const LATELY: Duration = Duration::from_secs(3600);

type Labels = Vec<(&'static str, String)>;

/// Messages that were set aside for one reason.
#[derive(Debug, Default)]
struct Aside {
    count: u64,
    last: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct ReceiverMetrics {
    batches: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    set_aside: Family<Labels, Counter>,
    aside: Mutex<BTreeMap<&'static str, Aside>>,
    records: Counter,
    losses: Family<Labels, Counter>,
    last_batch: Family<Labels, Gauge>,
    store_errors: Counter,
    hubble_running: Gauge,
    hubble: Family<Vec<(&'static str, &'static str)>, Gauge>,
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
        registry.register(
            "nats_set_aside",
            "Messages of NATS that were taken out of the stream and not stored, by reason, and whether a copy is in \
             the stream NANOSEG_REJECTED",
            self.set_aside.clone(),
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
        registry.register(
            "hubble_running",
            "Whether Hubble Relay is followed; 0 also where none is given",
            self.hubble_running.clone(),
        );
        registry.register(
            "hubble_figure",
            "What following Hubble Relay counts itself since the start, by name",
            self.hubble.clone(),
        );
        // What never happened is zero and not absent.
        self.hubble(&HubbleCounters::default().read());
        self.hubble_lost(0);
    }

    pub fn hubble_running(&self, runs: bool) {
        self.hubble_running.set(i64::from(runs));
    }

    /// What following Hubble Relay counts.
    pub fn hubble(&self, figures: &[(&'static str, u64)]) {
        for (figure, value) in figures {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            let labels = vec![("figure", *figure)];
            self.hubble.get_or_create(&labels).set(value);
        }
    }

    /// Counts what Hubble saw and the store did not take.
    pub fn hubble_lost(&self, records: u64) {
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        let labels = vec![("figure", "not-stored")];
        self.hubble.get_or_create(&labels).inc_by(records);
    }

    pub fn refused(&self, reason: &'static str) {
        let labels = vec![("reason", reason.to_owned())];
        self.refused.get_or_create(&labels).inc();
    }

    /// Counts a message of NATS that was set aside.
    pub fn set_aside(&self, reason: &'static str, is_kept: bool) {
        let kept = if is_kept { "yes" } else { "no" };
        let labels = vec![("reason", reason.to_owned()), ("kept", kept.to_owned())];
        self.set_aside.get_or_create(&labels).inc();
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = aside.entry(reason).or_default();
        entry.count = entry.count.saturating_add(1);
        entry.last = Some(Instant::now());
    }

    /// What was set aside in the last hour, for `/readyz`. It makes nobody unready: any agent could do so then.
    pub fn note(&self) -> Option<String> {
        let aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        let lately: Vec<String> = aside
            .iter()
            .filter(|(_, entry)| entry.last.is_some_and(|last| last.elapsed() < LATELY))
            .map(|(reason, entry)| format!("{reason} ({})", entry.count))
            .collect();
        (!lately.is_empty()).then(|| {
            format!(
                "messages of NATS were set aside: {}; look at them in the stream NANOSEG_REJECTED",
                lately.join(", ")
            )
        })
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
