//! Options of the commands that judge policies: where pods and policies come from.

use super::access::AccessArgs;
use crate::load::PolicySource;
use std::path::PathBuf;

/// Pods and policies: of a snapshot, else of the cluster.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PolicyArgs {
    /// Snapshots of the cluster, as nanoseg snapshot writes them and kubectl get … -o yaml prints them, or folders of
    /// manifests, instead of the cluster itself (the word live).
    #[arg(long, value_name = "FILE|DIR|live", num_args = 1..)]
    pub cluster: Vec<PathBuf>,
    /// NetworkPolicies to judge instead of those that nanoseg manages; policies of others stay in force.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub policies: Vec<PathBuf>,
    #[command(flatten)]
    pub access: AccessArgs,
}

impl PolicyArgs {
    pub fn source(&self) -> PolicySource {
        PolicySource {
            cluster: self.cluster.clone(),
            policies: self.policies.clone(),
            connect: self.access.settings(),
        }
    }
}
