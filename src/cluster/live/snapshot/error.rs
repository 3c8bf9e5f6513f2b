//! What a snapshot lacks, and why there is none.

use super::kinds::SnapshotKind;
use super::list::ListError;
use crate::cluster::ClusterError;
use std::fmt;

/// A kind that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// `nodes`, `deployments.apps`.
    pub kind: String,
    /// `None`: in all namespaces, or it is in none.
    pub namespace: Option<String>,
    pub(super) why: ListError,
    /// What is not known without it.
    pub meaning: &'static str,
}

impl Missing {
    /// `nodes`, `pods in shop`.
    pub fn what(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} in {namespace}", self.kind),
            None => self.kind.clone(),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what();
        match &self.why {
            ListError::Forbidden(message) => write!(f, "{what}: not permitted ({message})")?,
            ListError::Unknown => write!(f, "{what}: the API server does not have them")?,
            ListError::Failed(message) => write!(f, "{what}: failed to list them ({message})")?,
        }
        write!(f, "; {}", self.meaning)
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(
        "failed to list pods of all namespaces: not permitted: {0}; ask for the role nanoseg-reader \
         (deploy/base/access/reader.yaml), or name the namespaces that you may read with -n"
    )]
    Pods(String),
    #[error(
        "failed to list pods in namespace {namespace}: not permitted: {message}; ask for the role nanoseg-reader there"
    )]
    PodsOf { namespace: String, message: String },
    #[error(
        "failed to find namespace {0}: the cluster does not have it; see kubectl get namespaces"
    )]
    NoNamespace(String),
    #[error("failed to list {what}: {message}; is the kubeconfig's server right and reachable?")]
    Failed { what: String, message: String },
    #[error(transparent)]
    Read(#[from] ClusterError),
    #[error("failed to write the snapshot: {0}")]
    Write(String),
}

impl SnapshotError {
    pub(super) fn failed(kind: &SnapshotKind, message: String) -> SnapshotError {
        SnapshotError::Failed {
            what: kind.name(),
            message,
        }
    }

    pub(super) fn forbidden(namespace: Option<String>, message: String) -> SnapshotError {
        match namespace {
            Some(namespace) => SnapshotError::PodsOf { namespace, message },
            None => SnapshotError::Pods(message),
        }
    }
}
