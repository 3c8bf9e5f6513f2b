//! Policies that were in force before a workload was deleted, or before its Segmentation was deleted.

use super::{CLUSTER, state, time, written};
use nanoseg::inventory::WorkloadId;
use nanoseg::store::{Commit, EndedReview, ReviewStore};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The report of March, after the review of shop/db ended in April.
fn march(folder: &Path, more: &[&str]) -> Value {
    let all = [
        "--state",
        "nanoseg.db",
        "--from",
        "2026-03-01T00:00:00Z",
        "--to",
        "2026-04-01T00:00:00Z",
        "--out",
        "report",
        "--cluster",
        "cluster.yaml",
    ];
    written(folder, &[&all, more].concat());
    let text = fs::read_to_string(folder.join("report/evidence.json")).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

fn end(store: &mut ReviewStore) {
    let (workload, body): (WorkloadId, String) = store.load().expect("content").reviews.remove(0);
    let ended = EndedReview {
        workload,
        ended_at: time("2026-04-10T00:00:00Z"),
        body,
    };
    let commit = Commit {
        ended_reviews: vec![ended],
        ..Commit::default()
    };
    store.commit(&commit).expect("written");
    assert!(store.load().expect("content").reviews.is_empty());
}

#[test]
fn the_approval_of_a_policy_is_known_after_its_review_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let path = here.join("nanoseg.db");
    state(&path);
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    let before = march(here, &[]);
    let mut store = ReviewStore::open(&path).expect("a store");
    end(&mut store);
    let after = march(here, &[]);
    assert_eq!(after["edges"], before["edges"]);
    assert_eq!(
        after["edges"][0]["approvedBy"][0],
        "alice at 2026-03-05T00:00:00Z"
    );
    assert!(here.join("report/policies").is_dir());

    // With a store that no longer has it, the report states what is unknown.
    store
        .forget_hours(time("2026-05-01T00:00:00Z"))
        .expect("forgotten");
    drop(store);
    let lost = march(here, &[]);
    let findings = lost["findings"].as_array().expect("findings");
    let said = findings
        .iter()
        .any(|finding| finding["code"] == "lost-policy");
    assert!(said, "{findings:#?}");
}
