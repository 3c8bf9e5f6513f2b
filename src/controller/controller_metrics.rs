//! The controller's metrics and readiness, for `/metrics` and `/readyz`. Names and labels are stable.

use super::plan::EnforcerReport;
use super::tasks::TaskRestarts;
use crate::cluster::live::{Kind, WriteCounts};
use crate::flow::OutOfBounds;
use crate::inventory::ToldAddresses;
use crate::record::{ActionKind, RecordLine};
use crate::review::{LagCause, PluginLag};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Labels = Vec<(&'static str, String)>;

/// The controller's metrics.
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
    pending_violations: Gauge,
    pending_violation_age: Gauge,
    degraded: Gauge,
    nodes_without_agent: Gauge,
    out_of_bounds: Family<Labels, Gauge>,
    one_sided: Gauge,
    open_directions: Gauge,
    temporary_openings: Gauge,
    refused: Gauge,
    forgotten_refusals: Gauge,
    uncovered: Gauge,
    malformed: Family<Labels, Gauge>,
    unjudged: Family<Labels, Gauge>,
    told_addresses: Family<Labels, Gauge>,
    plugin_lag: Family<Labels, Gauge<f64, AtomicU64>>,
    altered: Gauge,
    unknown_policies: Gauge,
    not_acting: Gauge,
    /// Why this replica leads and does not act.
    refusal: Mutex<Option<String>>,
    task_restarts: TaskRestarts,
    /// Why the state could not be written when it was last tried.
    problem: Mutex<Option<String>>,
}

impl Default for ControllerMetrics {
    fn default() -> Self {
        let metrics = ControllerMetrics {
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
            pending_violations: Gauge::default(),
            pending_violation_age: Gauge::default(),
            degraded: Gauge::default(),
            nodes_without_agent: Gauge::default(),
            out_of_bounds: Family::default(),
            one_sided: Gauge::default(),
            open_directions: Gauge::default(),
            temporary_openings: Gauge::default(),
            refused: Gauge::default(),
            forgotten_refusals: Gauge::default(),
            uncovered: Gauge::default(),
            malformed: Family::default(),
            unjudged: Family::default(),
            told_addresses: Family::default(),
            plugin_lag: Family::default(),
            altered: Gauge::default(),
            unknown_policies: Gauge::default(),
            not_acting: Gauge::default(),
            refusal: Mutex::default(),
            task_restarts: TaskRestarts::default(),
            problem: Mutex::default(),
        };
        metrics.begin();
        metrics
    }
}

impl ControllerMetrics {
    /// What never happened is zero and not absent.
    fn begin(&self) {
        for action in ActionKind::ALL {
            let labels = vec![("action", action.name().to_owned())];
            drop(self.record.get_or_create(&labels));
        }
        for outcome in ["repaired", "left"] {
            let labels = vec![("outcome", outcome.to_owned())];
            drop(self.drift.get_or_create(&labels));
        }
        self.malformed(&BTreeMap::new());
        self.set_unjudged([0; 3]);
        self.set_told_addresses(ToldAddresses::default());
        self.set_plugin_lag(&PluginLag::default());
    }

