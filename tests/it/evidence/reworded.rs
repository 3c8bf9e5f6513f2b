//! Evidence depends on the details of the record and on no sentence: neither rewording all sentences nor a record of
//! an earlier version changes it.

use super::answered::proposal;
use super::lines::Form;
use super::{CLUSTER, Line, state_as, written};
use nanoseg::record::ActionKind::{
    Approved, AutoApproved, AutoRolledBack, BreakGlassOff, BreakGlassOn, DecisionRefused, Deleted,
    DriftGivenUp, ModeChanged, Proposed, Rejected, RolledBack, SegmentationAdded,
    SegmentationRemoved, Superseded, Violation,
};
use nanoseg::record::{ActionKind, parse_line};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const POLICY: &str = "nanoseg-db";

/// Everything that evidence is made of.
const RICH: &[Line<'_>] = &[
    (
        SegmentationAdded,
        "nanoseg",
        "default",
        "mode Propose",
        "2026-03-05T01:00:00Z",
    ),
    (
        ModeChanged,
        "nanoseg",
        "default",
        "from Propose to Enforce",
        "2026-03-05T02:00:00Z",
    ),
    (
        Violation,
        "nanoseg",
        "db",
        "shop/web → shop/db 81/TCP",
        "2026-03-06T00:00:00Z",
    ),
    (
        Violation,
        "nanoseg",
        "db",
        "shop/web → shop/db 82/TCP",
        "2026-03-06T00:00:01Z",
    ),
    (
        Violation,
        "nanoseg",
        "db",
        "shop/web → shop/db 83/TCP",
        "2026-03-06T00:00:02Z",
    ),
    (
        Violation,
        "nanoseg",
        "db",
        "shop/web → shop/db 84/TCP",
        "2026-03-06T00:00:03Z",
    ),
    (
        Proposed,
        "nanoseg",
        POLICY,
        "db-2: new traffic",
        "2026-03-06T00:00:04Z",
    ),
    (
        Proposed,
        "nanoseg",
        POLICY,
        "db-2 was brought up to date: more traffic",
        "2026-03-06T00:00:05Z",
    ),
    (
        Rejected,
        "bob",
        POLICY,
        "db-2: a scanner",
        "2026-03-07T00:00:00Z",
    ),
    (
        Proposed,
        "nanoseg",
        POLICY,
        "db-3: new traffic",
        "2026-03-08T00:00:00Z",
    ),
    (
        Approved,
        "carol",
        POLICY,
        "db-3: ticket 7",
        "2026-03-09T00:00:00Z",
    ),
    (
        Proposed,
        "nanoseg",
        POLICY,
        "db-4: new traffic",
        "2026-03-09T00:00:01Z",
    ),
    (
        AutoApproved,
        "nanoseg",
        POLICY,
        "db-4: within the rules of automatic approval",
        "2026-03-09T00:00:02Z",
    ),
    (
        AutoRolledBack,
        "nanoseg",
        POLICY,
        "db-4: back to revision 2: web was blocked",
        "2026-03-09T00:00:03Z",
    ),
    (
        Proposed,
        "nanoseg",
        POLICY,
        "db-5: new traffic",
        "2026-03-10T00:00:00Z",
    ),
    (
        Superseded,
        "nanoseg",
        POLICY,
        "db-5: what is in force is right",
        "2026-03-10T00:00:01Z",
    ),
    (
        DecisionRefused,
        "dave",
        "db-9",
        "there is no proposal db-9 here",
        "2026-03-11T00:00:00Z",
    ),
    (
        RolledBack,
        "erin",
        POLICY,
        "db-3: back to no policy: a mistake",
        "2026-03-12T00:00:00Z",
    ),
    (Deleted, "nanoseg", POLICY, "", "2026-03-12T00:00:01Z"),
    (
        ActionKind::Applied,
        "nanoseg",
        POLICY,
        "",
        "2026-03-13T00:00:00Z",
    ),
    (
        DriftGivenUp,
        "nanoseg",
        POLICY,
        "its spec was changed",
        "2026-03-14T00:00:00Z",
    ),
    (
        ActionKind::DriftRepaired,
        "nanoseg",
        POLICY,
        "its spec was changed",
        "2026-03-15T00:00:00Z",
    ),
    (
        BreakGlassOn,
        "nanoseg",
        "shop",
        "outage (1 policies were taken away)",
        "2026-03-16T00:00:00Z",
    ),
    (
        BreakGlassOff,
        "nanoseg",
        "shop",
        "policies are enforced again",
        "2026-03-17T00:00:00Z",
    ),
    (
        ActionKind::Applied,
        "nanoseg",
        POLICY,
        "",
        "2026-03-17T00:00:01Z",
    ),
    (
        BreakGlassOn,
        "nanoseg",
        "shop",
        "again (1 policies were taken away at 2026-03-18T00:00:00Z; the leader ended before it could tell)",
        "2026-03-18T06:00:00Z",
    ),
    (
        BreakGlassOff,
        "nanoseg",
        "shop",
        "policies are enforced again",
        "2026-03-19T00:00:00Z",
    ),
    (
        ActionKind::Adopted,
        "nanoseg",
        POLICY,
        "",
        "2026-03-19T00:00:01Z",
    ),
    (
        ModeChanged,
        "nanoseg",
        "default",
        "from Enforce to Observe",
        "2026-03-20T00:00:00Z",
    ),
    (
        ModeChanged,
        "nanoseg",
        "default",
        "from Observe to Enforce",
        "2026-03-21T00:00:00Z",
    ),
    (
        SegmentationRemoved,
        "nanoseg",
        "default",
        "its policies stay, and nobody keeps them",
        "2026-03-22T00:00:00Z",
    ),
];

