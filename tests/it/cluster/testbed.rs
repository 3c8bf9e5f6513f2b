//! The cluster of `tests/cluster/run` as a process, and commands in its namespaces.

use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The running cluster. It ends when the value is dropped, and everything is cleaned up.
pub struct Testbed {
    child: Child,
    commands: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
    ready: Value,
    folder: tempfile::TempDir,
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/run")
}

/// Returns what is missing on this machine, one per line.
fn missing() -> String {
    let output = Command::new(program()).arg("--missing").output();
    let Ok(output) = output else {
        return "python3".to_owned();
    };
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Testbed {
    /// Starts the cluster and waits until all its servers are ready. Returns `None` and prints what is missing if this is
    /// not possible; fails if nothing may be missing.
    pub fn start() -> Option<Testbed> {
        let missing = missing().replace('\n', ", ");
        if !missing.is_empty() {
            eprintln!("skipped: needs {missing}");
            let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
            assert!(!required, "needs {missing}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(program())
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the cluster starts");
        let commands = child.stdin.take();
        let events = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut testbed = Testbed {
            child,
            commands,
            events,
            ready: Value::Null,
            folder,
        };
        testbed.ready = testbed.event("ready");
        Some(testbed)
    }

    fn event(&mut self, wanted: &str) -> Value {
        let line = self.events.next().expect("an event").expect("a line");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["event"], wanted, "{line}");
        event
    }

    /// Sends a command and waits until it is done.
    pub fn tell(&mut self, command: Value) -> Value {
        let commands = self.commands.as_mut().expect("stdin");
        writeln!(commands, "{command}").expect("the cluster listens");
        self.event("done")
    }

    /// Runs a command of the cluster without arguments.
    pub fn run(&mut self, command: &str) -> Value {
        self.tell(json!({ "do": command }))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the address at which receivers and the NATS server run.
    pub fn control(&self) -> &str {
        self.ready["control"].as_str().expect("an address")
    }

    /// Returns names and addresses of the nodes.
    pub fn nodes(&self) -> Vec<(String, String)> {
        let nodes = self.ready["nodes"].as_object().expect("nodes");
        let address = |node: &Value| node["address"].as_str().expect("an address").to_owned();
        nodes
            .iter()
            .map(|(name, node)| (name.clone(), address(node)))
            .collect()
    }

    fn namespace(&self, place: &str) -> String {
        let name = self.ready["namespaces"][place].as_str();
        format!("/run/netns/{}", name.expect("a namespace"))
    }

    /// A command that runs in the network of `place`: "control", or a node's name.
    pub fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace(place)));
        command.arg(program);
        command
    }

    /// Returns the HTTP answer for `path` at an address in the network of `place`, or `None` if there is no answer.
    pub fn get(&self, place: &str, address: &str, path: &str) -> Option<String> {
        let namespace = File::open(self.namespace(place)).expect("a namespace");
        let address: SocketAddr = address.parse().expect("an address");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: the descriptor is open, and only this thread's network changes.
                let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
                get(address, path)
            });
            thread.join().expect("the thread")
        })
    }
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

impl Drop for Testbed {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}
