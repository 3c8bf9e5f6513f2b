//! The real agent on every node, with real tokens, and a receiver certificate that agents trust.

use super::nodes::Node;
use super::process::{Program, bind_files};
use super::wait::until;
use super::{CONTROL, Cluster, PATIENCE};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// The audience of agents' tokens.
pub const AUDIENCE: &str = "nanoseg";

/// The options of agents.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// `https://172.18.0.1:4240`.
    pub receiver: String,
    /// Their ServiceAccount: namespace and name.
    pub account: (String, String),
    pub sources: Vec<&'static str>,
    /// The interval of sending, as on the command line.
    pub window: &'static str,
    /// Additional lines for their /etc/hosts, instead of cluster DNS.
    pub hosts: String,
}

/// An agent on each node. They end when the value is dropped.
pub struct Agents {
    agents: Vec<(&'static Node, Program)>,
    /// The address of /readyz and /metrics of each agent, on its node.
    metrics: SocketAddr,
}

/// A certificate and its key, as files.
pub struct PairFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Cluster {
    /// Issues a server certificate of the cluster's authority for a server in the control plane's network.
    pub fn serving_certificate(&self) -> PairFiles {
        self.serving_certificate_for(&[CONTROL, "127.0.0.1"])
    }

    /// Does the same for these names and addresses.
    pub fn serving_certificate_for(&self, names: &[&str]) -> PairFiles {
        let pair = self.control.authority.server(names);
        let name = self.name("serving");
        let files = PairFiles {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        };
        std::fs::write(&files.certificate, pair.certificate).expect("a file");
        std::fs::write(&files.key, pair.key).expect("a file");
        files
    }

    /// Returns the certificate of the cluster's authority, PEM.
    pub fn authority_file(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// Returns a port that no other part of this test run uses, for the cluster's namespaces.
    pub fn port(&self) -> u16 {
        let number = self
            .count
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        u16::try_from(20_000 + number % 10_000).expect("a port")
    }

    /// Starts an agent on each node, and waits until all observe and have reached the receiver.
    pub fn agents(&'static self, settings: &AgentSettings) -> Agents {
        let metrics = SocketAddr::from(([127, 0, 0, 1], self.port()));
        let start = |node: &'static Node| (node, self.start_agent(node, settings, metrics));
        let agents = Agents {
            agents: self.nodes().iter().map(start).collect(),
            metrics,
        };
        self.run(until(PATIENCE, "agents", async || agents.ready()));
        agents
    }

    fn start_agent(&self, node: &Node, settings: &AgentSettings, metrics: SocketAddr) -> Program {
        let name = self.name(&format!("agent-{}", node.name));
        let (namespace, account) = &settings.account;
        let token = self.run(self.token_on(namespace, account, &[AUDIENCE], Some(&node.name)));
        let token_file = self.path(&format!("{name}.token"));
        std::fs::write(&token_file, token).expect("a file");
        let mut command = node.command(env!("CARGO_BIN_EXE_nanoseg"));
        command.args(["agent", "--node", &node.name, "--window", settings.window]);
        command.args(["--source", &settings.sources.join(",")]);
        command.args(["--metrics-listen", &metrics.to_string()]);
        command.args(["--receiver", &settings.receiver]);
        command.arg("--ca").arg(self.authority_file());
        command.arg("--token").arg(token_file);
        command
            .arg("--spool")
            .arg(self.path(&format!("{name}-spool")));
        if !settings.hosts.is_empty() {
            let hosts = self.path(&format!("{name}.hosts"));
            let text = format!("127.0.0.1 localhost\n{}", settings.hosts);
            std::fs::write(&hosts, text).expect("a file");
            bind_files(&mut command, &[(hosts, PathBuf::from("/etc/hosts"))]);
        }
        Program::start(command, &self.path(&format!("{name}.log")))
    }
}

impl Agents {
    /// Returns the answer of an agent's `/metrics` or `/readyz`, with its headers, or `None` if there is none.
    pub fn ask(&self, node: &str, path: &str) -> Option<String> {
        let (node, _) = self.agents.iter().find(|(known, _)| known.name == node)?;
        node.namespace.inside(|| get(self.metrics, path))
    }

    /// Returns the output of all agents.
    pub fn log(&self) -> String {
        let logs: Vec<String> = self.agents.iter().map(|(_, agent)| agent.log()).collect();
        logs.join("\n")
    }

    /// Sends SIGTERM to all. Returns their exit codes.
    pub fn terminate(mut self, cluster: &Cluster) -> Vec<i32> {
        for (_, agent) in &self.agents {
            agent.signal(libc::SIGTERM);
        }
        cluster.run(until(PATIENCE, "agents to end", async || {
            let codes = self.agents.iter_mut().map(|(_, agent)| agent.ended());
            let codes: Option<Vec<i32>> = codes.collect();
            codes.ok_or_else(|| self.log())
        }))
    }

    fn ready(&self) -> Result<(), String> {
        for (node, agent) in &self.agents {
            let ready = self.ask(&node.name, "/readyz").unwrap_or_default();
            let metrics = self.ask(&node.name, "/metrics").unwrap_or_default();
            let connected = metrics
                .lines()
                .any(|line| line == "nanoseg_agent_receiver_connected 1");
            if !ready.starts_with("HTTP/1.1 200") || !connected {
                return Err(format!("{}: {ready}\n{}", node.name, agent.last_words()));
            }
        }
        Ok(())
    }
}

/// Returns the answer to a GET, with its headers.
pub fn get(address: SocketAddr, path: &str) -> Option<String> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
