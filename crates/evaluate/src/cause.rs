//! The causes of a change: the rules and policies that opened or closed a connection.

use super::ClassId;
use super::difference::{Comparison, ConnectionChange};
use super::proof::Span;
use super::rule_matcher::{RuleMatcher, RulePeer};
use super::rule_ref::RuleRef;
use super::rule_terms::Action;
use super::rules::Policy;
use nanoseg_net::{ConnectionSet, Direction};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// One reason why a connection was opened or closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum Cause {
    /// Opened: this rule of the policies after the change allows it.
    Allows(RuleRef),
    /// Opened: this policy isolated the pods in this direction before the change; none does after it.
    NoLongerIsolates {
        policy: String,
        direction: Direction,
    },
    /// Opened: this rule denied it before the change.
    NoLongerDenies(RuleRef),
    /// Closed: this rule allowed it before the change; none does after it.
    NoLongerAllows(RuleRef),
    /// Closed: this rule of the policies after the change denies it.
    Denies(RuleRef),
    /// Closed: this policy isolates pods that were not isolated in this direction before the change.
    Isolates {
        policy: String,
        direction: Direction,
    },
}

impl Cause {
    /// Returns the policy, as `namespace/name`.
    pub fn policy(&self) -> &str {
        match self {
            Cause::Allows(rule)
            | Cause::NoLongerAllows(rule)
            | Cause::Denies(rule)
            | Cause::NoLongerDenies(rule) => &rule.policy,
            Cause::NoLongerIsolates { policy, .. } | Cause::Isolates { policy, .. } => policy,
        }
    }

    /// Returns the rule, if the cause is a rule.
    pub fn rule(&self) -> Option<&RuleRef> {
        match self {
            Cause::Allows(rule)
            | Cause::NoLongerAllows(rule)
            | Cause::Denies(rule)
            | Cause::NoLongerDenies(rule) => Some(rule),
            Cause::NoLongerIsolates { .. } | Cause::Isolates { .. } => None,
        }
    }

    /// Returns true if the policy is one of those after the change.
    pub fn is_of_after(&self) -> bool {
        matches!(
            self,
            Cause::Allows(_) | Cause::Denies(_) | Cause::Isolates { .. }
        )
    }
}

impl fmt::Display for Cause {
    /// A clause that follows the connection: `allowed by shop/db, spec.ingress[0]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Allows(rule) => write!(f, "allowed by {rule}"),
            Cause::NoLongerAllows(rule) => write!(f, "no longer allowed by {rule}"),
            Cause::Denies(rule) => write!(f, "denied by {rule}"),
            Cause::NoLongerDenies(rule) => write!(f, "no longer denied by {rule}"),
            Cause::NoLongerIsolates { policy, direction } => {
                write!(f, "no longer isolated by {policy} ({direction})")
            }
            Cause::Isolates { policy, direction } => {
                write!(f, "isolated by {policy} ({direction})")
            }
        }
    }
}

/// Whether a connection was opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Opened,
    Closed,
}

/// Finds the causes of the changes of one [`Comparison`].
#[derive(Debug)]
pub struct Causes<'a> {
    comparison: &'a Comparison,
    matcher: RuleMatcher<'a>,
}

impl<'a> Causes<'a> {
    pub fn new(comparison: &'a Comparison) -> Self {
        Causes {
            comparison,
            matcher: RuleMatcher::new(&comparison.evaluation),
        }
    }

