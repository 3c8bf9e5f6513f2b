//! Output to stdout, and logs on stderr.

use std::io::{self, IsTerminal, Write};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Returns true if results may be coloured: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
pub fn colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
}

/// Writes a result to stdout.
///
/// # Errors
/// If stdout is closed or full.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The kind of log that a command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Warnings, beside a result on stdout.
    Command,
    /// All that a service prints: with times, from level info on.
    Service(LogFormat),
}

/// The log of a service.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LogArgs {
    /// The format of logs; deploy/ gives json to agents and controllers, whose logs programs read
    #[arg(
        long,
        env = "NANOSEG_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log: LogFormat,
}

/// How a service's log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object per line
    Json,
}

/// Writes logs to stderr. NANOSEG_LOG takes a filter such as `info` or `nanoseg::wire=debug,warn`.
pub fn start_logging(verbose: u8, log: Log) {
    let level = match (verbose, log) {
        (0, Log::Command) => LevelFilter::WARN,
        (0, Log::Service(_)) | (1, Log::Command) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let wanted = std::env::var("NANOSEG_LOG").ok();
    let filter = wanted
        .and_then(|text| text.parse::<Targets>().ok())
        .unwrap_or_else(|| {
            Targets::new()
                .with_default(LevelFilter::WARN)
                .with_target("nanoseg", level)
        });
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !refused)
        .with_target(false);
    let registry = tracing_subscriber::registry();
    match log {
        Log::Command => registry
            .with(layer.without_time().with_filter(filter))
            .init(),
        Log::Service(LogFormat::Text) => registry.with(layer.with_filter(filter)).init(),
        Log::Service(LogFormat::Json) => registry
            .with(layer.json().flatten_event(true).with_filter(filter))
            .init(),
    }
}
