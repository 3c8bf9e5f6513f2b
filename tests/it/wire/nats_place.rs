//! A NATS server with the files of `deploy/nats`: TLS, a user for each node, one for receivers and one for who
//! administers. And the same without any of it, where everybody may do everything.

use super::jetstream::applied;
use super::process::{NatsProcess, ReceiverProcess, wait_for};
use crate::support::free_port;
use crate::support::tokens::{TokenKey, content, now};
use async_nats::{ConnectOptions, Event};
use nanoseg::flow::{FlowBatch, Instance};
use nanoseg::store::FlowStore;
use nanoseg::wire::{Delivery, NatsAuth, NatsSettings, encode};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as TlsKey};
use std::fs;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// The users of deploy/nats/users.conf.
const USERS: [&str; 4] = ["NODE_1", "NODE_2", "RECEIVER", "ADMIN"];

/// The folder of a test, with a server.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub nats: NatsProcess,
    pub key: TokenKey,
    is_guarded: bool,
}

impl Place {
    /// A server with the shipped configuration.
    pub fn guarded() -> Place {
        Place::new(true)
    }

    /// A server without users and TLS.
    pub fn open() -> Place {
        Place::new(false)
    }

    fn new(is_guarded: bool) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let key = TokenKey::new("first");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("jwks.json"), key.jwks()).expect("a file");
        for node in ["node-1", "node-2"] {
            fs::write(path(node), key.sign(&content(now(), node))).expect("a file");
        }
        write_certificate(folder.path());
        let users = USERS.map(|user| (user, KeyPair::new_user()));
        for (user, pair) in &users {
            fs::write(path(&format!("{user}.nk")), pair.seed().expect("a seed")).expect("a file");
        }
        let port = free_port();
        let publics = users.map(|(user, pair)| format!("{user}={}", pair.public_key()));
        fs::write(path("users"), publics.join("\n")).expect("a file");
        let nats = start(folder.path(), port, is_guarded);
        Place {
            folder,
            nats,
            key,
            is_guarded,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("flows.db")
    }

    /// Ends the server and starts it again, on the same port and with what it had on the disk.
    pub fn restart(&mut self) {
        self.nats.kill();
        self.nats = start(self.folder.path(), self.nats.port, self.is_guarded);
    }

    /// Makes another authority and another certificate of the server, in place of those before.
    pub fn renew_certificates(&self) {
        write_certificate(self.folder.path());
    }

    pub fn url(&self) -> String {
        let scheme = if self.is_guarded { "tls" } else { "nats" };
        format!("{scheme}://localhost:{}", self.nats.port)
    }

    fn settings(&self, user: &str) -> NatsSettings {
        let nkey = NatsAuth::Nkey(self.path(&format!("{user}.nk")));
        NatsSettings {
            servers: self.url(),
            auth: if self.is_guarded {
                nkey
            } else {
                NatsAuth::None
            },
            ca: self.is_guarded.then(|| self.path("ca.pem")),
            identity: None,
            inbox: None,
            insecure: false,
            stream: None,
        }
    }

    /// The delivery of a node's agent, with its own user and token.
    pub fn delivery(&self, node: &str) -> Delivery {
        self.delivery_as(node, &node.to_uppercase().replace('-', "_"), Some(node))
    }

    /// A delivery as a node, with any user and the token of any node.
    pub fn delivery_as(&self, node: &str, user: &str, token: Option<&str>) -> Delivery {
        let token = token.map(|token| self.path(token));
        Delivery::nats(self.settings(user), node, token).expect("a delivery")
    }

    /// A receiver that checks tokens.
    pub fn receiver(&self, more: &[&str]) -> ReceiverProcess {
        let args = self.receiver_args(more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        ReceiverProcess::start("127.0.0.1:0", &self.store(), &args)
    }

    pub fn receiver_args(&self, more: &[&str]) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().expect("a path").to_owned();
        let mut args = vec![
            "--insecure-no-tls".to_owned(),
            "--token-jwks".to_owned(),
            text(self.path("jwks.json")),
            "--nats".to_owned(),
            self.url(),
        ];
        if self.is_guarded {
            args.extend(["--nats-nkey".to_owned(), text(self.path("RECEIVER.nk"))]);
            args.extend(["--nats-ca".to_owned(), text(self.path("ca.pem"))]);
        }
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args
    }

    /// A client that does as it likes, as far as the server lets it.
    pub async fn client(&self, user: &str, inbox: &str) -> Stranger {
        let (tell, violations) = mpsc::unbounded_channel();
        let mut options = ConnectOptions::new();
        if self.is_guarded {
            let seed = fs::read_to_string(self.path(&format!("{user}.nk"))).expect("a seed");
            options = ConnectOptions::with_nkey(seed).add_root_certificates(self.path("ca.pem"));
        }
        let options = options
            .custom_inbox_prefix(inbox)
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    let _ = tell.send(error.to_string());
                }
                std::future::ready(())
            });
        let client = options.connect(self.url()).await.expect("a connection");
        Stranger { client, violations }
    }

    /// Waits until so many batches are stored, and returns whether they are these.
    pub fn has_stored(&self, batches: &[FlowBatch]) -> bool {
        let count = batches.len() as u64;
        wait_for("the batches", || {
            (applied(&self.store()) >= count).then_some(())
        });
        let store = FlowStore::open_read_only(&self.store()).expect("a store");
        super::batches::content(&store.load().expect("content")) == super::batches::model(batches)
    }
}

