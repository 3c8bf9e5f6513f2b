//! The real binary, with the rights of its ServiceAccount.

use crate::support::free_port;
use crate::support::kubernetes::{Cluster, PATIENCE, Program, until};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use nanoseg::record::{PUBLISHED, RecordLine, Verifier, parse_line};
use nanoseg::store::ReviewStore;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, MutexGuard};

/// A controller with its own Lease and store.
pub struct Controller {
    _alone: Option<MutexGuard<'static, ()>>,
    cluster: &'static Cluster,
    name: String,
    folder: Arc<tempfile::TempDir>,
    extra: Vec<String>,
    program: Program,
    pub listen: SocketAddr,
    pub metrics: SocketAddr,
}

impl Controller {
    /// Starts a controller, and waits until it leads and accepts agents.
    pub fn start(cluster: &'static Cluster, name: &str, extra: &[&str]) -> Controller {
        let alone = cluster.one_controller();
        super::world::install(cluster);
        forget_published(cluster);
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let (listen, metrics) = (free(), free());
        let name = cluster.name(name);
        let extra: Vec<String> = extra.iter().map(|text| (*text).to_owned()).collect();
        let program = launch(cluster, &name, &folder, listen, metrics, &extra);
        let controller = Controller {
            _alone: Some(alone),
            cluster,
            name,
            folder,
            extra,
            program,
            listen,
            metrics,
        };
        controller.until_leading();
        controller.until_accepting();
        controller
    }

    /// Waits until it acts on its state: a leader looks at the published record first.
    fn until_accepting(&self) {
        let accepts = until(PATIENCE, "agents to be accepted", async || {
            let log = self.log();
            let said = log.contains("accepts agents");
            said.then_some(()).ok_or(log)
        });
        self.cluster.run(accepts);
    }

    /// Waits until its log has these words.
    pub fn until_logged(&self, words: &str) {
        self.cluster.run(until(PATIENCE, words, async || {
            let log = self.log();
            log.contains(words).then_some(()).ok_or(log)
        }));
    }

    /// Another replica: the same Lease, store and port for agents.
    pub fn second(&self) -> Controller {
        let metrics = free();
        let (cluster, name, folder) = (self.cluster, self.name.clone(), self.folder.clone());
        let program = launch(cluster, &name, &folder, self.listen, metrics, &self.extra);
        Controller {
            _alone: None,
            cluster,
            name,
            folder,
            extra: self.extra.clone(),
            program,
            listen: self.listen,
            metrics,
        }
    }

    pub fn until_leading(&self) {
        self.until_metric("nanoseg_controller_leading", |leading| leading == 1.0);
    }

    pub fn leads(&self) -> bool {
        let text = self.cluster.run(self.metrics()).expect("metrics");
        metric(&text, "nanoseg_controller_leading") == Some(1.0)
    }

    /// Waits until `/readyz` reports ready.
    pub fn until_ready(&self) {
        self.cluster.run(until(PATIENCE, "it is ready", async || {
            let answer = http::get(self.metrics, "/readyz").await;
            let answer = answer.map_err(|error| error.to_string())?;
            let is_ready = answer.starts_with("HTTP/1.0 200");
            is_ready.then_some(()).ok_or(answer)
        }));
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("nanoseg.sqlite")
    }

    /// Verifies the record and returns the actions of all its lines.
    pub fn record_actions(&self) -> Vec<String> {
        let lines = self.record_lines().into_iter();
        lines
            .map(|line| line.entry.action.kind().name().to_owned())
            .collect()
    }

    /// All lines of the record, which is verified.
    pub fn record_lines(&self) -> Vec<RecordLine> {
        let store = ReviewStore::open_read_only(&self.store());
        let store = store.expect("the store");
        let mut verifier = Verifier::default();
        let mut lines = Vec::new();
        store
            .record_lines(1, |_, line| {
                let line = parse_line(line).expect("a line");
                verifier.check(&line).unwrap_or_else(|b| panic!("{b:?}"));
                lines.push(line);
                true
            })
            .expect("the record");
        lines
    }

    pub fn restart(&mut self) {
        self.program = launch(
            self.cluster,
            &self.name,
            &self.folder,
            self.listen,
            self.metrics,
            &self.extra,
        );
    }

    /// The same with other options.
    pub fn restart_with(&mut self, extra: &[&str]) {
        self.extra = extra.iter().map(|text| (*text).to_owned()).collect();
        self.restart();
    }

    /// Waits until it leads and does not act on its state. Returns the answer of `/readyz`.
    pub fn until_not_acting(&self) -> String {
        self.until_metric("nanoseg_controller_not_acting", |refuses| refuses == 1.0);
        let answer = self.cluster.run(http::get(self.metrics, "/readyz"));
        answer.expect("an answer")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn stop(&mut self) -> i32 {
        self.program.signal(libc::SIGTERM);
        self.cluster.run(until(PATIENCE, "it ends", async || {
            self.program.ended().ok_or_else(|| "it runs".to_owned())
        }))
    }

    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Waits until a metric without labels satisfies a condition.
    pub fn until_metric(&self, name: &str, is: impl Fn(f64) -> bool) {
        self.cluster.run(until(PATIENCE, name, async || {
            let text = self.metrics().await?;
            let value = metric(&text, name).ok_or_else(|| format!("no {name}"))?;
            is(value)
                .then_some(())
                .ok_or_else(|| format!("{value}\n{}", self.program.last_words()))
        }));
    }

    /// Returns the number of writes that reached the API server, without ConfigMaps: those are published only for
    /// reading.
    pub fn writes(&self) -> f64 {
        let text = self.cluster.run(self.metrics()).expect("metrics");
        let lines = text.lines();
        let sent = lines.filter(|line| {
            line.starts_with("nanoseg_controller_writes_total")
                && !line.contains("refused")
                && !line.contains("ConfigMap")
        });
        sent.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The answer of `/metrics`, without its headers.
    pub fn metrics_text(&self) -> String {
        let answer = self.cluster.run(self.metrics()).expect("metrics");
        let text = answer
            .split_once("\r\n\r\n")
            .map(|(_, text)| text.to_owned());
        text.unwrap_or(answer)
    }

    async fn metrics(&self) -> Result<String, String> {
        let answer = http::get(self.metrics, "/metrics").await;
        answer.map_err(|error| error.to_string())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn metric(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn launch(
    cluster: &Cluster,
    name: &str,
    folder: &tempfile::TempDir,
    listen: SocketAddr,
    metrics: SocketAddr,
    extra: &[String],
) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
    command
        .arg("controller")
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .arg("--store")
        .arg(folder.path().join("nanoseg.sqlite"))
        .args([
            "--listen",
            &listen.to_string(),
            "--insecure-no-tls",
            "--allow-unbound-agents",
        ])
        .args(["--metrics-listen", &metrics.to_string()])
        .args(["--lease-namespace", "default", "--lease-name", name])
        .args(["--agent-service-account", "default/default"])
        .args(["--identity", name])
        .args(extra)
        .env("NANOSEG_LOG", "nanoseg=debug,warn");
    let log = format!("{name}-{}.log", metrics.port());
    Program::start(command, &folder.path().join(log))
}

/// Deletes the record that another test's controller published: the next one has another state.
fn forget_published(cluster: &'static Cluster) {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    match cluster.run(async { api.delete(PUBLISHED, &DeleteParams::default()).await }) {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => drop(other.expect("it is deleted")),
    }
}

/// Returns a free port.
fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// A minimal HTTP client for a metrics page.
mod http {
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }
}
