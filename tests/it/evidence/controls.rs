//! The evidence for controls: a policy that allows everything, or missing evidence, shows no control.

use super::{CLUSTER, Line, nanoseg, sample, state_with, written};
use nanoseg::record::ActionKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// One policy for all pods of shop.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: all, namespace: shop}}\nspec:\n{spec}"
    )
}

const ALLOW_ALL: &str =
    "  podSelector: {}\n  policyTypes: [Ingress, Egress]\n  ingress: [{}]\n  egress: [{}]\n";
const ALLOW_ALL_IN: &str = "  podSelector: {}\n  policyTypes: [Ingress]\n  ingress: [{}]\n";

const FLOW: &str = "{\"client\":\"10.0.0.1\",\"server\":\"10.0.0.2\",\"port\":5432,\"protocol\":\"TCP\",\"time\":\"2026-03-03T10:00:00Z\",\"connections\":3}\n";

/// The two pods, and the traffic of one of them.
fn inputs(folder: &Path, spec: &str) {
    fs::write(folder.join("cluster.yaml"), CLUSTER).expect("a file");
    fs::write(folder.join("flows.jsonl"), FLOW).expect("a file");
    fs::write(folder.join("all.yaml"), policy(spec)).expect("a file");
}

fn evidence(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("report/evidence.json")).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

/// Returns the status of each control, and the finding.
fn standings(evidence: &Value) -> BTreeMap<String, (String, String)> {
    let word = |value: &Value| value.as_str().expect("text").to_owned();
    let controls = evidence["framework"]["controls"]
        .as_array()
        .expect("a list");
    controls
        .iter()
        .map(|one| {
            let what = (word(&one["standing"]), word(&one["finding"]));
            (word(&one["number"]), what)
        })
        .collect()
}

fn of_flows(folder: &Path, framework: &str) -> BTreeMap<String, (String, String)> {
    let arguments = [
        "--flows",
        "flows.jsonl",
        "--cluster",
        "cluster.yaml",
        "--policies",
        "all.yaml",
        "--framework",
        framework,
        "--out",
        "report",
    ];
    written(folder, &arguments);
    standings(&evidence(folder))
}

#[test]
fn a_policy_that_allows_everything_shows_no_control() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    inputs(here, ALLOW_ALL);
    for (framework, controls) in [
        ("nist-800-53", ["SC-7(5)", "SC-7(21)"].as_slice()),
        ("soc2", &["CC6.1", "CC6.6"]),
        ("pci-dss", &["1.3.1", "1.3.2"]),
    ] {
        let found = of_flows(here, framework);
        for control in controls {
            let (standing, finding) = &found[*control];
            assert_eq!(standing, "gap", "{control}: {finding}");
            assert!(
                finding.contains("not isolated: shop/db, shop/web"),
                "{control}: {finding}"
            );
        }
    }
    let (standing, finding) = &of_flows(here, "cis-k8s")["5.3.2"];
    assert_eq!(standing, "partly", "{finding}");
    let evidence = evidence(here);
    assert_eq!(evidence["figures"]["isolated"], 0);
    assert_eq!(evidence["workloads"][0]["ingressAllowsAll"], true);
    let workloads = fs::read_to_string(here.join("report/workloads.csv")).expect("a file");
    assert!(workloads.contains("open: its policies allow everything"));
}

#[test]
fn an_isolated_workload_that_allows_more_than_was_observed_shows_controls_in_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let wide = "  podSelector: {}\n  policyTypes: [Ingress, Egress]\n  ingress: [{ports: [{port: 5432}]}]\n  egress: [{ports: [{port: 5432}]}]\n";
    inputs(here, wide);
    let (standing, finding) = &of_flows(here, "nist-800-53")["SC-7(5)"];
    assert_eq!(standing, "partly", "{finding}");
    assert!(
        finding.contains("2 of 2 workloads are isolated"),
        "{finding}"
    );
    let unused = evidence(here)["verdict"]["unusedTotal"].as_u64();
    assert!(unused > Some(0));
    let figure = format!("{} pairs", unused.unwrap_or_default());
    assert!(finding.contains(&figure), "{finding}");
}

#[test]
fn a_workload_that_is_isolated_in_one_direction_is_assessed_in_that_direction() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    inputs(here, ALLOW_ALL_IN);
    let (standing, finding) = &of_flows(here, "pci-dss")["1.3.1"];
    assert_eq!(standing, "gap", "{finding}");
    let verdict = evidence(here)["verdict"].clone();
    assert!(verdict["unusedTotal"].as_u64() > Some(0), "{verdict}");
    assert_eq!(verdict["openIngress"], json!([]));
    assert_eq!(verdict["openEgress"], json!(["shop/db", "shop/web"]));
    let verify = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(["verify", "--flows", "flows.jsonl", "--cluster"])
        .args(["cluster.yaml", "--policies", "all.yaml"])
        .current_dir(here)
        .output()
        .expect("nanoseg runs");
    let text = String::from_utf8_lossy(&verify.stdout);
    assert!(text.contains("allowed but never used: "), "{text}");
    assert!(text.contains("shop/db  (egress)"), "{text}");
}

