//! Room 6: the command line. One file per subcommand; the only room that prints.
//!
//! stdout is for results, stderr for progress, findings and logs. Exit codes: 0 fine, 1 findings that
//! need a decision (or excess beyond the limit), 2 an error.

mod access;
#[cfg(feature = "cluster")]
mod agent;
#[cfg(feature = "cluster")]
mod approve;
mod baseline;
#[cfg(feature = "cluster")]
mod ceilings;
pub mod connectivity;
#[cfg(feature = "cluster")]
mod controller;
#[cfg(feature = "cluster")]
pub mod crd;
#[cfg(feature = "cluster")]
mod decision;
mod dialect;
mod diff;
mod exit;
mod explain;
mod generate;
mod graph;
#[cfg(feature = "cluster")]
mod hubble_relay;
mod network_plugin;
mod notices;
#[cfg(feature = "cluster")]
mod observe;
#[cfg(feature = "cluster")]
mod pager;
mod period;
mod policies;
#[cfg(feature = "cluster")]
mod probe;
#[cfg(feature = "cluster")]
mod probe_connect;
mod process;
mod progress;
#[cfg(feature = "cluster")]
mod proposals;
#[cfg(feature = "cluster")]
mod receive;
#[cfg(feature = "cluster")]
mod record;
#[cfg(feature = "cluster")]
mod report;
#[cfg(feature = "cluster")]
mod review;
mod risk;
#[cfg(feature = "cluster")]
mod rollback;
#[cfg(feature = "cluster")]
mod snapshot;
#[cfg(feature = "cluster")]
mod sources;
#[cfg(feature = "cluster")]
mod status;
mod style;
mod terminal;
mod traffic;
#[cfg(feature = "cluster")]
mod ui;
#[cfg(feature = "cluster")]
mod units;
mod verify;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use process::{leak, program};
use std::process::ExitCode;

/// Network nano-segmentation for Kubernetes: observed traffic in, proven minimal NetworkPolicies out.
#[derive(Debug, Parser)]
#[command(
    name = "nanoseg",
    version,
    max_term_width = 100,
    propagate_version = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more to stderr (-v info, -vv debug); NANOSEG_LOG takes a filter as RUST_LOG does.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(generate::Args),
    Graph(graph::Args),
    Connectivity(connectivity::ConnectivityArgs),
    #[cfg(feature = "cluster")]
    Snapshot(Box<snapshot::Args>),
    #[cfg(feature = "cluster")]
    Observe(Box<observe::Args>),
    #[cfg(feature = "cluster")]
    Agent(Box<agent::Args>),
    #[cfg(feature = "cluster")]
    Receive(Box<receive::Args>),
    #[cfg(feature = "cluster")]
    Controller(Box<controller::Args>),
    #[cfg(feature = "cluster")]
    Status(Box<status::Args>),
    #[cfg(feature = "cluster")]
    Proposals(Box<proposals::Args>),
    #[cfg(feature = "cluster")]
    Review(Box<review::Args>),
    #[cfg(feature = "cluster")]
    Approve(Box<approve::ApproveArgs>),
    #[cfg(feature = "cluster")]
    Reject(Box<approve::RejectArgs>),
    #[cfg(feature = "cluster")]
    Rollback(Box<rollback::Args>),
    Explain(Box<explain::Args>),
    Verify(Box<verify::Args>),
    Diff(Box<diff::Args>),
    Baseline(Box<baseline::Args>),
    #[cfg(feature = "cluster")]
    Probe(Box<probe::Args>),
    #[cfg(feature = "cluster")]
    ProbeConnect(Box<probe_connect::Args>),
    #[cfg(feature = "cluster")]
    Record(record::Args),
    #[cfg(feature = "cluster")]
    Report(Box<report::Args>),
    #[cfg(feature = "cluster")]
    Ui(Box<ui::Args>),
    #[cfg(feature = "cluster")]
    Crd(crd::Args),
}

impl Command {
    fn log(&self) -> terminal::Log {
        match self {
            #[cfg(feature = "cluster")]
            Command::Agent(args) => terminal::Log::Service(args.log_format()),
            #[cfg(feature = "cluster")]
            Command::Receive(args) => terminal::Log::Service(args.log_format()),
            #[cfg(feature = "cluster")]
            Command::Controller(args) => terminal::Log::Service(args.log_format()),
            _ => terminal::Log::Command,
        }
    }
}

/// Checks that `arguments` (without the program's name) are a valid command line.
///
/// # Errors
/// Clap's error message.
pub fn check<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let all = std::iter::once("nanoseg").chain(arguments);
    Cli::try_parse_from(all)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Runs the command line and returns the exit code.
pub fn run() -> ExitCode {
    let parsed = Cli::command()
        .bin_name(program())
        .try_get_matches()
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // Help and version go to stdout with 0, usage errors to stderr with 2: clap's own way.
        Err(error) => error.exit(),
    };
    terminal::start_logging(cli.verbose, cli.command.log());
    let result = match cli.command {
        Command::Generate(args) => generate::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Connectivity(args) => connectivity::run(&args),
        #[cfg(feature = "cluster")]
        Command::Snapshot(args) => snapshot::run(&args),
        #[cfg(feature = "cluster")]
        Command::Observe(args) => observe::run(*args),
        #[cfg(feature = "cluster")]
        Command::Agent(args) => agent::run(*args),
        #[cfg(feature = "cluster")]
        Command::Receive(args) => receive::run(*args),
        #[cfg(feature = "cluster")]
        Command::Controller(args) => controller::run(*args),
        #[cfg(feature = "cluster")]
        Command::Status(args) => status::run(&args),
        #[cfg(feature = "cluster")]
        Command::Proposals(args) => proposals::run(&args),
        #[cfg(feature = "cluster")]
        Command::Review(args) => review::run(&args),
        #[cfg(feature = "cluster")]
        Command::Approve(args) => approve::approve(&args),
        #[cfg(feature = "cluster")]
        Command::Reject(args) => approve::reject(&args),
        #[cfg(feature = "cluster")]
        Command::Rollback(args) => rollback::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Baseline(args) => baseline::run(&args),
        #[cfg(feature = "cluster")]
        Command::Probe(args) => probe::run(&args),
        #[cfg(feature = "cluster")]
        Command::ProbeConnect(args) => probe_connect::run(&args),
        #[cfg(feature = "cluster")]
        Command::Record(args) => record::run(&args),
        #[cfg(feature = "cluster")]
        Command::Report(args) => report::run(&args),
        #[cfg(feature = "cluster")]
        Command::Ui(args) => ui::run(&args),
        #[cfg(feature = "cluster")]
        Command::Crd(args) => crd::run(&args),
    };
    exit::code(result)
}
