//! What stdout and stderr can show.

use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Whether results may be coloured: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
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

/// Sends logs to stderr.
pub fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("NANOSEG_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !refused)
        .without_time()
        .with_target(false)
        .init();
}
