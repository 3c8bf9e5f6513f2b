//! The page with 500 workloads: its size, and the time to the first paint.

use super::browser::Browser;
use super::{Ui, run};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

const NAMESPACES: usize = 20;
const WORKLOADS: usize = 500;
/// The number of other workloads that each workload calls.
const CALLS: [usize; 4] = [1, 7, 26, 143];
/// The workload that all others call, as they call a cluster's DNS.
const BUSIEST: &str = "team-00/Deployment/service-000";
/// The maximum size of a page with script and style, in bytes.
const MOST_BYTES: u64 = 300_000;

fn address(workload: usize) -> String {
    format!("10.4.{}.{}", workload / 250, workload % 250 + 1)
}

/// Returns a cluster of 500 Deployments with one pod each, in the format of kubectl.
fn snapshot() -> String {
    let mut items = vec![json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "spec": {"podCIDR": "10.4.0.0/16", "podCIDRs": ["10.4.0.0/16"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.9.1"}]},
    })];
    for namespace in 0..NAMESPACES {
        let name = format!("team-{namespace:02}");
        items.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    for workload in 0..WORKLOADS {
        let (namespace, name) = (
            format!("team-{:02}", workload % NAMESPACES),
            format!("service-{workload:03}"),
        );
        let labels = json!({"app.kubernetes.io/name": name});
        let spec = json!({"nodeName": "n1", "containers": [
            {"name": "main", "image": format!("registry.example/{name}:1"), "ports": [{"containerPort": 8080}]}]});
        items.push(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": namespace, "name": name, "uid": format!("d{workload}")},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        }));
        items.push(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"namespace": namespace, "name": format!("{name}-1"), "uid": format!("r{workload}"),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": format!("d{workload}"), "controller": true}]},
            "spec": {"selector": {"matchLabels": labels}},
        }));
        items.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": namespace, "name": format!("{name}-1-x"), "uid": format!("p{workload}"), "labels": labels,
                "creationTimestamp": "2026-03-01T00:00:00Z",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-1"), "uid": format!("r{workload}"), "controller": true}]},
            "spec": spec,
            "status": {"phase": "Running", "startTime": "2026-03-01T00:00:00Z",
                "podIP": address(workload), "podIPs": [{"ip": address(workload)}]},
        }));
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn flows() -> String {
    let mut lines = String::new();
    for client in 0..WORKLOADS {
        let others = CALLS.map(|step| (client + step) % WORKLOADS);
        let busiest = (client > 0 && !others.contains(&0)).then_some(0);
        for server in others.into_iter().chain(busiest) {
            let _ = writeln!(
                lines,
                r#"{{"client": "{}", "server": "{}", "port": 8080, "protocol": "TCP", "time": "2026-03-02T10:00:00Z", "connections": 5}}"#,
                address(client),
                address(server)
            );
        }
    }
    lines
}

fn generated(folder: &Path) {
    fs::write(folder.join("cluster.json"), snapshot()).expect("a snapshot");
    fs::write(folder.join("flows.jsonl"), flows()).expect("flows");
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .current_dir(folder)
        .args([
            "generate",
            "--flows",
            "flows.jsonl",
            "--cluster",
            "cluster.json",
            "--out",
            "out",
        ])
        .output()
        .expect("nanoseg runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn with_500_workloads_the_page_is_small_and_the_map_is_readable() {
    let folder = tempfile::tempdir().expect("a folder");
    generated(folder.path());
    let ui = Ui::start(folder.path(), &["out"]);
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        for (name, path) in [
            ("map", ""),
            ("one namespace", "?namespace=team-07"),
            ("proposals", "proposals"),
            ("workloads", "workloads"),
            ("risks", "risks"),
            ("called by all", &format!("workload/{BUSIEST}")),
            ("its edges", &format!("edge?from=any&to=workload/{BUSIEST}")),
            ("its proposal", "proposal/team-00/nanoseg-service-000"),
        ] {
            browser.open(&ui.at(path)).await;
            let painted = browser.first_paint().await;
            let asked = "return performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))\
                         .reduce((sum, one) => sum + one.encodedBodySize, 0)";
            let sent = browser.ask(asked).await.as_u64().expect("a number");
            // Speed is not tested here: benches/README.md has the figures of a release build.
            eprintln!("{name}: {sent} bytes, first paint after {painted:.0} ms");
            assert!(sent > 10_000 && sent < MOST_BYTES, "{name}: {sent} bytes");
        }
        // The number of hidden entries is shown, and they can be displayed.
        let edges = format!("edge?from=any&to=workload/{BUSIEST}");
        browser.open(&ui.at(&edges)).await;
        let rest = browser.text("#rows .rest").await;
        assert!(rest.contains("… and 299 more."), "{rest}");
        for _ in 0..2 {
            browser.submit("#rows .rest a:last-of-type").await;
        }
        let rest = browser.text("#rows .rest").await;
        assert!(rest.contains("401 to 499 of 499."), "{rest}");
        assert_eq!(browser.count("#rows tbody tr").await, 99);

        browser.open(&ui.url).await;
        let nodes = browser.count("svg .node").await;
        assert_eq!(nodes, NAMESPACES, "namespaces first");
        // The search finds a workload inside a collapsed namespace.
        browser.write("#search", "service-247").await;
        assert_eq!(browser.text(".node.hit").await, "team-07\n25 workloads");
        browser.picture("map-500").await;
        browser.open(&ui.at("?namespace=team-07")).await;
        let nodes = browser.count("svg .node").await;
        assert!(nodes > WORKLOADS / NAMESPACES && nodes < 60, "{nodes}");
        browser.picture("map-500-namespace").await;
        browser.end().await;
    });
}
