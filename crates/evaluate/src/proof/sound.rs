//! The first half of the proof: is each requirement allowed for every pod and address that it names?

use super::{Blocked, BlockedBy, Span};
use crate::decision::{Decision, decide};
use crate::rule_matcher::RulePeer;
use crate::rules::Rule;
use crate::{ClassId, Evaluation};
use nanoseg_graph::{End, Requirement};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The other end of a requirement, seen from one class.
enum RequiredPeer<'a> {
    Classes(&'a [ClassId]),
    Addresses(Cow<'a, AddressSet>),
}

/// Whoever is blocked, of the other end.
enum BlockedPeer {
    Class(ClassId),
    Addresses(AddressSet),
}

/// Returns the parts of `requirement` that the policies block; empty if there are none.
pub fn blocked(evaluation: &Evaluation, index: usize, requirement: &Requirement) -> Vec<Blocked> {
    let check = Check {
        evaluation,
        requirement,
    };
    let entry = |client: Span, server: Span, by: BlockedBy| Blocked {
        requirement: index,
        edge: requirement.edge,
        client,
        server,
        connections: ConnectionSet::one(requirement.protocol, requirement.port),
        by,
    };
    for end in [&requirement.client, &requirement.server] {
        if let End::Workload(id) = end
            && evaluation.classes_of(id).is_empty()
        {
            let by = BlockedBy::UnknownWorkload(id.clone());
            return vec![entry(
                span(&requirement.client),
                span(&requirement.server),
                by,
            )];
        }
    }
    let mut found = Vec::new();
    let egress = check.side(Direction::Egress, &requirement.client, &requirement.server);
    for (policies, servers) in egress {
        let by = BlockedBy::Egress(policies);
        found.push(entry(span(&requirement.client), servers, by));
    }
    let ingress = check.side(Direction::Ingress, &requirement.server, &requirement.client);
    for (policies, clients) in ingress {
        let by = BlockedBy::Ingress(policies);
        found.push(entry(clients, span(&requirement.server), by));
    }
    found
}

fn span(end: &End) -> Span {
    match end {
        End::Workload(id) => Span::Workload(id.clone()),
        End::Addresses(addresses) => Span::Addresses(addresses.iter().copied().collect()),
        End::Ranges(addresses) => Span::Addresses(addresses.clone()),
    }
}

struct Check<'a> {
    evaluation: &'a Evaluation,
    requirement: &'a Requirement,
}

impl Check<'_> {
    /// Checks what the policies that select `near` allow with `far`. Returns what is blocked, by the policies that
    /// block it.
    fn side(&self, direction: Direction, near: &End, far: &End) -> BTreeMap<Vec<String>, Span> {
        let mut blocked = BTreeMap::new();
        let End::Workload(workload) = near else {
            return blocked;
        };
        let peers = match far {
            End::Workload(id) => RequiredPeer::Classes(self.evaluation.classes_of(id)),
            End::Addresses(addresses) => {
                RequiredPeer::Addresses(Cow::Owned(addresses.iter().copied().collect()))
            }
            End::Ranges(addresses) => RequiredPeer::Addresses(Cow::Borrowed(addresses)),
        };
        for class in self.evaluation.classes_of(workload) {
            let rest = match &peers {
                RequiredPeer::Classes(peers) => self.classes(*class, direction, peers, far),
                RequiredPeer::Addresses(addresses) => self.addresses(*class, direction, addresses),
            };
            let Some((rest, far)) = rest else { continue };
            let names = self.denying((*class, direction), &far);
            let joined = match (blocked.remove(&names), rest) {
                (Some(Span::Addresses(a)), Span::Addresses(b)) => Span::Addresses(a.union(&b)),
                (_, rest) => rest,
            };
            blocked.insert(names, joined);
        }
        blocked
    }

    /// Returns the policies that deny the requirement at one end.
    fn denying(&self, end: (ClassId, Direction), far: &BlockedPeer) -> Vec<String> {
        let evaluation = self.evaluation;
        let (class, direction) = end;
        let part = ConnectionSet::one(self.requirement.protocol, self.requirement.port);
        let selecting = evaluation.isolating(class, direction);
        let with = |rule: &Rule| match far {
            BlockedPeer::Class(peer) => evaluation.matched(rule, end, &RulePeer::Class(*peer)),
            BlockedPeer::Addresses(rest) => {
                evaluation.matched(rule, end, &RulePeer::Addresses(rest))
            }
        };
        match decide(&evaluation.tiers, selecting, direction, &part, with) {
            Decision::Denied(denial) => denial.policies,
            // Several addresses, of which a rule allows one: all policies of the end together deny the others.
            Decision::Open | Decision::Allowed(_) => {
                let names = evaluation.isolated_by(class, direction);
                names.into_iter().map(str::to_owned).collect()
            }
        }
    }

    /// Returns the blocked part of the classes of a workload, or `None` if all are allowed.
    fn classes(
        &self,
        class: ClassId,
        direction: Direction,
        peers: &[ClassId],
        far: &End,
    ) -> Option<(Span, BlockedPeer)> {
        let evaluation = self.evaluation;
        let table = evaluation.tables.of(class, direction)?;
        let (protocol, port) = (self.requirement.protocol, self.requirement.port);
        for peer in peers {
            if evaluation.class(*peer).host_network {
                let pods = evaluation.class(*peer).pods.iter();
                let facts = pods.filter_map(|pod| evaluation.pod_classes.pods.get(*pod));
                let addresses = facts
                    .flat_map(|pod| pod.addresses.iter().copied())
                    .collect();
                if let Some(rest) = self.addresses(class, direction, &addresses) {
                    return Some(rest);
                }
            } else if !evaluation
                .names
                .pool
                .get(table.pod(*peer))
                .contains(protocol, port)
            {
                return Some((span(far), BlockedPeer::Class(*peer)));
            }
        }
        None
    }

    /// Returns the blocked part of `addresses`, or `None` if all are allowed.
    fn addresses(
        &self,
        class: ClassId,
        direction: Direction,
        addresses: &AddressSet,
    ) -> Option<(Span, BlockedPeer)> {
        let table = self.evaluation.tables.of(class, direction)?;
        let (protocol, port) = (self.requirement.protocol, self.requirement.port);
        if self
            .evaluation
            .names
            .pool
            .get(table.everyone)
            .contains(protocol, port)
        {
            return None;
        }
        let rest = addresses.difference(&table.addresses.with(protocol, port));
        (!rest.is_empty()).then(|| {
            let span = Span::Addresses(rest.clone());
            (span, BlockedPeer::Addresses(rest))
        })
    }
}
