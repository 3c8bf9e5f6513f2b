//! What the policies say of one connection: the one answer that violations, rollbacks and `nanoseg explain` give
//! (rule: one-evaluation).

use nanoseg_evaluate::{BlockedBy, Evaluation};
use nanoseg_graph::{End, Requirement};
use nanoseg_net::{Direction, Protocol};
use std::collections::{BTreeMap, BTreeSet};

/// A requirement that the policies of one end deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub requirement: Requirement,
    /// Egress: the client's policies deny it; ingress: the server's.
    pub at: Direction,
    /// These policies (`namespace/name`) isolate that end, and none allows it.
    pub policies: Vec<String>,
}

/// Returns what the policies deny of a connection, given by what must be allowed for it ([`nanoseg_graph::Requiring`]).
///
/// A client that comes through a node is seen as itself or as a node, by where the pod runs
/// (rule: node-port-from-any-node). Where such a connection was answered (`answered`), it is denied only if it is in both ways:
/// it came in the other one.
pub fn denials(needed: &[Requirement], answered: bool, evaluation: &Evaluation) -> Vec<Denial> {
    let denied = needed.iter().flat_map(|requirement| {
        let blocked = evaluation.blocked(requirement).into_iter();
        blocked.filter_map(|blocked| {
            let (at, policies) = match blocked.by {
                BlockedBy::Egress(policies) => (Direction::Egress, policies),
                BlockedBy::Ingress(policies) => (Direction::Ingress, policies),
                BlockedBy::UnknownWorkload(_) => return None,
            };
            Some(Denial {
                requirement: requirement.clone(),
                at,
                policies,
            })
        })
    });
    let mut denied: Vec<Denial> = denied.collect();
    if answered {
        let ways = ways(needed);
        let blocked: BTreeSet<Requirement> =
            denied.iter().map(|one| one.requirement.clone()).collect();
        denied.retain(|one| {
            let all = ways.get(&arrival(&one.requirement)).into_iter().flatten();
            let mut all = all.copied();
            all.all(|way| blocked.contains(way))
        });
    }
    denied
}

/// Where a connection arrives, however its client is seen.
type Arrival<'r> = (&'r End, Protocol, u16);

fn arrival(requirement: &Requirement) -> Arrival<'_> {
    let Requirement {
        server,
        protocol,
        port,
        ..
    } = requirement;
    (server, *protocol, *port)
}

fn ways(needed: &[Requirement]) -> BTreeMap<Arrival<'_>, Vec<&Requirement>> {
    let mut ways: BTreeMap<Arrival<'_>, Vec<&Requirement>> = BTreeMap::new();
    for requirement in needed {
        ways.entry(arrival(requirement))
            .or_default()
            .push(requirement);
    }
    ways
}
