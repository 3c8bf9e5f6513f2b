//! `nanoseg controller`: proposes, enforces and rolls back policies, in the cluster.

mod backup;

use super::access::AccessArgs;
use super::ceilings::CeilingArgs;
use super::hubble_relay::HubbleSourceArgs;
use super::network_plugin::NetworkPluginArgs;
use super::process::without_user;
use super::receive::{NatsArgs, NatsStreamArgs};
use super::risk::ApprovedArgs;
use super::terminal::{LogArgs, LogFormat};
use super::units::parse_duration;
use crate::controller::{ControllerSettings, run as run_controller};
use crate::listen::ServerTls;
use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Propose, enforce and roll back policies in the cluster
#[derive(Debug, ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    long_about = "\
Propose, enforce and roll back policies in the cluster.

Watches the cluster, receives the observations of agents, and keeps a communication graph in one SQLite file. For \
each namespace with a Segmentation it proposes the policies that allow what was observed, and nothing else; \
people decide by ProposalDecisions (`nanoseg approve`); approved policies are written, and drift is repaired. \
Several replicas may run: the one that holds the Lease works, the others wait.

Exits with 0 on SIGTERM, and with 1 when it lost the Lease: it is meant to be restarted then.",
    after_long_help = "\
Examples:
  In a cluster, as deploy/ runs it:
    nanoseg controller --store /var/lib/nanoseg/nanoseg.sqlite \\
      --tls-cert /etc/nanoseg/tls/tls.crt --tls-key /etc/nanoseg/tls/tls.key --log json

  Beside a cluster, with a kubeconfig of the controller's ServiceAccount:
    nanoseg controller --kubeconfig nanoseg.kubeconfig --store nanoseg.sqlite \\
      --tls-cert tls.crt --tls-key tls.key --lease-namespace nanoseg

  On Cilium, with what it saw on all nodes, by Hubble Relay:
    nanoseg controller --store nanoseg.sqlite --tls-cert tls.crt --tls-key tls.key \\
      --hubble-relay hubble-relay.kube-system.svc:443 --hubble-tls-ca hubble-ca.crt \\
      --hubble-tls-server-name ui.hubble-relay.cilium.io

  GitOps: write approved policies to a folder that a GitOps tool commits, and none to the cluster:
    nanoseg controller --store nanoseg.sqlite --tls-cert tls.crt --tls-key tls.key \\
      --output-dir policies/"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<ControllerCommand>,

    #[command(flatten)]
    access: AccessArgs,

    /// The SQLite file of the controller's state; created if it is missing
    #[arg(long, env = "NANOSEG_STORE", value_name = "FILE", required = true)]
    store: Option<PathBuf>,

    /// Go on with a store that does not continue the published record: it was lost, restored from an older backup, or
    /// altered. Give it for one start only
    #[arg(long)]
    accept_new_state: bool,

    /// GitOps: write approved policies to this folder, and none to the cluster
    #[arg(long, env = "NANOSEG_OUTPUT_DIR", value_name = "FOLDER")]
    output_dir: Option<PathBuf>,

    #[command(flatten)]
    images: ApprovedArgs,

    #[command(flatten)]
    network_plugin: NetworkPluginArgs,

    #[command(flatten)]
    ceilings: CeilingArgs,

    /// How long deleted pods stay known, for records that arrive late: 90s, 15m, 24h, 7d
    #[arg(long, env = "NANOSEG_RETENTION", value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    retention: Duration,

    /// The address of /metrics, /livez and /readyz
    #[arg(
        long,
        env = "NANOSEG_METRICS_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:9090"
    )]
    metrics_listen: SocketAddr,

    #[command(flatten)]
    agents: AgentArgs,

    #[command(flatten)]
    hubble: HubbleSourceArgs,

    #[command(flatten)]
    election: ElectionArgs,

    #[command(flatten)]
    nats: NatsArgs,

    #[command(flatten)]
    nats_stream: NatsStreamArgs,

    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, clap::Subcommand)]
enum ControllerCommand {
    Backup(backup::Args),
}

/// Who may send flow records, and how.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Agents")]
struct AgentArgs {
    /// The address that agents connect to
    #[arg(
        long,
        env = "NANOSEG_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:7443"
    )]
    listen: SocketAddr,

    /// The certificate chain for agents (PEM; read again when it changes)
    #[arg(
        long,
        env = "NANOSEG_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,

    /// The key of the certificate (PEM; read again when it changes)
    #[arg(
        long,
        env = "NANOSEG_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,

    /// Do not use TLS; on a loopback address only
    #[arg(long, conflicts_with = "tls_cert")]
    insecure_no_tls: bool,

    /// The ServiceAccount of agents (repeatable)
    #[arg(
        long,
        env = "NANOSEG_AGENT_SERVICE_ACCOUNT",
        value_name = "NAMESPACE/NAME",
        value_delimiter = ',',
        value_parser = parse_account,
        default_value = "nanoseg-agents/nanoseg-agent"
    )]
    agent_service_account: Vec<String>,

    /// The audience that agents' tokens must have
    #[arg(
        long,
        env = "NANOSEG_TOKEN_AUDIENCE",
        value_name = "NAME",
        default_value = "nanoseg"
    )]
    token_audience: String,

    /// An issuer that agents' tokens may have (repeatable; default: the one that the API server names)
    #[arg(
        long,
        env = "NANOSEG_TOKEN_ISSUER",
        value_name = "URL",
        value_delimiter = ','
    )]
    token_issuer: Vec<String>,

    /// Accept tokens that name no node, for every node: who has one such token reports for the whole cluster. For
    /// tests
    #[arg(long)]
    allow_unbound_agents: bool,
}

