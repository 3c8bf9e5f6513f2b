//! Which kubeconfig and which context to use. The client is made in `live`.

use std::path::PathBuf;

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectSettings {
    /// `--kubeconfig`: this file and no other.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`: `None` is the file's current one.
    pub context: Option<String>,
}
