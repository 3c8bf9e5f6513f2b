//! Dialects: the kind of policy that the same requirements are written as (rule: same-requirements-in-each-dialect).

mod calico;
mod cilium;
mod naming;
mod native;

pub(super) use naming::{Names, Naming};
use nanoseg_plugin::ClusterPlugin;
pub use native::NativePolicy;

#[cfg(test)]
mod tests;

/// The kind of policy that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Dialect {
    /// `NetworkPolicy` of `networking.k8s.io/v1`: every network plugin that enforces anything knows it.
    #[default]
    Kubernetes,
    /// `CiliumNetworkPolicy` of `cilium.io/v2`.
    Cilium,
    /// `NetworkPolicy` of `projectcalico.org/v3`.
    Calico,
    /// `NetworkPolicy`, and the kind of the cluster's own network plugin for the policies that it would not honour as
    /// one (rule: not-honoured-stays-open): those with the address of a node, on Cilium.
    Native,
}

impl Dialect {
    /// `kubernetes`, `cilium`, `calico`.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Kubernetes => "kubernetes",
            Dialect::Cilium => "cilium",
            Dialect::Calico => "calico",
            Dialect::Native => "native",
        }
    }

    /// Returns true if policies of this dialect name the nodes of the cluster without their addresses
    /// (rule: cilium-entities).
    pub fn names_nodes(self, plugin: &ClusterPlugin) -> bool {
        match self {
            Dialect::Cilium => true,
            Dialect::Native => {
                plugin.profile.plugin.is_cilium() && !plugin.behaviour().ip_block.nodes
            }
            Dialect::Kubernetes | Dialect::Calico => false,
        }
    }
}

/// What Cilium knows by itself, without an address (Cilium's documentation, "Entities Based").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entity {
    /// The node that the pod runs on.
    Host,
    /// All other nodes of the cluster.
    RemoteNode,
    /// The endpoints of `default/kubernetes`, wherever they are.
    KubeApiserver,
    /// Cilium's own proxy for Ingress and Gateway objects.
    Ingress,
}

impl Entity {
    /// The name in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Entity::Host => "host",
            Entity::RemoteNode => "remote-node",
            Entity::KubeApiserver => "kube-apiserver",
            Entity::Ingress => "ingress",
        }
    }
}
