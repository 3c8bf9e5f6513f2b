//! The command line.

pub mod connectivity;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Observed traffic in, proven minimal NetworkPolicies out
#[derive(Debug, Parser)]
#[command(name = "nanoseg", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Connectivity(connectivity::ConnectivityArgs),
}

/// Runs the command line and returns the exit code.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Connectivity(args) => connectivity::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
