//! Room 2a: what a set of NetworkPolicies allows, exactly, and the proof that generated ones are
//! sound and tight (rule: sound-or-nothing, excess-is-listed, evaluator-is-independent). It shares no code with `policy`, so that the generator does not prove its
//! own work.
//!
//! The model is `networking.k8s.io/v1` as its API documentation states it:
//!
//! - A pod is isolated in a direction if a policy with that policy type selects it. Then only those
//!   connections are allowed that a rule of a policy that selects it allows. A connection must be
//!   allowed by the client's egress and by the server's ingress.
//! - No policy selects a hostNetwork pod and no pod selector matches it. As a peer it has its node's
//!   addresses ([`HostNetwork::Exact`]).
//! - A pod always reaches itself, and a node always reaches its own pods (API documentation of
//!   `spec.ingress`). The other direction, from a pod to its own node, has no such promise and needs a rule.
//! - A named port is looked up in the destination pod, by name and protocol. For a destination that is
//!   an address it matches nothing. Replies of an allowed connection need no rule.
//! - What an `ipBlock` matches of the cluster is the network plugin's (`nanoseg_plugin::IpBlockMatch`). Nodes: with
//!   Cilium not, unless it is told to. Pods: where the plugin lets a block match them, they are matched as by a
//!   selector. Where it does not, or nothing tells which plugin it is, whether a policy is *sound* never depends
//!   on an ipBlock that covers a pod, while the *excess* of an ipBlock counts all its addresses, also those of
//!   pods: both figures then hold for every plugin.
//! - A plugin that does not enforce SCTP honours no rule for it.
//!
//! Results are sets of connections, not single probes. Pods of one workload that have the same named ports
//! and the same values of all labels that some policy reads are one class. Results per class are stored
//! sparsely, and classes that the same policies select share one table.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod address_map;
mod cause;
mod cluster_blocks;
mod connection_set_pool;
mod connectivity;
mod decision;
mod difference;
mod evaluation;
mod explain;
mod other_kinds;
mod own_node;
mod pod_classes;
mod policy_ref;
mod proof;
mod reach;
mod rule_matcher;
mod rule_ref;
mod rule_terms;
mod rule_use;
mod rules;
mod selector;
mod staged_table;
mod stages;
mod table;
mod tables;
mod tiers;
mod unmatched_rules;

#[cfg(test)]
mod differential_tests;
#[cfg(test)]
mod other_kinds_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use address_map::AddressMap;
pub use cause::{Cause, Causes, ChangeKind};
pub use connectivity::{Connectivity, ConnectivityEnd, ConnectivityLine, connectivity};
pub use difference::{Comparison, ConnectionChange, Difference, PoliciesOfAllKinds, difference};
pub use evaluation::{Evaluation, PeerRef};
pub use explain::{Always, Explanation, Side};
pub use pod_classes::{ClassId, HostNetwork, PodClass};
pub use policy_ref::PolicyRef;
pub use proof::{
    Blocked, BlockedBy, Excess, ExcessList, Managed, PolicySets, Proof, Span, prove, prove_each_way,
};
pub use reach::{BlastRadius, Reach};
pub use rule_ref::{NearMiss, RuleRef, policy_namespace};
pub use rule_use::{RuleUse, rule_use};
pub use rules::EvaluateError;
