//! The receivers and agents of a set, as processes in the cluster's namespaces.

use super::testbed::Testbed;
use crate::support::tokens::{TokenKey, content, now};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// A process that is killed when the value is dropped. Its stderr is in a file.
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(mut command: Command, log: PathBuf) -> Program {
        let mut options = File::options();
        let file = options.create(true).append(true).open(&log);
        let child = command
            .stderr(file.expect("a log"))
            .spawn()
            .expect("nsenter starts");
        Program { child, log }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keys, certificates and tokens, in a folder.
pub struct Secrets {
    folder: PathBuf,
    key: TokenKey,
}

impl Secrets {
    pub fn make(folder: &Path, testbed: &Testbed) -> Secrets {
        let secrets = Secrets {
            folder: folder.to_owned(),
            key: TokenKey::new("live"),
        };
        let mut params = CertificateParams::new([]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pair = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, pair).expect("an authority");
        let pair = KeyPair::generate().expect("a key");
        let names = CertificateParams::new([testbed.control().to_owned()]).expect("names");
        let signed = names.signed_by(&pair, &authority).expect("a certificate");
        secrets.write("ca.pem", &authority.pem());
        secrets.write("tls.crt", &signed.pem());
        secrets.write("tls.key", &pair.serialize_pem());
        secrets.write("jwks.json", &secrets.key.jwks());
        for (node, _) in testbed.nodes() {
            secrets.write_token(&format!("token-{node}"), &node);
        }
        secrets
    }

    /// A valid token for `node`.
    pub fn write_token(&self, name: &str, node: &str) {
        self.write(name, &self.key.sign(&content(now(), node)));
    }

    /// A token of another API server.
    pub fn write_wrong_token(&self, name: &str, node: &str) {
        self.write(name, &TokenKey::new("live").sign(&content(now(), node)));
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Agents on all nodes with the same sources, and their receiver.
pub struct Set {
    /// The index of the set. Its ports depend on it.
    number: u16,
    pub name: &'static str,
    pub sources: &'static [&'static str],
    /// The number of times that one of its agents was killed.
    pub restarts: u64,
    /// Is true if batches are sent through NATS JetStream.
    by_nats: bool,
    nats: Option<Program>,
    receiver: Option<Program>,
    pub agents: Vec<(String, Program)>,
}

impl Set {
    pub fn new(number: u16, name: &'static str, sources: &'static [&'static str]) -> Set {
        Set {
            number,
            name,
            sources,
            restarts: 0,
            by_nats: false,
            nats: None,
            receiver: None,
            agents: Vec::new(),
        }
    }

    /// Sends its batches through NATS JetStream.
    pub fn by_nats(self) -> Set {
        Set {
            by_nats: true,
            ..self
        }
    }

    /// Starts the NATS server with its stored messages, if this set has one.
    pub fn start_nats(&mut self, testbed: &Testbed, secrets: &Secrets) {
        if !self.by_nats {
            return;
        }
        let mut command = testbed.command("control", "nats-server");
        command.args(["--jetstream", "--addr", testbed.control(), "--port", "4222"]);
        command
            .arg("--store_dir")
            .arg(secrets.path(&format!("{}-nats", self.name)));
        let log = secrets.path(&format!("{}-nats.log", self.name));
        self.nats = Some(Program::start(command, log));
    }

    fn nats_url(&self, testbed: &Testbed) -> String {
        format!("nats://{}:4222", testbed.control())
    }

    pub fn store(&self, secrets: &Secrets) -> PathBuf {
        secrets.path(&format!("{}.db", self.name))
    }

    fn address(&self, testbed: &Testbed) -> String {
        format!("{}:{}", testbed.control(), 4240 + self.number)
    }

    pub fn start_receiver(&mut self, testbed: &Testbed, secrets: &Secrets) {
        let mut command = testbed.command("control", env!("CARGO_BIN_EXE_nanoseg"));
        let metrics = format!("127.0.0.1:{}", 9300 + self.number);
        command.args(["receive", "--listen", &self.address(testbed)]);
        command.args(["--metrics-listen", &metrics]);
        for (option, file) in [
            ("--tls-cert", "tls.crt"),
            ("--tls-key", "tls.key"),
            ("--token-jwks", "jwks.json"),
        ] {
            command.arg(option).arg(secrets.path(file));
        }
        command.arg("--store").arg(self.store(secrets));
        if self.by_nats {
            // The server is open to everybody, beyond this network namespace.
            command.args(["--nats", &self.nats_url(testbed), "--nats-insecure"]);
        }
        let log = secrets.path(&format!("{}-receiver.log", self.name));
        self.receiver = Some(Program::start(command, log));
    }

    /// Sends SIGKILL to the receiver and to the NATS server.
    pub fn kill_receiver(&mut self) {
        self.receiver = None;
        self.nats = None;
    }

    /// Starts or restarts the agent of a node.
    pub fn start_agent(&mut self, testbed: &Testbed, secrets: &Secrets, node: &str) {
        let nanoseg = env!("CARGO_BIN_EXE_nanoseg");
        self.start_agent_by(testbed.command(node, nanoseg), testbed, secrets, node);
    }

    /// Starts the agent with another command.
    pub fn start_agent_by(
        &mut self,
        mut command: Command,
        testbed: &Testbed,
        secrets: &Secrets,
        node: &str,
    ) {
        self.agents.retain(|(known, _)| known != node);
        let metrics = format!("127.0.0.1:{}", self.metrics_port());
        command.args(["agent", "--node", node, "--window", "2s"]);
        command.args(["--source", &self.sources.join(",")]);
        command.args(["--metrics-listen", &metrics]);
        if self.by_nats {
            command.args(["--nats", &self.nats_url(testbed), "--nats-insecure"]);
        } else {
            command.arg("--receiver");
            command.arg(format!("https://{}", self.address(testbed)));
            command.arg("--ca").arg(secrets.path("ca.pem"));
        }
        command.arg("--token").arg(self.token(secrets, node));
        command.arg("--spool").arg(self.spool(secrets, node));
        let log = secrets.path(&format!("{}-{node}.log", self.name));
        self.agents
            .push((node.to_owned(), Program::start(command, log)));
    }

    pub fn spool(&self, secrets: &Secrets, node: &str) -> PathBuf {
        secrets.path(&format!("{}-{node}-spool", self.name))
    }

    /// Returns the token of this set's agent on a node, if it has one.
    fn token(&self, secrets: &Secrets, node: &str) -> PathBuf {
        let own = secrets.path(&format!("token-{node}-{}", self.name));
        if own.exists() {
            return own;
        }
        secrets.path(&format!("token-{node}"))
    }

    pub fn metrics_port(&self) -> u16 {
        9400 + self.number
    }

    pub fn agent(&mut self, node: &str) -> &mut Program {
        let agents = self.agents.iter_mut();
        let (_, program) = agents
            .into_iter()
            .find(|(name, _)| name == node)
            .expect("an agent");
        program
    }

    /// Returns `/readyz` or `/metrics` of a node's agent.
    pub fn ask(&self, testbed: &Testbed, node: &str, path: &str) -> Option<String> {
        let address = format!("127.0.0.1:{}", self.metrics_port());
        testbed.get(node, &address, path)
    }
}
