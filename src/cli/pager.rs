//! Long results through the operator's pager.

use super::terminal;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

/// Prints `text`: through `$PAGER` (default `less`) where stdout is a terminal that it does not fit into.
///
/// # Errors
/// If stdout is closed or full.
pub fn print(text: &str, paged: bool) -> io::Result<()> {
    let pager = if paged && io::stdout().is_terminal() && !fits(text) {
        start(std::env::var_os("PAGER"))
    } else {
        None
    };
    let Some(mut pager) = pager else {
        return terminal::print(text);
    };
    if let Some(mut input) = pager.stdin.take() {
        match input.write_all(text.as_bytes()) {
            // The user left the pager early.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    pager.wait().map(|_| ())
}

fn fits(text: &str) -> bool {
    let rows = crossterm::terminal::size().map_or(usize::MAX, |(_, rows)| usize::from(rows));
    text.lines().count() < rows
}

/// Starts the pager; `None` if there is none, or PAGER is `cat` or empty.
fn start(wanted: Option<OsString>) -> Option<Child> {
    let wanted = match wanted {
        Some(wanted) => wanted.into_string().ok()?,
        None => "less".to_owned(),
    };
    let mut words = wanted.split_whitespace();
    let program = words.next().filter(|program| *program != "cat")?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Keep colours, do not page what fits, do not clear the screen at the end: as git does.
        command.env("LESS", "FRX");
    }
    command.spawn().ok()
}
