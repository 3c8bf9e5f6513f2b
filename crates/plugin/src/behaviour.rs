//! What generator and evaluator need to know of a network plugin: values without their sources.

use super::deviation::Deviation;
use serde::Serialize;
use std::fmt;

/// What a network plugin does with NetworkPolicies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// It enforces NetworkPolicies at all.
    pub enforces: bool,
    /// What an ipBlock matches beside addresses outside the cluster.
    pub ip_block: IpBlockMatch,
    /// On which port it checks a connection through a Service.
    pub ports: EnforcedPorts,
    /// Whom it sees where the client is masqueraded.
    pub masquerade: SeenClient,
    /// A node always reaches its own pods.
    pub own_node: bool,
    /// A range of ports (`endPort`) is enforced as such.
    pub end_port: bool,
    /// A named port of an egress rule is looked up in the destination pods.
    pub named_egress_ports: bool,
    /// Rules for SCTP are enforced.
    pub sctp: bool,
    /// What happens to the ICMP of an isolated pod.
    pub icmp: Icmp,
    /// What happens to established connections that a new policy does not allow.
    pub established: Established,
    pub limits: Limits,
    pub covers: Covers,
    /// What it does otherwise than the API's documentation says.
    pub deviations: &'static [Deviation],
}

impl Behaviour {
    /// Whether the plugin does this otherwise than the API's documentation says.
    pub fn deviates(&self, by: Deviation) -> bool {
        self.deviations.contains(&by)
    }
}

/// What an ipBlock matches beside addresses outside the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpBlockMatch {
    /// The addresses of nodes, and so those of hostNetwork pods and of an API server on a node.
    pub nodes: bool,
    /// The addresses of pods.
    pub pods: PodMatch,
    /// The address of a Service, which the client called: the plugin checks egress before it is translated.
    pub service_addresses: bool,
}

/// Whether an ipBlock matches pods by their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodMatch {
    Always,
    Never,
    /// It is not known, or differs: nothing is sound because of it, and everything it may allow is excess.
    Either,
}

/// On which port a network plugin checks a connection that goes through a Service
/// (rule: service-port-before-translation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcedPorts {
    /// On the pod's port, after translation: most plugins.
    #[default]
    Pod,
    /// On the Service's port or the pod's, before translation or after it: rules carry both.
    Either,
}

/// Whom a network plugin sees where the client is masqueraded on its way to a pod (rule: node-port-from-any-node).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenClient {
    Client,
    Node,
    /// The client or the node, by where the pod runs: rules carry both.
    Either,
}

/// What happens to the ICMP of a pod that is isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Icmp {
    /// It passes.
    Passes,
    /// It is dropped where no rule without ports allows the peer.
    Dropped,
    /// Errors and echo pass, the rest is dropped.
    Common,
    Unknown,
}

/// What happens to an established connection that a new policy does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Established {
    /// It goes on.
    Kept,
    /// It is cut.
    Cut,
    Unknown,
}

/// What one rule may have at most; `None`: no limit is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of `ports` for one protocol in one rule.
    pub ports_per_rule: Option<usize>,
    /// ipBlocks in one policy.
    pub blocks_per_policy: Option<usize>,
}

/// Which pods a policy holds for, beside ordinary ones on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covers {
    /// Pods without an owner.
    pub bare_pods: bool,
    /// Pods on the node's network.
    pub host_network: bool,
    /// Pods on Windows nodes.
    pub windows: bool,
    /// Addresses of both families of a dual-stack pod.
    pub dual_stack: bool,
}

impl fmt::Display for PodMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PodMatch::Always => "yes",
            PodMatch::Never => "no",
            PodMatch::Either => "differs",
        })
    }
}

impl fmt::Display for EnforcedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EnforcedPorts::Pod => "the pod's",
            EnforcedPorts::Either => "the Service's and the pod's",
        })
    }
}

impl fmt::Display for SeenClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SeenClient::Client => "the client",
            SeenClient::Node => "the node",
            SeenClient::Either => "the client or the node",
        })
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Icmp::Passes => "passes",
            Icmp::Dropped => "is dropped",
            Icmp::Common => "errors and echo pass",
            Icmp::Unknown => "not known",
        })
    }
}

impl fmt::Display for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Established::Kept => "go on",
            Established::Cut => "are cut",
            Established::Unknown => "not known",
        })
    }
}