/// The report of a state with more lines of the record, for these options.
fn of_state(folder: &Path, more: &[Line<'_>], options: &[&str]) -> Value {
    fs::write(folder.join("cluster.yaml"), CLUSTER).expect("a file");
    let state = folder.join("nanoseg.db");
    let _ = fs::remove_file(&state);
    state_with(&state, more, json!([]));
    let sources = ["--state", "nanoseg.db", "--cluster", "cluster.yaml"];
    written(folder, &[&sources, options, &["--out", "report"]].concat());
    evidence(folder)
}

const MARCH: [&str; 4] = [
    "--from",
    "2026-03-01T00:00:00Z",
    "--to",
    "2026-04-01T00:00:00Z",
];

fn page(folder: &Path) -> String {
    fs::read_to_string(folder.join("report/report.md")).expect("a file")
}

#[test]
fn drift_that_was_not_repaired_and_the_end_of_enforcement_are_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let pci = [&MARCH[..], &["--framework", "pci-dss"]].concat();
    let whole = of_state(here, &[], &pci);
    assert_eq!(standings(&whole)["1.2.8"].0, "shown");
    let when = "2026-03-10T00:00:00Z";
    let lines = [
        (
            ActionKind::DriftGivenUp,
            "nanoseg-db",
            "its spec was changed",
        ),
        (
            ActionKind::ModeChanged,
            "default",
            "from Enforce to Observe",
        ),
        (
            ActionKind::SegmentationRemoved,
            "default",
            "its policies stay, and nobody keeps them",
        ),
    ];
    for (action, object, reason) in lines {
        let told = of_state(here, &[(action, "nanoseg", object, reason, when)], &pci);
        let name = action.name();
        let (standing, finding) = &standings(&told)["1.2.8"];
        assert_eq!(standing, "gap", "{name}: {finding}");
        let (standing, finding) = &standings(&told)["1.3.1"];
        assert_eq!(standing, "partly", "{name}");
        assert!(finding.contains("not kept so"), "{name}: {finding}");
        assert_eq!(told["enforced"][0]["endedBy"], name);
        assert_eq!(told["lapses"][0]["from"], when);
        let isolation = fs::read_to_string(here.join("report/isolation.csv")).expect("a file");
        assert!(isolation.contains(&format!("{when},{name}")), "{isolation}");
        let done = page(here);
        let done = done.split("## What was done").nth(1).expect("a section");
        assert!(done.contains(&format!("| {name} |")), "{done}");
        // This also holds for periods after the one in which it began.
        let april = [
            "--from",
            "2026-04-01T00:00:00Z",
            "--to",
            "2026-04-01T12:00:00Z",
        ];
        let april = [&april[..], &["--framework", "pci-dss"]].concat();
        let told = of_state(here, &[(action, "nanoseg", object, reason, when)], &april);
        assert_eq!(standings(&told)["1.2.8"].0, "gap", "{name}");
    }
    // Repaired drift was a deviation for a time.
    let repaired = (
        ActionKind::DriftRepaired,
        "nanoseg",
        "nanoseg-db",
        "its spec was changed",
        "2026-03-11T00:00:00Z",
    );
    let left = (
        ActionKind::DriftGivenUp,
        "nanoseg",
        "nanoseg-db",
        "its spec was changed",
        when,
    );
    let told = of_state(here, &[left, repaired], &pci);
    assert_eq!(standings(&told)["1.2.8"].0, "partly");
}

#[test]
fn a_period_without_evidence_shows_no_control() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    for (framework, controls) in [
        ("pci-dss", ["1.2.2", "10.2.1.2", "1.2.3"].as_slice()),
        ("soc2", &["CC7.1", "CC7.2", "CC7.3", "CC8.1"]),
    ] {
        let empty = [
            "--from",
            "2026-02-01T00:00:00Z",
            "--to",
            "2026-03-01T00:00:00Z",
            "--framework",
            framework,
        ];
        let found = standings(&of_state(here, &[], &empty));
        for control in controls {
            let (standing, finding) = &found[*control];
            assert_eq!(standing, "nothing", "{control}: {finding}");
        }
    }
    let text = page(here);
    assert!(text.contains("nothing was recorded"), "{text}");
    assert!(!text.contains("number 0"), "{text}");
}

#[test]
fn unapproved_connections_are_not_authorised_and_one_edge_is_no_diagram() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let nist = [&MARCH[..], &["--framework", "nist-800-53"]].concat();
    let found = standings(&of_state(here, &[], &nist));
    // The only edge is approved; the total number of edges is unknown.
    assert_eq!(found["CA-9"].0, "partly", "{}", found["CA-9"].1);
    let early = ["--to", "2026-03-04T00:00:00Z", "--framework", "nist-800-53"];
    let found = standings(&of_state(here, &[], &early));
    assert_eq!(found["CA-9"].0, "gap", "{}", found["CA-9"].1);
    assert!(found["CA-9"].1.contains("0 of 1"), "{}", found["CA-9"].1);
    let pci = [&MARCH[..], &["--framework", "pci-dss"]].concat();
    let found = standings(&of_state(here, &[], &pci));
    assert_eq!(found["1.2.3"].0, "partly", "{}", found["1.2.3"].1);
    assert_eq!(found["10.3.4"].0, "partly");
    assert!(!found.contains_key("7.2.5"));
}

