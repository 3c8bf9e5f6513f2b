//! The long day: events in a random order for as long as NANOSEG_DAY_MINUTES says, and the leader's memory beside it.
//! NANOSEG_DAY_SEED gives the same order again.

use super::cluster::RealCluster;
use super::life::{ALL_EVENTS, happens};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Returns how long it goes on, if anybody asked for it.
fn asked_for() -> Option<Duration> {
    let minutes: u64 = std::env::var("NANOSEG_DAY_MINUTES").ok()?.parse().ok()?;
    Some(Duration::from_secs(60 * minutes))
}

/// Runs events, and `check` after each of them. Writes the memory to `target/nanoseg-day-memory.tsv`.
pub fn until_evening(cluster: &RealCluster, check: impl Fn(&RealCluster, &str)) {
    let Some(lasts) = asked_for() else {
        return;
    };
    let seed = std::env::var("NANOSEG_DAY_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(17);
    let mut random = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    let mut table = "seconds\tkib\tevent\n".to_owned();
    while begun.elapsed() < lasts {
        let event = ALL_EVENTS[random.usize(..ALL_EVENTS.len())];
        happens(cluster, event);
        let _ = writeln!(
            table,
            "{}\t{}\t{}",
            begun.elapsed().as_secs(),
            memory_of_controllers(cluster),
            event.0
        );
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/target/nanoseg-day-memory.tsv");
        std::fs::write(file, &table).expect("a file");
        check(cluster, event.0);
    }
    cluster.say(&format!("seed {seed}: the long day is over\n{table}"));
}

/// Returns the resident memory of the larger controller, in KiB: the leader's.
fn memory_of_controllers(cluster: &RealCluster) -> u64 {
    let told = cluster.tell(json!({"do": "memory", "name": "nanoseg"}));
    let all = told["processes"].as_object().into_iter().flatten();
    let controllers = all.filter(|(_, process)| process["command"] == "controller");
    controllers
        .filter_map(|(_, process)| process["kib"].as_u64())
        .max()
        .unwrap_or_default()
}

/// Events that only the long day has, since they take long.
pub fn drained(cluster: &RealCluster) {
    let drain = [
        "drain",
        "node2",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=90s",
    ];
    cluster.kubectl(&drain).good("the drain");
    cluster.kubectl(&["uncordon", "node2"]).good("uncordon");
}

/// Kills the leader's container.
pub fn leader_killed(cluster: &RealCluster) {
    let pods = cluster
        .get(&["lease", "nanoseg-controller", "-n", "nanoseg"])
        .expect("a Lease");
    let holder = pods[0]
        .pointer("/spec/holderIdentity")
        .and_then(Value::as_str);
    let pod = holder
        .unwrap_or_default()
        .split('_')
        .next()
        .unwrap_or_default()
        .to_owned();
    let delete = [
        "delete",
        "pod",
        &pod,
        "-n",
        "nanoseg",
        "--grace-period=0",
        "--force",
    ];
    cluster.kubectl(&delete).good("the leader's end");
    super::install::await_rollout(cluster, "nanoseg", "deployment/nanoseg-controller");
}

/// The API server is away for 20 seconds.
pub fn api_server_away(cluster: &RealCluster) {
    let program = |what: &str| {
        cluster.tell(json!({"do": what, "node": "control", "program": "kube-apiserver"}));
    };
    program("stop-program");
    cluster.tell(json!({"do": "run", "command": ["sleep", "20"]}));
    program("start-program");
    cluster.until(Duration::from_secs(60), "API server", || {
        let said = cluster.kubectl(&["get", "--raw", "/readyz"]);
        (said.code == 0).then_some(()).ok_or(said.stderr)
    });
}

/// containerd ends and starts; its containers stay.
pub fn runtime_restarted(cluster: &RealCluster) {
    cluster.tell(json!({"do": "restart", "node": "node2", "program": "containerd"}));
    cluster.tell(json!({"do": "restart", "node": "node2", "program": "kubelet"}));
}
