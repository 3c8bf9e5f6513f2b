//! The same installation by the Helm chart, with values as people set them: its pods run on real nodes, an upgrade
//! changes them, and removing leaves what docs/install.md says.

use super::cluster::RealCluster;
use super::install::await_rollout;
use serde_json::Value;

const RELEASE: [&str; 3] = ["nanoseg", "-n", "nanoseg"];

/// Values of each kind that a scheduler, a kubelet or the program itself could refuse.
const VALUES: &str = r#"
tls: {mode: generated}
image: {pullPolicy: Never}
log: {format: text, level: debug}
commonLabels: {team: platform}
dashboards: {enabled: true}
controller:
  priorityClassName: system-cluster-critical
  tolerations: [{key: dedicated, operator: Exists, effect: NoSchedule}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]}]
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: {matchLabels: {app.kubernetes.io/name: nanoseg-controller}}
  podLabels: {c: d}
  podAnnotations: {e: f}
  serviceAccount: {annotations: {g: h}}
  extraEnv: [{name: RUST_BACKTRACE, value: "1"}]
agent:
  priorityClassName: system-node-critical
  podLabels: {c: d}
  extraEnv: [{name: RUST_BACKTRACE, value: "1"}]
"#;

fn helm(cluster: &RealCluster, words: &[&str]) -> String {
    let command = [&["helm"], words].concat();
    let said = cluster.run_as("admin", &[], "control", &command);
    said.good(&command.join(" "))
}

/// Installs, upgrades and removes. nanoseg was removed before, and its volume is free.
pub fn installs_upgrades_and_removes(cluster: &RealCluster) {
    free_the_volume(cluster);
    let chart = format!("{}/deploy/helm/nanoseg", env!("CARGO_MANIFEST_DIR"));
    let values = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(values.path(), VALUES).expect("a file");
    let values = values.path().to_str().expect("a path");
    let [name, option, namespace] = RELEASE;
    let install = ["install", name, &chart, option, namespace, "-f", values];
    // The volume has the record of the installation before, which nothing in the cluster continues.
    let new = [
        "--create-namespace",
        "--set",
        "controller.extraArgs={--accept-new-state}",
    ];
    let notes = helm(cluster, &[&install[..], &new].concat());
    assert!(
        notes.contains("--accept-new-state is for one start only"),
        "{notes}"
    );
    everything_is_ready(cluster);
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    let labelled = cluster.kubectl(&["label", "namespace", namespace, restricted]);
    assert_eq!(
        labelled.stderr, "",
        "the pods of the controller keep to the level"
    );
    let log = logs(cluster, "nanoseg-agents", "daemonset/nanoseg-agent");
    assert!(!log.starts_with('{') && log.contains("INFO"), "{log}");
    cluster.say("the chart is installed");

    let upgrade = ["upgrade", name, &chart, option, namespace];
    let change = [
        "--reset-then-reuse-values",
        "--set",
        "log.format=json,log.level=info,controller.extraArgs=null",
    ];
    helm(cluster, &[&upgrade[..], &change].concat());
    everything_is_ready(cluster);
    for (namespace, of) in [
        ("nanoseg-agents", "daemonset/nanoseg-agent"),
        ("nanoseg", "deployment/nanoseg-controller"),
    ] {
        let log = logs(cluster, namespace, of);
        let first = log.lines().next().unwrap_or_default();
        let line = serde_json::from_str::<Value>(first);
        assert!(line.is_ok(), "{of}: {first}");
    }
    cluster.say("it is upgraded");

    helm(cluster, &["uninstall", name, option, namespace, "--wait"]);
    let claims = cluster.get(&["pvc", option, namespace]).expect("claims");
    assert_eq!(claims.len(), 1, "the record stays");
    let kinds = cluster
        .kubectl(&["get", "crd", "-o", "name"])
        .good("definitions");
    assert!(
        kinds.contains("segmentations.nanoseg.dev"),
        "decisions stay: {kinds}"
    );
    let roles = cluster
        .kubectl(&["get", "clusterroles", "-o", "name"])
        .good("roles");
    assert!(!roles.contains("nanoseg"), "{roles}");
    cluster.say("the chart is removed, and the record is there");
}

/// The claim of the installation before is gone; its volume is kept for whoever frees it.
fn free_the_volume(cluster: &RealCluster) {
    let volumes = cluster.get(&["pv"]).expect("volumes");
    for volume in volumes {
        let name = volume["metadata"]["name"].as_str().expect("a name");
        let free = r#"[{"op": "replace", "path": "/spec/claimRef", "value": null}]"#;
        let patch = ["patch", "pv", name, "--type=json", "-p", free];
        if volume["spec"]["claimRef"].is_object() {
            cluster.kubectl(&patch).good("the volume is free");
        }
    }
}

fn everything_is_ready(cluster: &RealCluster) {
    await_rollout(cluster, "nanoseg", "deployment/nanoseg-controller");
    await_rollout(cluster, "nanoseg-agents", "daemonset/nanoseg-agent");
}

fn logs(cluster: &RealCluster, namespace: &str, of: &str) -> String {
    let said = cluster.kubectl(&["logs", of, "-n", namespace, "--tail=20"]);
    said.good(of)
}