/// The files of the report that hold evidence. Of `evidence.json` the sentences that it quotes are left out, and the
/// digest of the record, which covers them.
fn evidence(folder: &Path, form: Form, framework: &str) -> BTreeMap<String, Value> {
    let state = folder.join("nanoseg.db");
    let _ = fs::remove_file(&state);
    let ports = [
        ("db-2", "81/TCP"),
        ("db-3", "82/TCP"),
        ("db-4", "83/TCP"),
        ("db-5", "84/TCP"),
    ];
    let proposals = ports.map(|(name, port)| proposal(name, &[port]));
    state_as(&state, RICH, json!(proposals), form);
    let sources = ["--state", "nanoseg.db", "--cluster", "cluster.yaml"];
    let more = ["--framework", framework, "--out", "report"];
    written(folder, &[sources, more].concat());
    let mut files = BTreeMap::new();
    for name in [
        "violations.csv",
        "isolation.csv",
        "workloads.csv",
        "edges.csv",
        "hours.csv",
    ] {
        let text = fs::read_to_string(folder.join("report").join(name)).expect(name);
        files.insert(name.to_owned(), Value::String(text));
    }
    let text = fs::read_to_string(folder.join("report/evidence.json")).expect("a file");
    let mut evidence: Value = serde_json::from_str(&text).expect("JSON");
    evidence["recordHead"]["digest"].take();
    for event in evidence["events"].as_array_mut().expect("events") {
        event["reason"].take();
    }
    files.insert("evidence.json".into(), evidence);
    files
}

#[test]
fn rewording_every_sentence_of_a_record_changes_no_evidence() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    for framework in ["pci-dss", "nist-800-53", "soc2", "cis-k8s"] {
        let typed = evidence(here, Form::Typed, framework);
        assert_eq!(evidence(here, Form::Reworded, framework), typed);
        let record = fs::read_to_string(here.join("report/record.jsonl")).expect("a file");
        for line in record.lines() {
            let line = parse_line(line).expect("a line");
            assert_eq!(line.entry.reason, "in other words: 3 to 4 (5)");
        }
        assert_eq!(evidence(here, Form::Earlier, framework), typed);
        is_rich(&typed["evidence.json"]);
    }
}

/// The comparison says something: what sentences once held is in the evidence.
fn is_rich(evidence: &Value) {
    let all = |list: &str, field: &str| -> Vec<Value> {
        let list = evidence[list].as_array().expect("a list").iter();
        list.map(|one| one[field].clone()).collect()
    };
    let replies = all("violations", "reply");
    assert_eq!(
        replies,
        ["rejected", "rolled-back", "rolled-back", "withdrawn"]
    );
    let glass = all("brokenGlass", "from");
    assert_eq!(glass, ["2026-03-16T00:00:00Z", "2026-03-18T00:00:00Z"]);
    assert_eq!(all("brokenGlass", "reason"), ["outage", "again"]);
    let lapses = all("lapses", "why");
    assert_eq!(
        lapses,
        ["drift-given-up", "mode-changed", "segmentation-removed"]
    );
    assert_eq!(evidence["figures"]["keepingEnded"], 2);
    let first = &evidence["violations"][1]["answers"][0];
    assert_eq!(
        (&first["by"], &first["reason"]),
        (&json!("erin"), &json!("back to no policy: a mistake"))
    );
}
