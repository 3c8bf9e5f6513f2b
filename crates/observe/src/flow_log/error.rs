//! Why flow logs cannot be read at all. A bad line inside one is no error but a finding.

use crate::ObserveError;
use std::io;
use std::path::PathBuf;

/// Why a set of flow logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FlowLogError {
    #[error("failed to open flow log {path}; check the path and its permissions")]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "failed to read flow log {path}: {reason}; give a file in one of the forms of docs/flows.md"
    )]
    NotAFlowLog { path: PathBuf, reason: String },
    #[error(
        "failed to find flow logs: none in {paths}; give a file in one of the forms of docs/flows.md, or its folder"
    )]
    NoFlowLogs { paths: String },
    #[error(transparent)]
    Paths(#[from] ObserveError),
}
