//! `nanoseg ui`: the review page.

mod decider;

use super::access::{AccessArgs, ControllerArgs};
use super::network_plugin::NetworkPluginArgs;
use super::notices::Stderr;
use super::risk::RiskArgs;
use crate::load::page::{FolderSource, PageSource, Views, read_folder};
use crate::web::{Decide, Server, Shown};
use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::sync::watch;

/// Open the review page in a browser: map, proposals, workloads, risks, what-if analysis, record
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Open the review page in a browser: the map of the traffic, proposals with their effects, each workload's blast \
radius, vulnerabilities near the internet, what a policy would break, and the record.

With a cluster the page acts as you, with your kubeconfig: decisions are made in your name, and RBAC decides what \
you may do. With a folder that nanoseg generate wrote it works offline. It listens on this machine's loopback only, \
and requires the random token in the URL that it prints.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// A folder that nanoseg generate wrote, instead of a cluster
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Snapshots of the cluster for DIR, or the word live (default: those that it was generated from, if they exist).
    #[arg(long, value_name = "FILE|DIR|live", num_args = 1.., requires = "folder")]
    cluster: Vec<PathBuf>,
    /// Recorded flows for the map (default: the graph that the controller publishes, else the evidence of the
    /// proposals).
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., conflicts_with = "folder")]
    flows: Vec<PathBuf>,
    /// A copy of the controller's state (nanoseg.sqlite), for volume by the hour and for the whole record (default:
    /// the part that the controller publishes).
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    risk: RiskArgs,
    #[command(flatten)]
    network_plugin: NetworkPluginArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    controller: ControllerArgs,
    /// The port to listen on, on 127.0.0.1 (default: a free one).
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Print the URL and do not open a browser.
    #[arg(long)]
    no_browser: bool,
}

const EXAMPLES: &str = "\
Examples:
  The cluster of the current context:
    nanoseg ui

  A generated folder, offline:
    nanoseg ui policies-out

  Workloads with known vulnerabilities that the internet reaches, and images that nobody approved:
    nanoseg ui policies-out --vulnerabilities scans/ --approved-registry registry.example

  On a machine without a browser, over SSH:
    nanoseg ui --no-browser --port 7077        # there
    ssh -L 7077:127.0.0.1:7077 machine         # here, then open the printed URL

Exit codes: 2 an error. The command runs until Ctrl-C.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (views, decider) = open(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start; is the process out of file descriptors?")?;
    runtime.block_on(serve(args, views.receiver, decider))?;
    Ok(ExitCode::SUCCESS)
}

/// The views that the options name, and what decides; a folder has nothing to decide.
fn open(args: &Args) -> anyhow::Result<(Views, Option<Arc<dyn Decide>>)> {
    let risk = args.risk.source();
    if let Some(folder) = &args.folder {
        let source = FolderSource {
            folder,
            cluster: &args.cluster,
            connect: &args.access.settings(),
            state: args.state.as_deref(),
            risk: &risk,
            enforcement: args.network_plugin.everywhere(),
            network_plugin: args.network_plugin.profile(),
        };
        let view = read_folder(source, &Stderr::new())?;
        return Ok((Views::fixed(view), None));
    }
    let source = PageSource {
        connect: args.access.settings(),
        flows: args.flows.clone(),
        state: args.state.clone(),
        risk,
        service_enforcement: args.network_plugin.ports(),
        network_plugin: args.network_plugin.profile(),
        controller_namespace: args.controller.controller_namespace.clone(),
    };
    let views = Views::watch(source, Arc::new(Stderr::new()))?;
    Ok((
        views,
        Some(Arc::new(decider::KubeDecider::new(args.access.clone()))),
    ))
}

async fn serve(
    args: &Args,
    views: watch::Receiver<Shown>,
    decider: Option<Arc<dyn Decide>>,
) -> anyhow::Result<()> {
    crate::listen::raise_descriptor_limit();
    let server = Server::bind(args.port)?;
    let url = server.url();
    super::terminal::print(&format!("{url}\n"))?;
    eprintln!("The URL is a key: anyone who has it may do what you may do. Press Ctrl-C to stop.");
    let _redirect = if args.no_browser {
        None
    } else {
        open_browser(&url)
    };
    tokio::select! {
        () = server.serve(views.clone(), decider) => Ok(()),
        () = ended(views) => anyhow::bail!("failed to go on: nothing follows the cluster any more; start it again"),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Waits until nobody makes new views. (rule: no-task-ends-unseen)
async fn ended(mut views: watch::Receiver<Shown>) {
    while views.changed().await.is_ok() {}
}

/// Opens the desktop's browser; without a desktop the printed URL remains. Other users of the machine see the arguments
/// of all programs, so the browser gets a file that only this user may read, and that redirects to the URL.
fn open_browser(url: &str) -> Option<NamedTempFile> {
    let redirect = redirect_to(url);
    if let Err(error) = &redirect {
        eprintln!("note: failed to write a file for the browser ({error}); open the URL yourself");
    }
    let redirect = redirect.ok()?;
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(program);
    command
        .arg(redirect.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if command.spawn().is_err() {
        eprintln!("note: failed to start {program}; open the URL yourself");
    }
    Some(redirect)
}

/// A file that redirects a browser to the URL; dropping the value deletes it.
fn redirect_to(url: &str) -> std::io::Result<NamedTempFile> {
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
