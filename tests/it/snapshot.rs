//! `nanoseg snapshot` and `--cluster live` with a real API server.

use crate::support::kubernetes::{Cluster, PATIENCE, Program};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One run of the binary.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn nanoseg(kubeconfig: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .env("KUBECONFIG", kubeconfig)
        .args(arguments)
        .output()
        .expect("nanoseg runs");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A namespace of the cluster, and a folder.
struct Shop {
    cluster: &'static Cluster,
    namespace: String,
    folder: tempfile::TempDir,
}

/// What no snapshot may have.
const SECRET: &str = "hunter2";

impl Shop {
    /// With two pods, a Service and a Secret.
    fn new(cluster: &'static Cluster, name: &str) -> Shop {
        let shop = Shop {
            cluster,
            namespace: cluster.namespace(name),
            folder: tempfile::tempdir().expect("a folder"),
        };
        shop.create_pod("web");
        shop.create_pod("db");
        shop.has_address("web", "10.9.1.1");
        shop.has_address("db", "10.9.1.2");
        shop.create(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"},
            "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}
        }));
        shop.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"},
            "stringData": {"password": SECRET}
        }));
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let all = [&["-n", self.namespace.as_str()], arguments].concat();
        let output = self.cluster.kubectl(&all);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn create(&self, object: &Value) {
        let path = self.path("object.json");
        std::fs::write(&path, object.to_string()).expect("a file");
        self.kubectl(&["create", "-f", &path.display().to_string()]);
    }

    fn create_pod(&self, name: &str) {
        self.create(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}, "annotations": {"example.org/note": SECRET}},
            "spec": {
                "nodeName": "n1",
                "containers": [{
                    "name": "main", "image": "example.org/main:1", "command": ["sleep", SECRET],
                    "env": [{"name": "PASSWORD", "value": SECRET}], "ports": [{"containerPort": 5432}]
                }]
            }
        }));
    }

    /// As a kubelet does it.
    fn has_address(&self, name: &str, address: &str) {
        let now = jiff::Timestamp::now().to_string();
        let running = json!({
            "name": "main", "image": "example.org/main:1", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": now}}
        });
        let status = json!({"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "startTime": now,
            "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [running]
        }});
        let status = status.to_string();
        self.kubectl(&[
            "patch",
            "pod",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ]);
    }

    /// A flow log with one connection, now.
    fn flow(&self, client: &str) -> String {
        let flow = json!({
            "client": client, "server": "10.9.1.2", "port": 5432, "protocol": "TCP", "node": "n1",
            "time": jiff::Timestamp::now().to_string()
        });
        std::fs::write(self.path("flows.jsonl"), format!("{flow}\n")).expect("a file");
        self.text("flows.jsonl")
    }

    /// Runs as the administrator.
    fn nanoseg(&self, arguments: &[&str]) -> Run {
        nanoseg(self.cluster.kubeconfig(), arguments)
    }

    /// The policies that the flows give with a snapshot.
    fn policies(&self, flows: &str, cluster: &str) -> Value {
        let out = self.text("policies-out");
        let generate = [
            "generate",
            "--flows",
            flows,
            "--cluster",
            cluster,
            "-n",
            &self.namespace,
        ];
        let run = self.nanoseg(&[&generate[..], &["--output", "json", "--out", &out]].concat());
        let policies = run.json()["policies"].clone();
        assert!(
            !policies.as_array().expect("policies").is_empty(),
            "{run:?}"
        );
        policies
    }
}

/// The kinds of the kubectl line in docs/snapshot.md.
const KINDS: &str = "namespaces,pods,services,endpointslices,endpoints,nodes,deployments,replicasets,statefulsets,daemonsets,jobs,cronjobs,replicationcontrollers,networkpolicies";

