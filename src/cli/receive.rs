//! `nanoseg receive`: stores the flow records of agents.

use super::hubble_relay::HubbleSourceArgs;
use super::process::without_user;
use super::terminal::{LogArgs, LogFormat};
use crate::controller::{Receiver, ReceiverSettings};
use crate::listen::ServerTls;
use crate::wire::{NatsAuth, NatsSettings, StreamSettings, TokenRules, TokenSettings};
use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Receive flow records from agents and store them
#[derive(Debug, ClapArgs)]
#[command(
    long_about = "\
Receive flow records from agents and store them.

Agents connect by gRPC over TLS and send the ServiceAccount token of their pod, which is verified with \
the API server's public keys. Each batch is acknowledged when it is on the disk, and applied once \
however often it is sent. The store is one SQLite file that `nanoseg generate --flows` and \
`nanoseg graph --flows` read, also while the receiver runs.",
    after_long_help = "\
Examples:
  In a cluster, or beside one:
    kubectl get --raw /openid/v1/jwks > jwks.json
    nanoseg receive --listen 0.0.0.0:4240 --tls-cert tls.crt --tls-key tls.key \\
      --token-jwks jwks.json --store flows.db

  Also from NATS JetStream:
    nanoseg receive --nats tls://nats.nats.svc:4222 --nats-nkey receiver.nk --nats-ca nats-ca.crt \\
      --tls-cert tls.crt --tls-key tls.key --token-jwks jwks.json --store flows.db

  Also what Cilium saw on all nodes, by Hubble Relay:
    nanoseg receive --hubble-relay hubble-relay.kube-system.svc:443 --hubble-tls-ca hubble-ca.crt \\
      --hubble-tls-server-name ui.hubble-relay.cilium.io --store flows.db \\
      --tls-cert tls.crt --tls-key tls.key --token-jwks jwks.json

  The graph of all records so far:
    nanoseg graph --flows flows.db --cluster cluster.yaml

  To try it on one machine:
    nanoseg receive --listen 127.0.0.1:4240 --insecure-no-tls --insecure-no-auth --store flows.db"
)]
pub struct Args {
    /// The address that agents connect to
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:4240")]
    listen: SocketAddr,

    /// The receiver's certificate chain (PEM; read again when it changes)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The key of the certificate (PEM; read again when it changes)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// The API server's keys, as `kubectl get --raw /openid/v1/jwks` prints them; read again when the
    /// file changes
    #[arg(long, value_name = "FILE")]
    token_jwks: Option<PathBuf>,

    /// An issuer that tokens may have (repeatable; default: any that signs with these keys)
    #[arg(long, value_name = "URL")]
    token_issuer: Vec<String>,

    /// The audience that tokens must have
    #[arg(long, value_name = "NAME", default_value = "nanoseg")]
    token_audience: String,

    /// A subject whose agents may send (repeatable)
    #[arg(
        long,
        value_name = "SUBJECT",
        default_value = "system:serviceaccount:nanoseg-agents:nanoseg-agent"
    )]
    allow_subject: Vec<String>,

    /// Accept tokens that name no node, for every node: who has one such token reports for the whole cluster. For
    /// tests
    #[arg(long)]
    allow_unbound_agents: bool,

    #[command(flatten)]
    nats: NatsArgs,

    #[command(flatten)]
    nats_stream: NatsStreamArgs,

    #[command(flatten)]
    hubble: HubbleSourceArgs,

    /// The SQLite file; created if it is missing
    #[arg(long, value_name = "FILE")]
    store: PathBuf,

    /// The address of /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    metrics_listen: SocketAddr,

    /// Do not use TLS; on a loopback address only
    #[arg(long, conflicts_with = "tls_cert")]
    insecure_no_tls: bool,

    /// Accept records from anybody; on a loopback address only
    #[arg(long, conflicts_with = "token_jwks")]
    insecure_no_auth: bool,

    #[command(flatten)]
    log: LogArgs,
}

impl Args {
    pub fn log_format(&self) -> LogFormat {
        self.log.log
    }
}

