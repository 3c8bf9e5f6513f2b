//! The metrics of agent, receiver and controller: their names are documented, and Prometheus's own check finds nothing
//! wrong with them (rule: metrics-are-documented).

use nanoseg::agent;
use nanoseg::controller::{example_controller_metrics, example_receiver_metrics};
use nanoseg::wire::to_prometheus;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A metric as it is given out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    /// The processes that have it.
    of: BTreeSet<&'static str>,
}

/// What each kind of process gives out, in the Prometheus text format.
fn texts() -> [(&'static str, String); 3] {
    let controller = example_controller_metrics().unwrap();
    let receiver = example_receiver_metrics().unwrap();
    [
        ("agent", to_prometheus(&agent::Metrics::example())),
        ("controller", to_prometheus(&controller)),
        ("receiver", to_prometheus(&receiver)),
    ]
}

fn exposed() -> BTreeMap<String, Metric> {
    let mut all: BTreeMap<String, Metric> = BTreeMap::new();
    for (process, text) in texts() {
        let mut name = String::new();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", of, help] => {
                    name = of.to_owned();
                    let metric = all.entry(name.clone()).or_default();
                    metric.help = help.trim_end_matches('.').to_owned();
                    metric.of.insert(process);
                }
                ["#", "TYPE", of, kind] => {
                    assert_eq!(of, name, "the help comes before the type");
                    all.get_mut(of).unwrap().kind = kind.to_owned();
                }
                _ => {
                    assert!(line.starts_with(&name), "{line} is not of {name}");
                    all.get_mut(&name).unwrap().labels.extend(labels(line));
                }
            }
        }
    }
    all
}

/// The labels of a sample, without the bounds of a histogram.
fn labels(sample: &str) -> Vec<String> {
    let Some((_, rest)) = sample.split_once('{') else {
        return Vec::new();
    };
    let parts = rest.split("\",").filter_map(|part| part.split_once("=\""));
    let names = parts.map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}

fn table() -> String {
    let mut text = String::from(
        "# Metrics\n\nAgent, receiver and controller serve these at `/metrics`, in the Prometheus text format, or in \
         OpenMetrics for who asks for it, as Prometheus does. Names and labels are stable. Times are seconds, sizes are bytes, \
         and a counter ends with `_total`. What each tells and what to do is in [install.md](install.md#what-to-monitor), \
         [operate.md](operate.md#9-how-much-it-takes) and [observe.md](observe.md#metrics).\n\nThis file is made by \
         `NANOSEG_UPDATE=1 cargo test --test it metrics` from what the processes give out.\n\n\
         | metric | type | labels | of | what |\n|---|---|---|---|---|\n",
    );
    for (name, metric) in exposed() {
        let labels: Vec<String> = metric.labels.iter().map(|one| format!("`{one}`")).collect();
        let of: Vec<&str> = metric.of.iter().copied().collect();
        let (labels, of) = (labels.join(", "), of.join(", "));
        let (kind, help) = (&metric.kind, &metric.help);
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {of} | {help} |");
    }
    text
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_metric_is_documented_as_it_is_given_out_and_none_beside() {
    let path = root().join("docs/metrics.md");
    if std::env::var_os("NANOSEG_UPDATE").is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written,
        table(),
        "run: NANOSEG_UPDATE=1 cargo test --test it metrics"
    );
}

#[test]
fn a_metric_has_the_prefix_once_and_its_unit_and_kind_in_its_name() {
    for (name, metric) in exposed() {
        let part = name.strip_prefix("nanoseg_").expect("the prefix");
        assert!(!part.contains("nanoseg"), "{name} has the prefix twice");
        let words: Vec<&str> = part.split('_').collect();
        let twice = words.windows(2).any(|pair| pair[0] == pair[1]);
        assert!(!twice, "{name} says a word twice");
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == "counter",
            "{name} is a {}",
            metric.kind
        );
        assert!(!metric.help.is_empty(), "{name}");
    }
}

/// Wherever documents, alert rules, dashboards and values name a metric, it is there.
#[test]
fn no_document_and_no_deployed_file_names_a_metric_that_is_not_there() {
    let known = exposed();
    let mut wrong = Vec::new();
    for file in files(&["docs", "deploy", "README.md", "SECURITY.md"]) {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for name in names(&text) {
            if !is_known(&known, name) {
                wrong.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "no such metric: {wrong:#?}");
}

/// `nanoseg_…` in a text, as far as a name of a metric goes.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("nanoseg_").filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let starts = before.is_none_or(|c| !(c.is_alphanumeric() || "_-/.:".contains(c)));
        let end = text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let name = &text[at..at + end.unwrap_or(text.len() - at)];
        starts.then_some(name)
    })
}

/// A name, a part of a histogram, or a family in the text of a document such as `nanoseg_port_…`.
fn is_known(known: &BTreeMap<String, Metric>, name: &str) -> bool {
    let is_part = ["_bucket", "_sum", "_count"].iter().any(|suffix| {
        let of = name.strip_suffix(suffix).and_then(|of| known.get(of));
        of.is_some_and(|metric| metric.kind == "histogram")
    });
    let is_family = name.ends_with('_') && known.keys().any(|one| one.starts_with(name));
    known.contains_key(name) || is_part || is_family
}

fn files(names: &[&str]) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> = names.iter().map(|name| root().join(name)).collect();
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => left.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => files.push(path),
        }
    }
    files
}

/// What `promtool check metrics` finds wrong with a text in the Prometheus format.
pub fn promtool(text: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool of the package prometheus");
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_of_any_process() {
    for (process, text) in texts() {
        assert_eq!(promtool(&text), "", "{process}");
    }
    // And it does find something.
    assert_ne!(promtool("# TYPE a_total gauge\na_total 1\n"), "");
}
