//! The shop of `shop.yaml`, who calls whom in it, and who looks after it.

use super::cluster::RealCluster;
use nanoseg::cluster::read_cluster;
use nanoseg::evaluate::{ConnectivityEnd, HostNetwork, connectivity};
use nanoseg::inventory::{Inventory, OwnerRule};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// The namespaces that are segmented.
pub const NAMESPACES: [&str; 2] = ["shop", "monitoring"];

/// Every connection that the programs make: client, server, ports. `outside` is every address that is no pod's: that of
/// the customer, who comes by way of a node, too.
pub const TRUE_EDGES: [(&str, &str, &str); 13] = [
    ("outside", "shop/frontend", "TCP 8080"),
    ("shop/loadgen", "shop/frontend", "TCP 8080"),
    ("monitoring/scraper", "shop/frontend", "TCP 8080"),
    ("shop/frontend", "shop/catalog", "TCP 3550"),
    ("shop/frontend", "shop/cart", "TCP 7070"),
    ("shop/frontend", "shop/checkout", "TCP 5050"),
    ("shop/checkout", "shop/cart", "TCP 7070"),
    ("shop/checkout", "shop/payment", "TCP 50051"),
    ("shop/checkout", "monitoring/statsd", "UDP 8125"),
    ("shop/cart", "shop/redis", "TCP 6379"),
    ("shop/catalog", "shop/postgres", "TCP 5432"),
    ("shop/feed", "shop/catalog", "TCP 3550"),
    ("shop/payment", "outside", "TCP 443"),
];

/// Who looks names up.
const LOOK_UP: [&str; 8] = [
    "monitoring/scraper",
    "shop/cart",
    "shop/catalog",
    "shop/checkout",
    "shop/feed",
    "shop/frontend",
    "shop/loadgen",
    "shop/payment",
];

/// Returns what the policies must allow, no more and no less.
pub fn truth() -> BTreeSet<String> {
    let line =
        |(client, server, ports): &(&str, &str, &str)| format!("{client} → {server} {ports}");
    // After a UDP answer that is too long, a resolver asks by TCP.
    let dns = LOOK_UP.map(|client| format!("{client} → kube-system/coredns TCP 53,UDP 53"));
    TRUE_EDGES.iter().map(line).chain(dns).collect()
}

/// Workloads with a policy of their own, each of the shop's.
pub const WORKLOADS: [&str; 11] = [
    "monitoring/scraper",
    "monitoring/statsd",
    "shop/cart",
    "shop/catalog",
    "shop/checkout",
    "shop/feed",
    "shop/frontend",
    "shop/loadgen",
    "shop/payment",
    "shop/postgres",
    "shop/redis",
];

/// The kinds that a snapshot has.
const SNAPSHOT: &str = "namespaces,pods,services,endpointslices,nodes,deployments,replicasets,statefulsets,daemonsets,jobs,cronjobs";

/// Olga sets the mode of both namespaces.
pub fn set_mode(cluster: &RealCluster, mode: &str) {
    for namespace in NAMESPACES {
        cluster.apply_as_olga(&json!({
            "apiVersion": "nanoseg.dev/v1alpha1",
            "kind": "Segmentation",
            "metadata": {"name": "default", "namespace": namespace},
            "spec": {
                "mode": mode,
                "changedBy": "olga",
                "learning": {"minimumDuration": "30s", "minimumCoverage": 60},
            },
        }));
    }
    cluster.say(&format!("mode {mode}"));
}

/// Returns what policies allow in the cluster, in the words of `TRUE_EDGES`, of all lines that touch the shop.
pub fn allowed(cluster: &RealCluster, policies: &[Value]) -> BTreeSet<String> {
    let snapshot = cluster.kubectl(&["get", SNAPSHOT, "-A", "-o", "json"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cluster.json");
    std::fs::write(&file, snapshot.good("a snapshot")).expect("a file");
    let (objects, _) = read_cluster(&[file]).expect("a snapshot");
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
    let policies: Vec<_> = policies
        .iter()
        .map(|policy| serde_json::from_value(policy.clone()).expect("a policy"))
        .collect();
    let name = |end: &ConnectivityEnd| match end {
        // In its node's network: who lets the node in lets it in.
        ConnectivityEnd::Workload(id) if id.name == "nanoseg-agent" => "outside".into(),
        ConnectivityEnd::Workload(id) => format!("{}/{}", id.namespace, id.name),
        ConnectivityEnd::Outside(_) => "outside".into(),
    };
    let ours = |end: &str| NAMESPACES.iter().any(|n| end.starts_with(&format!("{n}/")));
    let allowed = connectivity(&inventory, &policies, HostNetwork::Exact).expect("valid policies");
    let words = allowed.lines.iter().map(|line| {
        let (client, server) = (name(&line.client), name(&line.server));
        (client, server, line.connections.to_string())
    });
    words
        .filter(|(client, server, _)| ours(client) || ours(server))
        .map(|(client, server, ports)| format!("{client} → {server} {ports}"))
        .collect()
}

/// Waits until every pod is ready and the last of everybody's calls was good, made after this moment; the customer's too.
pub fn everything_works(cluster: &RealCluster, patience: Duration) {
    let since = jiff::Timestamp::now().as_second();
    cluster.hope(patience, "shop that works", || {
        let calls = cluster.tell(json!({"do": "calls"}));
        let calls = &calls["calls"];
        let mut late = bad_calls("outside/customer", calls, since);
        for namespace in NAMESPACES {
            let pods = cluster.get(&["pods", "-n", namespace])?;
            let troubles = pods.iter().flat_map(|pod| troubles(pod, calls, since));
            late.extend(troubles);
        }
        let none = late.is_empty();
        none.then_some(()).ok_or_else(|| late.join("; "))
    });
}

/// Returns why a pod is not as it must be. Those of the CronJob come and go.
fn troubles(pod: &Value, calls: &Value, since: i64) -> Vec<String> {
    let text = |path: &str| {
        let value = pod.pointer(path).and_then(Value::as_str);
        value.unwrap_or_default()
    };
    if text("/metadata/labels/app") == "feed" {
        return Vec::new();
    }
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let phase = text("/status/phase");
    if phase != "Running" || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return vec![format!("{name} is {phase}, or is being deleted")];
    }
    let arguments = pod.pointer("/spec/containers/0/args");
    let mut arguments = arguments.and_then(Value::as_array).into_iter().flatten();
    if arguments.any(|word| word == "-call") {
        bad_calls(&format!("{namespace}/{name}"), calls, since)
    } else {
        Vec::new()
    }
}

/// Returns the calls of one caller that were not made since a time, or were not good.
fn bad_calls(caller: &str, calls: &Value, since: i64) -> Vec<String> {
    let Some(made) = calls[caller].as_object() else {
        return vec![format!("{caller} made no call")];
    };
    let bad = made
        .iter()
        .filter(|(_, last)| last[0].as_i64() <= Some(since) || last[1] != "ok");
    bad.map(|(target, last)| format!("{caller} → {target}: {last} at {since}"))
        .collect()
}
