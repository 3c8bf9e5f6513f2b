//! `nanoseg probe` on real nodes: with the enforcer on, off, and off on one node.

use super::cluster::RealCluster;
use super::shop::everything_works;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);
const NODES: [&str; 2] = ["node1", "node2"];

/// The servers that get a policy: namespace, name, port, protocol, and who may call them.
const SERVERS: [(&str, &str, u16, &str, &[&str]); 5] = [
    ("shop", "postgres", 5432, "TCP", &["catalog"]),
    ("shop", "redis", 6379, "TCP", &["cart"]),
    ("shop", "cart", 7070, "TCP", &["frontend", "checkout"]),
    ("shop", "payment", 50051, "TCP", &["checkout"]),
    ("monitoring", "statsd", 8125, "UDP", &["checkout"]),
];

/// Runs the steps.
pub fn run(cluster: &RealCluster) {
    let shop = format!("{}/tests/it/node/shop.yaml", env!("CARGO_MANIFEST_DIR"));
    cluster.kubectl(&["apply", "-f", &shop]).good("the shop");
    for server in SERVERS {
        cluster.apply(&policy(server));
    }
    works(cluster);
    with_the_enforcer(cluster);
    let before = restarts(cluster);
    without_any(cluster);
    without_that_of_one_node(cluster);
    assert_eq!(
        restarts(cluster),
        before,
        "no pod was restarted or replaced"
    );
    pods_are_as_they_were(cluster);
}

fn policy((namespace, name, port, protocol, clients): (&str, &str, u16, &str, &[&str])) -> Value {
    let peer = |client: &&str| {
        json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
            "podSelector": {"matchLabels": {"app": client}},
        })
    };
    let from: Vec<Value> = clients.iter().map(peer).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": from, "ports": [{"port": port, "protocol": protocol}]}],
        },
    })
}

/// The image as `.ci/image` names it: as deploy/kustomization.yaml does.
fn image() -> String {
    const FILE: &str = include_str!("../../../deploy/kustomization.yaml");
    let value = |key: &str| {
        let line = FILE.lines().find_map(|line| line.trim().strip_prefix(key));
        let words = line.and_then(|rest| rest.split_whitespace().next());
        words.expect("it is there").to_owned()
    };
    format!("{}:{}", value("newName:"), value("newTag:"))
}

/// Waits until the pods of the shop call each other.
fn works(cluster: &RealCluster) {
    for (namespace, object) in [
        ("shop", "deployment/frontend"),
        ("shop", "deployment/catalog"),
        ("shop", "deployment/checkout"),
        ("shop", "statefulset/redis"),
        ("shop", "statefulset/postgres"),
        ("monitoring", "deployment/statsd"),
        ("monitoring", "deployment/scraper"),
    ] {
        super::install::await_rollout(cluster, namespace, object);
    }
    cluster.until(PATIENCE, "endpoints", || {
        let slices = cluster.kubectl(&["get", "endpointslices", "-n", "shop", "-o", "json"]);
        let ready = slices.stdout.matches("\"ready\": true").count();
        (ready >= 8)
            .then_some(())
            .ok_or_else(|| format!("{ready} endpoints"))
    });
}

/// Runs the command as the administrator. Returns its exit code and results.
fn tried(cluster: &RealCluster, seed: u64) -> (i64, Value) {
    let (seed, image) = (seed.to_string(), image());
    let words = [
        env!("CARGO_BIN_EXE_nanoseg"),
        "probe",
        "-n",
        "shop",
        "-n",
        "monitoring",
        "--image",
        &image,
        "--timeout",
        "2s",
        "--seed",
        &seed,
        "--yes",
        "-o",
        "json",
    ];
    let said = cluster.run_as("admin", &[], "control", &words);
    let results: Value = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", said.stdout, said.stderr));
    cluster.say(&format!("probe: {}", results["figures"]));
    (said.code, results)
}

fn differences(results: &Value) -> Vec<&Value> {
    let tried = results["tried"].as_array().expect("a list");
    let differs = |one: &&Value| {
        let verdict = &one["verdict"]["is"];
        verdict == "blocked" || verdict == "not-blocked"
    };
    tried.iter().filter(differs).collect()
}

/// The causes, but that the policies are young, which they are.
fn causes(results: &Value) -> BTreeSet<String> {
    let causes = differences(results)
        .into_iter()
        .flat_map(|one| one["causes"].as_array().cloned().unwrap_or_default());
    causes
        .filter(|cause| cause["is"] != "fresh")
        .map(|cause| {
            let what = cause["what"].as_str().unwrap_or_default();
            format!("{} {what}", cause["is"].as_str().unwrap_or_default())
        })
        .collect()
}