    /// Returns the causes of one change of [`Comparison::difference`], sorted.
    ///
    /// A side that changed nothing is not a cause: if the client's policies allow a connection both before and
    /// after, only policies of the server are returned.
    pub fn of(&self, change: &ConnectionChange, turn: ChangeKind) -> Vec<Cause> {
        let evaluation = &self.comparison.evaluation;
        let classes = |span: &Span| match span {
            Span::Workload(id) => evaluation.classes_of(id),
            Span::Addresses(_) | Span::Anything => &[],
        };
        let mut causes = BTreeSet::new();
        match (&change.client, &change.server) {
            (Span::Addresses(far), Span::Workload(_)) => {
                for class in classes(&change.server) {
                    let end = (*class, Direction::Ingress);
                    self.of_end(end, &RulePeer::Addresses(far), change, turn, &mut causes);
                }
            }
            (Span::Workload(_), Span::Addresses(far)) => {
                for class in classes(&change.client) {
                    let end = (*class, Direction::Egress);
                    self.of_end(end, &RulePeer::Addresses(far), change, turn, &mut causes);
                }
            }
            (client, server) => {
                for client in classes(client) {
                    for server in classes(server) {
                        let ends = [
                            ((*client, Direction::Egress), *server),
                            ((*server, Direction::Ingress), *client),
                        ];
                        for (end, far) in ends {
                            self.of_end(end, &RulePeer::Class(far), change, turn, &mut causes);
                        }
                    }
                }
            }
        }
        causes.into_iter().collect()
    }