/// NATS JetStream, for agents and receivers alike.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "NATS JetStream")]
pub struct NatsArgs {
    /// Use NATS JetStream at these servers, with commas between (nats://host:4222 or tls://…)
    #[arg(long, env = "NANOSEG_NATS", value_name = "URL")]
    nats: Option<String>,

    /// NATS credentials (.creds)
    #[arg(long, env = "NANOSEG_NATS_CREDENTIALS", value_name = "FILE", conflicts_with_all = ["nats_user", "nats_token"])]
    nats_credentials: Option<PathBuf>,

    /// The file of the seed of the NATS user's nkey (SU…)
    #[arg(long, env = "NANOSEG_NATS_NKEY", value_name = "FILE", conflicts_with_all = ["nats_credentials", "nats_user", "nats_token"])]
    nats_nkey: Option<PathBuf>,

    /// NATS user
    #[arg(
        long,
        env = "NANOSEG_NATS_USER",
        value_name = "NAME",
        requires = "nats_password",
        conflicts_with = "nats_token"
    )]
    nats_user: Option<String>,

    /// The file of the NATS user's password
    #[arg(
        long,
        env = "NANOSEG_NATS_PASSWORD",
        value_name = "FILE",
        requires = "nats_user"
    )]
    nats_password: Option<PathBuf>,

    /// The file of a NATS token
    #[arg(long, env = "NANOSEG_NATS_TOKEN", value_name = "FILE")]
    nats_token: Option<PathBuf>,

    /// The certificate authority of the NATS server (PEM); it makes TLS required
    #[arg(long, env = "NANOSEG_NATS_CA", value_name = "FILE")]
    nats_ca: Option<PathBuf>,

    /// The client certificate for NATS (PEM)
    #[arg(
        long,
        env = "NANOSEG_NATS_CERT",
        value_name = "FILE",
        requires = "nats_key"
    )]
    nats_cert: Option<PathBuf>,

    /// The key of the client certificate for NATS (PEM)
    #[arg(
        long,
        env = "NANOSEG_NATS_KEY",
        value_name = "FILE",
        requires = "nats_cert"
    )]
    nats_key: Option<PathBuf>,

    /// What the own inboxes begin with; only this user may be allowed to listen there (default:
    /// _INBOX_nanoseg.receiver, or _INBOX_nanoseg.agent.NODE)
    #[arg(long, env = "NANOSEG_NATS_INBOX", value_name = "PREFIX", value_parser = parse_inbox)]
    nats_inbox: Option<String>,

    /// Allow a NATS server beyond this machine without TLS: anybody on the way can read and use tokens. For tests
    #[arg(long, env = "NANOSEG_NATS_INSECURE")]
    nats_insecure: bool,
}

/// `nanoseg.agent`: a subject's part without wildcards.
fn parse_inbox(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-=".contains(&b))
    };
    if text.split('.').all(is_part) {
        return Ok(text.to_owned());
    }
    Err("write letters, digits, - and _, with dots between, for example _INBOX_a".into())
}

/// The streams that a receiver creates.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "NATS JetStream")]
pub struct NatsStreamArgs {
    /// Do not create the streams NANOSEG_FLOWS and NANOSEG_REJECTED and the consumer if they are missing
    #[arg(long)]
    nats_no_create: bool,

    /// The most bytes of the stream on disk, if it is created; when it is full, agents wait
    #[arg(long, value_name = "BYTES", default_value_t = StreamSettings::default().max_bytes)]
    nats_max_bytes: i64,

    /// The most batches of one node in the stream, if it is created; that node's agent waits then, and no other
    #[arg(long, value_name = "NUMBER", default_value_t = StreamSettings::default().max_per_node,
          value_parser = clap::value_parser!(i64).range(1..=10_000))]
    nats_max_per_node: i64,

    /// Replicas of the stream, if it is created
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    nats_replicas: usize,
}

impl NatsArgs {
    /// The servers, as they were given.
    pub fn servers(&self) -> Option<&str> {
        self.nats.as_deref()
    }

