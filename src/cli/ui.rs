//! `nanoseg ui`: the review page.

mod changes;
mod cluster;
mod desk;
mod evidence;
mod folder;
mod parts;
mod record;
mod scans;

use super::access::AccessArgs;
use super::published::ControllerArgs;
use super::risk::RiskArgs;
use super::service_enforcement::ServiceEnforcementArgs;
use crate::web::{Decide, Server, Shown};
use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::sync::watch;

/// Open the review page in a browser: map, proposals, workloads, risks, what if, record
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Open the review page in a browser: the map of who talks to whom, proposals with what they would do, each \
workload's blast radius, vulnerabilities that the internet gets near to, what a policy would break, and the record.

Against a cluster it acts as you, with your kubeconfig: decisions are yours, and RBAC says what you may do. With a \
folder that nanoseg generate wrote it works offline. It listens on this machine's loopback only, and needs the \
random token of the URL that it prints.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// A folder that nanoseg generate wrote, instead of a cluster
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Snapshots of the cluster for DIR (default: those that it was generated from, if they are there).
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., requires = "folder")]
    cluster: Vec<PathBuf>,
    /// Recorded flows for the map (default: the graph that the controller publishes, else the evidence of the
    /// proposals).
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., conflicts_with = "folder")]
    flows: Vec<PathBuf>,
    /// A copy of the controller's state (nanoseg.sqlite), for volume by the hour and for all of the record (default:
    /// what the controller publishes of it).
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    risk: RiskArgs,
    #[command(flatten)]
    service_enforcement: ServiceEnforcementArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    controller: ControllerArgs,
    /// The port to listen on, on 127.0.0.1 (default: a free one).
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Only print the URL.
    #[arg(long)]
    no_browser: bool,
}

const EXAMPLES: &str = "\
Examples:
  The cluster of the current context:
    nanoseg ui

  A generated folder, offline:
    nanoseg ui policies-out

  Which workloads with known vulnerabilities the internet reaches, and images that nobody approved:
    nanoseg ui policies-out --vulnerabilities scans/ --approved-registry registry.example

  On a machine without a browser, over SSH:
    nanoseg ui --no-browser --port 7077        # there
    ssh -L 7077:127.0.0.1:7077 machine         # here, then open the printed URL

Exit codes: 2 an error. It runs until it is stopped with Ctrl-C.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (views, desk): (_, Option<Arc<dyn Decide>>) = match &args.folder {
        Some(path) => {
            let enforcement = args.service_enforcement.everywhere();
            let state = args.state.as_deref();
            let view = folder::read(path, &args.cluster, state, &args.risk, enforcement)?;
            (cluster::Views::fixed(view), None)
        }
        None => {
            let views = cluster::Views::watch(args)?;
            (
                views,
                Some(Arc::new(desk::KubeDesk::new(args.access.clone()))),
            )
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start; is the process out of file descriptors?")?;
    runtime.block_on(serve(args, views.receiver, desk))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    args: &Args,
    views: watch::Receiver<Shown>,
    desk: Option<Arc<dyn Decide>>,
) -> anyhow::Result<()> {
    let server = Server::bind(args.port).await?;
    let url = server.url();
    super::terminal::print(&format!("{url}\n"))?;
    eprintln!("The URL is a key: who has it may do what you may do. Ctrl-C ends it.");
    let _way = if args.no_browser {
        None
    } else {
        open_browser(&url)
    };
    tokio::select! {
        ended = server.serve(views, desk) => Ok(ended?),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// As the desktop does it; where there is none the URL was printed. Other users of the machine see the arguments of
/// all programs, so the browser is given a file that only this user may read, and that leads there.
fn open_browser(url: &str) -> Option<NamedTempFile> {
    let way = lead_to(url);
    if let Err(error) = &way {
        eprintln!("note: failed to write a file that leads there ({error}); open the URL yourself");
    }
    let way = way.ok()?;
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(program);
    command
        .arg(way.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if command.spawn().is_err() {
        eprintln!("note: no {program} here; open the URL yourself");
    }
    Some(way)
}

/// A file that takes a browser to the URL, gone with the value.
fn lead_to(url: &str) -> std::io::Result<NamedTempFile> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.is_dir());
    let folder = folder.unwrap_or_else(std::env::temp_dir);
    let mut file = tempfile::Builder::new()
        .prefix("nanoseg-")
        .suffix(".html")
        .tempfile_in(folder)?;
    writeln!(
        file,
        "<!doctype html><title>nanoseg</title><meta http-equiv=\"refresh\" content=\"0; url={url}\">"
    )?;
    file.flush()?;
    Ok(file)
}
