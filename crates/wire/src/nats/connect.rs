//! How agents and receivers connect to NATS, and the stream that they share.

use super::{PREFIX, STREAM};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use async_nats::{ConnectOptions, Event, ServerAddr};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
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
    /// No authentication, or the one in the URL.
    #[default]
    None,
    /// A `.creds` file: JWT and nkey.
    Credentials(PathBuf),
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
    /// For how long the server detects a batch that is published twice.
    pub duplicate_window: Duration,
    pub replicas: usize,
}

impl Default for StreamSettings {
    /// 1 GiB, half an hour, one replica.
    fn default() -> Self {
        StreamSettings {
            max_bytes: 1 << 30,
            duplicate_window: Duration::from_secs(1800),
            replicas: 1,
        }
    }
}

/// The address of NATS, and the files for authentication.
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
    /// How to create the stream if it is missing; `None`: somebody else creates it.
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
        "failed to use stream NANOSEG_FLOWS: {0}; JetStream must be on, and the stream made or makeable"
    )]
    Stream(String),
}

/// Connects. The client reconnects automatically whenever the connection is lost.
pub async fn connect(settings: &NatsSettings) -> Result<Context, NatsError> {
    let mut options = ConnectOptions::new()
        .name("nanoseg")
        .connection_timeout(CONNECT)
        .ping_interval(ASK_ALIVE)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| Duration::from_millis(100 * attempt as u64).min(RETRY))
        .event_callback(log_event);
    options = match &settings.auth {
        NatsAuth::None => options,
        NatsAuth::Credentials(path) => {
            let text = read(path)?;
            options.credentials(&text).map_err(|e| NatsError::File {
                path: path.clone(),
                reason: e.to_string(),
            })?
        }
        NatsAuth::Password { user, password } => {
            options.user_and_password(user.clone(), read(password)?)
        }
        NatsAuth::Token(path) => options.token(read(path)?),
    };
    if let Some(ca) = &settings.ca {
        read(ca)?;
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &settings.identity {
        read(certificate)?;
        read(key)?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    let servers: Result<Vec<ServerAddr>, _> = settings
        .servers
        .split(',')
        .map(|url| url.trim().parse())
        .collect();
    let servers = servers.map_err(|_| NatsError::Connect("write nats://host:4222".into()))?;
    let client = options.connect(servers).await;
    let client = client.map_err(|e| NatsError::Connect(e.to_string()))?;
    Ok(jetstream::new(client))
}

async fn log_event(event: Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("lost the connection to NATS; connecting again"),
        other => tracing::warn!("NATS: {other}"),
    }
}

fn read(path: &Path) -> Result<String, NatsError> {
    let text = fs::read_to_string(path).map_err(|e| NatsError::File {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    Ok(text.trim().to_owned())
}

/// Returns the stream, and creates it if it is missing and there are settings for it.
pub async fn stream(
    context: &Context,
    settings: &NatsSettings,
) -> Result<jetstream::stream::Stream, NatsError> {
    let failed = |e: &dyn std::fmt::Display| NatsError::Stream(e.to_string());
    let Some(wanted) = &settings.stream else {
        return context.get_stream(STREAM).await.map_err(|e| failed(&e));
    };
    let config = Config {
        name: STREAM.into(),
        description: Some(
            "Flow batches of nanoseg's agents, until a receiver has stored them".into(),
        ),
        subjects: vec![format!("{PREFIX}*")],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: wanted.max_bytes,
        duplicate_window: wanted.duplicate_window,
        num_replicas: wanted.replicas,
        ..Config::default()
    };
    context
        .get_or_create_stream(config)
        .await
        .map_err(|e| failed(&e))
}
