//! tests/go/hubble as a running process.

use crate::support::go::built;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

/// Serves until it is dropped.
pub struct Server {
    process: Child,
    /// `host:port`.
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server of these files. Returns `None` and prints a message if it cannot be built.
    pub fn start(args: &[&str], files: &[&Path]) -> Option<Server> {
        let program = built("hubble")?;
        let mut process = Command::new(program)
            .args(args)
            .args(files)
            // The server ends when this process ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("a line");
        let address = first.trim().strip_prefix("listening ");
        let address = address.expect("its address").to_owned();
        let requests = Arc::default();
        let collected = Arc::clone(&requests);
        std::thread::spawn(move || collect(lines, &collected));
        Some(Server {
            process,
            address,
            requests,
        })
    }

    /// Returns the received requests as JSON.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }
}

fn collect(lines: BufReader<ChildStdout>, into: &Mutex<Vec<String>>) {
    for line in lines.lines().map_while(Result::ok) {
        // Go's protobuf JSON has random spaces on purpose.
        let line = line.replace(' ', "");
        into.lock().expect("requests").push(line);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
