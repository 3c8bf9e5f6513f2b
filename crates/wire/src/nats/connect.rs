//! How agents and receivers connect to NATS.

use super::super::LogLimit;
use super::auth::prove;
use super::files::Renewal;
use async_nats::jetstream::{self, Context};
use async_nats::{ConnectOptions, Event, ServerAddr};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a silent server is pinged.
const ASK_ALIVE: Duration = Duration::from_secs(5);
/// The longest time between two attempts to connect again.
const RETRY: Duration = Duration::from_secs(2);

/// How we authenticate to the NATS server. Secrets are in files, never on a command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NatsAuth {
    /// No authentication, or the one in the URL, or that of the certificate.
    #[default]
    None,
    /// A `.creds` file: JWT and nkey.
    Credentials(PathBuf),
    /// The seed of a user's nkey.
    Nkey(PathBuf),
    Password {
        user: String,
        password: PathBuf,
    },
    Token(PathBuf),
}

/// The settings of the stream, if we are to create it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// The largest size on disk, in bytes. When it is full the stream refuses batches, and agents keep them.
    pub max_bytes: i64,
    /// How many messages of one node it keeps, so that no node fills it.
    pub max_per_node: i64,
    /// For how long the server detects a batch that is published twice.
    pub duplicate_window: Duration,
    pub replicas: usize,
}

impl Default for StreamSettings {
    /// 1 GiB, 256 batches of each node, half an hour, one replica.
    fn default() -> Self {
        StreamSettings {
            max_bytes: 1 << 30,
            max_per_node: 256,
            duplicate_window: Duration::from_secs(1800),
            replicas: 1,
        }
    }
}

/// The address of NATS, and the files for authentication. Files are read at each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsSettings {
    /// `nats://host:4222` or `tls://…`, several with commas between.
    pub servers: String,
    pub auth: NatsAuth,
    /// The PEM file of the authorities that may have signed the server's certificate; with one, TLS is
    /// required.
    pub ca: Option<PathBuf>,
    /// The PEM files of our own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// What our inboxes begin with; `None`: `_INBOX_nanoseg.receiver`, or `_INBOX_nanoseg.agent.NODE`. Only we
    /// should be allowed to listen there: whoever else does hears every batch that is delivered.
    pub inbox: Option<String>,
    /// Allows a server beyond this machine without TLS: batches and tokens can be read and altered on the way.
    pub insecure: bool,
    /// How a receiver creates the streams if they are missing; `None`: somebody else creates them. Agents never do.
    pub stream: Option<StreamSettings>,
}

/// Why NATS cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NatsError {
    #[error("failed to read {path}: {reason}; check the path and its permissions")]
    File { path: PathBuf, reason: String },
    #[error("failed to connect to NATS: {0}; check the URL, the credentials and the authority")]
    Connect(String),
    #[error(
        "failed to connect to NATS at {0} without TLS: tokens and batches could be read and altered on the way; give \
         tls:// or --nats-ca, or --nats-insecure for a test"
    )]
    Plain(String),
    #[error(
        "failed to use the NATS server at {0}: it lets everybody in, so everybody could overhear batches and their tokens; \
         give it users as in deploy/nats, or --nats-insecure for a test"
    )]
    Unguarded(String),
    #[error(
        "failed to use stream {stream}: {reason}; JetStream must be on, and the stream made as \
         deploy/nats/README.md says"
    )]
    Stream {
        stream: &'static str,
        reason: String,
    },
    /// Something else than we would have made was there before us.
    #[error("failed to use {what} of NATS, which is not as it must be: {problems}; {remedy}")]
    Wrong {
        what: String,
        problems: String,
        remedy: String,
    },
}

/// A connection that reconnects automatically whenever it is lost or its files are replaced.
#[derive(Debug)]
pub struct Connection {
    pub context: Context,
    _renewal: Renewal,
}

impl NatsSettings {
    /// Returns the servers. All that a batch and its token pass on the way is TLS, or on this machine.
    fn addresses(&self) -> Result<Vec<ServerAddr>, NatsError> {
        let servers: Result<Vec<ServerAddr>, _> = self
            .servers
            .split(',')
            .map(|url| url.trim().parse())
            .collect();
        let servers =
            servers.map_err(|_| NatsError::Connect("write tls://host:4222".to_owned()))?;
        let plain = servers.iter().find(|server| !is_local(server.host()));
        match plain {
            Some(server) if !self.insecure && !self.demands_tls() => {
                Err(NatsError::Plain(server.host().to_owned()))
            }
            _ => Ok(servers),
        }
    }

