//! The kubeconfig and the context to use. `live` makes the client.

use std::path::PathBuf;

/// Which cluster to use, and as which user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectSettings {
    /// `--kubeconfig`: only this file.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`; `None`: the current context of the file.
    pub context: Option<String>,
}
