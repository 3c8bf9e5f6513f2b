//! Why captures cannot be read at all. Damage inside a capture is no error but a finding.

use std::io;
use std::path::PathBuf;

/// Why a set of captures cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error("failed to open capture {path}; check the path and its permissions")]
    Open { path: PathBuf, source: io::Error },
    #[error("failed to list folder {path}; check the path and its permissions")]
    List { path: PathBuf, source: io::Error },
    #[error(
        "failed to read capture {path}: {reason}; give a file that tcpdump -w or dumpcap wrote"
    )]
    NotACapture { path: PathBuf, reason: String },
    #[error(
        "failed to find captures: no capture file in {paths}; give a file that tcpdump -w or dumpcap wrote, or its folder"
    )]
    NoCaptures { paths: String },
    #[error("failed to read standard input twice: `-` was given more than once; give it once")]
    StdinTwice,
}
