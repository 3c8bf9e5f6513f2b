//! `nanoseg agent`: observes one node.

use super::hubble_relay::HubbleSourceArgs;
use super::process::without_user;
use super::receive::NatsArgs;
use super::sources::{self, InterfaceArg, LiveKind, open};
use super::terminal::{LogArgs, LogFormat};
use super::units::{parse_duration, parse_size};
use crate::agent::{self, NodeName, Patience, Settings, WireCodec};
use crate::observe::{AddressChanges, Pace};
use crate::wire::{Delivery, GrpcSettings};
use anyhow::Context;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Watch this node's traffic and send flow records to the receiver.
///
/// Runs on every node (a DaemonSet, see deploy/base/agent). Reads the kernel's connection tracking and the
/// packets of the node's pods, sends new flow records every window, and keeps them while the receiver is not
/// reachable.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The node's name, as kubectl get nodes shows it.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node: NodeName,
    /// The sources to watch.
    #[arg(long, env = "NANOSEG_SOURCE", value_enum, value_delimiter = ',', value_name = "SOURCE",
          default_values_t = [LiveKind::Conntrack, LiveKind::Capture])]
    source: Vec<LiveKind>,
    #[command(flatten)]
    interface: InterfaceArg,
    #[command(flatten)]
    hubble: HubbleSourceArgs,
    /// The receiver: https://HOST:PORT.
    #[arg(
        long,
        env = "NANOSEG_RECEIVER",
        value_name = "URL",
        required_unless_present = "nats",
        conflicts_with = "nats"
    )]
    receiver: Option<String>,
    /// The certificate authorities of the receiver (PEM).
    #[arg(long, env = "NANOSEG_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name in the receiver's certificate, if it differs from the host of --receiver.
    #[arg(long, env = "NANOSEG_SERVER_NAME", value_name = "NAME")]
    server_name: Option<String>,
    /// The ServiceAccount token by which the receiver authenticates the agent, over NATS too; read again when it
    /// changes.
    #[arg(long, env = "NANOSEG_TOKEN", value_name = "FILE")]
    token: Option<PathBuf>,
    /// Allow http:// and no token: anybody on the way can read and alter everything. For tests.
    #[arg(long, env = "NANOSEG_INSECURE")]
    insecure: bool,
    #[command(flatten)]
    nats: NatsArgs,
    /// The folder that keeps batches until the receiver has stored them. Without it they are kept in memory
    /// (8 MiB), and a restart loses them.
    #[arg(long, env = "NANOSEG_SPOOL", value_name = "DIR")]
    spool: Option<PathBuf>,
    /// The most disk space of the spool; when it is full, the oldest counts are merged.
    #[arg(long, env = "NANOSEG_SPOOL_MAX", value_name = "SIZE", default_value = "256MiB",
          value_parser = parse_spool_max)]
    spool_max: u64,
    /// How often flow records are sent; new edges are sent after a second.
    #[arg(long, env = "NANOSEG_WINDOW", value_name = "TIME", default_value = "10s",
          value_parser = parse_window)]
    window: Duration,
    /// The address of /metrics, /healthz and /readyz; "none" to serve none. On a node's network every other
    /// address is reachable from outside of the node.
    #[arg(long, env = "NANOSEG_METRICS_LISTEN", value_name = "ADDRESS:PORT",
          default_value = "127.0.0.1:9465", value_parser = parse_listen)]
    metrics_listen: Listen,
    #[command(flatten)]
    log: LogArgs,
}

impl Args {
    pub fn log_format(&self) -> LogFormat {
        self.log.log
    }
}

const EXAMPLES: &str = "\
Examples:
  As the DaemonSet runs it:
    nanoseg agent --node \"$NODE_NAME\" --receiver https://nanoseg-controller.nanoseg.svc:7443 \\
      --ca /etc/nanoseg/ca/ca.crt --token /var/run/secrets/nanoseg/token \\
      --spool /var/lib/nanoseg/spool

  Through NATS JetStream, as deploy/overlays/nats runs it:
    nanoseg agent --node \"$NODE_NAME\" --nats tls://nats.nats.svc:4222 \\
      --nats-nkey /etc/nanoseg/nats/nats.nk --nats-ca /etc/nanoseg/nats-ca/ca.crt \\
      --token /var/run/secrets/nanoseg/token --spool /var/lib/nanoseg/spool

  On a Cilium node, with what the node's own Cilium agent saw:
    nanoseg agent --node node-1 --source capture \\
      --hubble-relay unix:///var/run/cilium/hubble.sock \\
      --receiver https://receiver:4240 --ca ca.crt --token token

  Only connection tracking:
    nanoseg agent --node node-1 --source conntrack \\
      --receiver https://receiver:4240 --ca ca.crt --token token

