//! Runs the real binary, for all integration tests.

use std::ffi::OsString;
use std::process::Command;

/// One run of the binary.
pub struct Run {
    pub code: Option<i32>,
    pub stderr: String,
    /// stdout as JSON, or null if it is not JSON.
    pub json: serde_json::Value,
}

/// Runs `nanoseg` with a new `--out` folder that is deleted afterwards.
pub fn nanoseg(args: impl IntoIterator<Item = OsString>) -> Run {
    let out = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(args)
        .arg("--out")
        .arg(out.path().join("policies-out"))
        .output()
        .expect("nanoseg runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Run {
        code: output.status.code(),
        json: serde_json::from_str(&stdout).unwrap_or_default(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
