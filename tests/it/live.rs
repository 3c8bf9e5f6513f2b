//! The commands `observe` and `agent` as processes, on real traffic in network namespaces.

use super::support::namespaces::{Namespace, Routed};
use nanoseg::flow::Verdict;
use nanoseg::observe::flow_log::read_flows;
use serde_json::Value;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running nanoseg that ends with its test.
struct Running(Option<Child>);

impl Running {
    fn start(place: &Namespace, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A process starts in the namespace of the thread that starts it.
        Running(Some(
            place.inside(|| command.spawn()).expect("nanoseg starts"),
        ))
    }

    fn signal(&self, signal: i32) {
        let id = self.0.as_ref().map_or(0, Child::id);
        // SAFETY: sends a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(id as i32, signal) }, 0);
    }

    fn output(mut self) -> Output {
        let child = self.0.take().expect("a child");
        child.wait_with_output().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: it never came true");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes one connection from the client to the server and sends a word.
fn talk(network: &Routed, listener: &TcpListener) {
    let stream = network
        .client
        .inside(|| TcpStream::connect("10.77.2.2:8080"));
    let stream = stream.expect("it connects");
    let (mut other, _) = listener.accept().expect("a client");
    drop(stream);
    let mut rest = Vec::new();
    other.read_to_end(&mut rest).expect("it ends");
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn observe_writes_records_while_it_runs_and_exits_cleanly() {
    let Some(network) = Routed::build() else {
        return;
    };
    let listener = network
        .server
        .inside(|| TcpListener::bind("10.77.2.2:8080"));
    let listener = listener.expect("a listener");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("flows.jsonl");
    let out = file.to_str().expect("a path");
    let arguments = [
        "observe", "--source", "capture", "--output", "json", "--out", out, "--node", "node-1",
    ];
    let running = Running::start(&network.router, &arguments);
    until("records in the file", || {
        talk(&network, &listener);
        text(&file).contains("\"port\":8080")
    });
    running.signal(libc::SIGINT);
    let output = running.output();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let edges = document["edges"].as_array().expect("edges");
    let edge = edges
        .iter()
        .find(|edge| edge["port"] == 8080)
        .expect("the edge");
    assert_eq!(edge["client"], "10.77.1.2");
    assert_eq!(edge["server"], "10.77.2.2");
    assert_eq!(edge["verdict"], "established");
    let (read, summary) = read_flows(&[file]).expect("it can be read again");
    assert_eq!(summary.read.len(), 1);
    let connections: u64 = read
        .records()
        .filter(|(_, record)| record.port == 8080 && record.verdict == Verdict::Established)
        .map(|(observer, record)| {
            assert_eq!(&*observer.node, "node-1");
            record.connections
        })
        .sum();
    assert_eq!(Some(connections), edge["connections"].as_u64());
}

#[test]
fn observe_without_a_terminal_prints_a_line_per_new_edge_and_a_table_at_the_end() {
    let Some(network) = Routed::build() else {
        return;
    };
    let listener = network
        .server
        .inside(|| TcpListener::bind("10.77.2.2:8080"));
    let listener = listener.expect("a listener");
    let running = Running::start(&network.router, &["observe", "--for", "4s"]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        talk(&network, &listener);
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = running.output();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let line = "10.77.1.2 -> 10.77.2.2 8080/TCP established";
    assert_eq!(shown.matches(line).count(), 1, "{shown}");
    assert!(
        shown.contains("client") && shown.contains("rate/s"),
        "{shown}"
    );
}

#[test]
fn an_agent_that_cannot_reach_its_receiver_keeps_its_records_and_exits_without_an_error() {
    let Some(network) = Routed::build() else {
        return;
    };
    let listener = network
        .server
        .inside(|| TcpListener::bind("10.77.2.2:8080"));
    let listener = listener.expect("a listener");
    let dir = tempfile::tempdir().expect("a folder");
    let spool = dir.path().join("spool");
    let running = Running::start(
        &network.router,
        &[
            "agent",
            "--node=node-1",
            "--receiver=http://127.0.0.1:1",
            "--insecure",
            "--window=1s",
            "--metrics-listen=none",
            "--spool",
            spool.to_str().expect("a path"),
        ],
    );
    let batches = || {
        let files = std::fs::read_dir(&spool).into_iter().flatten().flatten();
        files
            .filter(|file| file.path().extension().is_some_and(|e| e == "batch"))
            .count()
    };
    until("a batch in the spool", || {
        talk(&network, &listener);
        batches() > 0
    });
    running.signal(libc::SIGTERM);
    let output = running.output();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(batches() > 0, "{log}");
    assert!(
        log.contains("batches are kept, and sent when it works again"),
        "{log}"
    );
}