Every option can be given as an environment variable too. SIGTERM ends the agent in order: all observations so
far are in the spool, and are sent if the receiver accepts them within 5 s.

Exit codes: 0 ended by a signal; 2 an error at start.";

/// An address, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listen(Option<SocketAddr>);

fn parse_listen(text: &str) -> Result<Listen, String> {
    if text == "none" {
        return Ok(Listen(None));
    }
    let wrong = "write an address and a port, for example 127.0.0.1:9465";
    // The DaemonSet puts the node's address before the port, and an IPv6 address comes without brackets there.
    let (address, port) = text.rsplit_once(':').ok_or(wrong)?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = IpAddr::from_str(address).map_err(|_| wrong)?;
    let port = port.parse().map_err(|_| wrong)?;
    Ok(Listen(Some(SocketAddr::new(address, port))))
}

/// A smaller bound than the batches that may be in flight would not be one.
const LEAST_SPOOL: u64 = 32 << 20;

fn parse_spool_max(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size < LEAST_SPOOL => Err("at least 32MiB are needed".to_owned()),
        size => Ok(size),
    }
}

pub(super) fn parse_window(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        window if window < Duration::from_secs(1) => Err("a window has at least 1s".to_owned()),
        window if window > Duration::from_secs(600) => Err("a window has at most 10m".to_owned()),
        window => Ok(window),
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    agent::keep_small();
    log_start(&args);
    crate::listen::raise_descriptor_limit();
    let delivery = delivery(&args)?;
    let address_changes = AddressChanges::default();
    let mut kinds = args.source.clone();
    kinds.sort();
    kinds.dedup();
    let interfaces = args.interface.interfaces();
    let hubble = args.hubble.source()?;
    let mut wanted: Vec<_> = kinds
        .into_iter()
        .map(|kind| open(kind, interfaces.clone(), address_changes.clone()))
        .collect();
    wanted.extend(hubble.map(|source| sources::hubble(source, &args.node.to_string())));
    let settings = Settings {
        node: args.node.clone(),
        pace: Pace {
            window: args.window,
            ..Pace::default()
        },
        spool: args.spool.clone(),
        limits: agent::limits(args.spool_max),
        listen: args.metrics_listen.0,
        patience: Patience::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_stack_size(512 * 1024)
        .build()
        .context("failed to start; raise the limits of open files and processes")?;
    runtime.block_on(async {
        let mut terminate =
            signal(SignalKind::terminate()).context("failed to wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to wait for SIGINT")?;
        let end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        agent::run(settings, wanted, delivery, WireCodec, end).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The first line of the log: what runs, and how it was set up; files by their names, and no secret.
fn log_start(args: &Args) {
    let sources: Vec<String> = args.source.iter().map(ToString::to_string).collect();
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = %args.node,
        sources = sources.join(","),
        hubble = args.hubble.address(),
        receiver = args.receiver.as_deref().map(without_user),
        nats = args.nats.servers().map(without_user),
        ca = path(&args.ca),
        token = path(&args.token),
        insecure = args.insecure,
        spool = path(&args.spool),
        spool_max_bytes = args.spool_max,
        window = format!("{}s", args.window.as_secs()),
        metrics_listen = args.metrics_listen.0.map(|address| address.to_string()),
        "nanoseg agent starts"
    );
}

/// The connection to the receiver; checks its files.
fn delivery(args: &Args) -> anyhow::Result<Delivery> {
    anyhow::ensure!(
        args.token.is_some() || args.insecure,
        "no --token: the receiver accepts nobody without one; give the file of a ServiceAccount token"
    );
    if let Some(settings) = args.nats.clone().settings(None) {
        let (node, token) = (args.node.to_string(), args.token.clone());
        return Ok(Delivery::nats(settings, &node, token)?);
    }
    Ok(Delivery::grpc(GrpcSettings {
        endpoint: args.receiver.clone().unwrap_or_default(),
        insecure: args.insecure,
        ca: args.ca.clone(),
        server_name: args.server_name.clone(),
        token: args.token.clone(),
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_metrics_may_be_an_ipv6_address_without_brackets() {
        let address = |text: &str| parse_listen(text).map(|listen| listen.0.map(|a| a.to_string()));
        assert_eq!(address("fd00::1:9465"), Ok(Some("[fd00::1]:9465".into())));
        assert_eq!(address("[fd00::1]:9465"), Ok(Some("[fd00::1]:9465".into())));
        assert_eq!(address("192.0.2.1:9465"), Ok(Some("192.0.2.1:9465".into())));
        assert_eq!(address("none"), Ok(None));
        for wrong in [
            "",
            "9465",
            ":9465",
            "node:9465",
            "192.0.2.1",
            "192.0.2.1:",
            "192.0.2.1:99999",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
