//! Decisions about violations, the estimate of unobserved traffic, and deleted workloads in the report.

use super::{CLUSTER, state, state_with, written};
use nanoseg::record::ActionKind;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Writes the report of `state` to `folder` and reads the file `name` of it.
fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("report").join(name)).expect("a file")
}

fn report(folder: &Path, more: &[&str]) -> Value {
    let all = [
        "--state",
        "nanoseg.db",
        "--cluster",
        "cluster.yaml",
        "--out",
        "report",
    ];
    written(folder, &[&all, more].concat());
    serde_json::from_str(&read(folder, "evidence.json")).expect("JSON")
}

/// A proposal for shop/db with these connections of shop/web.
pub fn proposal(name: &str, ports: &[&str]) -> Value {
    let evidence: Vec<Value> = ports
        .iter()
        .map(|port| {
            json!({"client": "shop/web", "server": "shop/db", "port": port, "connections": 1,
                "firstSeen": "", "lastSeen": ""})
        })
        .collect();
    let digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    json!({"name": name, "created": "2026-03-06T00:00:00Z", "policy": {"podSelector": {}},
        "base_revision": 1, "base": null, "material": {"evidence": evidence}, "generated": digest,
        "basis": digest, "asked_by_blocked": true, "phase": "Pending", "since": "2026-03-06T00:00:00Z",
        "decided_by": null, "decision": null, "reason": null, "message": null, "revision": null})
}

#[test]
fn each_violation_is_listed_with_its_decision() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    let seen = |port, at| (ActionKind::Violation, "nanoseg", "db", port, at);
    let policy = "nanoseg-db";
    let lines = [
        seen("shop/web → shop/db 81/TCP", "2026-03-06T00:00:00Z"),
        seen("shop/web → shop/db 82/TCP", "2026-03-06T00:00:01Z"),
        seen("shop/web → shop/db 83/TCP", "2026-03-06T00:00:02Z"),
        (
            ActionKind::Proposed,
            "nanoseg",
            policy,
            "db-2: new traffic",
            "2026-03-06T00:00:03Z",
        ),
        (
            ActionKind::Rejected,
            "bob",
            policy,
            "db-2: a scanner",
            "2026-03-07T00:00:00Z",
        ),
        (
            ActionKind::Proposed,
            "nanoseg",
            policy,
            "db-3: new traffic",
            "2026-03-08T00:00:00Z",
        ),
        (
            ActionKind::Approved,
            "carol",
            policy,
            "db-3: ticket 7",
            "2026-03-09T00:00:00Z",
        ),
        (
            ActionKind::BreakGlassOn,
            "nanoseg",
            "shop",
            "outage",
            "2026-03-20T00:00:00Z",
        ),
        (
            ActionKind::BreakGlassOff,
            "nanoseg",
            "shop",
            "over",
            "2026-03-20T01:00:00Z",
        ),
    ];
    let proposals = json!([proposal("db-2", &["81/TCP"]), proposal("db-3", &["82/TCP"])]);
    state_with(&here.join("nanoseg.db"), &lines, proposals);
    let evidence = report(
        here,
        &["--to", "2026-04-01T00:00:00Z", "--framework", "soc2"],
    );
    let told: Vec<(&Value, &Value, &Value)> = evidence["violations"]
        .as_array()
        .expect("violations")
        .iter()
        .map(|one| {
            (
                &one["reply"],
                &one["answers"][0]["by"],
                &one["answers"][0]["at"],
            )
        })
        .collect();
    let (none, bob, carol) = (Value::Null, json!("bob"), json!("carol"));
    let (seventh, ninth) = (json!("2026-03-07T00:00:00Z"), json!("2026-03-09T00:00:00Z"));
    assert_eq!(
        told,
        [
            (&json!("rejected"), &bob, &seventh),
            (&json!("approved"), &carol, &ninth),
            (&json!("open"), &none, &none),
        ]
    );
    assert_eq!(evidence["figures"]["violationsOpen"], 1);
    assert_eq!(evidence["brokenGlass"][0]["to"], "2026-03-20T01:00:00Z");
    assert_eq!(evidence["enforced"][0]["workload"]["name"], "db");
    assert_eq!(evidence["enforced"][0]["endedBy"], "break-glass-on");
    let answered = &evidence["framework"]["controls"];
    let answered = answered.as_array().expect("controls").iter();
    let standing = answered
        .filter(|one| one["number"] == "CC7.3")
        .map(|one| &one["standing"]);
    assert_eq!(standing.collect::<Vec<_>>(), ["partly"]);
    for page in ["index.html", "report.md"] {
        let text = read(here, page);
        assert!(
            text.contains("db-2 rejected by bob at 2026-03-07 00:00:00"),
            "{page}: {text}"
        );
        assert!(text.contains("still open"), "{page}");
    }
    assert!(read(here, "violations.csv").contains("db-3 approved by carol"));
    assert!(
        read(here, "isolation.csv").contains("shop,db,Pod,shop/nanoseg-db,2026-03-05T00:00:01Z")
    );

    // Before the first decision all violations were open.
    let early = report(here, &["--to", "2026-03-06T12:00:00Z"]);
    assert_eq!(early["figures"]["violationsOpen"], 3);
    // A break-glass that began before the period is part of the period while it lasts.
    let late = report(
        here,
        &[
            "--from",
            "2026-03-20T00:30:00Z",
            "--to",
            "2026-03-21T00:00:00Z",
        ],
    );
    assert_eq!(late["figures"]["breakGlass"], 1);
    // Violations that were open at the beginning are listed too; those that were decided before are not.
    let late = late["violations"].as_array().expect("violations").iter();
    let late: Vec<&Value> = late.map(|one| &one["connection"]).collect();
    assert_eq!(late, ["shop/web → shop/db 83/TCP"]);
}

