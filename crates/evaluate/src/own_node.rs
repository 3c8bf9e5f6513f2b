//! What a node may not open to its own pods: Cilium allows it everything by a rule of its own (`allow-localhost`), and a
//! deny rule that matches the host comes before that one. No other kind has a rule that could name a pod's own node in
//! ingress.
//!
//! Source: cilium v1.20.2, `pkg/policy/repository.go` (`computePolicyEnforcementAndRules`).

use super::rule_terms::Action;
use super::stages::TierKind;
use super::{Evaluation, PeerRef};
use nanoseg_net::{ConnectionSet, Direction};

impl Evaluation {
    /// Returns what deny rules of Cilium's kinds deny `client`, the node of `server` or a hostNetwork pod there.
    pub(super) fn denied_to_own_node(&self, client: PeerRef, server: PeerRef) -> ConnectionSet {
        let PeerRef::Pod(server) = server else {
            return ConnectionSet::default();
        };
        let Some(pod) = self.pod_classes.pods.get(server) else {
            return ConnectionSet::default();
        };
        if self.class(pod.class).host_network {
            return ConnectionSet::default();
        }
        let policies = self.isolating(pod.class, Direction::Ingress);
        let policies =
            policies.filter(|policy| self.tiers.kind(policy.place.tier) == TierKind::Sets);
        let rules =
            policies.flat_map(|policy| policy.rules(Direction::Ingress).unwrap_or_default());
        rules
            .filter(|rule| rule.action == Action::Deny)
            .map(|rule| self.of_rule(rule, pod.class, Direction::Ingress, client))
            .fold(ConnectionSet::default(), |sum, one| sum.union(&one))
    }
}
