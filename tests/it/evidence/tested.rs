//! Results of `nanoseg probe` as evidence.

use super::{CLUSTER, POLICY, nanoseg, written};
use nanoseg::inventory::{Inventory, WorkloadId};
use nanoseg::net::{Protocol, Timestamp};
use nanoseg::probe::{
    ClientEnd, ClusterFacts, Expected, Heard, Outcome, Plan, PodName, Probe, Results, ServerEnd,
    ServerKind, Told, Way, digests,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FLOW: &str = "{\"client\":\"10.0.0.1\",\"server\":\"10.0.0.2\",\"port\":5432,\"protocol\":\"TCP\",\"time\":\"2026-03-03T10:00:00Z\",\"connections\":3}\n";

fn policies() -> Vec<Value> {
    let db: Value = serde_yaml::from_str(POLICY).expect("YAML");
    let web = json!({
        "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": 5432}]}],
    });
    let mut db = db;
    db["policyTypes"] = json!(["Ingress", "Egress"]);
    let policy = |name: &str, spec: Value| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": name}, "spec": spec,
        })
    };
    vec![policy("db", db), policy("web", web)]
}

fn probe(client: &str, server: &str, port: u16, expected: Expected) -> Probe {
    let pod = |name: &str| PodName {
        namespace: "shop".into(),
        name: name.into(),
    };
    let workload = |name: &str| WorkloadId {
        namespace: "shop".into(),
        name: name.into(),
        kind: "Pod".into(),
    };
    let address = match server {
        "db" => "10.0.0.2",
        _ => "10.0.0.1",
    };
    let to = format!("{address}:{port}").parse().expect("an address");
    Probe {
        client: ClientEnd {
            pod: pod(client),
            workload: workload(client),
            node: None,
        },
        server: ServerEnd {
            kind: ServerKind::Pod,
            pod: Some(pod(server)),
            workload: Some(workload(server)),
            node: None,
        },
        through: None,
        protocol: Protocol::Tcp,
        to,
        behind: to,
        way: Way::Tcp,
        expected,
        asks: None,
        seen: false,
        allowed_by: Vec::new(),
        denied_by: match expected {
            Expected::Denied => vec!["shop/db".into(), "shop/web".into()],
            _ => Vec::new(),
        },
        denied_on: BTreeSet::new(),
    }
}

/// Writes the results of a run at `from`, in which what is denied hears `denied`.
fn run(folder: &Path, from: &str, denied: Outcome) {
    let probes = vec![
        probe("web", "db", 5432, Expected::Allowed),
        probe("db", "web", 80, Expected::Denied),
    ];
    let told = |first| Told {
        first,
        second: None,
    };
    let mut heard = Heard::default();
    for (index, first) in [(0, Outcome::Connected), (1, denied)] {
        let pod = probes[index].client.pod.clone();
        heard.pods.insert(pod, Ok(vec![told(first)]));
    }
    let plan = Plan {
        probes,
        left_out: Vec::new(),
    };
    // Both servers listen.
    let subject = |name: &str| nanoseg::probe::Subject {
        pod: PodName {
            namespace: "shop".into(),
            name: name.into(),
        },
        uid: String::new(),
        addresses: Vec::new(),
        used: 0,
        next: 1,
    };
    let checks = plan.checks(&BTreeSet::from([0, 1]), &[subject("web"), subject("db")]);
    heard.checks = checks
        .into_iter()
        .map(|check| (check, Ok(told(Outcome::Connected))))
        .collect();
    let from: Timestamp = from.parse::<jiff::Timestamp>().expect("a time").into();
    let typed: Vec<_> = policies()
        .into_iter()
        .map(|policy| serde_json::from_value(policy).expect("a policy"))
        .collect();
    let results = Results {
        cluster: "prod".into(),
        by: Some("petra".into()),
        from,
        to: from.plus_secs(30),
        policies: digests(&typed, &Inventory::default()),
        ..Results::new(plan, &heard, &ClusterFacts::default())
    };
    let text = serde_json::to_vec_pretty(&results).expect("JSON");
    fs::write(folder.join("probe.json"), text).expect("a file");
}

fn inputs(folder: &Path) {
    fs::write(folder.join("cluster.yaml"), CLUSTER).expect("a file");
    fs::write(folder.join("flows.jsonl"), FLOW).expect("a file");
    let all = json!({"apiVersion": "v1", "kind": "List", "items": policies()});
    fs::write(folder.join("policies.json"), all.to_string()).expect("a file");
}

const ARGUMENTS: [&str; 8] = [
    "--flows",
    "flows.jsonl",
    "--cluster",
    "cluster.yaml",
    "--policies",
    "policies.json",
    "--out",
    "report",
];

