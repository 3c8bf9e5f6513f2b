//! Finds the rules that apply to a connection: for one end of it, the rules of the policies that isolate this
//! end and that match the other end on some of the ports.

use super::rules::{Policy, Rule};
use super::{ClassId, Evaluation};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};

/// The other end of a connection, as the peers of rules describe it.
pub(super) enum RulePeer<'a> {
    Class(ClassId),
    Addresses(&'a AddressSet),
}

/// The policies of an evaluation, indexed by the classes that they select.
#[derive(Debug)]
pub(super) struct RuleMatcher<'a> {
    evaluation: &'a Evaluation,
    selecting: Vec<Vec<usize>>,
}

impl<'a> RuleMatcher<'a> {
    pub fn new(evaluation: &'a Evaluation) -> Self {
        let mut selecting = vec![Vec::new(); evaluation.pod_classes.classes.len()];
        for (index, policy) in evaluation.policies.iter().enumerate() {
            for class in &policy.selected {
                selecting[class.index()].push(index);
            }
        }
        RuleMatcher {
            evaluation,
            selecting,
        }
    }

    /// Returns the policies that isolate `class` in `direction`, with their index.
    pub fn isolating(
        &self,
        class: ClassId,
        direction: Direction,
    ) -> impl Iterator<Item = (usize, &'a Policy)> {
        let evaluation = self.evaluation;
        self.selecting[class.index()]
            .iter()
            .map(move |index| (*index, &evaluation.policies[*index]))
            .filter(move |(_, policy)| policy.rules(direction).is_some())
    }

    /// Returns true if a rule of a policy that selects `class` matches some connection of `part` with some pod or
    /// address of the other end.
    pub fn matches_some(
        &self,
        rule: &Rule,
        end: (ClassId, Direction),
        far: &RulePeer,
        part: &ConnectionSet,
    ) -> bool {
        let connections = self.evaluation.matched(rule, end, far);
        !connections.intersection(part).is_empty()
    }
}

impl Evaluation {
    /// Returns the connections that a rule of a policy that selects `class` matches with some pod or address of the other
    /// end.
    pub(super) fn matched(
        &self,
        rule: &Rule,
        (class, direction): (ClassId, Direction),
        far: &RulePeer,
    ) -> ConnectionSet {
        let in_blocks = |addresses: &AddressSet| {
            let near = self.pod_classes.near_addresses(class, rule.nodes);
            let mut blocks = rule.addresses.iter().chain([&near]);
            blocks.any(|block| !block.intersection(addresses).is_empty())
        };
        let (named, peer) = match far {
            RulePeer::Addresses(addresses) => (in_blocks(addresses), None),
            RulePeer::Class(peer) if self.class(*peer).host_network => {
                let pods = self.class(*peer).pods.iter();
                let pods = pods.filter_map(|pod| self.pod_classes.pods.get(*pod));
                let addresses = pods.flat_map(|pod| pod.addresses.iter().copied());
                (in_blocks(&addresses.collect()), None)
            }
            RulePeer::Class(peer) => (self.names_class(rule, *peer), Some(*peer)),
        };
        if !named && !rule.everyone {
            return ConnectionSet::default();
        }
        let server = match direction {
            Direction::Ingress => Some(class),
            Direction::Egress => peer,
        };
        self.ports_of(rule, server)
    }
}
