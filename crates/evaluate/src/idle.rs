//! Rules that allow nothing yet, for want of pods that they name.

use super::ClassId;
use super::difference::Comparison;
use super::evaluation::Evaluation;
use super::explain::RuleRef;
use super::rules::{Policy, Rule};
use nanoseg_net::Direction;

impl Comparison {
    /// The rules of after that name pods of which there are none: they allow nothing now, and something once such
    /// pods come.
    pub fn idle_rules(&self) -> Vec<RuleRef> {
        let Evaluation {
            policies, names, ..
        } = &self.evaluation;
        let is_idle = |policy: &Policy, rule: &Rule| {
            let mut pods = rule.pods.iter().map(|id| names.pods(*id));
            policy.selected.is_empty() || pods.any(<[ClassId]>::is_empty)
        };
        let mut idle = Vec::new();
        for policy in policies.iter().skip(self.split) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let rules = policy.rules(direction).unwrap_or_default();
                let found = rules.iter().enumerate();
                let found = found.filter(|(_, rule)| is_idle(policy, rule));
                idle.extend(found.map(|(index, _)| RuleRef {
                    policy: policy.name.clone(),
                    direction,
                    index,
                }));
            }
        }
        idle
    }
}
