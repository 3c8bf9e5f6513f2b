//! What the controller counts and whether it is well, for `/metrics` and `/readyz`. Names and labels are stable.

use super::engine::{EngineState, Observation};
use super::plan::EnforcerReport;
use crate::cluster::live::Writer;
use crate::review::Violation;
use crate::review::record::Entry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type Labels = Vec<(&'static str, String)>;

/// See the module.
#[derive(Debug)]
pub struct ControllerMetrics {
    leading: Gauge,
    stale: Gauge,
    cycles: Histogram,
    record: Family<Labels, Counter>,
    record_head: Gauge,
    drift: Family<Labels, Counter>,
    store_errors: Counter,
    workloads: Gauge,
    edges: Gauge,
    enforced: Gauge,
    open_proposals: Gauge,
    violations: Gauge,
    degraded: Gauge,
    /// Why the state could not be written when it was last tried.
    problem: Mutex<Option<String>>,
}

impl Default for ControllerMetrics {
    fn default() -> Self {
        ControllerMetrics {
            leading: Gauge::default(),
            stale: Gauge::default(),
            cycles: Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]),
            record: Family::default(),
            record_head: Gauge::default(),
            drift: Family::default(),
            store_errors: Counter::default(),
            workloads: Gauge::default(),
            edges: Gauge::default(),
            enforced: Gauge::default(),
            open_proposals: Gauge::default(),
            violations: Gauge::default(),
            degraded: Gauge::default(),
            problem: Mutex::default(),
        }
    }
}

impl ControllerMetrics {
    pub fn register(&self, registry: &mut Registry, writer: Writer) {
        let registry = registry.sub_registry_with_prefix("nanoseg_controller");
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge("leading", "1 while this replica leads", &self.leading);
        gauge(
            "stale",
            "1 while what is known of the cluster may be out of date; nothing is written then",
            &self.stale,
        );
        gauge("workloads", "Workloads in the cluster", &self.workloads);
        gauge("edges", "Edges of the communication graph", &self.edges);
        gauge(
            "enforced_workloads",
            "Workloads with a policy of ours in the cluster",
            &self.enforced,
        );
        gauge(
            "open_proposals",
            "Proposals that wait for a decision",
            &self.open_proposals,
        );
        gauge(
            "violations",
            "Connections seen that the policies in force do not allow",
            &self.violations,
        );
        gauge(
            "degraded_workloads",
            "Workloads that were rolled back because approved traffic was blocked",
            &self.degraded,
        );
        gauge(
            "record_sequence",
            "The number of the last line of the record",
            &self.record_head,
        );
        registry.register(
            "cycle_seconds",
            "How long the engine took from news to plan",
            self.cycles.clone(),
        );
        registry.register(
            "record_lines",
            "Lines added to the record, by action",
            self.record.clone(),
        );
        registry.register(
            "drift",
            "Policies that others changed or deleted, by what was done",
            self.drift.clone(),
        );
        registry.register(
            "store_errors",
            "Times that the state could not be written; it is tried again",
            self.store_errors.clone(),
        );
        registry.register_collector(Box::new(Writes(writer)));
    }

    /// Whether the state could be written when it was last tried.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone().map_or(Ok(()), Err)
    }

    pub fn leading(&self, leads: bool) {
        self.leading.set(i64::from(leads));
    }

    pub fn stale(&self, is_stale: bool) {
        self.stale.set(i64::from(is_stale));
    }

    pub fn cycle(&self, took: Duration) {
        self.cycles.observe(took.as_secs_f64());
    }

    /// The enforcer told something.
    pub fn heard(&self, report: &EnforcerReport) {
        let what = match report {
            EnforcerReport::Repaired { .. } => "repaired",
            EnforcerReport::Drifted { .. } => "left",
            EnforcerReport::InPlace { .. }
            | EnforcerReport::Exported { .. }
            | EnforcerReport::Failed { .. }
            | EnforcerReport::BreakGlass { .. } => return,
        };
        let labels = vec![("outcome", what.to_owned())];
        self.drift.get_or_create(&labels).inc();
    }

    pub fn committed(&self, entries: &[Entry]) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for entry in entries {
            let labels = vec![("action", entry.draft.action.name().to_owned())];
            self.record.get_or_create(&labels).inc();
            self.record_head
                .set(i64::try_from(entry.sequence).unwrap_or(i64::MAX));
        }
    }

    pub fn commit_failed(&self, why: String) {
        self.store_errors.inc();
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// What a cycle came to.
    pub fn concluded(
        &self,
        engine_state: &EngineState,
        observation: &Observation,
        violations: &[Violation],
    ) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let states = || engine_state.states().values();
        let is_enforced = |applied: &crate::review::Applied| applied.revision.is_some();
        self.workloads
            .set(number(observation.inventory.workloads.len()));
        self.edges
            .set(number(observation.built.graph.inner().edge_count()));
        self.enforced.set(number(
            states()
                .filter(|s| s.applied.as_ref().is_some_and(is_enforced))
                .count(),
        ));
        self.open_proposals
            .set(number(states().filter(|s| s.open().is_some()).count()));
        self.degraded
            .set(number(states().filter(|s| s.degraded.is_some()).count()));
        self.violations.set(number(violations.len()));
    }
}

/// The writer's own counts.
struct Writes(Writer);

impl std::fmt::Debug for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writes")
    }
}

impl Collector for Writes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Writes to the cluster, by kind and outcome";
        let mut metric = encoder.encode_descriptor(
            "nanoseg_controller_writes",
            help,
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for ((kind, outcome), count) in self.0.counts().all() {
            let labels = [("kind", kind), ("outcome", outcome.as_str())];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
