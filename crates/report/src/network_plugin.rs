//! The network plugin that a report's figures hold for.

use nanoseg_plugin::ClusterPlugin;
use serde::Serialize;
use std::fmt;

/// The network plugin of the cluster, with what told of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NetworkPluginDocument {
    /// As `--network-plugin` takes it: `cilium,policy-cidr-match-mode=nodes`.
    pub profile: String,
    /// `by DaemonSet kube-system/cilium`, `as told`, or that nothing tells it.
    pub told: String,
    /// Is false if nothing told it: the figures hold for the specification of NetworkPolicy.
    pub known: bool,
    /// Is false if it enforces no policy.
    pub enforces: bool,
}

impl From<&ClusterPlugin> for NetworkPluginDocument {
    fn from(plugin: &ClusterPlugin) -> Self {
        NetworkPluginDocument {
            profile: plugin.profile.to_string(),
            told: plugin.told.to_string(),
            known: !plugin.is_unknown(),
            enforces: plugin.behaviour().enforces,
        }
    }
}

impl fmt::Display for NetworkPluginDocument {
    /// `cilium (by DaemonSet kube-system/cilium)`, and in capitals if nothing is enforced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NetworkPluginDocument { profile, told, .. } = self;
        match (self.known, self.enforces) {
            (false, _) => f.write_str("not known: judged by the specification of NetworkPolicy"),
            (true, true) => write!(f, "{profile} ({told})"),
            (true, false) => write!(f, "{profile} ({told}) · POLICIES ARE NOT ENFORCED"),
        }
    }
}
