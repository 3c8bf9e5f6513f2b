//! Helm and kustomize on a real API server: every value is accepted, and what installing, upgrading and removing leave.

use super::folder;
use crate::deploy::rendered::{helm, kustomize};
use crate::story::install::Installation;
use crate::support::kubernetes::Cluster;
use serde_json::{Value, json};
use std::process::Command;

/// Definitions of the kinds of other operators, of which any object is accepted.
fn foreign_kinds() -> Vec<Value> {
    let kinds = [
        ("monitoring.coreos.com", "v1", "PodMonitor", "Namespaced"),
        (
            "monitoring.coreos.com",
            "v1",
            "ServiceMonitor",
            "Namespaced",
        ),
        (
            "monitoring.coreos.com",
            "v1",
            "PrometheusRule",
            "Namespaced",
        ),
        ("cert-manager.io", "v1", "Certificate", "Namespaced"),
        ("cert-manager.io", "v1", "ClusterIssuer", "Cluster"),
    ];
    let definition = |(group, version, kind, scope): (&str, &str, &str, &str)| {
        let singular = kind.to_lowercase();
        let plural = format!("{singular}s");
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": scope,
                "names": {"kind": kind, "singular": singular, "plural": plural},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        })
    };
    kinds.map(definition).into()
}

/// Applies objects, really or only as a question to the API server.
fn apply(cluster: &Cluster, what: &str, objects: Vec<Value>, beside: &[&str]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let file = cluster.path(&format!("{}.json", cluster.name("objects")));
    std::fs::write(&file, list.to_string()).expect("a file");
    let file = file.to_str().expect("a path");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", file];
    let applied = cluster.kubectl(&[&apply[..], beside].concat());
    assert!(applied.status.success(), "{what}: {applied:?}");
}

fn know_foreign_kinds(cluster: &'static Cluster) {
    let definitions = foreign_kinds();
    let names: Vec<String> = definitions
        .iter()
        .map(|one| format!("crd/{}", one["metadata"]["name"].as_str().expect("a name")))
        .collect();
    apply(cluster, "definitions", definitions, &[]);
    for name in names {
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            &name,
        ];
        let waited = cluster.kubectl(&wait);
        assert!(waited.status.success(), "{waited:?}");
    }
}

/// Values of every kind that people set.
const VALUES: [&str; 6] = [
    "{tls: {mode: generated}}",
    "{gitops: {enabled: true}, controller: {spread: true, retention: 48h, serviceEnforcement: before-translation}}",
    "{storage: {existingClaim: mine}, image: {digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}}",
    "{nats: {enabled: true, url: 'tls://a:4222,tls://b:4223'}, tls: {mode: cert-manager}, fullnameOverride: seg, nameOverride: sg}",
    "{podMonitor: {enabled: true, labels: {release: p}}, serviceMonitor: {enabled: true, interval: 30s}, \
      prometheusRule: {enabled: true}, dashboards: {enabled: true}}",
    "{imagePullSecrets: [{name: registry}], image: {pullPolicy: Always}, log: {format: text, level: debug}, \
      commonLabels: {team: a}, \
      networkPolicy: {apiServerPorts: [16443], extraEgress: [{ports: [{port: 5353, protocol: UDP}]}]}, \
      controller: {priorityClassName: system-cluster-critical, nodeSelector: {a: b}, podLabels: {c: d}, podAnnotations: {e: f}, \
        tolerations: [{key: x, operator: Exists, effect: NoSchedule}], extraEnv: [{name: A, value: b}], \
        affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
          [{matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]}]}}}, \
        topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, \
          labelSelector: {matchLabels: {app.kubernetes.io/name: nanoseg-controller}}}], \
        serviceAccount: {annotations: {g: h}}, resources: {limits: {cpu: 1, memory: 1Gi}}}, \
      agent: {priorityClassName: system-node-critical, tolerations: [], spool: {hostPath: /mnt/spool, maxSize: 1GiB}, \
        extraEnv: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]}}",
];

#[test]
fn every_value_gives_objects_that_the_api_server_accepts() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    know_foreign_kinds(cluster);
    let made = cluster.kubectl(&["create", "namespace", "cert-manager"]);
    let is_there = String::from_utf8_lossy(&made.stderr).contains("AlreadyExists");
    assert!(made.status.success() || is_there, "{made:?}");
    for values in VALUES {
        let objects = helm(values).expect("helm");
        apply(
            cluster,
            values,
            objects.into_values().collect(),
            &["--dry-run=server"],
        );
    }
    for overlay in [
        "",
        "overlays/cert-manager",
        "overlays/gitops",
        "overlays/nats",
        "overlays/spread",
        "overlays/example",
    ] {
        let objects = kustomize(overlay).expect("kubectl");
        apply(
            cluster,
            overlay,
            objects.into_values().collect(),
            &["--dry-run=server"],
        );
    }
}

