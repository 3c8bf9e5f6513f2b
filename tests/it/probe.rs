//! `nanoseg probe` against a real API server. The kubelet is played: pods get the status that a test says, and containers for
//! tries end with the message that a test writes. With real nodes: `node/probe.rs`.

use crate::support::kubernetes::{Cluster, PATIENCE, until};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use nanoseg::probe::{CONTAINER_PREFIX, Expected, Outcome, Task, Told, message};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const ADDRESSES: [(&str, &str); 3] = [
    ("web", "10.77.0.1"),
    ("db", "10.77.0.2"),
    ("job", "10.77.0.3"),
];

/// A namespace with three pods, a Service, and a policy: `web` may call `db`, `job` may not.
struct Shop {
    cluster: &'static Cluster,
    namespace: String,
}

/// A container for tries.
#[derive(Debug, Clone)]
struct Container {
    pod: String,
    name: String,
    tasks: Vec<Task>,
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

impl Shop {
    fn new(cluster: &'static Cluster, prefix: &str) -> Shop {
        let namespace = cluster.namespace(prefix);
        let shop = Shop { cluster, namespace };
        for (name, address) in ADDRESSES {
            shop.create::<Pod>(json!({
                "metadata": {"name": name, "labels": {"app": name}},
                "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 5432}]}]},
            }));
            shop.set_status(
                name,
                &json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True"}]}),
            );
        }
        // Nobody schedules the pods, so no controller makes endpoints of them.
        shop.create::<Service>(
            json!({"metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}}),
        );
        shop.create::<EndpointSlice>(json!({
            "metadata": {"name": "db", "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4", "ports": [{"port": 5432, "protocol": "TCP"}],
            "endpoints": [{
                "addresses": ["10.77.0.2"], "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": "db", "namespace": shop.namespace},
            }],
        }));
        shop.create::<NetworkPolicy>(json!({
            "metadata": {"name": "db"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 5432}]}],
            },
        }));
        shop
    }

    fn create<T>(&self, value: Value)
    where
        T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        self.cluster.run(async {
            let api: Api<T> = Api::namespaced(self.cluster.client(), &self.namespace);
            let created = api.create(&PostParams::default(), &object(value)).await;
            created.expect("it is created");
        });
    }

    fn set_status(&self, pod: &str, status: &Value) {
        self.cluster.run(async {
            let pods: Api<Pod> = Api::namespaced(self.cluster.client(), &self.namespace);
            let patch = Patch::Merge(json!({"status": status}));
            let patched = pods
                .patch_status(pod, &PatchParams::default(), &patch)
                .await;
            patched.expect("the status is written");
        });
    }

    fn command(&self, kubeconfig: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
        command.args(["probe", "-n", &self.namespace, "--image", "nanoseg:test"]);
        command.args(more).env("KUBECONFIG", kubeconfig);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run_as(&self, kubeconfig: &Path, more: &[&str]) -> Said {
        let mut command = self.command(kubeconfig, more);
        Said::of(command.output().expect("nanoseg runs"))
    }

    fn start(&self, more: &[&str]) -> Child {
        let mut command = self.command(self.cluster.kubeconfig(), more);
        command.spawn().expect("nanoseg runs")
    }

    /// The containers for tries of all pods.
    async fn containers(&self) -> Vec<Container> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client(), &self.namespace);
        let all = pods.list(&Default::default()).await.expect("pods");
        let mut found = Vec::new();
        for pod in all.items {
            let name = pod.metadata.name.unwrap_or_default();
            let added = pod.spec.and_then(|spec| spec.ephemeral_containers);
            for one in added.unwrap_or_default() {
                let args = one.args.unwrap_or_default();
                found.push(Container {
                    pod: name.clone(),
                    name: one.name,
                    tasks: args.iter().filter_map(|arg| arg.parse().ok()).collect(),
                });
            }
        }
        found
    }

    /// Waits until there are so many containers for tries.
    fn until_added(&self, count: usize) -> Vec<Container> {
        self.cluster
            .run(until(PATIENCE, "the containers", async || {
                let found = self.containers().await;
                let enough = found.len() >= count;
                enough
                    .then_some(found.clone())
                    .ok_or_else(|| format!("{found:?}"))
            }))
    }

    fn end(&self, container: &Container, message: &str) {
        let state = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message,
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}});
        self.set_state(container, state);
    }

    fn set_state(&self, container: &Container, state: Value) {
        let status = json!([{"name": container.name, "image": "nanoseg:test", "imageID": "", "ready": false,
            "restartCount": 0, "state": state}]);
        self.set_status(
            &container.pod,
            &json!({"ephemeralContainerStatuses": status}),
        );
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(output: Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// What a cluster that enforces would tell.
fn enforced(tasks: &[Task]) -> String {
    let told = tasks.iter().map(|task| Told {
        first: match task.expected {
            Expected::Denied => Outcome::Silent,
            _ => Outcome::Connected,
        },
        second: None,
    });
    message(&told.collect::<Vec<_>>())
}

fn open(tasks: &[Task]) -> String {
    let told = |_: &Task| Told {
        first: Outcome::Connected,
        second: None,
    };
    message(&tasks.iter().map(told).collect::<Vec<_>>())
}

/// Somebody who may read the whole cluster.
fn reader(cluster: &'static Cluster) -> (String, PathBuf) {
    let name = cluster.name("petra");
    let read = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    cluster.run(async {
        let roles: Api<ClusterRole> = Api::all(cluster.client());
        let role = object(json!({"metadata": {"name": name}, "rules": read}));
        roles
            .create(&PostParams::default(), &role)
            .await
            .expect("a role");
        let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client());
        let binding = object(binding(&name, &name));
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .expect("a binding");
    });
    let kubeconfig = cluster.kubeconfig_as(&name, &[]);
    (name, kubeconfig)
}

fn binding(user: &str, role: &str) -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
    })
}