    pub fn register(&self, registry: &mut Registry, writes: Arc<WriteCounts>) {
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
            "Kinds of connections that the policies did not allow, recorded and not withdrawn",
            &self.violations,
        );
        gauge(
            "pending_violations",
            "Denied connections that are not judged yet: what is known of the cluster has not caught up with them",
            &self.pending_violations,
        );
        gauge(
            "pending_violation_age_seconds",
            "For how long the oldest of them has waited",
            &self.pending_violation_age,
        );
        gauge(
            "degraded_workloads",
            "Workloads that were rolled back because approved traffic was blocked",
            &self.degraded,
        );
        gauge(
            "nodes_without_agent",
            "Nodes with pods whose agent is not connected; workloads there are not isolated",
            &self.nodes_without_agent,
        );
        gauge(
            "open_directions",
            "Directions of segmented workloads that no proposal isolates, since not all was in view or can be named",
            &self.open_directions,
        );
        gauge(
            "temporary_openings",
            "Workloads whose policy allows something for a time only",
            &self.temporary_openings,
        );
        gauge(
            "refused_connections",
            "Connections that people refused: they are not proposed again until their traffic changes",
            &self.refused,
        );
        gauge(
            "forgotten_refusals",
            "Refused connections that were forgotten because there were too many in a namespace",
            &self.forgotten_refusals,
        );
        gauge(
            "uncovered_pods",
            "Pods of enforced namespaces that no policy selects",
            &self.uncovered,
        );
        gauge(
            "altered_reviews",
            "Workloads whose stored review says what the record does not prove; that is not applied",
            &self.altered,
        );
        gauge(
            "unknown_policies",
            "Policies in the cluster with nanoseg's label that the state does not know; nobody keeps them as they are",
            &self.unknown_policies,
        );
        gauge(
            "not_acting",
            "1 while this replica leads and does not act, since its state is not the one that was published, or that is not known",
            &self.not_acting,
        );
        gauge(
            "record_sequence",
            "The number of the last line of the record",
            &self.record_head,
        );
        gauge(
            "one_sided_edges",
            "Edges that only one of two observed ends tells of",
            &self.one_sided,
        );
        registry.register(
            "malformed_objects",
            "Objects of the cluster that cannot be read, by kind; the log and the Segmentations name them",
            self.malformed.clone(),
        );
        registry.register(
            "unjudged_policies",
            "Policies of other kinds than NetworkPolicy: partly judged, not judged, or kinds that could not be listed",
            self.unjudged.clone(),
        );
        registry.register(
            "plugin_lag_seconds",
            "The longest time for which allowed connections failed after a pod's start or a change of a policy, of those measured lately: what the network plugin needed at least; 0 until one was",
            self.plugin_lag.clone(),
        );
        registry.register(
            "told_node_addresses",
            "Addresses that agents tell of their nodes: taken, known from Kubernetes, or refused since they are not among those of the node's pods or belong to somebody else",
            self.told_addresses.clone(),
        );
        registry.register(
            "out_of_bounds_connections",
            "Connections that an agent told of and that have no end on its node, by node; of the hours that are kept as records",
            self.out_of_bounds.clone(),
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
        registry.register(
            "task_restarts",
            "Times that a task ended and was started again, by task; see the log",
            self.task_restarts.clone(),
        );
        registry.register_collector(Box::new(Writes(writes)));
    }

