//! Why something could not be loaded.

use crate::cluster::ClusterError;
use crate::cluster::live::ConnectError;
use crate::evaluate::EvaluateError;
use crate::observe::ObserveError;
use crate::observe::flow_log::FlowLogError;
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
    #[error(transparent)]
    FlowLogs(#[from] FlowLogError),
    #[error(transparent)]
    FlowStore(#[from] FlowStoreError),
    #[error(transparent)]
    State(#[from] ReviewStoreError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}, or a snapshot of the cluster with --cluster FILE")]
    NoCluster(ConnectError),
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A file, or a part of one.
    #[error("failed to read {what}; {advice}")]
    Unreadable {
        what: String,
        advice: &'static str,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("no pods in {0}: make the snapshot with kubectl get pods,… -A -o yaml")]
    NoPods(String),
    #[error("no *.json in {0}: make scans with trivy image -f json -o scan.json IMAGE")]
    NoScans(PathBuf),
    #[error(
        "--from and --to need --state, --capture or --flows: a generated folder is about its whole time only"
    )]
    PeriodOfGenerated,
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

/// Why the API server did not do what was asked. `what` is what was tried: `list pods`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(
        "failed to {what}: the API server does not know you ({message}); log in again, or choose another context with --context"
    )]
    Unauthenticated { what: String, message: String },
    #[error(
        "failed to {what}: not permitted: {message}; ask for the role nanoseg-viewer to read, nanoseg-operator to decide, or nanoseg-reader to look at the whole cluster (deploy/base/access)"
    )]
    Forbidden { what: String, message: String },
    /// The roles of nanoseg do not give this right: it is about the whole cluster.
    #[error(
        "failed to {what}: not permitted: {message}; what policies allow depends on the pods, namespaces and \
         NetworkPolicies of the whole cluster: ask for the right to list them, or for a snapshot to give with --cluster"
    )]
    ForbiddenCluster { what: String, message: String },
    #[error(
        "failed to {what}: this cluster does not have nanoseg's custom resources; install them with: nanoseg crd | kubectl apply --server-side -f -"
    )]
    NoResources { what: String },
    #[error("failed to {what}: {message}")]
    Refused { what: String, message: String },
    #[error(
        "failed to {what}: no answer from the API server; is the kubeconfig's server right and reachable?"
    )]
    NoAnswer {
        what: String,
        source: Box<kube::Error>,
    },
}

impl ApiError {
    /// Classifies an error of the client. `what` is what was tried.
    pub fn new(error: kube::Error, what: impl Into<String>) -> ApiError {
        let what = what.into();
        let kube::Error::Api(status) = error else {
            let source = Box::new(error);
            return ApiError::NoAnswer { what, source };
        };
        let (code, message) = (status.code, status.message.clone());
        match code {
            401 => ApiError::Unauthenticated { what, message },
            403 => ApiError::Forbidden { what, message },
            // The path itself is unknown: there is no such resource.
            404 if message.starts_with("404 page not found") => ApiError::NoResources { what },
            _ => ApiError::Refused { what, message },
        }
    }
}