#[test]
fn the_estimate_of_unobserved_traffic_is_listed_in_total_and_by_workload() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    state(&here.join("nanoseg.db"));
    let evidence = report(here, &[]);
    let learning = &evidence["learning"];
    assert_eq!(learning["overall"]["edges"], 2);
    assert_eq!(learning["workloads"][0]["workload"]["name"], "db");
    assert_eq!(learning["workloads"].as_array().map(Vec::len), Some(2));
    assert!(read(here, "index.html").contains("How much was not seen"));
    assert_eq!(read(here, "learning.csv").lines().count(), 3);
    // The sample's estimate is that of the generation of the folder.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (policies, cluster) = (
        root.join("policies-out"),
        root.join("samples/shop/cluster.yaml"),
    );
    let text = |path: &Path| path.display().to_string();
    let (policies, cluster) = (text(&policies), text(&cluster));
    written(
        here,
        &[
            "--generated",
            &policies,
            "--cluster",
            &cluster,
            "--out",
            "report",
        ],
    );
    let made = fs::read_to_string(root.join("policies-out/report.json")).expect("a file");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let evidence: Value = serde_json::from_str(&read(here, "evidence.json")).expect("JSON");
    assert_eq!(evidence["learning"], made["learning"]);
    assert!(
        evidence["figures"]["coverage"]
            .as_f64()
            .is_some_and(|seen| seen > 0.5)
    );
}

#[test]
fn the_connections_of_a_deleted_workload_are_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let without_web = CLUSTER.replace("name: web, namespace", "name: other, namespace");
    fs::write(here.join("cluster.yaml"), without_web).expect("a file");
    state(&here.join("nanoseg.db"));
    let evidence = report(here, &["--to", "2026-04-01T00:00:00Z"]);
    let edges = evidence["edges"].as_array().expect("edges");
    assert_eq!(edges.len(), 1, "{edges:#?}");
    assert_eq!(
        (&edges[0]["client"], &edges[0]["gone"]),
        (&json!("shop/web[Pod]"), &json!(true))
    );
    assert_eq!(evidence["verdict"]["wouldBlock"], json!([]));
    assert!(read(here, "graph.csv").contains("web"));
    assert!(read(here, "hours.csv").contains("shop/web[Pod]"));
}

#[test]
fn a_record_with_a_broken_chain_is_not_used_as_evidence() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    state(&here.join("nanoseg.db"));
    let store = rusqlite::Connection::open(here.join("nanoseg.db")).expect("a store");
    // Whoever can write the file can remove its protection.
    let drop = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_master WHERE type = 'trigger'";
    let drop: String = store
        .query_row(drop, [], |row| row.get(0))
        .expect("triggers");
    store.execute_batch(&drop).expect("dropped");
    let changed = store.execute(
        "UPDATE record SET line = replace(line, 'alice', 'mallory') WHERE sequence = 1",
        [],
    );
    assert_eq!(changed, Ok(1));
    let evidence = report(here, &["--framework", "nist-800-53"]);
    let broken = evidence["recordBroken"].as_str().expect("it is told");
    assert!(broken.contains("entry 1 was changed"), "{broken}");
    let controls = evidence["framework"]["controls"]
        .as_array()
        .expect("controls")
        .iter();
    let changes = controls
        .filter(|one| one["number"] == "CM-3")
        .map(|one| &one["standing"]);
    assert_eq!(changes.collect::<Vec<_>>(), ["gap"]);
    assert!(read(here, "index.html").contains("Do not rely on what this report says of decisions"));
}
