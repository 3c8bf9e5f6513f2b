//! Data of a controller's store apart from the records that are not folded yet.

use super::{CLUSTER, POLICY, record, state, time, written};
use nanoseg::flow::{FlowBatch, Instance, Loss, Observations, Source};
use nanoseg::graph::{FoldedScan, History, Peer};
use nanoseg::inventory::WorkloadId;
use nanoseg::net::Timestamp;
use nanoseg::store::{FlowStore, ReviewStore};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

struct Verified {
    code: Option<i32>,
    verdict: Value,
    said: String,
}

/// Runs `verify` for the policy with the store.
fn verify(here: &Path, more: &[&str]) -> Verified {
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(["verify", "--flows", "nanoseg.db", "-o", "json"])
        .args(["--cluster", "cluster.yaml", "--policies", "policy.yaml"])
        .args(more)
        .current_dir(here)
        .output()
        .expect("nanoseg runs");
    Verified {
        code: output.status.code(),
        verdict: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        said: String::from_utf8(output.stderr).expect("text"),
    }
}

fn files(here: &Path) {
    state(&here.join("nanoseg.db"));
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec:";
    let policy = format!("{head}{}", POLICY.replace('\n', "\n  "));
    fs::write(here.join("policy.yaml"), policy).expect("a file");
}

#[test]
fn a_rule_that_was_used_in_a_folded_hour_is_not_unused() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    files(here);
    let unused = |of: &Verified| of.verdict["unusedRules"].as_array().map(Vec::len);
    let blocked = |of: &Verified| of.verdict["wouldBlock"].as_array().map(Vec::len);

    let all = verify(here, &[]);
    assert_eq!(
        (unused(&all), blocked(&all), all.code),
        (Some(0), Some(1), Some(1)),
        "{}",
        all.said
    );
    assert!(
        all.said
            .contains("the hours from 2026-03-03T10:00:00Z to 2026-03-03T11:00:00Z in nanoseg.db are folded, and each counts as a whole"),
        "{}",
        all.said
    );
    let march = verify(here, &["--to", "2026-04-01T00:00:00Z"]);
    assert_eq!(
        (unused(&march), blocked(&march), march.code),
        (Some(0), Some(0), Some(0)),
        "{}",
        march.said
    );
    assert!(
        march.said.contains(
            "only connections count that began from the first observation on and before 2026-04-01T00:00:00Z"
        ),
        "{}",
        march.said
    );
    let april = verify(here, &["--from", "2026-04-01T00:00:00Z"]);
    assert_eq!(
        (unused(&april), blocked(&april), april.code),
        (Some(1), Some(1), Some(1)),
        "{}",
        april.said
    );
    // The record began at 11:40; the folded hour counts completely.
    let early = [
        "--from",
        "2026-03-03T10:59:00Z",
        "--to",
        "2026-04-04T11:40:00Z",
    ];
    let early = verify(here, &early);
    assert_eq!((unused(&early), blocked(&early)), (Some(0), Some(0)));
    let never = [
        "--from",
        "2026-04-01T00:00:00Z",
        "--to",
        "2026-03-01T00:00:00Z",
    ];
    let never = verify(here, &never);
    assert_eq!(never.code, Some(2));
    assert!(
        never.said.contains("the period ends before it begins"),
        "{}",
        never.said
    );
}

/// Adds a lost record, and an hour of March in which web scanned ports.
fn add_loss_and_scan(path: &Path, at: Timestamp) {
    let mut seen = Observations {
        records: vec![(Source::Conntrack, record(5432, at))],
        ..Observations::default()
    };
    seen.lose(Loss::RecordDropped, 7);
    let batch = FlowBatch {
        node: "n1".into(),
        instance: Instance([2; 16]),
        sequence: (1, 1),
        span: (at, at),
        seen,
    };
    let mut flows = FlowStore::open(path).expect("a store");
    flows.apply(&batch).expect("written");
    drop(flows);
    let client = Peer::Workload(WorkloadId {
        namespace: "shop".into(),
        name: "web".into(),
        kind: "Pod".into(),
    });
    let scan = FoldedScan {
        failed: (1..400).map(|port| ([10, 0, 0, 2], port).into()).collect(),
        more: 0,
        last: at,
        told_by: Default::default(),
    };
    let mut store = ReviewStore::open(path).expect("a store");
    let fold = |_: &_| {
        let mut history = History::default();
        history.add_scan(&client, &scan);
        history
    };
    store
        .fold(time("2026-04-01T00:00:00Z"), fold)
        .expect("folded");
}

#[test]
fn a_report_from_the_state_lists_losses_and_scans_of_its_period() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    files(here);
    add_loss_and_scan(&here.join("nanoseg.db"), time("2026-03-10T08:00:00Z"));
    let codes = |more: &[&str]| -> Vec<String> {
        let all = [
            "--state",
            "nanoseg.db",
            "--cluster",
            "cluster.yaml",
            "--out",
            "report",
        ];
        written(here, &[&all, more].concat());
        let text = fs::read_to_string(here.join("report/evidence.json")).expect("a file");
        let evidence: Value = serde_json::from_str(&text).expect("JSON");
        let findings = evidence["findings"].as_array().expect("findings");
        let said = findings.iter().map(|one| {
            format!(
                "{} {} {}",
                one["code"].as_str().unwrap_or_default(),
                one["subject"].as_str().unwrap_or_default(),
                one["message"].as_str().unwrap_or_default()
            )
        });
        said.collect()
    };
    let has = |all: &[String], what: &str| all.iter().any(|one| one.starts_with(what));
    let all = codes(&[]);
    assert!(
        has(&all, "observation-loss record-dropped counted 7"),
        "{all:?}"
    );
    assert!(has(&all, "port-scan"), "{all:?}");
    let later = codes(&["--from", "2026-04-01T00:00:00Z"]);
    assert!(!has(&later, "port-scan"), "{later:?}");
}
