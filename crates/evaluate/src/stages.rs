//! The order in which policies of all kinds are asked (rule: policies-are-asked-in-stages).
//!
//! A tier is a stage. In an *ordered* tier (an administrator's, Calico's) the first rule that matches decides. In a
//! tier *of sets* (NetworkPolicies and Cilium's policies) the order says nothing: a rule that denies wins, then one that
//! allows; what is left is denied if a policy closes the pod. What no tier decides is allowed.
//!
//! Sources: network-policy-api, `ClusterNetworkPolicySpec.tier`; Cilium 1.20, `pkg/policy/types/policyentry.go` and
//! `pkg/policy/mapstate.go`; Calico, `api/pkg/apis/projectcalico/v3/tier.go` and "Get started with policy tiers".

use super::connection_set_pool::{ConnectionSetPool, SetId};
use super::rule_terms::Action;
use super::rules::Policy;
use nanoseg_net::Direction;

/// How the policies of a tier decide together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TierKind {
    /// The first rule that matches decides. `closes`: what no rule matches is denied to the pods that some policy of the
    /// tier selects; otherwise the next tier decides.
    Ordered { closes: bool },
    /// Denies, then allows; then closed if some policy closes the pod.
    Sets,
}

/// All tiers, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Tiers(pub Vec<TierKind>);

impl Tiers {
    pub fn kind(&self, tier: u32) -> TierKind {
        let kind = self.0.get(tier as usize);
        kind.copied().unwrap_or(TierKind::Sets)
    }

    /// Returns true if these policies only allow, all in the same tier of sets, and each of them closes: the order says
    /// nothing then, and what is allowed is the sum of what the rules allow.
    pub fn add_up<'p>(
        &self,
        mut policies: impl Iterator<Item = &'p Policy> + Clone,
        direction: Direction,
    ) -> bool {
        let tier = policies.clone().next().map(|policy| policy.place.tier);
        tier.is_none_or(|tier| self.kind(tier) == TierKind::Sets)
            && policies.all(|policy| {
                let rules = policy.rules(direction).unwrap_or_default();
                Some(policy.place.tier) == tier
                    && policy.closes(direction)
                    && rules.iter().all(|rule| {
                        rule.action == Action::Allow && rule.nodes == Default::default()
                    })
            })
    }
}

/// What is decided of the connections of one pod with one other end, while the stages are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fold {
    allowed: SetId,
    /// What no stage decided so far.
    open: SetId,
    /// In an ordered tier: what was left to the next tier.
    passed: SetId,
    /// In a tier of sets: what a rule allows.
    granted: SetId,
    /// In a tier of sets: what a rule denies.
    refused: SetId,
}

impl Default for Fold {
    fn default() -> Self {
        Fold {
            allowed: SetId::NONE,
            open: SetId::ALL,
            passed: SetId::NONE,
            granted: SetId::NONE,
            refused: SetId::NONE,
        }
    }
}

impl Fold {
    /// Applies a rule that matches the other end, for `set` of connections.
    pub fn rule(
        &mut self,
        kind: TierKind,
        action: Action,
        set: SetId,
        pool: &mut ConnectionSetPool,
    ) {
        match (kind, action) {
            (TierKind::Sets, Action::Allow) => self.granted = pool.union(self.granted, set),
            (TierKind::Sets, Action::Deny) => self.refused = pool.union(self.refused, set),
            (TierKind::Sets, Action::Pass) => {}
            (TierKind::Ordered { .. }, action) => {
                let decided = pool.intersection(self.open, set);
                self.open = pool.difference(self.open, decided);
                match action {
                    Action::Allow => self.allowed = pool.union(self.allowed, decided),
                    Action::Pass => self.passed = pool.union(self.passed, decided),
                    Action::Deny => {}
                }
            }
        }
    }

    /// Ends a tier. `closes`: some policy of it closes the pod.
    pub fn end(&mut self, kind: TierKind, closes: bool, pool: &mut ConnectionSetPool) {
        match kind {
            TierKind::Sets => {
                let open = pool.difference(self.open, self.refused);
                let granted = pool.intersection(open, self.granted);
                self.allowed = pool.union(self.allowed, granted);
                self.open = if closes {
                    SetId::NONE
                } else {
                    pool.difference(open, granted)
                };
            }
            TierKind::Ordered { closes: denies } => {
                self.open = if closes && denies {
                    self.passed
                } else {
                    pool.union(self.open, self.passed)
                };
            }
        }
        self.passed = SetId::NONE;
        self.granted = SetId::NONE;
        self.refused = SetId::NONE;
    }

    /// Returns what is allowed after the last tier: what no tier decided is.
    pub fn finish(self, pool: &mut ConnectionSetPool) -> SetId {
        pool.union(self.allowed, self.open)
    }
}
