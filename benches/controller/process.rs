//! The controller process, measured from outside.

use crate::support::kubernetes::{Cluster, Program, until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// The timeout of the slowest step.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Controller {
    cluster: &'static Cluster,
    program: Program,
    pub listen: SocketAddr,
    metrics: SocketAddr,
    folder: std::sync::Arc<tempfile::TempDir>,
}

impl Controller {
    pub fn start(cluster: &'static Cluster, binary: &str) -> Controller {
        let folder = tempfile::tempdir().expect("a folder");
        Controller::start_with(cluster, binary, std::sync::Arc::new(folder))
    }

    /// Starts with the store of an earlier controller.
    pub fn start_with(
        cluster: &'static Cluster,
        binary: &str,
        folder: std::sync::Arc<tempfile::TempDir>,
    ) -> Controller {
        let (listen, metrics) = (free(), free());
        let mut command = Command::new(binary);
        command
            .args([
                "controller",
                "--insecure-no-tls",
                "--allow-unbound-agents",
                "--lease-namespace",
                "default",
            ])
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig())
            .arg("--store")
            .arg(folder.path().join("nanoseg.sqlite"))
            .args(["--listen", &listen.to_string()])
            .args(["--metrics-listen", &metrics.to_string()])
            .args(["--agent-service-account", "default/default"]);
        let program = Program::start(
            command,
            &std::env::temp_dir().join("nanoseg-bench-controller.log"),
        );
        let controller = Controller {
            cluster,
            program,
            listen,
            metrics,
            folder,
        };
        controller.until("nanoseg_controller_leading", 1.0);
        controller
    }

    /// Ends it in order, and returns the folder of its store.
    pub fn stop(self) -> std::sync::Arc<tempfile::TempDir> {
        let pid = self.program.id();
        self.program.signal(libc::SIGTERM);
        let ended = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        self.cluster.run(until(PATIENCE, "its end", async || {
            ended().then_some(()).ok_or_else(|| "it runs".to_owned())
        }));
        self.folder.clone()
    }

    /// Returns the largest resident memory since the start, in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.status_mib("VmHWM:")
    }

    /// Waits until a metric without labels is at least the given value.
    pub fn until(&self, name: &str, least: f64) {
        self.cluster.run(until(PATIENCE, name, async || {
            let value = self.metric(name).ok_or_else(|| self.program.last_words())?;
            (value >= least)
                .then_some(())
                .ok_or_else(|| format!("{value} of {least}"))
        }));
    }

    /// Returns a metric with the label `what`.
    pub fn labelled(&self, name: &str, what: &str) -> f64 {
        let name = format!("{name}{{what=\"{what}\"}}");
        self.metric(&name).unwrap_or(f64::NAN)
    }

    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.page()?;
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Returns the number of writes that reached the API server.
    pub fn writes(&self) -> f64 {
        let text = self.page().unwrap_or_default();
        let lines = text.lines().filter(|line| {
            line.starts_with("nanoseg_controller_writes_total") && !line.contains("refused")
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    fn page(&self) -> Option<String> {
        let mut stream = TcpStream::connect(self.metrics).ok()?;
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Returns the present resident memory, in MiB.
    pub fn memory_mib(&self) -> f64 {
        self.status_mib("VmRSS:")
    }

    fn status_mib(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1024.0
    }

    /// Returns the user and system time so far.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.program.id()));
        let stat = stat.unwrap_or_default();
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let mut fields = after.split(' ').skip(11);
        let mut ticks = || {
            fields
                .next()
                .and_then(|f| f.parse::<u64>().ok())
                .unwrap_or_default()
        };
        Duration::from_millis((ticks() + ticks()) * 10)
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}
