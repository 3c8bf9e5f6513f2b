//! `nanoseg receive` with few files, a certificate as the kubelet mounts it, and agents.

use crate::support::kubernetes::PATIENCE;
use crate::support::tokens::{TokenKey, content, now};
use nanoseg::flow::{BatchId, FlowBatch, Instance, Observations};
use nanoseg::net::Timestamp;
use nanoseg::wire::{Delivery, GrpcSettings, encode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The name in the receiver's certificate.
const NAME: &str = "receiver.nanoseg.svc";

/// A receiver, killed when dropped.
pub struct Receiver {
    folder: tempfile::TempDir,
    key: TokenKey,
    files: u32,
    with_tls: bool,
    child: Child,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
}

impl Receiver {
    /// Starts a receiver that may have so many files open, and waits until it listens.
    pub fn start(files: u32, with_tls: bool) -> Receiver {
        Receiver::on(0, files, with_tls)
    }

    pub fn on(port: u16, files: u32, with_tls: bool) -> Receiver {
        let folder = tempfile::tempdir().expect("a folder");
        let key = TokenKey::new("first");
        fs::write(folder.path().join("jwks.json"), key.jwks()).expect("a file");
        let nobody = SocketAddr::from(([127, 0, 0, 1], port));
        let mut receiver = Receiver {
            folder,
            key,
            files,
            with_tls,
            child: Command::new("true").spawn().expect("a process"),
            address: nobody,
            metrics: nobody,
        };
        receiver.renew_certificate();
        receiver.restart();
        receiver
    }

    /// Kills it, and starts it at the same address.
    pub fn restart(&mut self) {
        self.kill();
        let limited = format!("ulimit -n {}; exec \"$0\" \"$@\"", self.files);
        let mut command = Command::new("sh");
        command
            .args(["-c", &limited, env!("CARGO_BIN_EXE_nanoseg"), "receive"])
            .args(["--listen", &self.address.to_string()])
            .args(["--metrics-listen", "127.0.0.1:0", "--store"])
            .arg(self.path("flows.db"))
            .arg("--token-jwks")
            .arg(self.path("jwks.json"));
        if self.with_tls {
            let [certificate, key] = ["tls.crt", "tls.key"].map(|name| self.path(name));
            command.arg("--tls-cert").arg(certificate);
            command.arg("--tls-key").arg(key);
        } else {
            command.arg("--insecure-no-tls");
        }
        self.child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let line = self.until_listening();
        let address = line.split(' ').nth(2).expect("an address");
        self.address = address.parse().expect("an address");
        let metrics = line.rsplit("http://").next().expect("an address");
        let metrics = metrics.trim_end_matches("/metrics");
        self.metrics = metrics.parse().expect("an address");
    }

    fn until_listening(&mut self) -> String {
        let stderr = self.child.stderr.take().expect("stderr");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("receiver: {line}");
                let _ = tell.send(line);
            }
        });
        loop {
            let line = told.recv_timeout(PATIENCE).expect("it listens");
            if line.starts_with("receiving ") {
                return line;
            }
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new authority, and a certificate of it, by a folder that is replaced at once.
    pub fn renew_certificate(&self) {
        let mut params = CertificateParams::new([]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let authority = authority.expect("an authority");
        let pair = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([NAME.to_owned()]).expect("names");
        let signed = params.signed_by(&pair, &authority).expect("a certificate");
        fs::write(self.path("ca.pem"), authority.pem()).expect("a file");
        self.replace(&signed.pem(), &pair.serialize_pem());
    }

    pub fn break_certificate(&self) {
        self.replace("no PEM", "no PEM");
    }

    fn replace(&self, certificate: &str, key: &str) {
        let version = format!("..{}", fastrand::u64(..));
        fs::create_dir(self.path(&version)).expect("a folder");
        fs::write(self.path(&version).join("tls.crt"), certificate).expect("a file");
        fs::write(self.path(&version).join("tls.key"), key).expect("a file");
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, self.path("..link")).expect("a link");
            fs::rename(self.path("..link"), self.path(name)).expect("renamed");
        };
        link(&version, "..data");
        for name in ["tls.crt", "tls.key"] {
            if !self.path(name).is_symlink() {
                link(&format!("..data/{name}"), name);
            }
        }
    }

    /// An agent's connection.
    pub fn delivery(&self, node: &str) -> Delivery {
        let token = self.path(&format!("token-{node}"));
        fs::write(&token, self.key.sign(&content(now(), node))).expect("a file");
        let scheme = if self.with_tls { "https" } else { "http" };
        let settings = GrpcSettings {
            endpoint: format!("{scheme}://{}", self.address),
            insecure: !self.with_tls,
            ca: self.with_tls.then(|| self.path("ca.pem")),
            server_name: self.with_tls.then(|| NAME.to_owned()),
            token: Some(token),
        };
        Delivery::grpc(settings).expect("settings")
    }

    /// Delivers a batch of a new agent.
    pub fn deliver(&self, node: &str) -> Result<(), String> {
        deliver(&mut self.delivery(node), node, 1)
    }

    /// Delivers a batch as an agent does: again until it arrives, and in time.
    pub fn until_delivered(&self, node: &str) {
        self.until_delivered_by(&mut self.delivery(node), node, 1);
    }

    pub fn until_delivered_by(&self, delivery: &mut Delivery, node: &str, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = deliver(delivery, node, number) {
            assert!(Instant::now() < deadline, "{node} {number}: {error}");
        }
    }

    pub fn until_ready(&self) {
        self.until(
            |receiver| receiver.get("/readyz").contains("200 OK"),
            "ready",
        );
    }

    pub fn until_metric(&self, line: &str) {
        self.until(|receiver| receiver.get("/metrics").contains(line), line);
    }

    fn until(&self, is: impl Fn(&Receiver) -> bool, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: {}",
                self.get("/metrics")
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is answered; empty if the connection was closed.
    pub fn get(&self, path: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect(self.metrics)?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ask().unwrap_or_default()
    }

    /// How many files the process has open.
    pub fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        files.expect("a process").count()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

fn deliver(delivery: &mut Delivery, node: &str, number: u64) -> Result<(), String> {
    let at: Timestamp = jiff::Timestamp::now().into();
    let mut instance = [7; 16];
    instance[..node.len()].copy_from_slice(node.as_bytes());
    let batch = FlowBatch {
        node: node.into(),
        instance: Instance(instance),
        sequence: (number, number),
        span: (at, at.plus_secs(1)),
        seen: Observations::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let id = BatchId::of(&batch);
    let sent = async {
        let sent = async {
            delivery.send(id, encode(&batch)).await?;
            delivery.acknowledged().await
        };
        tokio::time::timeout(Duration::from_secs(10), sent).await
    };
    match runtime.block_on(sent) {
        Ok(Ok(acknowledged)) if acknowledged == id => Ok(()),
        Ok(Ok(_)) => Err("another one was acknowledged".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}
