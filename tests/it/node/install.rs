//! Installing from `deploy/` and removing it again, with the commands of docs/install.md.

use super::cluster::RealCluster;
use super::shop::NAMESPACES;
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

fn folder(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Installs nanoseg and waits until all of its pods are ready.
pub fn install(cluster: &RealCluster) {
    let deploy = folder("deploy");
    // As docs/install.md says: once more if the API server does not know the new kinds yet.
    cluster.until(PATIENCE, "installation", || {
        let said = cluster.kubectl(&["apply", "--server-side", "-k", &deploy]);
        (said.code == 0).then_some(()).ok_or(said.stderr)
    });
    let pair =
        cluster.tell(json!({"do": "serving-pair", "names": ["nanoseg-controller.nanoseg.svc"]}));
    let file = |name: &str| pair[name].as_str().expect("a path").to_owned();
    let (certificate, key) = (file("certificate"), file("key"));
    let secret = [
        "create",
        "secret",
        "tls",
        "nanoseg-controller-tls",
        "-n",
        "nanoseg",
    ];
    let files = ["--cert", &certificate, "--key", &key];
    cluster
        .kubectl(&[&secret[..], &files].concat())
        .good("the certificate");
    let authority = format!("ca.crt={}", file("authority"));
    let create = [
        "create",
        "configmap",
        "nanoseg-ca",
        "-n",
        "nanoseg-agents",
        "--from-file",
    ];
    cluster
        .kubectl(&[&create[..], &[&*authority]].concat())
        .good("the authority");
    for (namespace, object) in [
        ("nanoseg", "deployment/nanoseg-controller"),
        ("nanoseg-agents", "daemonset/nanoseg-agent"),
    ] {
        await_rollout(cluster, namespace, object);
    }
    cluster.say("nanoseg is installed, and all of its pods are ready");
}

/// Waits until all pods of a workload are ready in their present version.
pub fn await_rollout(cluster: &RealCluster, namespace: &str, object: &str) {
    let wait = [
        "rollout",
        "status",
        object,
        "-n",
        namespace,
        "--timeout=100s",
    ];
    cluster.kubectl(&wait).good(object);
}

/// Gives Olga, who operates the shop, her roles.
pub fn employ_olga(cluster: &RealCluster) {
    let binding = |kind: &str, meta: serde_json::Value, role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "operators"}],
        })
    };
    for namespace in NAMESPACES {
        let meta = json!({"name": "operators", "namespace": namespace});
        cluster.apply(&binding("RoleBinding", meta, "nanoseg-operator"));
    }
    for role in ["nanoseg-reader", "nanoseg-viewer"] {
        let meta = json!({"name": format!("operators-{role}")});
        cluster.apply(&binding("ClusterRoleBinding", meta, role));
    }
}

/// Removes nanoseg, and checks that nothing of it is left but what docs/install.md says.
pub fn remove(cluster: &RealCluster) {
    let deploy = folder("deploy");
    let delete = ["delete", "-k", &deploy, "--wait=true", "--timeout=120s"];
    cluster.kubectl(&delete).good("the removal");
    for kind in [
        "namespaces",
        "clusterroles",
        "validatingadmissionpolicies",
        "customresourcedefinitions",
    ] {
        let left = cluster.kubectl(&["get", kind, "-o", "name"]).good(kind);
        let ours: Vec<&str> = left
            .lines()
            .filter(|name| name.contains("nanoseg"))
            .collect();
        assert!(ours.is_empty(), "{ours:?} are left");
    }
    cluster.say("nanoseg is removed");
}
