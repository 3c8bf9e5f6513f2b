//! The agent's metrics and health.

use crate::flow::{Loss, Observations, Source};
use crate::listen::ConnectionMetrics;
use crate::store::SpoolState;
use crate::wire::{register_build_info, register_process};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FigureLabel {
    source: &'static str,
    figure: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LossLabel {
    reason: &'static str,
}

/// The main loop is alive if it has turned within this time.
const ALIVE_WITHIN: Duration = Duration::from_secs(30);

/// All metrics. Every counter has one writer.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    records: Family<SourceLabel, Counter>,
    connections: Family<SourceLabel, Counter>,
    running: Family<SourceLabel, Gauge>,
    failures: Family<SourceLabel, Counter>,
    figures: Family<FigureLabel, Gauge>,
    made: Counter,
    acknowledged: Counter,
    refused: Counter,
    resent: Counter,
    waiting: Family<StateLabel, Gauge>,
    disk_bytes: Gauge,
    memory_bytes: Gauge,
    spool_failing: Gauge,
    losses: Family<LossLabel, Counter>,
    connected: Gauge,
    last_acknowledged: Gauge,
    ports: ConnectionMetrics,
    start: Instant,
    /// Milliseconds after the start at which the main loop last turned.
    turned: AtomicU64,
    disk_works: AtomicBool,
    /// Why each source does not run; empty while it does.
    sources: Mutex<BTreeMap<Source, String>>,
}

impl Metrics {
    pub fn new(window: Duration, sources: &[Source]) -> Self {
        let mut metrics = Metrics {
            registry: Registry::default(),
            records: Family::default(),
            connections: Family::default(),
            running: Family::default(),
            failures: Family::default(),
            figures: Family::default(),
            made: Counter::default(),
            acknowledged: Counter::default(),
            refused: Counter::default(),
            resent: Counter::default(),
            waiting: Family::default(),
            disk_bytes: Gauge::default(),
            memory_bytes: Gauge::default(),
            spool_failing: Gauge::default(),
            losses: Family::default(),
            connected: Gauge::default(),
            last_acknowledged: Gauge::default(),
            ports: ConnectionMetrics::default(),
            start: Instant::now(),
            turned: AtomicU64::new(0),
            disk_works: AtomicBool::new(true),
            sources: Mutex::new(BTreeMap::new()),
        };
        metrics.register(window);
        // What never happened is zero and not absent.
        for loss in Loss::ALL {
            metrics.lost(*loss, 0);
        }
        for source in sources {
            let label = SourceLabel {
                source: source.name(),
            };
            drop(metrics.records.get_or_create(&label));
            drop(metrics.connections.get_or_create(&label));
            drop(metrics.failures.get_or_create(&label));
            metrics.source_stopped(*source, "it has not started yet");
        }
        metrics.spool(&SpoolState::default());
        metrics
    }

    fn register(&mut self, window: Duration) {
        let seconds: Gauge<f64, AtomicU64> = Gauge::default();
        seconds.set(window.as_secs_f64());
        register_build_info(&mut self.registry);
        register_process(&mut self.registry);
        let ports = self.registry.sub_registry_with_prefix("nanoseg_port");
        self.ports.register(ports);
        let r = self.registry.sub_registry_with_prefix("nanoseg_agent");
        r.register(
            "records",
            "Flow records that sources handed on",
            self.records.clone(),
        );
        r.register(
            "connections",
            "New connections that sources handed on",
            self.connections.clone(),
        );
        r.register(
            "source_running",
            "Whether the source runs",
            self.running.clone(),
        );
        r.register(
            "source_failures",
            "How often the source could not start or ended",
            self.failures.clone(),
        );
        r.register(
            "source_figure",
            "What the source counts itself since it last started, by name",
            self.figures.clone(),
        );
        r.register("batches", "Batches made", self.made.clone());
        r.register(
            "batches_acknowledged",
            "Batches that arrived for good",
            self.acknowledged.clone(),
        );
        r.register(
            "batches_refused",
            "Batches that no receiver takes, kept aside",
            self.refused.clone(),
        );
        r.register(
            "batches_resent",
            "Batches sent again after a connection broke",
            self.resent.clone(),
        );
        r.register(
            "batches_held",
            "Batches held now: waiting, or sent and not acknowledged",
            self.waiting.clone(),
        );
        r.register(
            "spool_bytes",
            "Space of the spool on the disk",
            self.disk_bytes.clone(),
        );
        r.register(
            "memory_bytes",
            "Batches held in memory because they are not on the disk",
            self.memory_bytes.clone(),
        );
        r.register(
            "spool_failing",
            "Whether the disk refuses the spool",
            self.spool_failing.clone(),
        );
        r.register(
            "losses",
            "What was lost or made less exact, by reason (docs/observe.md)",
            self.losses.clone(),
        );
        r.register(
            "receiver_connected",
            "Whether there is a connection to the receiver",
            self.connected.clone(),
        );
        r.register(
            "last_acknowledged_timestamp_seconds",
            "When a batch was last acknowledged, Unix time; 0: never",
            self.last_acknowledged.clone(),
        );
        r.register("window_seconds", "The length of a window", seconds);
    }

