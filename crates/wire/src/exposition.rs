//! The two texts in which metrics are given out: OpenMetrics, and the Prometheus text format 0.0.4 that every other
//! reader knows (`promtool check metrics`, `curl`, exporters).
//!
//! They differ in the names of counters: OpenMetrics describes `x` and gives the sample `x_total`, Prometheus calls
//! both `x_total`.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, OpenMetrics 1.0.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;

/// The type of a Prometheus text.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The type of an OpenMetrics text.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Adds `nanoseg_build_info`, whose label `version` says what runs.
pub fn register_build_info(registry: &mut Registry) {
    let info: Family<Vec<(&'static str, &'static str)>, Gauge> = Family::default();
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    info.get_or_create(&version).set(1);
    let help = "Always 1; the label is the version that runs";
    registry.register("nanoseg_build_info", help, info);
}

/// Adds `nanoseg_process_resident_memory_bytes`, as the kernel counts it when it is asked for.
pub fn register_process(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

/// The process, as `/proc` has it.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // Not on Linux: it is left out.
        let Some(bytes) = resident_bytes() else {
            return Ok(());
        };
        let metric = encoder.encode_descriptor(
            "nanoseg_process_resident_memory_bytes",
            "Memory of the process that is in RAM",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(bytes).encode(metric)
    }
}

/// VmRSS of `/proc/self/status` (proc_pid_status(5)), which is in KiB.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// Returns true if a request's `Accept` header asks for OpenMetrics.
pub fn wants_open_metrics(accept: &str) -> bool {
    accept.contains("application/openmetrics-text")
}

/// Returns an OpenMetrics text as a Prometheus text.
pub fn to_prometheus(open_metrics: &str) -> String {
    let counters: BTreeSet<&str> = open_metrics.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(open_metrics.len() + 64 * counters.len());
    for line in open_metrics.lines() {
        match described(line) {
            // These lines are OpenMetrics alone.
            Some(("UNIT", ..)) => {}
            _ if line == "# EOF" => {}
            Some((what, name, rest)) => {
                let suffix = if counters.contains(name) {
                    "_total"
                } else {
                    ""
                };
                text.push_str(&format!("# {what} {name}{suffix} {}\n", kind(what, rest)));
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// The name in `# TYPE NAME counter`.
fn counter(line: &str) -> Option<&str> {
    match described(line)? {
        ("TYPE", name, "counter") => Some(name),
        _ => None,
    }
}

/// `# WHAT NAME REST`, where WHAT is HELP, TYPE or UNIT.
fn described(line: &str) -> Option<(&str, &str, &str)> {
    let (what, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    Some((what, name, rest))
}

/// The name that Prometheus has for a type of OpenMetrics.
fn kind<'t>(what: &str, rest: &'t str) -> &'t str {
    match (what, rest) {
        ("TYPE", "unknown") => "untyped",
        ("TYPE", "info" | "stateset") => "gauge",
        (_, rest) => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_samples_and_nothing_else_changes() {
        let open_metrics = "\
# HELP a_records Records that came.
# TYPE a_records counter
a_records_total{kind=\"# TYPE a_age counter\"} 3
# HELP a_age_seconds Its age: a_records.
# TYPE a_age_seconds gauge
# UNIT a_age_seconds seconds
a_age_seconds 0.5
# HELP a_x What it is.
# TYPE a_x unknown
a_x 1
# EOF
";
        let prometheus = "\
# HELP a_records_total Records that came.
# TYPE a_records_total counter
a_records_total{kind=\"# TYPE a_age counter\"} 3
# HELP a_age_seconds Its age: a_records.
# TYPE a_age_seconds gauge
a_age_seconds 0.5
# HELP a_x What it is.
# TYPE a_x untyped
a_x 1
";
        assert_eq!(to_prometheus(open_metrics), prometheus);
        assert_eq!(to_prometheus(""), "");
    }

    #[test]
    fn open_metrics_is_given_to_who_asks_for_it() {
        assert!(wants_open_metrics(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        ));
        assert!(!wants_open_metrics("*/*"));
        assert!(!wants_open_metrics(""));
    }
}
