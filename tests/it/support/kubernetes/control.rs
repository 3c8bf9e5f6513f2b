//! The control plane: etcd, API server and controller manager in a separate network namespace. This namespace is also
//! the network between nodes, and the outside of the cluster.
//!
//! ```text
//! test, kubectl -- 127.0.0.1:PORT -- (forward) -- [control: br0 172.18.0.1, API server :6443] -- nodes 172.18.0.11 ...
//! ```

use super::certificates::{Authority, Pair, token_key};
use super::forward::forward;
use super::kubeconfig::{Server, User, inside};
use super::process::{KeptFolder, Program};
use crate::support::namespaces::Namespace;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The API server's address in the cluster's network. It is also the default gateway of the nodes.
pub const CONTROL: &str = "172.18.0.1";
/// An address outside of the cluster, which is in the control plane's network too.
pub const OUTSIDE: &str = "203.0.113.10";
/// The range of Service addresses. The API server has the first one.
pub const SERVICES: &str = "10.96.0.0/16";
/// The issuer of ServiceAccount tokens, and their default audience.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

pub struct Control {
    pub namespace: Arc<Namespace>,
    pub folder: KeptFolder,
    pub authority: Authority,
    pub server: Server,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    programs: Vec<Program>,
    /// The folder of kubectl and the other programs.
    pub bin: PathBuf,
}

impl Control {
    /// Starts everything, and does not wait.
    pub fn start(bin: PathBuf) -> Control {
        let namespace = Arc::new(Namespace::new());
        namespace.ip("link add br0 type bridge");
        namespace.ip(&format!("addr add {CONTROL}/16 dev br0"));
        namespace.ip("link set br0 up");
        namespace.ip(&format!("addr add {OUTSIDE}/32 dev lo"));
        let folder = KeptFolder::make();
        let authority = Authority::new();
        let address = format!("{CONTROL}:6443").parse().expect("an address");
        let port = forward(Arc::clone(&namespace), address);
        let server = Server {
            from_outside: format!("https://127.0.0.1:{port}"),
            from_inside: format!("https://{CONTROL}:6443"),
            authority: authority.pem(),
        };
        let admin = authority.client("admin", &["system:masters"]);
        let kubeconfig = server.write(folder.path(), "admin", &User::Certificate(&admin));
        let mut control = Control {
            namespace,
            folder,
            authority,
            server,
            kubeconfig,
            programs: Vec::new(),
            bin,
        };
        control.write_secrets();
        control.start_etcd();
        control.start_api_server();
        control.start_controller_manager();
        control
    }

    fn write_secrets(&self) {
        let serving = self.authority.server(&[
            "127.0.0.1",
            CONTROL,
            "10.96.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ]);
        let write_pair = |name: &str, pair: &Pair| {
            self.write(&format!("{name}.crt"), &pair.certificate);
            self.write(&format!("{name}.key"), &pair.key);
        };
        write_pair("serving", &serving);
        write_pair("tokens", &token_key());
        self.write("ca.crt", &self.authority.pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Returns a path in the cluster's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a command in the control plane's network: one of the cluster's programs, or a path.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(self.program(program))
    }

    /// Returns the path of a program of the cluster.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn start_program(&mut self, command: Command, name: &str) {
        let log = self.path(&format!("{name}.log"));
        self.programs.push(Program::start(command, &log));
    }

    fn start_etcd(&mut self) {
        let mut command = self.command("etcd");
        command.arg("--unsafe-no-fsync").arg("--data-dir");
        command.arg(self.path("etcd"));
        command.args([
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            // Large benches write more than the default of 2 GiB.
            "--quota-backend-bytes=6442450944",
            "--log-level=warn",
        ]);
        self.start_program(command, "etcd");
    }

    fn start_api_server(&mut self) {
        let mut command = self.command("kube-apiserver");
        command.args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--profiling=false",
        ]);
        command.arg(format!("--advertise-address={CONTROL}"));
        command.arg(format!("--service-cluster-ip-range={SERVICES}"));
        command.arg(format!("--service-account-issuer={ISSUER}"));
        for (option, file) in [
            ("--client-ca-file", "ca.crt"),
            ("--tls-cert-file", "serving.crt"),
            ("--tls-private-key-file", "serving.key"),
            ("--service-account-key-file", "tokens.crt"),
            ("--service-account-signing-key-file", "tokens.key"),
        ] {
            command.arg(option).arg(self.path(file));
        }
        self.start_program(command, "kube-apiserver");
    }

    fn start_controller_manager(&mut self) {
        let mut command = self.command("kube-controller-manager");
        command.arg("--kubeconfig").arg(inside(&self.kubeconfig));
        for (option, file) in [
            ("--service-account-private-key-file", "tokens.key"),
            ("--root-ca-file", "ca.crt"),
        ] {
            command.arg(option).arg(self.path(file));
        }
        command.args([
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            // No kubelet renews the Lease of its node.
            "--node-monitor-grace-period=24h",
            // Tests create pods on nodes that do not exist; the pod garbage collector would delete them.
            "--controllers=*,-pod-garbage-collector-controller",
            "--kube-api-qps=300",
            "--kube-api-burst=400",
        ]);
        self.start_program(command, "kube-controller-manager");
    }

    /// Returns the end of the output of a program of the control plane.
    pub fn last_words(&self) -> String {
        let words: Vec<String> = self.programs.iter().map(Program::last_words).collect();
        words.join("\n")
    }
}

/// Returns the folder of the cluster's programs, or an error with what is missing.
pub fn components() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/components");
    let run = |arguments: &[&str]| {
        let output = Command::new(&script).args(arguments).output();
        let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    };
    let missing = run(&["--missing"])?;
    if missing.is_empty() {
        run(&[]).map(PathBuf::from)
    } else {
        Err(format!(
            "{} (tests/cluster/components builds them)",
            missing.replace('\n', ", ")
        ))
    }
}
