//! A period has the connections that began in it, whatever their source.

use super::{CLUSTER, files, sample, written};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Returns the connections by edge in the report of these sources.
fn edges(folder: &Path, arguments: &[&str]) -> BTreeMap<String, u64> {
    written(folder, &[arguments, &["--out", "report"]].concat());
    let text = fs::read_to_string(folder.join("report/evidence.json")).expect("a file");
    let evidence: Value = serde_json::from_str(&text).expect("JSON");
    let edges = evidence["edges"].as_array().expect("edges").iter();
    let seen = edges.filter(|edge| edge["lesson"] != "implied");
    seen.map(|edge| {
        let name = format!(
            "{} {} {}/{}",
            edge["client"], edge["server"], edge["protocol"], edge["port"]
        );
        (name, edge["connections"].as_u64().expect("a number"))
    })
    .collect()
}

/// Returns the connections of each hour.
fn hours(folder: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(folder.join("report/hours.csv")).expect("a file");
    let mut hours = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let count: u64 = fields[5].parse().expect("a number");
        *hours.entry(fields[0].to_owned()).or_default() += count;
    }
    hours
}

#[test]
fn flows_before_and_after_the_period_do_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    let line = |time: &str, connections: u64| {
        format!(
            "{{\"client\":\"10.0.0.1\",\"server\":\"10.0.0.2\",\"port\":5432,\"protocol\":\"TCP\",\"time\":\"2026-03-03T{time}Z\",\"connections\":{connections}}}\n"
        )
    };
    let flows = [
        line("08:00:00", 1),
        line("10:10:00", 2),
        line("10:50:00", 4),
        line("11:20:00", 8),
        line("11:40:00", 16),
    ];
    fs::write(here.join("flows.jsonl"), flows.concat()).expect("a file");
    let flows = ["--flows", "flows.jsonl", "--cluster", "cluster.yaml"];
    let of = |more: &[&str]| edges(here, &[&flows, more].concat());
    assert_eq!(of(&[]).into_values().collect::<Vec<_>>(), [31]);
    let by_hour = [("08", 1), ("10", 6), ("11", 24)];
    let by_hour = by_hour.map(|(hour, count)| (format!("2026-03-03T{hour}:00:00Z"), count));
    assert_eq!(hours(here), BTreeMap::from(by_hour));
    let part = [
        "--from",
        "2026-03-03T10:30:00Z",
        "--to",
        "2026-03-03T11:30:00Z",
    ];
    assert_eq!(of(&part).into_values().collect::<Vec<_>>(), [12]);
    assert_eq!(hours(here).into_values().collect::<Vec<_>>(), [4, 8]);
    assert!(of(&["--from", "2026-03-04T00:00:00Z"]).is_empty());
}

#[test]
fn two_parts_of_a_capture_give_the_same_as_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (captures, cluster) = (sample("samples/shop"), sample("samples/shop/cluster.yaml"));
    let capture = ["--capture", &captures, "--cluster", &cluster];
    let of = |more: &[&str]| edges(here, &[&capture, more].concat());
    let whole = of(&[]);
    let cut = "2026-11-23T17:51:30Z";
    let (before, after) = (of(&["--to", cut]), of(&["--from", cut]));
    let sum = |edges: &BTreeMap<String, u64>| edges.values().sum::<u64>();
    assert!(
        sum(&before) > 100 && sum(&after) > 100,
        "{before:?} {after:?}"
    );
    let mut both = before;
    for (edge, count) in after {
        *both.entry(edge).or_default() += count;
    }
    assert_eq!(both, whole);
}

#[test]
fn a_report_of_one_namespace_has_no_other_traffic() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (captures, cluster) = (sample("samples/shop"), sample("samples/shop/cluster.yaml"));
    let arguments = [
        "--capture",
        &captures,
        "--cluster",
        &cluster,
        "-n",
        "monitoring",
    ];
    let edges = edges(here, &arguments);
    assert!(!edges.is_empty());
    assert!(
        edges.keys().all(|edge| edge.contains("monitoring/")),
        "{edges:?}"
    );
    for (path, bytes) in files(&here.join("report")) {
        let text = String::from_utf8_lossy(&bytes);
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("graph.") || name.ends_with(".csv") || name.ends_with(".jsonl") {
            assert!(!text.contains("postgres"), "{name}: {text}");
        }
    }
}

#[test]
fn input_and_output_paths_do_not_change_the_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::create_dir(here.join("elsewhere")).expect("a folder");
    let cluster = sample("samples/shop/cluster.yaml");
    fs::copy(&cluster, here.join("elsewhere/cluster.yaml")).expect("a copy");
    let policies = sample("policies-out");
    let report = |cluster: &str, out: &str| {
        written(
            here,
            &["--generated", &policies, "--cluster", cluster, "--out", out],
        );
        let base = here.join(out);
        let all = files(&base).into_iter();
        all.map(|(path, bytes)| (path.strip_prefix(&base).expect("in it").to_owned(), bytes))
            .collect::<BTreeMap<_, _>>()
    };
    assert!(report(&cluster, "one") == report("elsewhere/cluster.yaml", "elsewhere/two"));
}
