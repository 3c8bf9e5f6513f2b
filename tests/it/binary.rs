//! What the integration tests share: running the real binary.

use std::ffi::OsString;
use std::process::Command;

/// One run of the binary.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// stdout as JSON, null if it is none.
    pub json: serde_json::Value,
}

/// Runs `nanoseg` with a fresh `--out` folder that is gone afterwards.
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
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