    /// The settings; `None` without --nats. `stream`: of a receiver.
    pub fn settings(self, stream: Option<NatsStreamArgs>) -> Option<NatsSettings> {
        let auth = match (
            self.nats_credentials.map(NatsAuth::Credentials),
            self.nats_nkey.map(NatsAuth::Nkey),
            self.nats_user.zip(self.nats_password),
            self.nats_token,
        ) {
            (Some(auth), ..) | (_, Some(auth), ..) => auth,
            (_, _, Some((user, password)), _) => NatsAuth::Password { user, password },
            (.., Some(path)) => NatsAuth::Token(path),
            _ => NatsAuth::None,
        };
        let stream = stream.filter(|stream| !stream.nats_no_create);
        Some(NatsSettings {
            servers: self.nats?,
            auth,
            ca: self.nats_ca,
            identity: self.nats_cert.zip(self.nats_key),
            inbox: self.nats_inbox,
            insecure: self.nats_insecure,
            stream: stream.map(|stream| StreamSettings {
                max_bytes: stream.nats_max_bytes,
                max_per_node: stream.nats_max_per_node,
                replicas: stream.nats_replicas,
                ..StreamSettings::default()
            }),
        })
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    crate::agent::keep_small();
    let settings = settings(args)?;
    log_start(&settings);
    crate::listen::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(receive(settings))?;
    Ok(ExitCode::SUCCESS)
}

/// The first line of the log: what runs, and how it was set up; files by their names, and no secret.
fn log_start(settings: &ReceiverSettings) {
    let nats = settings.nats.as_ref();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        store = %settings.store.display(),
        listen = %settings.listen,
        tls = settings.tls.is_some(),
        tokens = settings.tokens.is_some(),
        nats = nats.map(|nats| without_user(&nats.servers)),
        hubble = settings.hubble.as_ref().map(|hubble| &*hubble.relay.address),
        metrics_listen = %settings.metrics_listen,
        "nanoseg receive starts"
    );
}

fn settings(args: Args) -> anyhow::Result<ReceiverSettings> {
    if (args.insecure_no_tls || args.insecure_no_auth) && !args.listen.ip().is_loopback() {
        bail!(
            "failed to listen on {} without TLS or tokens: that is for loopback addresses only; give \
             --listen 127.0.0.1:4240, or --tls-cert, --tls-key and --token-jwks",
            args.listen
        );
    }
    let tls = match (args.tls_cert, args.tls_key) {
        (Some(certificate), Some(key)) => Some(ServerTls { certificate, key }),
        _ if args.insecure_no_tls => None,
        _ => bail!("failed to listen without a certificate; give --tls-cert and --tls-key"),
    };
    let tokens = match args.token_jwks {
        Some(jwks) => Some(TokenSettings {
            jwks,
            rules: TokenRules {
                issuers: args.token_issuer.into_iter().collect(),
                audience: args.token_audience,
                subjects: args.allow_subject.into_iter().collect(),
                allow_unbound: args.allow_unbound_agents,
            },
        }),
        None if args.insecure_no_auth => None,
        None => bail!(
            "failed to authenticate agents without the API server's keys; give --token-jwks with the output of \
             `kubectl get --raw /openid/v1/jwks`"
        ),
    };
    let nats = args.nats.settings(Some(args.nats_stream));
    if let Some(nats) = &nats
        && tokens.is_none()
        && !nats.is_local()
    {
        bail!(
            "failed to take batches from NATS at {} without tokens: that is for a server on this machine only; give \
             --token-jwks",
            nats.servers
        );
    }
    Ok(ReceiverSettings {
        listen: args.listen,
        tls,
        tokens,
        nats,
        hubble: args.hubble.source()?,
        metrics_listen: args.metrics_listen,
        store: args.store,
    })
}

async fn receive(settings: ReceiverSettings) -> anyhow::Result<()> {
    let store = settings.store.display().to_string();
    let mut terminate = signal(SignalKind::terminate()).context("failed to await signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to await signals")?;
    let receiver = Receiver::start(settings).await?;
    eprintln!(
        "receiving on {} into {store} · metrics on http://{}/metrics",
        receiver.local_addr(),
        receiver.metrics_addr()
    );
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopping: storing the records that have arrived");
        let _ = stop.send(true);
    });
    receiver.run(stopped).await?;
    Ok(())
}