/// Gives somebody the role of deploy/ in the shop.
fn make_prober(shop: &Shop, user: &str) {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/base/access/prober.yaml"
    );
    let applied = shop.cluster.kubectl(&["apply", "-f", file]);
    assert!(applied.status.success(), "{applied:?}");
    shop.create::<RoleBinding>(binding(user, "nanoseg-prober"));
}

#[test]
fn what_the_api_server_refuses_is_said_before_anything_is_done() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "probe-refused");
    let (petra, kubeconfig) = reader(cluster);
    let said = shop.run_as(&kubeconfig, &["--yes"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("nanoseg-prober"), "{said:?}");
    make_prober(&shop, &petra);
    let planned = cluster.run(until(PATIENCE, "the right", async || {
        let said = shop.run_as(&kubeconfig, &["--dry-run"]);
        (said.code == Some(0))
            .then_some(said.stderr.clone())
            .ok_or(said.stderr)
    }));
    for line in ["allowed", "denied", "by Service", "nanoseg:test"] {
        assert!(planned.contains(line), "{planned}");
    }
    // Nobody is asked where there is nobody to ask.
    let said = shop.run_as(&kubeconfig, &[]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("give --yes"), "{said:?}");
    // The pods themselves do not keep to the level.
    let level = "pod-security.kubernetes.io/enforce=restricted";
    let labelled = cluster.kubectl(&["label", "namespace", &shop.namespace, level]);
    assert!(labelled.status.success(), "{labelled:?}");
    let said = cluster.run(until(PATIENCE, "the level", async || {
        let said = shop.run_as(&kubeconfig, &["--dry-run"]);
        (said.code == Some(2))
            .then_some(said.stderr.clone())
            .ok_or(said.stderr)
    }));
    for words in ["Pod Security forbids it", "restricted", "securityContext"] {
        assert!(said.contains(words), "{said}");
    }
    let added = cluster.run(shop.containers());
    assert!(added.is_empty(), "nothing was added: {added:?}");
}

#[test]
fn a_sample_is_tried_by_one_container_of_each_pod_and_judged() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "probe-judged");
    let running = shop.start(&["--yes", "-o", "json"]);
    let added = shop.until_added(2);
    for one in &added {
        assert_eq!(one.name, format!("{CONTAINER_PREFIX}1"));
        shop.end(one, &enforced(&one.tasks));
    }
    let said = Said::of(running.wait_with_output().expect("it ends"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let results: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(results["figures"]["notBlocked"], 0);
    assert!(
        results["figures"]["deniedConfirmed"].as_u64() > Some(0),
        "{results}"
    );
    assert!(
        results["figures"]["allowedConfirmed"].as_u64() > Some(1),
        "{results}"
    );
    // A second run, where nothing is enforced.
    let running = shop.start(&["--yes"]);
    let added = shop.until_added(4);
    for one in added.iter().filter(|one| one.name.ends_with("-2")) {
        shop.end(one, &open(&one.tasks));
    }
    let said = Said::of(running.wait_with_output().expect("it ends"));
    assert_eq!(said.code, Some(1), "{said:?}");
    for words in [
        "NOT BLOCKED, though denied",
        "denied by",
        "does not enforce NetworkPolicies",
    ] {
        assert!(said.stdout.contains(words), "{said:?}");
    }
}

#[test]
fn a_container_that_tells_nothing_is_named_with_the_reason_and_the_remedy() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "probe-faults");
    let running = shop.start(&["--yes", "--timeout", "1s", "--wait", "15s"]);
    let added = shop.until_added(2);
    let of = |pod: &str| added.iter().find(|one| one.pod == pod).expect("it has one");
    // An older nanoseg ends without a message; an image that is not there never begins.
    shop.end(of("web"), "");
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    shop.set_state(of("job"), waiting);
    let said = Said::of(running.wait_with_output().expect("it ends"));
    assert_eq!(said.code, Some(1), "nothing could be told: {said:?}");
    for words in [
        "probe-connect",
        "no such image",
        "--image",
        "nothing could be told",
    ] {
        assert!(said.stdout.contains(words), "{words}: {said:?}");
    }
    // One that never ends is not waited for without end.
    let running = shop.start(&["--yes", "--timeout", "1s", "--wait", "8s"]);
    shop.until_added(4);
    let said = Said::of(running.wait_with_output().expect("it ends"));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("did not end within 8 s"), "{said:?}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let kubeconfig = Path::new("/nowhere");
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
        command
            .arg("probe")
            .args(more)
            .env("KUBECONFIG", kubeconfig);
        Said::of(command.output().expect("nanoseg runs"))
    };
    for (more, why) in [
        (["--sample", "0"], "1..=1000"),
        (["--sample", "1001"], "1..=1000"),
        (["--timeout", "31s"], "at most 30s"),
        (["--timeout", "0s"], "more than nothing"),
        (["--wait", "5s"], "--wait is too short"),
        (["--yes", "--dry-run"], "cannot be used with"),
    ] {
        let said = run(&more);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains(why), "{why}: {said:?}");
    }
}
