//! Compares `connectivity` with the output of another tool, np-guard's netpol-analyzer.

use nanoseg::cli::connectivity::{Output, render};
use nanoseg::cluster::read_cluster;
use nanoseg::evaluate::{Connectivity, HostNetwork, connectivity};
use nanoseg::inventory::{Inventory, OwnerRule};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CASES: [&str; 13] = [
    "example_pods_w_same_owner_and_labels_gap_no_policy",
    "ipblockstest",
    "minikube_resources",
    "minimal_test_in_ns",
    "netpol-analysis-example-minimal",
    "netpol_named_port_test",
    "new_online_boutique_synthesis",
    "onlineboutique_workloads",
    "semanticDiff-different-topologies-policy-a-with-ipblock",
    "semanticDiff-same-topologies-new1",
    "semanticDiff-same-topologies-old1",
    "test_with_named_ports",
    "with_end_port_example_new",
];

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/connectivity")
        .join(case)
}

fn ours(case: &str) -> Connectivity {
    let (objects, _) = read_cluster(&[folder(case)]).expect("manifests");
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Literal);
    connectivity(&inventory, &objects.network_policies, HostNetwork::LikePods).expect("policies")
}

fn expected(case: &str) -> String {
    let text = fs::read_to_string(folder(case).join("expected.txt")).expect("expected.txt");
    let lines = text
        .lines()
        .filter(|line| !line.contains("{ingress-controller}"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_folder_is_a_case() {
    let folders = fs::read_dir(folder("")).expect("cases").flatten();
    let names: BTreeSet<String> = folders
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, CASES.map(str::to_owned).into());
}

/// Compares all 13 cases byte by byte, except for `{ingress-controller}` lines.
#[test]
fn all_cases_print_the_same_bytes() {
    for case in CASES {
        let text = render(&ours(case), Output::Text).expect("text");
        assert!(
            text == expected(case),
            "{case}: {}",
            first_difference(&text, &expected(case))
        );
    }
}

fn first_difference(ours: &str, theirs: &str) -> String {
    let (a, b): (BTreeSet<_>, BTreeSet<_>) = (ours.lines().collect(), theirs.lines().collect());
    format!(
        "only ours {:?}, only theirs {:?}",
        a.difference(&b).next(),
        b.difference(&a).next()
    )
}

#[test]
fn dot_prints_the_same_bytes() {
    let case = "netpol-analysis-example-minimal";
    let theirs = fs::read_to_string(folder(case).join("connlist_output.dot")).expect("dot");
    let text = render(&ours(case), Output::Dot).expect("dot");
    assert_eq!(text, theirs.trim_end().to_owned() + "\n");
}

#[test]
fn json_and_csv_have_the_same_lines_as_text() {
    let found = ours("semanticDiff-same-topologies-new1");
    let csv = render(&found, Output::Csv).expect("csv");
    let json = render(&found, Output::Json).expect("json");
    assert!(csv.starts_with("src,dst,conn\n0.0.0.0-255.255.255.255,demo/cog-agents-account-query"));
    assert!(csv.contains(",\"TCP 8080,9090,UDP 8080\"\n"), "{csv}");
    assert_eq!(csv.lines().count(), found.lines.len() + 1);
    let json: Vec<serde_json::Value> = serde_json::from_str(&json).expect("json");
    assert_eq!(json.len(), found.lines.len());
    assert_eq!(json[0]["src"], "0.0.0.0-255.255.255.255");
    assert_eq!(json[0]["conn"], "All Connections");
}

#[test]
fn exact_host_network_pods_are_not_isolated() {
    let case = "semanticDiff-same-topologies-new1";
    let (objects, _) = read_cluster(&[folder(case)]).expect("manifests");
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Literal);
    let found =
        connectivity(&inventory, &objects.network_policies, HostNetwork::Exact).expect("policies");
    assert!(!found.lines.is_empty());
    assert!(
        found.lines.iter().all(|line| line.connections.is_all()),
        "no policy selects them"
    );
}
