//! Why something could not be loaded.

#[cfg(feature = "cluster")]
use super::api_error::ApiError;
use crate::cluster::ClusterError;
#[cfg(feature = "cluster")]
use crate::cluster::live::{ConnectError, SnapshotError};
use crate::evaluate::EvaluateError;
use crate::observe::ObserveError;
use crate::observe::flow_log::FlowLogError;
#[cfg(feature = "cluster")]
use crate::store::{FlowStoreError, ReviewStoreError};
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// Why something could not be loaded, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Manifests(#[from] ClusterError),
    #[error(transparent)]
    Captures(#[from] ObserveError),
    #[error("failed to read captures")]
    ReadCaptures(#[source] ObserveError),
    /// No packet of any capture could be decoded (rule: undecodable-capture).
    #[error("failed to read any traffic: {0}")]
    Undecodable(String),
    #[error(transparent)]
    FlowLogs(#[from] FlowLogError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    FlowStore(#[from] FlowStoreError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    State(#[from] ReviewStoreError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[cfg(feature = "cluster")]
    #[error("{0}, or a snapshot of the cluster with --cluster FILE")]
    NoCluster(ConnectError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Api(#[from] ApiError),
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What was asked for needs the feature `cluster`.
    #[error(
        "{0}; this nanoseg was built without the feature `cluster` (--no-default-features): use a build that has it, or files"
    )]
    WithoutCluster(String),
    /// A file, or a part of one.
    #[error("failed to read {what}; {advice}")]
    Unreadable {
        what: String,
        advice: &'static str,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("no pods in {0}: take the snapshot with nanoseg snapshot --out cluster.yaml")]
    NoPods(String),
    #[error(
        "{}@{node}: the cluster has no node {node:?}; it has: {known}", path.display()
    )]
    UnknownNode {
        path: PathBuf,
        node: String,
        known: String,
    },
    #[error("no *.json in {0}: make scans with trivy image -f json -o scan.json IMAGE")]
    NoScans(PathBuf),
    #[error(
        "--from and --to need --state, --capture or --flows: a generated folder is about its whole time only"
    )]
    PeriodOfGenerated,
    #[error(
        "--from and --to need --state: what the controller publishes is about its whole time only; copy its state with \
         nanoseg controller backup (nanoseg report --help)"
    )]
    PeriodOfPublished,
    #[error(
        "failed to read what the controller publishes: {0}; is the controller in another --controller-namespace, and do you \
         have the role nanoseg-viewer there?"
    )]
    NotPublished(String),
    #[error(
        "the snapshots that the folder was generated from are not here; name them with --cluster"
    )]
    NoSnapshots,
    #[error("failed to judge {what}")]
    Judge {
        what: &'static str,
        source: EvaluateError,
    },
    /// `at` is where in the files the policy is (`file:line: `), or empty.
    #[error("{at}{error}; correct it, the API server refuses it as well")]
    InvalidPolicy { at: String, error: EvaluateError },
    #[error("failed to find the current folder")]
    CurrentFolder(#[source] io::Error),
    #[error("failed to start; is the process out of file descriptors?")]
    Runtime(#[source] io::Error),
    #[error("failed to start a thread")]
    Thread(#[source] io::Error),
}

impl LoadError {
    /// `what` could not be read: a path, or a part of a file in words.
    pub(super) fn unreadable(
        what: impl ToString,
        advice: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> LoadError {
        LoadError::Unreadable {
            what: what.to_string(),
            advice,
            source: source.into(),
        }
    }
}