/// Removing by the label asks for all objects but those that hold what people said. (rule: removing-leaves-what-people-said)
#[test]
fn deleting_by_the_label_leaves_the_record_and_the_decisions() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let deploy = folder("deploy");
    let delete = |beside: &[&str]| -> Vec<String> {
        let words = [
            "delete",
            "--ignore-not-found",
            "--dry-run=client",
            "-o",
            "name",
            "-k",
            &deploy,
        ];
        let output = cluster.kubectl(&[&words[..], beside].concat());
        assert!(output.status.success(), "{output:?}");
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        names.lines().map(str::to_owned).collect()
    };
    let all = delete(&[]);
    let gone = delete(&["-l", "nanoseg.dev/on-uninstall!=keep"]);
    let kept: Vec<&String> = all.iter().filter(|name| !gone.contains(name)).collect();
    assert!(
        kept.iter()
            .any(|name| name.ends_with("/segmentations.nanoseg.dev")),
        "{kept:?}"
    );
    assert!(
        kept.iter().any(|name| *name == "namespace/nanoseg"),
        "{kept:?}"
    );
    let no_more = |name: &&&String| {
        !name.contains("nanoseg.dev")
            && !name.ends_with("/nanoseg")
            && !name.ends_with("nanoseg-store")
    };
    assert_eq!(kept.iter().find(no_more), None, "{kept:?}");
    assert!(
        gone.iter()
            .any(|name| name.ends_with("/nanoseg-break-glass")),
        "{gone:?}"
    );
}

/// What Helm said of a release of its own names, beside what other tests installed.
struct Release {
    cluster: &'static Cluster,
    namespace: String,
    agents: String,
}

impl Release {
    fn helm(&self, words: &[&str]) -> std::process::Output {
        let mut command = Command::new(self.cluster.program("helm"));
        command.args(words).args(["-n", &self.namespace]);
        command.arg("--kubeconfig").arg(self.cluster.kubeconfig());
        command.output().expect("helm starts")
    }

    fn apply(&self, verb: &str, values: &[&str]) -> String {
        let chart = folder("deploy/helm/nanoseg");
        let agents = format!("agentNamespace={}", self.agents);
        let own = [
            "--set",
            "fullnameOverride=helmed,nameOverride=helmed",
            "--set",
            &agents,
        ];
        let output = self.helm(&[&[verb, "watcher", &chart], &own[..], values].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{verb}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn has(&self, what: &[&str]) -> bool {
        let output = self
            .cluster
            .kubectl(&[&["get", "-o", "name", "--ignore-not-found"], what].concat());
        !output.stdout.is_empty()
    }
}

#[test]
fn helm_installs_upgrades_and_removes_and_the_record_stays() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    // Admission policies are the cluster's, and there is to be one installation at a time.
    let _alone = cluster.one_controller();
    let release = Release {
        cluster,
        namespace: cluster.namespace("helmed"),
        agents: cluster.name("helmed-agents"),
    };
    know_foreign_kinds(cluster);
    let notes = release.apply("install", &["--set", "tls.mode=generated"]);
    let own = release.namespace.clone();
    for says in [
        format!("kubectl -n {own} rollout status deployment/helmed-controller"),
        format!("--controller-namespace {own}"),
        format!("the PersistentVolumeClaim {own}/helmed-store"),
        "/var/lib/nanoseg on each node".to_owned(),
    ] {
        assert!(notes.contains(&says), "{says} is not in {notes}");
    }
    assert!(!notes.contains("WARNING"), "{notes}");
    let claim = ["pvc", "helmed-store", "-n", &own];
    let secret = [
        "secret",
        "helmed-controller-tls",
        "-n",
        &own,
        "-o",
        "jsonpath={.data}",
    ];
    assert!(
        release.has(&claim) && release.has(&["daemonset", "helmed-agent", "-n", &release.agents])
    );
    let certificate = cluster.kubectl(&[&["get"], &secret[..]].concat()).stdout;
    let notes = release.apply(
        "upgrade",
        &["--set", "tls.mode=generated,podMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true,agent.nodeSelector.a=b"],
    );
    assert!(
        notes.contains("agents may not run on every node"),
        "{notes}"
    );
    assert!(notes.contains("nodesWithoutAgent"), "{notes}");
    for made in [
        "podmonitor/helmed-controller",
        "prometheusrule/helmed",
        "configmap/helmed-dashboard",
    ] {
        assert!(release.has(&[made, "-n", &own]), "{made}");
    }
    let after = cluster.kubectl(&[&["get"], &secret[..]].concat()).stdout;
    assert_eq!(certificate, after, "agents trust this certificate");
    let wrong = release.helm(&[
        "upgrade",
        "watcher",
        &folder("deploy/helm/nanoseg"),
        "--set",
        "controler.replicas=1",
    ]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        !wrong.status.success() && said.contains("controler"),
        "{said}"
    );
    let removed = release.helm(&["uninstall", "watcher"]);
    assert!(removed.status.success(), "{removed:?}");
    assert!(release.has(&claim), "the record stays");
    assert!(
        release.has(&["crd", "segmentations.nanoseg.dev"]),
        "decisions stay"
    );
    for gone in [
        &["deployment", "helmed-controller", "-n", &own][..],
        &["validatingadmissionpolicybinding", "helmed-controller"],
        &["clusterrole", "helmed-controller"],
    ] {
        assert!(!release.has(gone), "{gone:?}");
    }
    // It goes on with what it left, once the namespace of the agents is gone.
    let namespace = format!("namespace/{}", release.agents);
    let wait = ["wait", "--for=delete", "--timeout=60s", &namespace];
    let waited = cluster.kubectl(&wait);
    assert!(waited.status.success(), "{waited:?}");
    release.apply("install", &["--set", "tls.mode=generated"]);
    let removed = release.helm(&["uninstall", "watcher"]);
    assert!(removed.status.success(), "{removed:?}");
}
