//! The rules that observed traffic used. A rule that nothing used can be removed without blocking anything that
//! was observed.

use super::rule_matcher::{RuleMatcher, RulePeer};
use super::rule_ref::RuleRef;
use super::rule_terms::Action;
use super::{ClassId, Evaluation};
use nanoseg_graph::{End, Requirement};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One rule and the edges that used it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleUse {
    pub rule: RuleRef,
    /// The edges whose traffic it allows, as indices into [`nanoseg_graph::Graph::taught`]; empty if it was
    /// never used.
    pub edges: BTreeSet<usize>,
}

/// Returns all rules that allow, of all policies of `evaluation`, in the order of the policies, each with the edges of the
/// requirements that it allows. If two rules allow the same traffic, both are used.
pub fn rule_use(evaluation: &Evaluation, requirements: &[Requirement]) -> Vec<RuleUse> {
    let mut uses = Uses {
        evaluation,
        matcher: RuleMatcher::new(evaluation),
        found: BTreeMap::new(),
    };
    for one in requirements {
        uses.note(one);
    }
    let mut all = Vec::new();
    for (index, policy) in evaluation.policies.iter().enumerate() {
        for direction in [Direction::Ingress, Direction::Egress] {
            let rules = policy.rules(direction).unwrap_or_default();
            let allowing = rules.iter().enumerate();
            let allowing = allowing.filter(|(_, rule)| rule.action == Action::Allow);
            for (place, _) in allowing {
                let key = (index, direction, place);
                all.push(RuleUse {
                    rule: policy.rule_ref(direction, place),
                    edges: uses.found.remove(&key).unwrap_or_default(),
                });
            }
        }
    }
    all
}

struct Uses<'a> {
    evaluation: &'a Evaluation,
    matcher: RuleMatcher<'a>,
    /// The edges by policy, direction and index of the rule.
    found: BTreeMap<(usize, Direction, usize), BTreeSet<usize>>,
}

impl Uses<'_> {
    fn note(&mut self, one: &Requirement) {
        let sides = [
            (&one.server, Direction::Ingress, &one.client),
            (&one.client, Direction::Egress, &one.server),
        ];
        let part = ConnectionSet::one(one.protocol, one.port);
        for (end, direction, far) in sides {
            let End::Workload(id) = end else { continue };
            let evaluation = self.evaluation;
            for class in evaluation.classes_of(id) {
                match far {
                    End::Workload(far) => {
                        for far in evaluation.classes_of(far) {
                            self.side((*class, direction), &RulePeer::Class(*far), &part, one.edge);
                        }
                    }
                    End::Addresses(addresses) => {
                        let addresses: AddressSet = addresses.iter().copied().collect();
                        let far = RulePeer::Addresses(&addresses);
                        self.side((*class, direction), &far, &part, one.edge);
                    }
                    End::Ranges(addresses) => {
                        let far = RulePeer::Addresses(addresses);
                        self.side((*class, direction), &far, &part, one.edge);
                    }
                }
            }
        }
    }

    fn side(
        &mut self,
        (class, direction): (ClassId, Direction),
        far: &RulePeer,
        part: &ConnectionSet,
        edge: usize,
    ) {
        for (index, policy) in self.matcher.isolating(class, direction) {
            let rules = policy.rules(direction).unwrap_or_default();
            for (place, rule) in rules.iter().enumerate() {
                if self
                    .matcher
                    .matches_some(rule, (class, direction), far, part)
                {
                    let edges = self.found.entry((index, direction, place)).or_default();
                    edges.insert(edge);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use nanoseg_inventory::Inventory;
    use nanoseg_net::Protocol;

    #[test]
    fn a_rule_is_used_only_if_it_allows_some_observed_traffic() {
        let mut inventory = Inventory::default();
        namespace(&mut inventory, "shop", "");
        let web = pod(&mut inventory, "shop/web", "app=web").workload.clone();
        let db = pod(&mut inventory, "shop/db", "app=db").workload.clone();
        let text =
            "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [
            {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]},
            {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 81}]},
            {from: [{podSelector: {}}]}], egress: [
            {to: [{ipBlock: {cidr: 192.0.2.0/24}}]},
            {to: [{ipBlock: {cidr: 198.51.100.0/24}}]}]}";
        let evaluation = evaluate(&inventory, &[named_policy("shop/db", text)]);
        let require = |client: &End, server: &End, edge| Requirement {
            client: client.clone(),
            server: server.clone(),
            protocol: Protocol::Tcp,
            port: 80,
            label: None,
            outside: false,
            edge,
        };
        let (web, db) = (End::Workload(web), End::Workload(db));
        let outside = End::Addresses(["192.0.2.7".parse().unwrap()].into());
        let required = [require(&web, &db, 0), require(&db, &outside, 1)];
        let found = rule_use(&evaluation, &required);
        let text: Vec<String> = found
            .iter()
            .map(|one| format!("{} {:?}", one.rule, one.edges))
            .collect();
        assert_eq!(
            text,
            [
                "shop/db, spec.ingress[0] {0}",
                "shop/db, spec.ingress[1] {}",
                "shop/db, spec.ingress[2] {0}",
                "shop/db, spec.egress[0] {1}",
                "shop/db, spec.egress[1] {}",
            ]
        );
    }
}