    /// All metrics of an agent as OpenMetrics text, each with an example: for the documentation, and for tests of
    /// names.
    pub fn example() -> String {
        let metrics = Metrics::new(Duration::from_secs(10), &[Source::Conntrack]);
        metrics.figure(Source::Conntrack, "connections", 0);
        metrics.ports.begin("monitoring");
        metrics.text()
    }

    /// The metrics of the port for metrics.
    pub fn ports(&self) -> ConnectionMetrics {
        self.ports.clone()
    }

    /// Returns all metrics as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// Checks that the main loop turned lately.
    ///
    /// # Errors
    /// If it did not.
    pub fn is_alive(&self) -> Result<(), String> {
        let turned = Duration::from_millis(self.turned.load(Ordering::Relaxed));
        if self.start.elapsed().saturating_sub(turned) < ALIVE_WITHIN {
            Ok(())
        } else {
            Err("the main loop hangs".to_owned())
        }
    }

    /// Checks that a source runs and the spool works.
    ///
    /// # Errors
    /// The reasons, one per line.
    pub fn is_ready(&self) -> Result<(), String> {
        let mut reasons = String::new();
        let sources = lock(&self.sources);
        if !sources.values().any(String::is_empty) {
            for (source, why) in &*sources {
                reasons.push_str(&format!("{source} does not run: {why}\n"));
            }
            if sources.is_empty() {
                reasons.push_str("no source runs\n");
            }
        }
        if !self.disk_works.load(Ordering::Relaxed) {
            reasons.push_str("the spool cannot be written\n");
        }
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(reasons)
        }
    }

    pub(super) fn turned(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned.store(millis, Ordering::Relaxed);
    }

    pub(super) fn seen(&self, slice: &Observations) {
        for (source, record) in &slice.records {
            let label = SourceLabel {
                source: source.name(),
            };
            self.records.get_or_create(&label).inc();
            self.connections
                .get_or_create(&label)
                .inc_by(record.connections);
        }
        for (loss, count) in &slice.losses {
            self.lost(*loss, *count);
        }
    }

    pub(super) fn lost(&self, loss: Loss, count: u64) {
        let label = LossLabel {
            reason: loss.name(),
        };
        self.losses.get_or_create(&label).inc_by(count);
    }

    pub(super) fn source_runs(&self, source: Source) {
        self.running
            .get_or_create(&SourceLabel {
                source: source.name(),
            })
            .set(1);
        lock(&self.sources).insert(source, String::new());
    }

    pub(super) fn source_stopped(&self, source: Source, why: &str) {
        self.running
            .get_or_create(&SourceLabel {
                source: source.name(),
            })
            .set(0);
        lock(&self.sources).insert(source, why.to_owned());
    }

    pub(super) fn source_failed(&self, source: Source, why: &str) {
        self.failures
            .get_or_create(&SourceLabel {
                source: source.name(),
            })
            .inc();
        self.source_stopped(source, why);
    }

    pub(super) fn figure(&self, source: Source, figure: &'static str, value: u64) {
        let label = FigureLabel {
            source: source.name(),
            figure,
        };
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.figures.get_or_create(&label).set(value);
    }

    pub(super) fn batch_made(&self) {
        self.made.inc();
    }

    pub(super) fn batch_acknowledged(&self) {
        self.acknowledged.inc();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.last_acknowledged
            .set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }

    pub(super) fn batch_refused(&self) {
        self.refused.inc();
    }

    pub(super) fn resent(&self) {
        self.resent.inc();
    }

    pub(super) fn spool(&self, state: &SpoolState) {
        let gauge = |state| self.waiting.get_or_create_owned(&StateLabel { state });
        gauge("waiting").set(state.waiting as i64);
        gauge("sent").set(state.out as i64);
        self.disk_bytes.set(state.disk_bytes as i64);
        self.memory_bytes.set(state.memory_bytes as i64);
        self.spool_failing.set(i64::from(state.failing.is_some()));
        self.disk_works
            .store(state.failing.is_none(), Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.connected.set(1);
    }

    pub(super) fn disconnected(&self) {
        self.connected.set(0);
    }
}

/// Locks also after a panic of another thread: values are replaced as a whole, so none is half-written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_among_the_metrics_from_the_start() {
        let metrics = Metrics::new(Duration::from_secs(10), &[Source::Conntrack]);
        let text = metrics.text();
        for loss in Loss::ALL {
            let line = format!("nanoseg_agent_losses_total{{reason=\"{loss}\"}} 0");
            assert!(text.contains(&line), "{line} in {text}");
        }
        for line in [
            "nanoseg_agent_window_seconds 10.0",
            "nanoseg_agent_source_running{source=\"conntrack\"} 0",
            "nanoseg_agent_batches_held{state=\"waiting\"} 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn an_agent_is_ready_while_a_source_runs_and_the_spool_works() {
        let metrics = Metrics::new(
            Duration::from_secs(10),
            &[Source::Conntrack, Source::Capture],
        );
        assert!(metrics.is_ready().is_err());
        metrics.source_runs(Source::Capture);
        assert_eq!(metrics.is_ready(), Ok(()));
        metrics.spool(&SpoolState {
            failing: Some("full".into()),
            ..SpoolState::default()
        });
        assert!(metrics.is_ready().is_err());
        metrics.spool(&SpoolState::default());
        metrics.source_failed(Source::Capture, "no permission");
        let why = metrics.is_ready().expect_err("not ready");
        assert!(why.contains("capture does not run: no permission"), "{why}");
    }
}