    /// Returns true if all servers are on this machine.
    pub fn is_local(&self) -> bool {
        let servers = self.addresses();
        servers.is_ok_and(|all| all.iter().all(|server| is_local(server.host())))
    }

    /// One server with TLS makes it required for all, also for those that the server itself tells of.
    fn demands_tls(&self) -> bool {
        self.ca.is_some()
            || self.servers.split(',').any(|url| {
                let scheme = url.trim().split_once("://").map(|(scheme, _)| scheme);
                matches!(scheme, Some("tls" | "wss"))
            })
    }

    /// All files that a connection is made with.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.ca.iter().cloned().collect();
        if let Some((certificate, key)) = &self.identity {
            files.extend([certificate.clone(), key.clone()]);
        }
        match &self.auth {
            NatsAuth::None => {}
            NatsAuth::Credentials(path) | NatsAuth::Nkey(path) | NatsAuth::Token(path) => {
                files.push(path.clone());
            }
            NatsAuth::Password { password, .. } => files.push(password.clone()),
        }
        files
    }
}

fn is_local(host: &str) -> bool {
    let address: Result<std::net::IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Connects, with inboxes that begin with `inbox` unless the settings say otherwise.
pub async fn connect(settings: &NatsSettings, inbox: &str) -> Result<Connection, NatsError> {
    let servers = settings.addresses()?;
    let files = settings.files();
    for path in &files {
        read(path)?;
    }
    let inbox = settings.inbox.as_deref().unwrap_or(inbox);
    let log = Arc::new(LogLimit::default());
    let mut options = options(settings)
        .name("nanoseg")
        .custom_inbox_prefix(inbox)
        .connection_timeout(CONNECT)
        .ping_interval(ASK_ALIVE)
        .max_reconnects(None)
        .require_tls(settings.demands_tls())
        .reconnect_delay_callback(|attempt| Duration::from_millis(100 * attempt as u64).min(RETRY))
        .event_callback(move |event| {
            log_event(&event, &log);
            std::future::ready(())
        });
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &settings.identity {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    let client = options.connect(servers).await;
    let client = client.map_err(|e| NatsError::Connect(e.to_string()))?;
    let is_guarded = client.server_info().auth_required || settings.identity.is_some();
    if !is_guarded && !settings.insecure && !settings.is_local() {
        return Err(NatsError::Unguarded(settings.servers.clone()));
    }
    Ok(Connection {
        _renewal: Renewal::start(client.clone(), files),
        context: jetstream::new(client),
    })
}

fn options(settings: &NatsSettings) -> ConnectOptions {
    if settings.auth == NatsAuth::None {
        return ConnectOptions::new();
    }
    let auth = settings.auth.clone();
    ConnectOptions::with_auth_callback(move |nonce| std::future::ready(prove(&auth, &nonce)))
}

fn log_event(event: &Event, log: &LogLimit) {
    let kind = match event {
        Event::Connected => "connected",
        Event::Disconnected => "disconnected",
        _ => "other",
    };
    let Some(left_out) = log.admit(kind, Instant::now()) else {
        return;
    };
    match event {
        Event::Connected => tracing::info!(left_out, "connected to NATS"),
        Event::Disconnected => {
            tracing::warn!(left_out, "lost the connection to NATS; connecting again");
        }
        other => tracing::warn!(left_out, "NATS: {other}"),
    }
}

/// Reads a text without the white space around it.
pub fn read(path: &Path) -> Result<String, NatsError> {
    let text = fs::read_to_string(path).map_err(|e| NatsError::File {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(servers: &str) -> NatsSettings {
        NatsSettings {
            servers: servers.into(),
            auth: NatsAuth::None,
            ca: None,
            identity: None,
            inbox: None,
            insecure: false,
            stream: None,
        }
    }

    #[test]
    fn a_server_beyond_this_machine_needs_tls() {
        for good in [
            "nats://127.0.0.1:4222",
            "nats://localhost",
            "nats://[::1]:4222",
            "tls://nats.nats:4222",
            "tls://a:4222, nats://b:4222",
        ] {
            assert!(settings(good).addresses().is_ok(), "{good}");
        }
        for plain in ["nats://nats.nats:4222", "nats://127.0.0.1,nats://10.0.0.1"] {
            let error = settings(plain).addresses().unwrap_err();
            assert!(matches!(error, NatsError::Plain(_)), "{error}");
            let insecure = NatsSettings {
                insecure: true,
                ..settings(plain)
            };
            assert!(insecure.addresses().is_ok(), "{plain}");
        }
        assert!(settings("tls://a:4222, nats://b:4222").demands_tls());
    }
}