/// Which replica works.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Leader election")]
struct ElectionArgs {
    /// The namespace of the Lease
    #[arg(
        long,
        env = "NANOSEG_LEASE_NAMESPACE",
        value_name = "NAME",
        default_value = "nanoseg"
    )]
    lease_namespace: String,

    /// The name of the Lease
    #[arg(
        long,
        env = "NANOSEG_LEASE_NAME",
        value_name = "NAME",
        default_value = "nanoseg-controller"
    )]
    lease_name: String,

    /// The name of this replica, such as the pod's (default: the host's name)
    #[arg(long, env = "NANOSEG_IDENTITY", value_name = "NAME")]
    identity: Option<String>,
}

/// `NAMESPACE/NAME` → the user name of that ServiceAccount.
fn parse_account(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(format!("system:serviceaccount:{namespace}:{name}"))
        }
        _ => Err("write a ServiceAccount as NAMESPACE/NAME".into()),
    }
}

impl Args {
    pub fn log_format(&self) -> LogFormat {
        self.log.log
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(ControllerCommand::Backup(args)) = &args.command {
        return backup::run(args);
    }
    crate::agent::keep_small();
    let settings = settings(args)?;
    log_start(&settings);
    crate::listen::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The Lease is renewed while the engine computes, also on one core.
        .worker_threads(
            std::thread::available_parallelism()
                .map_or(2, usize::from)
                .max(2),
        )
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    match runtime.block_on(control(settings)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("{error:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The first line of the log: what runs, and how it was set up; files by their names, and no secret.
fn log_start(settings: &ControllerSettings) {
    let nats = settings.nats.as_ref();
    let agents: Vec<&str> = settings.agents.iter().map(String::as_str).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity = settings.identity,
        lease = format!("{}/{}", settings.lease_namespace, settings.lease_name),
        store = %settings.store.display(),
        listen = %settings.listen,
        tls = settings.tls.is_some(),
        agents = agents.join(","),
        token_audience = settings.token_audience,
        allow_unbound_agents = settings.allow_unbound_agents,
        nats = nats.map(|nats| without_user(&nats.servers)),
        hubble = settings.hubble.as_ref().map(|hubble| &*hubble.relay.address),
        metrics_listen = %settings.metrics_listen,
        output = settings.output.as_ref().map(|path| path.display().to_string()),
        retention = format!("{}s", settings.retention.as_secs()),
        service_enforcement = ?settings.service_enforcement,
        network_plugin = ?settings.network_plugin.map(|said| said.to_string()),
        ceilings = ?settings.ceilings,
        accept_new_state = settings.accept_new_state,
        "nanoseg controller starts"
    );
}

fn settings(args: Args) -> anyhow::Result<ControllerSettings> {
    let agents = args.agents;
    let tls = match (agents.tls_cert, agents.tls_key) {
        (Some(certificate), Some(key)) => Some(ServerTls { certificate, key }),
        _ if agents.insecure_no_tls && agents.listen.ip().is_loopback() => None,
        _ if agents.insecure_no_tls => bail!(
            "failed to listen on {} without TLS: that is for loopback addresses only; give --tls-cert and --tls-key",
            agents.listen
        ),
        _ => bail!("failed to listen without a certificate; give --tls-cert and --tls-key"),
    };
    let host = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().to_owned()
    };
    Ok(ControllerSettings {
        connect: args.access.settings(),
        store: args.store.context("no --store FILE is given")?,
        accept_new_state: args.accept_new_state,
        listen: agents.listen,
        tls,
        agents: agents.agent_service_account.into_iter().collect(),
        token_audience: agents.token_audience,
        token_issuers: agents.token_issuer.into_iter().collect(),
        allow_unbound_agents: agents.allow_unbound_agents,
        nats: args.nats.settings(Some(args.nats_stream)),
        hubble: args.hubble.source()?,
        metrics_listen: args.metrics_listen,
        lease_namespace: args.election.lease_namespace,
        lease_name: args.election.lease_name,
        identity: args.election.identity.unwrap_or_else(host),
        retention: args.retention,
        output: args.output_dir,
        approved: args.images.approved(),
        service_enforcement: args.network_plugin.ports(),
        network_plugin: args.network_plugin.profile(),
        ceilings: args.ceilings.ceilings(),
    })
}

async fn control(settings: ControllerSettings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to await signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to await signals")?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: releasing the Lease");
        let _ = stop.send(true);
    });
    run_controller(settings, stopped).await?;
    Ok(())
}
