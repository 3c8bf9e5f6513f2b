//! Which rules decide about a connection at one end of it, stage by stage (rule: policies-are-asked-in-stages). The result
//! is that of the tables; this names the rules.

use super::rule_ref::{NearMiss, RuleRef};
use super::rule_terms::Action;
use super::rules::{Policy, Rule};
use super::stages::{TierKind, Tiers};
use nanoseg_net::{ConnectionSet, Direction};

/// What the policies of one end decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// No policy decides: it is allowed.
    Open,
    Allowed(Vec<RuleRef>),
    Denied(Denial),
}

/// Why a connection is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Denial {
    /// The policies that deny it: by their rules, or since they close the pod and allow it nowhere.
    pub policies: Vec<String>,
    /// The rules that deny it; empty if no rule matches it.
    pub rules: Vec<RuleRef>,
    /// Rules that match the other end on other ports.
    pub near: Vec<NearMiss>,
}

/// Decides about `part`, which is one connection or several that are decided alike. `selecting`: the policies that apply
/// to the pod in `direction`. `with`: what a rule matches with the other end; nothing if it does not match it.
pub(super) fn decide<'p>(
    tiers: &Tiers,
    selecting: impl IntoIterator<Item = &'p Policy>,
    direction: Direction,
    part: &ConnectionSet,
    with: impl Fn(&Rule) -> ConnectionSet,
) -> Decision {
    let mut policies: Vec<&Policy> = selecting.into_iter().collect();
    policies.sort_by_key(|policy| policy.place);
    let mut near = Vec::new();
    for stage in policies.chunk_by(|a, b| a.place.tier == b.place.tier) {
        let Some(first) = stage.first() else { continue };
        let kind = tiers.kind(first.place.tier);
        let found = Matches::of(stage, direction, part, &with);
        near.extend(found.near);
        let deciding = match kind {
            TierKind::Sets => {
                let denying = found.rules.iter().find(|one| one.0 == Action::Deny);
                denying.or_else(|| found.rules.first())
            }
            TierKind::Ordered { .. } => found.rules.first(),
        };
        let of = |action: Action| {
            let rules = found.rules.iter().filter(move |one| one.0 == action);
            rules.map(|one| one.1.clone())
        };
        let closing = stage.iter().filter(|policy| policy.closes(direction));
        let closing: Vec<String> = closing.map(|policy| policy.name.clone()).collect();
        match (kind, deciding) {
            (TierKind::Sets, Some((Action::Allow, _))) => {
                return Decision::Allowed(of(Action::Allow).collect());
            }
            (TierKind::Sets, Some((Action::Deny, _))) => {
                return denied(of(Action::Deny).collect(), Vec::new());
            }
            (TierKind::Ordered { .. }, Some((Action::Allow, rule))) => {
                return Decision::Allowed(vec![rule.clone()]);
            }
            (TierKind::Ordered { .. }, Some((Action::Deny, rule))) => {
                return denied(vec![rule.clone()], Vec::new());
            }
            (_, Some((Action::Pass, _))) => {}
            (TierKind::Ordered { closes: false }, None) => {}
            (TierKind::Sets | TierKind::Ordered { closes: true }, None) => {
                if !closing.is_empty() {
                    return Decision::Denied(Denial {
                        policies: closing,
                        rules: Vec::new(),
                        near,
                    });
                }
            }
        }
    }
    Decision::Open
}

fn denied(rules: Vec<RuleRef>, near: Vec<NearMiss>) -> Decision {
    let mut policies: Vec<String> = rules.iter().map(|rule| rule.policy.clone()).collect();
    policies.dedup();
    Decision::Denied(Denial {
        policies,
        rules,
        near,
    })
}

/// The rules of one stage that match the other end.
#[derive(Default)]
struct Matches {
    /// Those that match the connection as well, in their order.
    rules: Vec<(Action, RuleRef)>,
    near: Vec<NearMiss>,
}

impl Matches {
    fn of(
        stage: &[&Policy],
        direction: Direction,
        part: &ConnectionSet,
        with: impl Fn(&Rule) -> ConnectionSet,
    ) -> Matches {
        let mut found = Matches::default();
        for policy in stage {
            let rules = policy.rules(direction).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                let connections = with(rule);
                if !connections.intersection(part).is_empty() {
                    let rule_ref = policy.rule_ref(direction, index);
                    found.rules.push((rule.action, rule_ref));
                } else if !connections.is_empty() && rule.action == Action::Allow {
                    let rule = policy.rule_ref(direction, index);
                    found.near.push(NearMiss { rule, connections });
                }
            }
        }
        found
    }
}
