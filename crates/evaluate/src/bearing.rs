//! Which rules bear on what: for an end of a connection, the rules of the policies that isolate it and name
//! the other end on some of the ports.

use super::rules::{Policy, Rule};
use super::{ClassId, Evaluation};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};

/// The other end of a connection, as rules name it.
pub(super) enum Far<'a> {
    Class(ClassId),
    Addresses(&'a AddressSet),
}

/// The policies of an evaluation by the classes that they select.
#[derive(Debug)]
pub(super) struct Bearing<'a> {
    evaluation: &'a Evaluation,
    selecting: Vec<Vec<usize>>,
}

impl<'a> Bearing<'a> {
    pub fn new(evaluation: &'a Evaluation) -> Self {
        let mut selecting = vec![Vec::new(); evaluation.world.classes.len()];
        for (index, policy) in evaluation.policies.iter().enumerate() {
            for class in &policy.selected {
                selecting[class.index()].push(index);
            }
        }
        Bearing {
            evaluation,
            selecting,
        }
    }

    /// The policies that isolate `class` in `direction`, with their index.
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

    /// Whether a rule of a policy that selects `class` allows some of `part` with some of the other end.
    pub fn bears_on(
        &self,
        rule: &Rule,
        (class, direction): (ClassId, Direction),
        far: &Far,
        part: &ConnectionSet,
    ) -> bool {
        let evaluation = self.evaluation;
        let in_blocks = |addresses: &AddressSet| {
            let mut blocks = rule.addresses.iter();
            blocks.any(|block| !block.intersection(addresses).is_empty())
        };
        let (named, peer) = match far {
            Far::Addresses(addresses) => (in_blocks(addresses), None),
            Far::Class(peer) if evaluation.class(*peer).host_network => {
                let pods = evaluation.class(*peer).pods.iter();
                let pods = pods.filter_map(|pod| evaluation.world.pods.get(*pod));
                let addresses = pods.flat_map(|pod| pod.addresses.iter().copied());
                (in_blocks(&addresses.collect()), None)
            }
            Far::Class(peer) => (evaluation.names_class(rule, *peer), Some(*peer)),
        };
        if !named && !rule.everyone {
            return false;
        }
        let server = match direction {
            Direction::Ingress => Some(class),
            Direction::Egress => peer,
        };
        let connections = evaluation.ports_of(rule, server);
        !connections.intersection(part).is_empty()
    }
}
