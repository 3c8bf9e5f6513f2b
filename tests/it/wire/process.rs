//! Programs that a test starts, kills, and restarts.

use super::batches::PATIENCE;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

/// `nanoseg receive`, killed when dropped.
pub struct ReceiverProcess {
    child: Child,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl ReceiverProcess {
    /// Starts and waits until it listens.
    pub fn start(listen: &str, store: &Path, args: &[&str]) -> ReceiverProcess {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
            .args([
                "receive",
                "--metrics-listen",
                "127.0.0.1:0",
                "--listen",
                listen,
                "--store",
            ])
            .arg(store)
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("nanoseg starts");
        let stderr = child.stderr.take().expect("stderr");
        let (tell, told) = mpsc::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let written = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("receiver: {line}");
                let mut all = written.lock().expect("the log");
                all.push_str(&line);
                all.push('\n');
                drop(all);
                let _ = tell.send(line);
            }
        });
        // Log lines may be printed before.
        let line = loop {
            match told.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with("receiving ") => break line,
                Ok(_) => {}
                Err(_) => {
                    let _ = child.kill();
                    panic!("the receiver does not tell where it listens");
                }
            }
        };
        let parse = |text: &str| {
            text.parse()
                .unwrap_or_else(|_| panic!("an address in {line}"))
        };
        let mut words = line.split(' ');
        let address = parse(words.nth(2).expect("an address"));
        let metrics = line.rsplit("http://").next().expect("an address");
        ReceiverProcess {
            child,
            address,
            metrics: parse(metrics.trim_end_matches("/metrics")),
            log,
        }
    }

    /// All that it has written to stderr.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("an end");
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM");
        wait_for("the receiver to end", || {
            self.child.try_wait().expect("its state")
        })
        .code()
    }

    pub fn get(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.metrics).expect("metrics");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `nats-server` with JetStream, killed when dropped.
pub struct NatsProcess {
    child: Child,
    pub port: u16,
}

impl NatsProcess {
    /// Starts and waits until it listens.
    pub fn start(port: u16, store: &Path) -> NatsProcess {
        let child = Command::new("nats-server")
            .args([
                "--jetstream",
                "--addr",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--store_dir",
            ])
            .arg(store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        wait_for("nats-server", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        NatsProcess { child, port }
    }

    /// Starts with a configuration file, whose variables are in `env`.
    pub fn start_configured(port: u16, config: &Path, env: &[(&str, String)]) -> NatsProcess {
        let child = Command::new("nats-server")
            .args([
                "--addr",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--config",
            ])
            .arg(config)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        wait_for("nats-server", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        NatsProcess { child, port }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("an end");
    }
}

impl Drop for NatsProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what} in vain");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
