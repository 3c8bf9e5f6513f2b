//! From a command's result to the process's exit code.

use std::io;
use std::process::ExitCode;

/// Findings that need a decision, or excess beyond the limit.
pub const FINDINGS: u8 = 1;
/// Bad input or a failure.
pub const ERROR: u8 = 2;

/// Prints an error to stderr, with its causes, and returns the exit code.
pub fn code(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        // `nanoseg … | head` closes the pipe: nobody reads an error any more.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(ERROR)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