fn wait_for(what: &str, mut found: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !found() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until the API server has heard of a new right.
fn wait_for_right(shop: &Shop, kubeconfig: &Path, place: &[&str]) {
    let ask = [&["auth", "can-i", "list", "pods"], place].concat();
    wait_for("the right", || {
        shop.cluster.kubectl_of(kubeconfig, &ask).status.success()
    });
}

#[test]
fn a_snapshot_gives_the_same_policies_as_kubectls_dump() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "same");
    let flows = shop.flow("10.9.1.1");
    let dump = cluster.kubectl(&["get", KINDS, "-A", "-o", "yaml"]);
    std::fs::write(shop.path("kubectl.yaml"), dump.stdout).expect("a file");
    let wanted = shop.policies(&flows, &shop.text("kubectl.yaml"));
    for file in ["own.yaml", "own.json", "folder"] {
        let run = shop.nanoseg(&["snapshot", "--out", &shop.text(file)]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(shop.policies(&flows, &shop.text(file)), wanted, "{file}");
    }
    assert_eq!(shop.policies(&flows, "live"), wanted);
    let text = std::fs::read_to_string(shop.path("own.yaml")).expect("a file");
    for unwanted in [SECRET, "managedFields", "kind: Secret", "PASSWORD"] {
        assert!(!text.contains(unwanted), "{unwanted}");
    }
    assert!(
        text.contains("kind: ServiceCIDR"),
        "the API server has them"
    );
    let first = shop
        .nanoseg(&["snapshot", "-n", &shop.namespace, "--out", "-"])
        .stdout;
    let list: Value = serde_yaml::from_str(&first).expect("YAML");
    assert!(list["metadata"]["annotations"]["nanoseg.dev/taken-at"].is_string());
    assert!(first.contains(&format!("lacks: namespaces other than {}", shop.namespace)));
    assert!(
        first.contains("name: kubernetes"),
        "the API server's Service"
    );
}

#[test]
fn every_command_that_takes_a_snapshot_takes_the_cluster_as_it_is_now() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "live");
    let flows = shop.flow("10.9.1.1");
    let (client, server) = (
        format!("{}/web", shop.namespace),
        format!("{}/db", shop.namespace),
    );
    std::fs::create_dir(shop.path("none")).expect("a folder");
    let (none, report) = (shop.text("none"), shop.text("report"));
    let commands: [(&[&str], &str); 6] = [
        (
            &[
                "graph",
                "--flows",
                &flows,
                "--cluster",
                "live",
                "--output",
                "json",
            ],
            &server,
        ),
        (&["connectivity", "live"], &server),
        (
            &["explain", &client, &server, "5432", "--cluster", "live"],
            "allowed",
        ),
        (
            &[
                "verify",
                "--flows",
                &flows,
                "--cluster",
                "live",
                "-n",
                &shop.namespace,
            ],
            "1 of 1 observed",
        ),
        (
            &[
                "diff",
                "cluster",
                &none,
                "--cluster",
                "live",
                "--fail-on",
                "never",
                "-o",
                "json",
            ],
            "opened",
        ),
        (
            &[
                "report",
                "--flows",
                &flows,
                "--cluster",
                "live",
                "--out",
                &report,
            ],
            "index.html",
        ),
    ];
    for (command, wanted) in commands {
        let run = shop.nanoseg(command);
        assert_eq!(run.code, Some(0), "{command:?}: {run:?}");
        assert!(run.stdout.contains(wanted), "{command:?}: {run:?}");
    }
    let other = shop.nanoseg(&["graph", "--flows", &flows, "--cluster", "live:nowhere"]);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("context nowhere"), "{}", other.stderr);
    let file = shop.nanoseg(&["graph", "--flows", &flows, "--cluster", "./live"]);
    assert!(
        file.stderr.contains("failed to read ./live"),
        "{}",
        file.stderr
    );
}

#[test]
fn a_watch_has_the_pods_that_came_and_went_and_ends_with_a_snapshot() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "watch");
    for out in ["folder", "file.yaml", "file.json"] {
        watch(&shop, out);
    }
}

