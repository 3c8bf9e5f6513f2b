//! Puts policies into tiers and into an order (rule: policies-are-asked-in-stages).
//!
//! With Calico, NetworkPolicies are in its tier `default`, at order 1000 among Calico's own policies, and the tiers of an
//! administrator have places among Calico's tiers. Without Calico these are the only three tiers.

use super::policy_ref::{ComparedSide, PolicyRef};
use super::rule_terms::Place;
use super::stages::{TierKind, Tiers};
use nanoseg_policy_kinds::OtherKindPolicy;
use nanoseg_policy_kinds::admin::AdminTier;
use nanoseg_policy_kinds::calico::{
    ADMIN_TIER_ORDER, BASELINE_TIER_ORDER, CalicoAction, CalicoPolicy, CalicoTier, DEFAULT_TIER,
    DEFAULT_TIER_ORDER, NETWORK_POLICY_ORDER,
};
use std::cmp::Ordering;

/// A tier, before all of them are numbered.
#[derive(Debug, Clone, PartialEq)]
struct Tier {
    order: f64,
    name: String,
    kind: TierKind,
}

/// A policy in its tier.
struct Ranked {
    tier: Tier,
    order: f64,
    name: String,
}

/// Returns the tiers, and the place of each policy.
pub(super) fn arrange(policies: &[(PolicyRef<'_>, ComparedSide)]) -> (Tiers, Vec<Place>) {
    use ComparedSide::{After, Before, Both};
    let [before, after, both] = [Before, After, Both].map(|side| CalicoTiers::of(policies, side));
    let rank = |(policy, side): &(PolicyRef<'_>, ComparedSide)| match side {
        Before => before.rank(policy),
        After => after.rank(policy),
        Both => both.rank(policy),
    };
    let ranked: Vec<Ranked> = policies.iter().map(rank).collect();
    let mut tiers: Vec<&Tier> = ranked.iter().map(|one| &one.tier).collect();
    tiers.sort_by(|a, b| by_order(a, b));
    tiers.dedup();
    let mut order: Vec<usize> = (0..ranked.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&ranked[*a], &ranked[*b]);
        a.order
            .total_cmp(&b.order)
            .then_with(|| a.name.cmp(&b.name))
    });
    let mut ranks = vec![0; ranked.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = rank as u32;
    }
    let place = |(index, one): (usize, &Ranked)| Place {
        tier: tiers
            .iter()
            .position(|tier| **tier == one.tier)
            .unwrap_or(0) as u32,
        rank: ranks[index],
    };
    let places = ranked.iter().enumerate().map(place).collect();
    (Tiers(tiers.iter().map(|tier| tier.kind).collect()), places)
}

fn by_order(a: &Tier, b: &Tier) -> Ordering {
    let number = |tier: &Tier| match tier.kind {
        TierKind::Sets => 0,
        TierKind::Ordered { closes: true } => 1,
        TierKind::Ordered { closes: false } => 2,
    };
    let order = a.order.total_cmp(&b.order);
    order
        .then_with(|| a.name.cmp(&b.name))
        .then_with(|| number(a).cmp(&number(b)))
}

/// Calico's tiers among the policies.
struct CalicoTiers<'a> {
    tiers: Vec<&'a CalicoTier>,
    /// Whether Calico's own policies stand beside the NetworkPolicies.
    in_default: bool,
}