#[test]
fn implied_edges_are_counted_separately() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let sources = ["--generated", &policies, "--cluster", &cluster];
    written(here, &[&sources, ["--out", "report"].as_slice()].concat());
    let evidence = evidence(here);
    let of = |lesson: &str| {
        let edges = evidence["edges"].as_array().expect("edges").iter();
        edges.filter(|edge| edge["lesson"] == lesson).count() as u64
    };
    let (learned, implied) = (of("learned"), of("implied"));
    assert!(learned > 0 && implied > 0);
    assert_eq!(evidence["figures"]["edges"], learned);
    assert_eq!(evidence["figures"]["implied"], implied);
    assert_eq!(evidence["verdict"]["observed"], learned);
    assert_eq!(evidence["verdict"]["implied"], implied);
    let text = page(here);
    assert!(!text.contains("observed connections"), "{text}");
    let line = format!("{learned} of {learned} observed edges are allowed");
    assert!(text.contains(&line), "{text}");
}

#[test]
fn a_break_glass_that_was_recorded_late_is_listed_with_its_real_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let late = (
        ActionKind::BreakGlassOn,
        "nanoseg",
        "shop",
        "outage (1 policies were taken away at 2026-03-20T00:00:00Z; the leader ended before it could tell)",
        "2026-03-20T06:00:00Z",
    );
    let told = of_state(here, &[late], &MARCH);
    assert_eq!(told["brokenGlass"][0]["from"], "2026-03-20T00:00:00Z");
    assert_eq!(told["enforced"][0]["to"], "2026-03-20T00:00:00Z");
}

#[test]
fn the_settings_of_the_period_are_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let part = [
        "--from",
        "2026-03-03T10:10:00Z",
        "--to",
        "2026-03-03T11:30:00Z",
    ];
    let told = of_state(here, &[], &part);
    assert_eq!(told["period"]["countedFrom"], "2026-03-03T10:00:00Z");
    assert_eq!(told["period"]["countedTo"], "2026-03-03T12:00:00Z");
    let html = fs::read_to_string(here.join("report/index.html")).expect("a page");
    for text in [page(here), html] {
        assert!(text.contains("2026-03-03 10:00:00 to 2026-03-03 12:00:00 UTC"));
        assert!(text.contains("13 months"), "{text}");
    }
}

#[test]
fn contradictory_options_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    inputs(here, ALLOW_ALL);
    let sources = ["--flows", "flows.jsonl", "--cluster", "cluster.yaml"];
    let say = |more: &[&str]| {
        let output = nanoseg(here, &[&sources, more, &["--out", "report"]].concat());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let far = say(&["--from", "9000-01-01T00:00:00Z"]);
    assert!(
        far.contains("--from 9000-01-01T00:00:00Z is out of range"),
        "{far}"
    );
    let at = "2026-03-03T10:00:00Z";
    let empty = say(&["--from", at, "--to", at]);
    assert!(empty.contains("the period is empty"), "{empty}");
    let typo = say(&["-n", "shpo"]);
    assert!(
        typo.contains("no namespace shpo in the cluster; it has shop"),
        "{typo}"
    );
    assert!(!here.join("report").exists());
    let no_state = nanoseg(
        here,
        &[
            "--state",
            "flows.jsonl",
            "--cluster",
            "cluster.yaml",
            "--out",
            "report",
        ],
    );
    let said = String::from_utf8_lossy(&no_state.stderr);
    assert!(!said.contains("--store"), "{said}");
}

#[test]
fn the_order_of_namespaces_and_the_name_of_the_folder_do_not_change_the_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let cluster = here.join("cluster");
    fs::create_dir(&cluster).expect("a folder");
    fs::write(cluster.join("all.yaml"), CLUSTER).expect("a file");
    fs::write(cluster.join("more.yaml"), CLUSTER_MORE).expect("a file");
    fs::write(cluster.join("flows.jsonl"), FLOW).expect("a file");
    let report = |folder: &str, more: &[&str]| {
        let sources = ["--flows", "flows.jsonl", "--cluster", folder];
        written(
            &cluster,
            &[&sources, more, &["--out", "../report"]].concat(),
        );
        fs::read(here.join("report/evidence.json")).expect("a file")
    };
    let one = report("./", &["-n", "shop", "-n", "more"]);
    assert!(one == report("../cluster", &["-n", "more", "-n", "shop", "-n", "more"]));
    let name = evidence(here)["sources"][1]["name"].clone();
    assert_eq!(name, "cluster");
}

const CLUSTER_MORE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: more}
";
