//! Rules that allow nothing now, because no pod matches their selectors.

use super::ClassId;
use super::difference::Comparison;
use super::evaluation::Evaluation;
use super::rule_ref::RuleRef;
use super::rules::{Policy, Rule};
use nanoseg_net::Direction;

impl Comparison {
    /// Returns the rules of the policies after the change whose pod selectors match no pod. They allow nothing
    /// now, and allow something as soon as such pods exist.
    pub fn rules_without_pods(&self) -> Vec<RuleRef> {
        let Evaluation {
            policies, names, ..
        } = &self.evaluation;
        let is_unmatched = |policy: &Policy, rule: &Rule| {
            let mut pods = rule.pods.iter().map(|id| names.pods(*id));
            policy.selected.is_empty() || pods.any(<[ClassId]>::is_empty)
        };
        let mut idle = Vec::new();
        let after = policies.iter();
        for policy in after.filter(|policy| self.sides.is_only_after(policy.source)) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let rules = policy.rules(direction).unwrap_or_default();
                let found = rules.iter().enumerate();
                let found = found.filter(|(_, rule)| is_unmatched(policy, rule));
                idle.extend(found.map(|(index, _)| policy.rule_ref(direction, index)));
            }
        }
        idle
    }
}