fn with_the_enforcer(cluster: &RealCluster) {
    // The plugin has the policies within seconds; what is late is no difference.
    let (code, results) = tried(cluster, 1);
    let figures = &results["figures"];
    assert_eq!(code, 0, "{results:#}");
    assert_eq!(differences(&results), Vec::<&Value>::new());
    assert!(figures["deniedConfirmed"].as_u64() > Some(10), "{figures}");
    assert!(figures["allowedConfirmed"].as_u64() > Some(5), "{figures}");
    cluster.say("with the enforcer all is as evaluated");
}

/// Ends the enforcer of a node, and takes its rules away.
fn end_enforcer(cluster: &RealCluster, node: &str) {
    cluster.tell(json!({"do": "stop-program", "node": node, "program": "kube-router"}));
    for chain in ["INPUT", "FORWARD", "OUTPUT"] {
        let flush = ["iptables", "-w", "-F", &format!("KUBE-ROUTER-{chain}")];
        cluster.run_as("admin", &[], node, &flush).good("flush");
    }
}

fn without_any(cluster: &RealCluster) {
    for node in NODES {
        end_enforcer(cluster, node);
    }
    let (code, results) = tried(cluster, 2);
    let figures = &results["figures"];
    assert_eq!(code, 1, "{figures}");
    assert_eq!(figures["deniedConfirmed"], 0, "{results:#}");
    assert!(figures["notBlocked"].as_u64() > Some(10), "{figures}");
    assert_eq!(
        causes(&results),
        BTreeSet::from(["plugin-does-not-enforce ".to_owned()])
    );
    cluster.say("without the enforcer nothing is stopped, and the cause is named");
}

fn without_that_of_one_node(cluster: &RealCluster) {
    cluster.tell(json!({"do": "start-program", "node": "node1", "program": "kube-router"}));
    cluster.until(PATIENCE, "rules of node1", || {
        let list = ["iptables", "-w", "-S", "KUBE-ROUTER-FORWARD"];
        let said = cluster.run_as("admin", &[], "node1", &list);
        let has = said.stdout.contains("KUBE-POD-FW");
        has.then_some(()).ok_or(said.stdout)
    });
    let (_, results) = tried(cluster, 3);
    for one in differences(&results) {
        assert_eq!(one["deniedOn"], json!(["node2"]), "{one:#}");
    }
    let causes = causes(&results);
    let named = BTreeSet::from(["node-does-not-enforce node2".to_owned()]);
    let none = causes.is_empty();
    // All servers may be on node1.
    assert!(none || causes == named, "{causes:?}");
    cluster.tell(json!({"do": "start-program", "node": "node2", "program": "kube-router"}));
    cluster.say(&format!("with the enforcer of one node: {causes:?}"));
}

/// Pods by name, with the restarts of their containers.
fn restarts(cluster: &RealCluster) -> BTreeSet<String> {
    let pods = cluster
        .get(&["pods", "-n", "shop", "-l", "app!=feed"])
        .expect("pods");
    let name = |pod: &Value| {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        format!("{} {restarts}", pod["metadata"]["uid"])
    };
    pods.iter().map(name).collect()
}

/// Ephemeral containers have ended, and are no more than a run adds.
fn pods_are_as_they_were(cluster: &RealCluster) {
    let pods = cluster
        .get(&["pods", "-n", "shop", "-l", "app!=feed"])
        .expect("pods");
    for pod in &pods {
        let name = &pod["metadata"]["name"];
        let states = pod["status"]["ephemeralContainerStatuses"].as_array();
        for state in states.into_iter().flatten() {
            assert!(state["state"]["terminated"].is_object(), "{name}: {state}");
        }
        let added = states.map_or(0, Vec::len);
        assert!(
            added <= 6,
            "{name} has {added}: one of each run, one to ask whether it listens"
        );
        let ready = &pod["status"]["containerStatuses"][0]["ready"];
        assert_eq!(*ready, true, "{name}");
    }
    cluster.say("the pods are as they were");
}

/// A step of the day: what was approved is tried, with the published graph and the controller's image.
pub fn what_is_in_force_is_tried(cluster: &RealCluster) {
    everything_works(cluster, PATIENCE);
    let words = [
        env!("CARGO_BIN_EXE_nanoseg"),
        "probe",
        "-n",
        "shop",
        "-n",
        "monitoring",
        "--yes",
        "-o",
        "json",
    ];
    let said = cluster.run_as("admin", &[], "control", &words);
    let results: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    if said.code != 0 {
        let differences = differences(&results);
        cluster.fault(&format!("probe: {differences:#?}\n{}", said.stderr));
    }
    cluster.say(&format!("tried: {}", results["figures"]));
}
