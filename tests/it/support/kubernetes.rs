//! A real Kubernetes for tests: `let Some(cluster) = Cluster::get() else { return };` then `cluster.namespace("mine")`,
//! `cluster.client()` (inside `cluster.run(async { … })` or any tokio runtime), `cluster.kubectl(&["get", "pods"])`.
//!
//! With traffic: `Cluster::with_nodes()`, then `cluster.deploy(&namespace, &Deployment::new("web").serves(8080))`.
//!
//! There is one control plane per test run, which the first test starts. Each test creates its own namespaces.

mod agents;
mod certificates;
mod control;
mod forward;
mod kubeconfig;
mod kubelet;
mod nodes;
mod pods;
mod process;
mod sandbox;
mod turn;
mod wait;
mod workloads;

pub use agents::{AUDIENCE, AgentSettings, Agents};
pub use control::{CONTROL, ISSUER, OUTSIDE};
pub use kubeconfig::inside;
pub use nodes::Node;
pub use pods::{Outcome, Pod};
pub use process::Program;
pub use wait::until;
pub use workloads::Deployment;

use control::{Control, components};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kubeconfig::User;
use kubelet::Kubelet;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The timeout of every action of the cluster.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The `schedulerName` of pods that the test's kubelet runs.
pub const SCHEDULER: &str = "nanoseg";
/// The number of nodes.
const NODES: u32 = 2;

/// The running cluster.
pub struct Cluster {
    control: Control,
    runtime: tokio::runtime::Runtime,
    nodes: OnceLock<Vec<Node>>,
    kubelet: Kubelet,
    /// Held by the test whose controller works on this cluster.
    controller: Mutex<()>,
    /// Set once nanoseg's custom resources are defined.
    defined: OnceLock<()>,
    /// A counter for unique names.
    count: AtomicU32,
}

