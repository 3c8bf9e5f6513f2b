//! How large the store is, and how much of the budget of what agents send is in use. Names and labels are stable.

use crate::flow::{IntakeLimits, IntakeUse};
use crate::store::{FoldStep, Forgotten, StoreLimits, StoreSize};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, &'static str)>;

#[derive(Debug, Default)]
pub struct StoreMetrics {
    used: Family<Labels, Gauge>,
    limit: Family<Labels, Gauge>,
    bytes: Gauge,
    folded_hours: Counter,
    folded_records: Counter,
    forgotten: Family<Labels, Counter>,
    failures: Counter,
}

impl StoreMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("nanoseg_store");
        registry.register(
            "used",
            "How much of each bounded thing there is, in memory and in the store",
            self.used.clone(),
        );
        registry.register(
            "limit",
            "How much of each bounded thing there may be; what is beyond is counted as a loss",
            self.limit.clone(),
        );
        registry.register("bytes", "The size of the file", self.bytes.clone());
        registry.register(
            "folds",
            "Folds: all records of one hour became edges",
            self.folded_hours.clone(),
        );
        registry.register(
            "folded_records",
            "Records that became edges",
            self.folded_records.clone(),
        );
        registry.register(
            "forgotten",
            "What was forgotten before its time for lack of room, and single addresses that became blocks",
            self.forgotten.clone(),
        );
        registry.register(
            "fold_failures",
            "Times that folding or merging records failed; it is tried again",
            self.failures.clone(),
        );
    }

    /// Sets what the intake uses.
    pub fn set_use(&self, used: IntakeUse) {
        let limits = IntakeLimits::default();
        let addresses = limits.addresses.total();
        let late_and_open = limits.late_hours + 4;
        for (what, used, limit) in [
            ("pairs", used.pairs, limits.pairs),
            ("records", used.fine, limits.fine),
            ("late-records", used.late, limits.late),
            ("open-hours", used.open_hours, late_and_open),
            ("outside-addresses", used.addresses, addresses),
            ("dns-names", used.names, limits.names),
            ("other-traffic", used.other, limits.other),
            ("scanners", used.scanners, limits.scanners),
            ("nodes", used.nodes, limits.nodes),
            ("sequences", used.sequences, limits.sequences),
        ] {
            self.set(what, used as u64, limit as u64);
        }
    }

    pub fn set_size(&self, size: StoreSize) {
        let limits = StoreLimits::default();
        for (what, used, limit) in [
            ("edges", size.edges, limits.edges),
            ("hour-edges", size.hour_edges, limits.hour_edges),
            ("port-scans", size.scans, limits.scans),
            ("stored-names", size.names, limits.names),
        ] {
            self.set(what, used, limit);
        }
        self.bytes.set(gauge(size.bytes));
    }

    pub fn folded(&self, step: &FoldStep) {
        self.folded_hours.inc_by(step.hours.len() as u64);
        self.folded_records.inc_by(step.records as u64);
    }

    pub fn forgot(&self, forgotten: Forgotten) {
        for (what, count) in [
            ("edges", forgotten.edges),
            ("hour-edges", forgotten.hour_edges),
            ("names", forgotten.names),
            ("batches", forgotten.batches),
            ("single-addresses", forgotten.moved),
        ] {
            let labels = vec![("what", what)];
            self.forgotten.get_or_create(&labels).inc_by(count);
        }
    }

    pub fn failed(&self) {
        self.failures.inc();
    }

    fn set(&self, what: &'static str, used: u64, limit: u64) {
        let labels = vec![("what", what)];
        self.used.get_or_create(&labels).set(gauge(used));
        self.limit.get_or_create(&labels).set(gauge(limit));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
