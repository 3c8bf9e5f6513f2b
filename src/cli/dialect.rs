//! `--dialect`: the kind of policy that is written.

use crate::policy::Dialect;
use clap::ValueEnum;

/// The words for [`Dialect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DialectArg {
    /// NetworkPolicy: every plugin that enforces policies knows it.
    Kubernetes,
    /// CiliumNetworkPolicy: entities for nodes and the API server, names for servers outside that were looked up.
    Cilium,
    /// Calico's NetworkPolicy (projectcalico.org/v3), in the default tier.
    Calico,
    /// NetworkPolicy, and the kind of the cluster's own plugin for policies that it would not honour as one.
    Native,
}

impl From<DialectArg> for Dialect {
    fn from(given: DialectArg) -> Self {
        match given {
            DialectArg::Kubernetes => Dialect::Kubernetes,
            DialectArg::Cilium => Dialect::Cilium,
            DialectArg::Calico => Dialect::Calico,
            DialectArg::Native => Dialect::Native,
        }
    }
}
