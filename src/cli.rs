//! Room 6: the command line. One file per subcommand; the only room that prints.
//!
//! stdout is for results, stderr for progress, findings and logs. Exit codes: 0 fine, 1 findings that
//! need a decision (or excess beyond the limit), 2 an error.

mod access;
mod agent;
mod approve;
pub mod connectivity;
mod controller;
pub mod crd;
mod decision;
mod diff;
mod exit;
mod explain;
mod generate;
mod graph;
mod notices;
mod observe;
mod pager;
mod period;
mod policies;
mod process;
mod progress;
mod proposals;
mod receive;
mod record;
mod report;
mod review;
mod risk;
mod rollback;
mod service_enforcement;
mod sources;
mod status;
mod style;
mod terminal;
mod traffic;
mod ui;
mod units;
mod verify;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use process::{leak, program};
use std::process::ExitCode;
use terminal::LogFormat;

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
    Observe(Box<observe::Args>),
    Agent(Box<agent::Args>),
    Receive(Box<receive::Args>),
    Controller(Box<controller::Args>),
    Status(Box<status::Args>),
    Proposals(Box<proposals::Args>),
    Review(Box<review::Args>),
    Approve(Box<approve::ApproveArgs>),
    Reject(Box<approve::RejectArgs>),
    Rollback(Box<rollback::Args>),
    Explain(Box<explain::Args>),
    Verify(Box<verify::Args>),
    Diff(Box<diff::Args>),
    Record(record::Args),
    Report(Box<report::Args>),
    Ui(Box<ui::Args>),
    Crd(crd::Args),
}

impl Command {
    fn log(&self) -> terminal::Log {
        match self {
            Command::Generate(_)
            | Command::Graph(_)
            | Command::Connectivity(_)
            | Command::Observe(_)
            | Command::Status(_)
            | Command::Proposals(_)
            | Command::Review(_)
            | Command::Approve(_)
            | Command::Reject(_)
            | Command::Rollback(_)
            | Command::Explain(_)
            | Command::Verify(_)
            | Command::Record(_)
            | Command::Diff(_)
            | Command::Report(_)
            | Command::Ui(_)
            | Command::Crd(_) => terminal::Log::Command,
            Command::Agent(_) | Command::Receive(_) => terminal::Log::Service(LogFormat::Text),
            Command::Controller(args) => terminal::Log::Service(args.log_format()),
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
        Command::Observe(args) => observe::run(*args),
        Command::Agent(args) => agent::run(*args),
        Command::Receive(args) => receive::run(*args),
        Command::Controller(args) => controller::run(*args),
        Command::Status(args) => status::run(&args),
        Command::Proposals(args) => proposals::run(&args),
        Command::Review(args) => review::run(&args),
        Command::Approve(args) => approve::approve(&args),
        Command::Reject(args) => approve::reject(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Ui(args) => ui::run(&args),
        Command::Crd(args) => crd::run(&args),
    };
    exit::code(result)
}