    /// Checks that this replica acts if it leads, and that the state could be written when it was last tried.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), String> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.clone().map_or(Ok(()), Err)?;
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone().map_or(Ok(()), Err)
    }

    /// Notes why this replica leads and does not act; `None`: it does, or may soon.
    pub fn not_acting(&self, why: Option<String>) {
        self.not_acting.set(i64::from(why.is_some()));
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// How often tasks were started again.
    pub fn task_restarts(&self) -> TaskRestarts {
        self.task_restarts.clone()
    }

    pub fn leading(&self, leads: bool) {
        self.leading.set(i64::from(leads));
    }

    pub fn stale(&self, is_stale: bool) {
        self.stale.set(i64::from(is_stale));
    }

    /// Sets how many objects cannot be read.
    pub fn malformed(&self, counts: &BTreeMap<Kind, u64>) {
        for kind in Kind::ALL {
            let count = counts.get(kind).copied().unwrap_or_default();
            let gauge = self
                .malformed
                .get_or_create_owned(&vec![("kind", kind.as_str().to_owned())]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Sets how many policies of other kinds are judged but for some fields, how many are not judged, and how many kinds
    /// could not be listed.
    pub fn set_unjudged(&self, counts: [usize; 3]) {
        for (state, count) in ["partly", "none", "unlisted"].into_iter().zip(counts) {
            let labels = vec![("state", state.to_owned())];
            let gauge = self.unjudged.get_or_create_owned(&labels);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Sets what became of the addresses that agents told of their nodes.
    pub fn set_told_addresses(&self, told: ToldAddresses) {
        let ToldAddresses {
            taken,
            known,
            refused,
        } = told;
        for (outcome, count) in [("taken", taken), ("known", known), ("refused", refused)] {
            let labels = vec![("outcome", outcome.to_owned())];
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.told_addresses.get_or_create(&labels).set(count);
        }
    }

    pub fn cycle(&self, took: Duration) {
        self.cycles.observe(took.as_secs_f64());
    }

    /// Counts a report of the enforcer.
    pub fn count_report(&self, report: &EnforcerReport) {
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

    pub fn committed(&self, lines: &[RecordLine]) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for line in lines {
            let labels = vec![("action", line.entry.action.kind().name().to_owned())];
            self.record.get_or_create(&labels).inc();
            self.record_head
                .set(i64::try_from(line.sequence).unwrap_or(i64::MAX));
        }
    }

    pub fn commit_failed(&self, why: String) {
        self.store_errors.inc();
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Sets what agents told of connections of other nodes.
    pub fn set_out_of_bounds(&self, by_node: &BTreeMap<Arc<str>, OutOfBounds>) {
        self.out_of_bounds.clear();
        for (node, told) in by_node {
            let labels = vec![("node", node.to_string())];
            let count = i64::try_from(told.connections).unwrap_or(i64::MAX);
            self.out_of_bounds.get_or_create(&labels).set(count);
        }
    }

    /// Sets what the network plugin needed lately.
    pub fn set_plugin_lag(&self, lag: &PluginLag) {
        for cause in LagCause::ALL {
            let millis = lag.longest(cause).unwrap_or_default().unsigned_abs();
            let labels = vec![("after", cause.name().to_owned())];
            self.plugin_lag
                .get_or_create(&labels)
                .set(Duration::from_millis(millis).as_secs_f64());
        }
    }

    /// Sets how many violations there are, how many connections wait to be judged, and for how many seconds already.
    pub fn set_violations(&self, recorded: usize, pending: usize, age: i64) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.violations.set(number(recorded));
        self.pending_violations.set(number(pending));
        self.pending_violation_age.set(age);
    }

    /// Sets the gauges after a cycle that looked at everything.
    pub fn set_counts(&self, counts: &ClusterCounts) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.workloads.set(number(counts.workloads));
        self.edges.set(number(counts.edges));
        self.enforced.set(number(counts.enforced));
        self.open_proposals.set(number(counts.open_proposals));
        self.degraded.set(number(counts.degraded));
        self.nodes_without_agent
            .set(number(counts.nodes_without_agent));
        self.one_sided.set(number(counts.one_sided));
        self.open_directions.set(number(counts.open_directions));
        self.temporary_openings
            .set(number(counts.temporary_openings));
        self.refused.set(number(counts.refused));
        let forgotten = i64::try_from(counts.forgotten_refusals);
        self.forgotten_refusals.set(forgotten.unwrap_or(i64::MAX));
        self.uncovered.set(number(counts.uncovered));
        self.altered.set(number(counts.altered));
        self.unknown_policies.set(number(counts.unknown_policies));
    }
}

/// How many there are in the whole cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterCounts {
    pub workloads: usize,
    /// Edges of the communication graph.
    pub edges: usize,
    /// Workloads with a policy of ours in the cluster.
    pub enforced: usize,
    pub open_proposals: usize,
    /// Workloads that were rolled back because approved traffic was blocked.
    pub degraded: usize,
    /// Nodes with pods whose agent is not connected.
    pub nodes_without_agent: usize,
    /// Edges that only one of two observed ends tells of.
    pub one_sided: usize,
    /// Directions of workloads that no proposal isolates.
    pub open_directions: usize,
    /// Workloads with a temporary opening.
    pub temporary_openings: usize,
    /// Connections that people refused, and how many refusals were forgotten.
    pub refused: usize,
    pub forgotten_refusals: u64,
    /// Pods of enforced namespaces that no policy selects.
    pub uncovered: usize,
    /// Policies with our label that the state does not know.
    pub unknown_policies: usize,
    /// Workloads whose stored review was altered.
    pub altered: usize,
}

/// The writer's own counts.
#[derive(Debug)]
struct Writes(Arc<WriteCounts>);

impl Collector for Writes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Writes to the cluster, by kind and outcome";
        let mut metric = encoder.encode_descriptor(
            // The registry adds its prefix.
            "writes",
            help,
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for ((kind, outcome), count) in self.0.all() {
            let labels = [("kind", kind), ("outcome", outcome.as_str())];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