impl<'a> CalicoTiers<'a> {
    /// The tiers that policies of one side see.
    fn of(policies: &[(PolicyRef<'a>, ComparedSide)], side: ComparedSide) -> CalicoTiers<'a> {
        let seen = policies.iter().filter(|(_, of)| side.sees(*of));
        let others = seen.filter_map(|(policy, _)| match policy {
            PolicyRef::Network(_) => None,
            PolicyRef::Other(other) => Some(*other),
        });
        let tiers = others.clone().filter_map(|other| match other {
            OtherKindPolicy::CalicoTier(tier) => Some(tier),
            _ => None,
        });
        let mut policies = others.filter_map(|other| match other {
            OtherKindPolicy::CalicoNetworkPolicy(policy)
            | OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => Some(policy),
            _ => None,
        });
        CalicoTiers {
            tiers: tiers.collect(),
            in_default: policies.any(|policy| tier_of(policy) == DEFAULT_TIER),
        }
    }

    fn rank(&self, policy: &PolicyRef<'_>) -> Ranked {
        let other = match policy {
            PolicyRef::Network(policy) => {
                let metadata = &policy.metadata;
                let [namespace, name] = [&metadata.namespace, &metadata.name];
                let [namespace, name] =
                    [namespace, name].map(|text| text.as_deref().unwrap_or_default());
                // The name that Calico gives it.
                return self.in_default_tier(format!("{namespace}/knp.default.{name}"));
            }
            PolicyRef::Other(other) => other,
        };
        let name = other.name();
        match other {
            OtherKindPolicy::ClusterNetworkPolicy(policy) => {
                of_admin(policy.spec.tier, policy.spec.priority.into(), name)
            }
            OtherKindPolicy::AdminNetworkPolicy(policy) => {
                let priority = policy.spec.priority.map_or(f64::INFINITY, f64::from);
                of_admin(AdminTier::Admin, priority, name)
            }
            OtherKindPolicy::BaselineAdminNetworkPolicy(_) => {
                of_admin(AdminTier::Baseline, f64::INFINITY, name)
            }
            OtherKindPolicy::CalicoNetworkPolicy(policy)
            | OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => Ranked {
                tier: self.tier(tier_of(policy)),
                order: policy.spec.order.unwrap_or(f64::INFINITY),
                name,
            },
            OtherKindPolicy::CiliumNetworkPolicy(_)
            | OtherKindPolicy::CiliumClusterwideNetworkPolicy(_)
            | OtherKindPolicy::CalicoTier(_)
            | OtherKindPolicy::CalicoNetworkSet(_)
            | OtherKindPolicy::CalicoGlobalNetworkSet(_) => in_sets(),
        }
    }

    /// Where NetworkPolicies stand.
    fn in_default_tier(&self, name: String) -> Ranked {
        if !self.in_default {
            return in_sets();
        }
        Ranked {
            tier: self.tier(DEFAULT_TIER),
            order: NETWORK_POLICY_ORDER,
            name,
        }
    }

    /// A tier that nobody wrote is asked last, and denies.
    fn tier(&self, name: &str) -> Tier {
        let is_it = |tier: &&&CalicoTier| tier.metadata.name.as_deref() == Some(name);
        let known = self.tiers.iter().rfind(is_it).map(|tier| &tier.spec);
        let passes = known.and_then(|spec| spec.default_action) == Some(CalicoAction::Pass);
        let otherwise = match name {
            DEFAULT_TIER => DEFAULT_TIER_ORDER,
            _ => f64::INFINITY,
        };
        Tier {
            order: known.and_then(|spec| spec.order).unwrap_or(otherwise),
            name: name.to_owned(),
            kind: TierKind::Ordered { closes: !passes },
        }
    }
}

fn tier_of(policy: &CalicoPolicy) -> &str {
    let tier = policy.spec.tier.as_deref();
    tier.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_TIER)
}

/// A policy in the tier of NetworkPolicies and of Cilium's policies, where the order says nothing.
fn in_sets() -> Ranked {
    Ranked {
        tier: Tier {
            order: DEFAULT_TIER_ORDER,
            name: DEFAULT_TIER.to_owned(),
            kind: TierKind::Sets,
        },
        order: 0.0,
        name: String::new(),
    }
}

fn of_admin(tier: AdminTier, priority: f64, name: String) -> Ranked {
    let (order, tier_name) = match tier {
        AdminTier::Admin => (ADMIN_TIER_ORDER, "kube-admin"),
        AdminTier::Baseline => (BASELINE_TIER_ORDER, "kube-baseline"),
    };
    Ranked {
        tier: Tier {
            order,
            name: tier_name.to_owned(),
            kind: TierKind::Ordered { closes: false },
        },
        order: priority,
        name,
    }
}
