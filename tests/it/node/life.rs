//! What happens in a cluster on every day, and what must not come of it.

use super::cluster::RealCluster;
use super::install::await_rollout;
use super::long::{api_server_away, drained, leader_killed, runtime_restarted};
use super::shop::{NAMESPACES, everything_works};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// The time that the shop may need until it works again: image, address, readiness, the plugin's rules.
const PATIENCE: Duration = Duration::from_secs(120);

/// An event of a day, and its name.
pub type Event = (&'static str, fn(&RealCluster));

/// The events, in the order of the day.
pub const EVENTS: [Event; 9] = [
    ("a rollout of each workload", rollout_of_each),
    ("scaled up and down", scaled),
    ("a Job by hand from the CronJob", job_by_hand),
    ("an eviction", eviction),
    ("all pods of a namespace deleted at once", all_deleted),
    ("kube-proxy restarted", proxy_restarted),
    ("kube-router restarted", router_restarted),
    ("the API server restarted", api_server_restarted),
    ("a node rebooted", rebooted),
];

/// Those of the long day.
pub const ALL_EVENTS: [Event; 13] = [
    EVENTS[0],
    EVENTS[1],
    EVENTS[2],
    EVENTS[3],
    EVENTS[4],
    EVENTS[5],
    EVENTS[6],
    EVENTS[7],
    EVENTS[8],
    ("a node drained", drained),
    ("the leader killed", leader_killed),
    ("the API server away for 20 s", api_server_away),
    ("containerd and kubelet restarted", runtime_restarted),
];

/// Lets an event happen, and waits until the shop works again.
pub fn happens(cluster: &RealCluster, (name, event): Event) {
    event(cluster);
    everything_works(cluster, PATIENCE);
    cluster.say(name);
}

/// Returns the workloads that have a rollout: kind and name.
fn with_rollout(cluster: &RealCluster, namespace: &str) -> Vec<String> {
    let list = [
        "get",
        "deployments,statefulsets",
        "-n",
        namespace,
        "-o",
        "name",
    ];
    let names = cluster.kubectl(&list).good("the workloads");
    names.lines().map(str::to_owned).collect()
}

fn rollout_of_each(cluster: &RealCluster) {
    for namespace in NAMESPACES {
        let all = with_rollout(cluster, namespace);
        for name in &all {
            cluster
                .kubectl(&["rollout", "restart", name, "-n", namespace])
                .good(name);
        }
        for name in &all {
            await_rollout(cluster, namespace, name);
        }
    }
}

fn scaled(cluster: &RealCluster) {
    for replicas in ["4", "2"] {
        let name = "deployment/frontend";
        let scale = ["scale", name, "-n", "shop", "--replicas", replicas];
        cluster.kubectl(&scale).good(name);
        await_rollout(cluster, "shop", name);
    }
}

/// Creates a Job as operators do, and waits until it has succeeded.
pub fn job_by_hand(cluster: &RealCluster) {
    let name = format!("feed-by-hand-{}", jiff::Timestamp::now().as_second());
    let create = ["create", "job", &name, "--from=cronjob/feed", "-n", "shop"];
    cluster.kubectl(&create).good("the Job");
    let job = format!("job/{name}");
    let wait = [
        "wait",
        &job,
        "-n",
        "shop",
        "--for=condition=complete",
        "--timeout=60s",
    ];
    cluster.kubectl(&wait).good("the Job's end");
}

fn eviction(cluster: &RealCluster) {
    for node in ["node1", "node2"] {
        let drain = [
            "drain",
            node,
            "--pod-selector=app=checkout",
            "--timeout=60s",
        ];
        cluster.kubectl(&drain).good("the eviction");
        cluster.kubectl(&["uncordon", node]).good("uncordon");
    }
    await_rollout(cluster, "shop", "deployment/checkout");
}

fn all_deleted(cluster: &RealCluster) {
    let uids = || -> BTreeSet<String> {
        let list = "jsonpath={.items[*].metadata.uid}";
        let said = cluster.kubectl(&["get", "pods", "-n", "shop", "-o", list]);
        let uids = said.good("the pods");
        uids.split_whitespace().map(str::to_owned).collect()
    };
    let before = uids();
    let delete = ["delete", "pods", "--all", "-n", "shop", "--wait=false"];
    cluster.kubectl(&delete).good("the deletion");
    // kubectl may wait for ever for a pod of a StatefulSet, which is there again under its name.
    cluster.until(PATIENCE, "all pods are gone", || {
        let left = before.intersection(&uids()).count();
        (left == 0).then_some(()).ok_or(format!("{left} are left"))
    });
    for name in with_rollout(cluster, "shop") {
        await_rollout(cluster, "shop", &name);
    }
}

fn proxy_restarted(cluster: &RealCluster) {
    restart(cluster, "node1", "kube-proxy");
}

fn router_restarted(cluster: &RealCluster) {
    restart(cluster, "node2", "kube-router");
}

fn api_server_restarted(cluster: &RealCluster) {
    restart(cluster, "control", "kube-apiserver");
    cluster.until(PATIENCE, "API server", || {
        let said = cluster.kubectl(&["get", "--raw", "/readyz"]);
        (said.code == 0).then_some(()).ok_or(said.stderr)
    });
}

fn restart(cluster: &RealCluster, node: &str, program: &str) {
    cluster.tell(json!({"do": "restart", "node": node, "program": program}));
}

fn rebooted(cluster: &RealCluster) {
    cluster.tell(json!({"do": "reboot", "node": "node2"}));
    await_rollout(cluster, "nanoseg-agents", "daemonset/nanoseg-agent");
}

/// Returns the violations that Segmentations count, and what the record says of each.
pub fn violations(cluster: &RealCluster) -> (u64, Vec<String>) {
    let all = cluster
        .get(&["segmentations", "-A"])
        .expect("Segmentations");
    let count = |one: &Value| {
        one.pointer("/status/counts/violations")
            .and_then(Value::as_u64)
    };
    let counted = all.iter().filter_map(count).sum();
    let record = cluster.olga(&["record", "show", "cluster", "-o", "json"]);
    let lines = record
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = lines.filter(|line| line["action"] == "violation");
    (
        counted,
        told.map(|line| format!("{} {}", line["at"], line["reason"]))
            .collect(),
    )
}