fn watch(shop: &Shop, out: &str) {
    let name = format!("job-{}", out.replace('.', "-"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
    command.env("KUBECONFIG", shop.cluster.kubeconfig());
    command.args(["snapshot", "--watch", "--out", &shop.text(out)]);
    let mut program = Program::start(command, &shop.path(&format!("{out}.log")));
    wait_for("the first snapshot", || {
        program.log().contains("watching until")
    });
    shop.create_pod(&name);
    shop.has_address(&name, "10.9.1.7");
    // Times in objects are whole seconds: the pod lives for some before and after the traffic.
    let two_seconds = |since: Instant| since.elapsed() >= Duration::from_secs(2);
    let came = Instant::now();
    wait_for("two seconds before the traffic", || two_seconds(came));
    let flows = shop.flow("10.9.1.7");
    let called = Instant::now();
    wait_for("two seconds after the traffic", || two_seconds(called));
    shop.kubectl(&["delete", "pod", &name, "--grace-period=0", "--force"]);
    let read = || {
        let path = shop.path(out);
        let files: Vec<PathBuf> = if path.is_dir() {
            path.read_dir()
                .expect("a folder")
                .map(|one| one.expect("a file").path())
                .collect()
        } else {
            vec![path]
        };
        files
            .iter()
            .map(|file| std::fs::read_to_string(file).expect("text"))
            .collect::<String>()
    };
    wait_for("the end of the pod", || {
        read().contains("nanoseg.dev/deleted-at")
    });
    program.signal(libc::SIGTERM);
    let mut code = None;
    wait_for("the end", || {
        code = program.ended();
        code.is_some()
    });
    assert_eq!(code, Some(0), "{}", program.log());
    let text = read();
    assert_eq!(text.matches("nanoseg.dev/taken-at").count(), 2, "{out}");
    assert!(
        !text.contains(SECRET) && !text.contains("managedFields"),
        "{out}"
    );
    let graph = [
        "graph",
        "--flows",
        &flows,
        "--cluster",
        &shop.text(out),
        "--output",
        "json",
    ];
    let run = shop.nanoseg(&graph);
    let clients = run.json()["edges"].to_string();
    assert!(clients.contains(&name), "{out}: {run:?}");
    let live = shop.nanoseg(&[
        "graph",
        "--flows",
        &flows,
        "--cluster",
        "live",
        "--output",
        "json",
    ]);
    assert!(!live.stdout.contains(&name), "it is gone: {live:?}");
}

#[test]
fn who_may_read_one_namespace_is_told_what_is_missing() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "mine");
    let user = cluster.name("rosa");
    let kubeconfig = cluster.kubeconfig_as(&user, &[]);
    shop.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=list",
        "--resource=pods,services",
    ]);
    shop.kubectl(&[
        "create",
        "rolebinding",
        "rosa",
        "--role=reader",
        "--user",
        &user,
    ]);
    wait_for_right(&shop, &kubeconfig, &["-n", &shop.namespace]);
    let out = shop.text("mine.yaml");
    let all = nanoseg(&kubeconfig, &["snapshot", "--out", &out]);
    assert_eq!(all.code, Some(2), "{all:?}");
    assert!(
        all.stderr
            .contains("name the namespaces that you may read with -n"),
        "{all:?}"
    );
    assert!(!shop.path("mine.yaml").exists());
    let mine = nanoseg(
        &kubeconfig,
        &["snapshot", "-n", &shop.namespace, "--out", &out],
    );
    assert_eq!(mine.code, Some(1), "{mine:?}");
    for kind in [
        "nodes",
        "namespaces",
        "endpointslices.discovery.k8s.io",
        "networkpolicies.networking.k8s.io",
    ] {
        let wanted = format!("warning: without {kind}");
        assert!(mine.stderr.contains(&wanted), "{wanted}: {}", mine.stderr);
    }
    assert!(
        !mine.stderr.contains("without services:"),
        "{}",
        mine.stderr
    );
    assert!(
        std::fs::read_to_string(&out)
            .expect("a file")
            .contains("10.9.1.2")
    );
    let watch = ["snapshot", "--watch", "-n", &shop.namespace, "--out", &out];
    let watch = nanoseg(&kubeconfig, &watch);
    assert_eq!(watch.code, Some(2), "{watch:?}");
    assert!(watch.stderr.contains("failed to watch pods"), "{watch:?}");
    let missing = shop.nanoseg(&["snapshot", "-n", "shpo", "--out", &out]);
    assert!(missing.stderr.contains("namespace shpo"), "{missing:?}");
}

#[test]
fn the_role_for_readers_is_enough_for_a_whole_snapshot_and_its_watch() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::new(cluster, "role");
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/access/reader.yaml");
    shop.kubectl(&["apply", "--server-side", "-f", &role.display().to_string()]);
    let (user, binding) = (cluster.name("ines"), cluster.name("snapshots"));
    let bind = [
        "create",
        "clusterrolebinding",
        &binding,
        "--clusterrole=nanoseg-reader",
        "--user",
        &user,
    ];
    shop.kubectl(&bind);
    let kubeconfig = cluster.kubeconfig_as(&user, &[]);
    wait_for_right(&shop, &kubeconfig, &["-A"]);
    let out = shop.text("cluster");
    let run = nanoseg(
        &kubeconfig,
        &["snapshot", "--watch", "--for", "3s", "--out", &out],
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stderr.contains("warning"), "{run:?}");
}
