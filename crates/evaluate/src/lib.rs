//! Room 2a: what a set of NetworkPolicies allows, exactly, and the proof that generated ones are
//! sound and tight (rule: sound-or-nothing, excess-is-listed, evaluator-is-independent). It shares no code with `policy`: it is its judge.
//!
//! The model is `networking.k8s.io/v1` as its API documentation states it:
//!
//! - A pod is isolated in a direction once a policy with that policy type selects it; then it may
//!   have only what the rules of all policies that select it add up to. A connection needs the
//!   client's egress and the server's ingress.
//! - A hostNetwork pod is selected by no policy and matched by no pod selector: as a peer it is its
//!   node's addresses ([`HostNetwork::Exact`]).
//! - A pod always reaches itself, and a node always reaches its own pods (API documentation of
//!   `spec.ingress`). The way back, a pod to its own node, has no such promise and needs a rule.
//! - A named port is looked up in the destination pod, by name and protocol; towards an address it
//!   matches nothing. Only replies that belong to an allowed connection pass the other way.
//! - An `ipBlock` names addresses, never pods: pods are matched by selectors only. Network plugins
//!   differ here (Cilium ignores pods in an ipBlock, iptables-based ones match them), so whether a
//!   policy is *sound* never leans on an ipBlock that covers a pod, while the *excess* of an ipBlock
//!   counts all its addresses, those of pods among them. Both figures hold for every plugin.
//!
//! Answers are sets, not probes. Pods with the same workload, the same labels as far as some policy
//! looks at them, and the same named ports are one class; what a class may reach is kept sparse, and
//! classes that the same policies select share one table.

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
mod bearing;
mod cause;
mod connectivity;
mod difference;
mod evaluation;
mod explain;
mod idle;
mod pool;
mod proof;
mod reach;
mod rule_use;
mod rules;
mod selector;
mod tables;
mod world;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use address_map::AddressMap;
pub use cause::{Cause, Causes, Turn};
pub use connectivity::{Connectivity, Line, LineEnd, connectivity};
pub use difference::{Change, Comparison, Difference, difference};
pub use evaluation::{Evaluation, PeerRef};
pub use explain::{Always, Explanation, NearMiss, RuleRef, Side};
pub use proof::{
    Blocked, BlockedBy, Excess, ExcessList, Managed, Proof, Span, prove, prove_each_way,
};
pub use reach::{BlastRadius, Reach};
pub use rule_use::{RuleUse, rule_use};
pub use rules::EvaluateError;
pub use world::{Class, ClassId, HostNetwork};