    /// Adds the causes at one end. `wide` is the set of policies that allows more there, `narrow` the one that allows
    /// less. The causes are the rules of the wide set that allow some of the part that only this set allows; if
    /// the wide set does not isolate the end at all, they are the isolating policies of the narrow set.
    fn of_end(
        &self,
        (class, direction): (ClassId, Direction),
        far: &RulePeer,
        change: &ConnectionChange,
        turn: ChangeKind,
        causes: &mut BTreeSet<Cause>,
    ) {
        let Comparison { old, new, .. } = self.comparison;
        if !self.comparison.differs(class, direction) {
            return;
        }
        let ((wide, wide_is_new), narrow) = match turn {
            ChangeKind::Opened => ((new, true), old),
            ChangeKind::Closed => ((old, false), new),
        };
        let part = match far {
            // No policy applies to an address: the whole change is at this end.
            RulePeer::Addresses(_) => change.connections.clone(),
            RulePeer::Class(peer) => {
                let evaluation = &self.comparison.evaluation;
                let had = evaluation.class_side(narrow, class, direction, *peer);
                change.connections.difference(&had)
            }
        };
        if part.is_empty() {
            return;
        }
        let ends = (far, &part);
        self.denying((class, direction), ends, (turn, !wide_is_new), causes);
        if wide.of(class, direction).is_none() {
            let narrow = self.isolating(class, direction, !wide_is_new);
            for policy in narrow.filter(|policy| policy.closes_all(direction)) {
                let policy = policy.name.clone();
                causes.insert(match turn {
                    ChangeKind::Opened => Cause::NoLongerIsolates { policy, direction },
                    ChangeKind::Closed => Cause::Isolates { policy, direction },
                });
            }
            return;
        }
        for policy in self.isolating(class, direction, wide_is_new) {
            let rules = policy.rules(direction).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                let end = (class, direction);
                if rule.action != Action::Allow || !self.matcher.matches_some(rule, end, far, &part)
                {
                    continue;
                }
                let rule = policy.rule_ref(direction, index);
                causes.insert(match turn {
                    ChangeKind::Opened => Cause::Allows(rule),
                    ChangeKind::Closed => Cause::NoLongerAllows(rule),
                });
            }
        }
    }

    /// Adds the rules of one set of policies that deny some of a part.
    fn denying(
        &self,
        (class, direction): (ClassId, Direction),
        (far, part): (&RulePeer, &ConnectionSet),
        (turn, after): (ChangeKind, bool),
        causes: &mut BTreeSet<Cause>,
    ) {
        for policy in self.isolating(class, direction, after) {
            let rules = policy.rules(direction).unwrap_or_default();
            let denying = rules.iter().enumerate().filter(|(_, rule)| {
                let end = (class, direction);
                rule.action == Action::Deny && self.matcher.matches_some(rule, end, far, part)
            });
            causes.extend(denying.map(|(index, _)| {
                let rule = policy.rule_ref(direction, index);
                match turn {
                    ChangeKind::Opened => Cause::NoLongerDenies(rule),
                    ChangeKind::Closed => Cause::Denies(rule),
                }
            }));
        }
    }

    /// Returns the policies of one set that isolate `class` in `direction`.
    fn isolating(
        &self,
        class: ClassId,
        direction: Direction,
        after: bool,
    ) -> impl Iterator<Item = &Policy> {
        let sides = self.comparison.sides;
        let all = self
            .matcher
            .isolating(class, direction)
            .map(|(_, policy)| policy);
        all.filter(move |policy| {
            if after {
                sides.is_of_after(policy.source)
            } else {
                sides.is_of_before(policy.source)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::HostNetwork;
    use nanoseg_inventory::Inventory;

    fn shop() -> Inventory {
        let mut inventory = Inventory::default();
        namespace(&mut inventory, "shop", "");
        pod(&mut inventory, "shop/web", "app=web");
        pod(&mut inventory, "shop/db", "app=db");
        inventory
    }

    /// Every change between two workloads and its causes, one line each.
    fn causes(before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
        let read = |specs: &[(&str, &str)]| -> Vec<_> {
            specs
                .iter()
                .map(|(name, spec)| named_policy(name, spec))
                .collect()
        };
        let (before, after) = (read(before), read(after));
        let comparison = Comparison::new(&shop(), &before, &after, HostNetwork::Exact).unwrap();
        let (found, causes) = (comparison.difference(), Causes::new(&comparison));
        let lists = [
            (ChangeKind::Opened, found.opened),
            (ChangeKind::Closed, found.closed),
        ];
        let mut lines = Vec::new();
        for (turn, list) in lists {
            for change in list {
                let each = causes.of(&change, turn);
                let each: Vec<String> = each.iter().map(Cause::to_string).collect();
                let (client, server) = (&change.client, &change.server);
                lines.push(format!(
                    "{turn:?} {client} => {server}: {}",
                    each.join("; ")
                ));
            }
        }
        lines
    }

    const DB: &str = "{podSelector: {matchLabels: {app: db}}, ingress: [
        {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}]}";
    const DB_MORE: &str = "{podSelector: {matchLabels: {app: db}}, ingress: [
        {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]},
        {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}, {port: 81}]},
        {from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}";
    const WEB_OUT: &str =
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [
        {to: [{podSelector: {}}], ports: [{port: 80, endPort: 81}]}]}";

    #[test]
    fn a_rule_that_opens_a_connection_is_a_cause_and_rules_that_existed_before_are_not() {
        assert_eq!(
            causes(&[("shop/db", DB)], &[("shop/db", DB_MORE)]),
            [
                "Opened shop/web => shop/db: allowed by shop/db, spec.ingress[1]",
                "Opened 192.0.2.0-192.0.2.255 => shop/db: allowed by shop/db, spec.ingress[2]",
            ]
        );
        assert_eq!(
            causes(&[("shop/db", DB_MORE)], &[("shop/db", DB)]),
            [
                "Closed shop/web => shop/db: no longer allowed by shop/db, spec.ingress[1]",
                "Closed 192.0.2.0-192.0.2.255 => shop/db: no longer allowed by shop/db, spec.ingress[2]",
            ]
        );
    }

    #[test]
    fn only_the_end_that_changed_is_a_cause() {
        let after = [("shop/web", WEB_OUT), ("shop/db", DB_MORE)];
        let found = causes(&[("shop/web", WEB_OUT), ("shop/db", DB)], &after);
        assert_eq!(
            found[0],
            "Opened shop/web => shop/db: allowed by shop/db, spec.ingress[1]"
        );
        let found = causes(&[("shop/db", DB)], &after[..1]);
        assert_eq!(
            found[1], "Opened shop/web => shop/db: no longer isolated by shop/db (ingress)",
            "{found:#?}"
        );
    }

    #[test]
    fn the_first_policy_of_a_workload_is_the_cause_of_everything_that_it_closes() {
        let found = causes(&[], &[("shop/db", DB)]);
        assert_eq!(found.len(), 3);
        for line in found {
            assert!(line.ends_with(": isolated by shop/db (ingress)"), "{line}");
        }
    }
}
