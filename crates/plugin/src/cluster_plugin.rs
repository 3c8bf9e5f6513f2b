//! The network plugin of a cluster, with what told of it.

use super::behaviour::Behaviour;
use super::profile::Profile;
use std::fmt;

/// The network plugin of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterPlugin {
    pub profile: Profile,
    pub told: ToldBy,
}

/// What told which plugin it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToldBy {
    /// Nothing: the profile is that of the specification.
    #[default]
    Nothing,
    /// The operator, by an option.
    Operator,
    /// Objects of the cluster, such as `DaemonSet kube-system/cilium`, at least one.
    Cluster(Vec<String>),
    /// Flow logs that only this plugin writes.
    FlowLogs,
}

impl ClusterPlugin {
    /// What the operator says.
    pub fn said(profile: Profile) -> ClusterPlugin {
        ClusterPlugin {
            profile,
            told: ToldBy::Operator,
        }
    }

    /// The facts of the profile without their sources.
    pub fn behaviour(&self) -> Behaviour {
        self.profile.behaviour()
    }

    /// Returns true if nothing told which plugin it is.
    pub fn is_unknown(&self) -> bool {
        self.told == ToldBy::Nothing
    }
}

impl fmt::Display for ToldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToldBy::Nothing => f.write_str("nothing tells which it is"),
            ToldBy::Operator => f.write_str("as told"),
            ToldBy::Cluster(objects) => write!(f, "by {}", objects.join(", ")),
            ToldBy::FlowLogs => f.write_str("by the flow logs"),
        }
    }
}

impl fmt::Display for ClusterPlugin {
    /// `cilium,policy-cidr-match-mode=nodes (by DaemonSet kube-system/cilium)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.profile, self.told)
    }
}