impl Cluster {
    /// Returns the cluster of this test, ready for use: the same at each call on its thread. Returns `None` and prints what is missing if there cannot be
    /// one; fails if nothing may be missing (NANOSEG_REQUIRE_ALL=1).
    pub fn get() -> Option<&'static Cluster> {
        static CLUSTERS: [OnceLock<Result<Cluster, String>>; turn::CLUSTERS] =
            [const { OnceLock::new() }; turn::CLUSTERS];
        match CLUSTERS[turn::mine()].get_or_init(start) {
            Ok(cluster) => Some(cluster),
            Err(lack) => skip(lack),
        }
    }

    /// Does the same with nodes that run pods (those with `schedulerName: nanoseg`), translate Services and enforce
    /// policies.
    pub fn with_nodes() -> Option<&'static Cluster> {
        turn::take_nodes();
        let cluster = Cluster::get()?;
        let tools = ["/usr/bin/python3", "iptables", "ipset"];
        if let Some(lack) = tools.into_iter().find(|tool| !answers(tool)) {
            return skip(lack);
        }
        cluster.nodes.get_or_init(|| {
            let nodes = nodes::start(cluster, NODES);
            cluster.runtime.spawn(Kubelet::run(cluster));
            nodes
        });
        Some(cluster)
    }

    /// Returns a lock that a test with a controller must hold: a controller works on the whole cluster, so only one may
    /// run at a time.
    pub fn one_controller(&'static self) -> MutexGuard<'static, ()> {
        // A failed test has killed its controller too.
        self.controller
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Defines nanoseg's custom resources, unless another test has done so.
    pub fn define_once(&self, define: impl FnOnce()) {
        self.defined.get_or_init(define);
    }

    /// Returns the nodes; empty if the cluster was started without nodes.
    pub fn nodes(&'static self) -> &'static [Node] {
        self.nodes.get().map_or(&[], Vec::as_slice)
    }

    /// Waits for a future on the cluster's own runtime.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Returns the administrator's kubeconfig, for programs of this machine. `inside` returns the one for programs in the
    /// cluster's network.
    pub fn kubeconfig(&self) -> &Path {
        &self.control.kubeconfig
    }

    /// Returns a kubeconfig of a user in at most one group, with a certificate.
    pub fn kubeconfig_as(&self, user: &str, groups: &[&str]) -> PathBuf {
        let pair = self.control.authority.client(user, groups);
        let folder = self.control.folder.path();
        let name = self.name("user");
        self.control
            .server
            .write(folder, &name, &User::Certificate(&pair))
    }

    /// Returns a kubeconfig of a ServiceAccount, with a token that is valid for an hour.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> PathBuf {
        let token = self.run(self.token(namespace, name, &[ISSUER]));
        let folder = self.control.folder.path();
        let file = self.name(&format!("{namespace}-{name}"));
        self.control
            .server
            .write(folder, &file, &User::Token(&token))
    }

    /// Returns a token of a ServiceAccount from the TokenRequest API, valid for an hour.
    pub async fn token(&self, namespace: &str, name: &str, audiences: &[&str]) -> String {
        self.token_on(namespace, name, audiences, None).await
    }

    /// Does the same for a node. The token has the node's name, as that of a pod on this node.
    pub async fn token_on(
        &self,
        namespace: &str,
        name: &str,
        audiences: &[&str],
        node: Option<&str>,
    ) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let bound = node.map(|node| json!({"apiVersion": "v1", "kind": "Node", "name": node}));
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": audiences, "expirationSeconds": 3600, "boundObjectRef": bound},
        });
        let request: TokenRequest = serde_json::from_value(request).expect("a request");
        let params = PostParams::default();
        let answer = accounts.create_token_request(name, &params, &request);
        let status = answer.await.expect("a token").status;
        status.and_then(|status| status.token).expect("a token")
    }

    /// Returns the keys that verify its tokens, in the format of `kubectl get --raw /openid/v1/jwks`.
    pub fn jwks(&self) -> String {
        let output = self.kubectl(&["get", "--raw", "/openid/v1/jwks"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Returns a client with the administrator's rights. It belongs to the present runtime, or to the cluster's.
    pub fn client(&self) -> Client {
        self.client_of(self.kubeconfig())
    }

    /// Returns a client with the rights of a user in at most one group.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Client {
        self.client_of(&self.kubeconfig_as(user, groups))
    }

    /// Returns a client for a kubeconfig file.
    pub fn client_of(&self, kubeconfig: &Path) -> Client {
        let read = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        // This future never waits.
        let config =
            futures_util::FutureExt::now_or_never(Config::from_custom_kubeconfig(read, &options));
        let config = config.expect("no waiting").expect("a kubeconfig");
        let _runtime = match tokio::runtime::Handle::try_current() {
            Ok(_) => None,
            Err(_) => Some(self.runtime.enter()),
        };
        Client::try_from(config).expect("a client")
    }

    /// Creates a Kubernetes namespace, and waits for its default ServiceAccount, so that pods can be created.
    pub fn namespace(&self, prefix: &str) -> String {
        let name = self.name(prefix);
        self.run(self.make_namespace(&name));
        name
    }

    async fn make_namespace(&self, name: &str) {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let client = self.client();
        let namespaces = Api::all(client.clone());
        let made = namespaces.create(&PostParams::default(), &namespace).await;
        made.unwrap_or_else(|error| panic!("{name}: {error}"));
        let accounts: Api<ServiceAccount> = Api::namespaced(client, name);
        until(PATIENCE, "the default ServiceAccount", async || {
            accounts.get("default").await.map_err(|e| e.to_string())
        })
        .await;
    }

    /// Returns an unused name.
    pub fn name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs kubectl as the administrator, with a discovery cache of this run.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_of(self.kubeconfig(), arguments)
    }

    /// Runs kubectl with a kubeconfig file.
    pub fn kubectl_of(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        Command::new(self.control.program("kubectl"))
            .env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", self.control.path("kubectl-cache"))
            .args(arguments)
            .output()
            .expect("kubectl starts")
    }

    /// Returns the path of a program of the cluster: kubectl, helm, ...
    pub fn program(&self, name: &str) -> PathBuf {
        self.control.program(name)
    }

    /// Returns a command in the control plane's network. Nodes and pods reach its servers at `CONTROL`. Start it with
    /// `Program::start`, so that it ends with the test run.
    pub fn command(&self, program: &str) -> Command {
        self.control.command(program)
    }

    /// Runs a function on a thread in the control plane's network. Its sockets stay there.
    pub fn in_control<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        self.control.namespace.inside(what)
    }

    /// Adds an address in the control plane's network: an outside address (`203.0.113.53/32` on `lo`), or one for a
    /// program that nodes reach (`172.18.0.21/16` on `br0`).
    pub fn add_address(&self, address: &str, device: &str) {
        let namespace = &self.control.namespace;
        namespace.ip(&format!("addr replace {address} dev {device}"));
    }

    /// Returns the answer to a GET in the control plane's network, with its headers, or `None` if there is none.
    pub fn ask(&self, address: SocketAddr, path: &str) -> Option<String> {
        self.in_control(|| agents::get(address, path))
    }

    /// Returns a path in the cluster's folder, which is deleted after the test run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.control.path(name)
    }
}

/// Prints what is missing, and fails if nothing may be missing.
fn skip(lack: &str) -> Option<&'static Cluster> {
    let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "needs {lack}");
    eprintln!("skipped: needs {lack}");
    None
}

/// Returns true if a program is installed.
fn answers(tool: &str) -> bool {
    let output = Command::new(tool).arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}

/// Starts the cluster. Returns an error with what is missing.
fn start() -> Result<Cluster, String> {
    if let Some(lack) = super::namespaces::lack() {
        return Err(lack.to_owned());
    }
    let control = Control::start(components()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let cluster = Cluster {
        control,
        runtime: runtime.expect("a runtime"),
        nodes: OnceLock::new(),
        kubelet: Kubelet::default(),
        controller: Mutex::new(()),
        defined: OnceLock::new(),
        count: AtomicU32::new(0),
    };
    cluster.run(cluster.wait_until_ready());
    Ok(cluster)
}

impl Cluster {
    /// Waits for API discovery: `/readyz` can be ok some seconds before it works.
    async fn wait_until_ready(&self) {
        let client = self.client();
        let what = "the API server";
        until(PATIENCE, what, async || {
            for path in ["/readyz", "/openapi/v3", "/openapi/v2"] {
                let request = http_get(path);
                let answer = client.request_text(request).await;
                answer
                    .map_err(|error| format!("{path}: {error}\n{}", self.control.last_words()))?;
            }
            Ok(())
        })
        .await;
        self.make_namespace(&self.name("first")).await;
    }
}

fn http_get(path: &str) -> axum::http::Request<Vec<u8>> {
    axum::http::Request::get(path)
        .body(Vec::new())
        .expect("a request")
}