/// A client and what the server forbade it.
pub struct Stranger {
    pub client: async_nats::Client,
    violations: mpsc::UnboundedReceiver<String>,
}

impl Stranger {
    /// Waits for the next refusal.
    pub async fn is_forbidden(&mut self) -> String {
        let next = tokio::time::timeout(super::batches::PATIENCE, self.violations.recv()).await;
        next.expect("the server forbids it").expect("a client")
    }
}

fn start(folder: &Path, port: u16, is_guarded: bool) -> NatsProcess {
    if !is_guarded {
        return NatsProcess::start(port, &folder.join("nats"));
    }
    let text = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    let mut env = vec![
        ("NANOSEG_NATS_TLS_CERT", text("tls.crt")),
        ("NANOSEG_NATS_TLS_KEY", text("tls.key")),
        ("NANOSEG_NATS_STORE", text("nats")),
    ];
    let users = fs::read_to_string(folder.join("users")).expect("the users");
    let public = |user: &str| {
        let mut lines = users.lines().filter_map(|line| line.split_once('='));
        let (_, key) = lines.find(|(name, _)| *name == user).expect("a user");
        key.to_owned()
    };
    env.push(("NANOSEG_NKEY_NODE_1", public("NODE_1")));
    env.push(("NANOSEG_NKEY_NODE_2", public("NODE_2")));
    env.push(("NANOSEG_NKEY_RECEIVER", public("RECEIVER")));
    env.push(("NANOSEG_NKEY_ADMIN", public("ADMIN")));
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats/nats-server.conf");
    NatsProcess::start_configured(port, &config, &env)
}

/// Writes `ca.pem`, `tls.crt` and `tls.key`, each by a rename.
fn write_certificate(folder: &Path) {
    let mut params = CertificateParams::new([]).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, TlsKey::generate().expect("a key"))
        .expect("an authority");
    let pair = TlsKey::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("names");
    let signed = params.signed_by(&pair, &authority).expect("a certificate");
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("tls.crt", signed.pem()),
        ("tls.key", pair.serialize_pem()),
    ] {
        let beside = folder.join("new");
        fs::write(&beside, text).expect("a file");
        fs::rename(&beside, folder.join(name)).expect("a rename");
    }
}

/// A batch that says it is of another run.
pub fn of_run(batch: FlowBatch, run: u8) -> FlowBatch {
    FlowBatch {
        instance: Instance([run; 16]),
        ..batch
    }
}

/// A batch of a schema that no receiver knows: a later value of a field replaces an earlier one.
pub fn of_unknown_schema(batch: &FlowBatch) -> Vec<u8> {
    [encode(batch), vec![0x08, 0x09]].concat()
}