fn evidence(folder: &Path, framework: &str, more: &[&str]) -> Value {
    let framework = ["--framework", framework];
    written(folder, &[&ARGUMENTS[..], &framework, more].concat());
    let text = fs::read_to_string(folder.join("report/evidence.json")).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

/// The standing of a control, and the finding.
fn standing(folder: &Path, framework: &str, number: &str, more: &[&str]) -> (String, String) {
    let evidence = evidence(folder, framework, more);
    let controls = evidence["framework"]["controls"]
        .as_array()
        .expect("a list");
    let control = controls.iter().find(|one| one["number"] == number);
    let text = |field: &str| {
        control.expect("it is there")[field]
            .as_str()
            .expect("text")
            .to_owned()
    };
    (text("standing"), text("finding"))
}

const PROBE: [&str; 2] = ["--probe", "probe.json"];
const CONTROLS: [(&str, &str); 2] = [("pci-dss", "11.4.5"), ("cis-k8s", "5.3.1")];

#[test]
fn a_run_without_differences_shows_that_segmentation_is_tested_and_one_with_differences_is_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    inputs(here);
    let (pci, cis) = ("partly", "not-told");
    for ((framework, number), untested) in CONTROLS.into_iter().zip([pci, cis]) {
        let (standing, finding) = standing(here, framework, number, &[]);
        assert_eq!(standing, untested, "{finding}");
    }
    run(here, "2026-03-03T12:00:00Z", Outcome::Silent);
    for (framework, number) in CONTROLS {
        let (standing, finding) = standing(here, framework, number, &PROBE);
        assert_eq!(standing, "shown", "{finding}");
        assert!(finding.contains("By trying 2 connections"), "{finding}");
        assert!(finding.contains("2 of 2 isolated workloads"), "{finding}");
    }
    let page = fs::read_to_string(here.join("report/index.html")).expect("a page");
    assert!(
        page.contains("What was tried") && page.contains("petra"),
        "{page}"
    );
    let kept = fs::read_to_string(here.join("report/probe.json")).expect("the run");
    assert!(kept.contains("nanoseg.dev/probe/v1"));

    run(here, "2026-03-03T12:00:00Z", Outcome::Connected);
    for (framework, number) in CONTROLS {
        let (standing, finding) = standing(here, framework, number, &PROBE);
        assert_eq!(standing, "gap", "{finding}");
    }
    let evidence = evidence(here, "pci-dss", &PROBE);
    let difference = &evidence["tested"][0]["differences"][0];
    assert_eq!(difference["verdict"]["is"], "not-blocked");
    let page = fs::read_to_string(here.join("report/report.md")).expect("a page");
    assert!(page.contains("NOT BLOCKED"), "{page}");
}

#[test]
fn a_run_of_other_policies_or_of_another_time_is_listed_and_does_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    inputs(here);
    run(here, "2026-03-03T12:00:00Z", Outcome::Silent);
    let before = ["--to", "2026-03-03T12:00:10Z"];
    let (known, finding) = standing(here, "pci-dss", "11.4.5", &[&PROBE[..], &before].concat());
    assert_eq!(known, "partly", "{finding}");
    assert!(finding.contains("not of this period"), "{finding}");
    let text = fs::read_to_string(here.join("policies.json")).expect("a file");
    fs::write(here.join("policies.json"), text.replace("5432", "5433")).expect("a file");
    let (known, finding) = standing(here, "cis-k8s", "5.3.1", &PROBE);
    assert_eq!(known, "not-told", "{finding}");
    assert!(finding.contains("2 policies were other ones"), "{finding}");
    let evidence = evidence(here, "pci-dss", &PROBE);
    assert_eq!(
        evidence["tested"][0]["changedPolicies"],
        json!(["shop/db", "shop/web"])
    );
}

#[test]
fn a_silence_that_tells_nothing_shows_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    inputs(here);
    run(here, "2026-03-03T12:00:00Z", Outcome::Failed { errno: 99 });
    let (known, finding) = standing(here, "cis-k8s", "5.3.1", &PROBE);
    assert_eq!(known, "not-told", "{finding}");
}

#[test]
fn a_file_that_is_no_result_is_refused_with_its_name_and_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    inputs(here);
    run(here, "2026-03-03T12:00:00Z", Outcome::Connected);
    let good = fs::read_to_string(here.join("probe.json")).expect("a file");
    let altered = good.replace("\"notBlocked\": 1", "\"notBlocked\": 0");
    assert_ne!(altered, good);
    let other = good.replace("probe/v1", "probe/v9");
    for (text, why) in [
        ("", "EOF"),
        ("{}", "schema"),
        (other.as_str(), "nanoseg.dev/probe/v9"),
        (altered.as_str(), "it was altered"),
    ] {
        fs::write(here.join("probe.json"), text).expect("a file");
        let output = nanoseg(here, &[&ARGUMENTS[..], &PROBE].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("probe.json") && said.contains(why), "{said}");
        assert!(said.contains("nanoseg probe -o json"), "{said}");
    }
    fs::remove_file(here.join("probe.json")).expect("it was there");
    let output = nanoseg(here, &[&ARGUMENTS[..], &PROBE].concat());
    assert_eq!(output.status.code(), Some(2), "there is no file");
}
