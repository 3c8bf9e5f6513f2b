//! Approved traffic that is blocked after an apply: what makes a workload go back by itself.
//!
//! Rolling back opens what was closed, so it needs evidence: a connection that worked, that was meant to
//! go on, that has been tried since and never got through, to a server that is not simply down.

use super::narrow;
use crate::evaluate::{BlockedBy, EvaluateError, Evaluation, HostNetwork};
use crate::flow::Verdict;
use crate::graph::{Edge, Graph, Peer, Requiring, ServiceEnforcement};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::{Protocol, Timestamp};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeSet;
use std::fmt;

/// Where the new policies *allow* a connection and it fails nevertheless, a network plugin may read them
/// in another way than we do. That takes more evidence: so many failed attempts, and other clients that
/// reach the server...
const UNEXPLAINED_FAILURES: u64 = 3;
/// ...and it counts only so many seconds after the apply.
const UNEXPLAINED_FOR: i64 = 600;

/// Network plugins take a moment to enforce what was applied; what is let through in the seconds until then
/// says nothing.
pub const SETTLED: i64 = 5;

/// A connection that worked before an apply and does not work since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedTraffic {
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
    /// Attempts since the apply; none of them was answered.
    pub failed: u64,
    /// Connections that were established before the apply.
    pub worked: u64,
    /// The last failed attempt.
    pub last_failed: Timestamp,
    /// The new policies deny it, by evaluation. If not, the network plugin reads them in another way.
    pub denied: bool,
}

impl fmt::Display for BlockedTraffic {
    /// `shop/web → shop/db 5432/TCP: 4 attempts failed since and none worked, 120 worked before; …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.denied {
            "the policy does not allow it any more"
        } else {
            "the policy allows it, but something blocks it"
        };
        write!(
            f,
            "{} → {} {}/{}: {} attempts failed since and none worked, {} worked before; {why}",
            self.client, self.server, self.port, self.protocol, self.failed, self.worked
        )
    }
}

/// Looks for traffic of `workload` that a change of its policy has cut off.
///
/// `graph` is everything seen, `recent` only what began after `applied_at`, or some seconds later
/// ([`crate::graph::build_attempts`], [`is_mixed`]). `before` and `after` are all policies in force before and after.
/// Of several connections the one that is denied, and of those the one that failed most, is told.
///
/// # Errors
/// A policy that the API server would refuse.
#[expect(
    clippy::too_many_arguments,
    reason = "two of each kind: all is known and what is recent, before and after, since when and now"
)]
pub fn blocked_after(
    graph: &Graph,
    recent: &Graph,
    inventory: &Inventory,
    before: &[NetworkPolicy],
    after: &[NetworkPolicy],
    workload: &WorkloadId,
    applied_at: Timestamp,
    now: Timestamp,
) -> Result<Option<BlockedTraffic>, EvaluateError> {
    let own = Peer::Workload(workload.clone());
    let candidates: Vec<Candidate<'_>> = recent
        .edges_of(&own)
        .into_iter()
        .filter_map(|(client, server, new)| {
            let known = graph.edge(client, server, new.protocol, new.port)?;
            let worked = answered(known).saturating_sub(answered(new));
            let began = known.first.is_some_and(|first| first < applied_at);
            let failed = failures(new);
            // Only what taught was meant to be allowed (rule: rollback-needs-evidence).
            let counts = began && worked > 0 && failed > 0 && answered(new) == 0;
            (counts && known.lesson.teaches()).then_some(Candidate {
                client,
                server,
                known,
                new,
                worked,
                failed,
            })
        })
        .collect();
    if candidates.is_empty() {
        return Ok(None);
    }
    let mut peers: BTreeSet<&WorkloadId> = BTreeSet::from([workload]);
    for candidate in &candidates {
        peers.extend(candidate.client.workload());
        peers.extend(candidate.server.workload());
    }
    let small = narrow::with_workloads(inventory, &peers);
    let judge = Judge {
        own: &own,
        recent,
        inventory,
        requiring: Requiring {
            graph,
            inventory,
            enforcement: ServiceEnforcement::AfterTranslation,
        },
        before: evaluation(&small, before)?,
        after: evaluation(&small, after)?,
        is_new: now <= applied_at.plus_secs(UNEXPLAINED_FOR),
    };
    let found = candidates.iter().filter_map(|c| judge.judge(c));
    // The first of several equal ones, so that it is always the same.
    Ok(found.reduce(|best, one| {
        if (one.denied, one.failed) > (best.denied, best.failed) {
            one
        } else {
            best
        }
    }))
}

/// Whether there is a connection of `workload` that both worked and failed in `recent`: it may have worked
/// only until the network plugin had taken notice ([`SETTLED`]).
pub fn is_mixed(recent: &Graph, workload: &WorkloadId) -> bool {
    let edges = recent.edges_of(&Peer::Workload(workload.clone()));
    let mut edges = edges.into_iter();
    edges.any(|(_, _, edge)| answered(edge) > 0 && failures(edge) > 0)
}

fn evaluation(
    inventory: &Inventory,
    policies: &[NetworkPolicy],
) -> Result<Evaluation, EvaluateError> {
    let selecting = narrow::selecting(policies, inventory);
    Evaluation::new(inventory, selecting.iter().copied(), HostNetwork::Exact)
}

/// An edge that worked before and was only tried since.
struct Candidate<'a> {
    client: &'a Peer,
    server: &'a Peer,
    /// Everything seen of it.
    known: &'a Edge,
    /// What was seen of it since the apply.
    new: &'a Edge,
    worked: u64,
    failed: u64,
}

struct Judge<'a> {
    own: &'a Peer,
    recent: &'a Graph,
    inventory: &'a Inventory,
    requiring: Requiring<'a>,
    before: Evaluation,
    after: Evaluation,
    /// The apply is so recent that what fails without a reason may be its doing.
    is_new: bool,
}

impl Judge<'_> {
    fn judge(&self, candidate: &Candidate<'_>) -> Option<BlockedTraffic> {
        let Candidate {
            client,
            server,
            known,
            new,
            ..
        } = candidate;
        let asked = self
            .requiring
            .of(client, server, known, Requiring::NOT_TAUGHT);
        let denies = |evaluation: &Evaluation, own_end: bool| {
            let blocked = asked.iter().flat_map(|r| evaluation.blocked(r));
            blocked.into_iter().any(|blocked| match blocked.by {
                BlockedBy::Ingress(_) => !own_end || *server == self.own,
                BlockedBy::Egress(_) => !own_end || *client == self.own,
                BlockedBy::UnknownWorkload(_) => false,
            })
        };
        if denies(&self.before, false) {
            return None;
        }
        let denied = denies(&self.after, true);
        let others = self.others(candidate);
        let is_our_doing = if denied {
            !self.is_down(candidate, others)
        } else {
            // What the other end's policy denies is judged when that workload is.
            let unexplained = !denies(&self.after, false) && others == Others::Work;
            unexplained && self.is_new && candidate.failed >= UNEXPLAINED_FAILURES
        };
        is_our_doing.then(|| BlockedTraffic {
            client: (*client).clone(),
            server: (*server).clone(),
            protocol: known.protocol,
            port: known.port,
            failed: candidate.failed,
            worked: candidate.worked,
            last_failed: new.last.unwrap_or_default(),
            denied,
        })
    }

    /// How the server's other clients fare since the apply.
    fn others(&self, candidate: &Candidate<'_>) -> Others {
        let edges = self.recent.edges_of(candidate.server).into_iter();
        let same = edges.filter(|(client, server, edge)| {
            let (known, port) = (candidate.known, edge.port);
            *server == candidate.server
                && *client != candidate.client
                && (edge.protocol, port) == (known.protocol, known.port)
        });
        same.fold(Others::None, |sum, (_, _, edge)| {
            if answered(edge) > 0 || sum == Others::Work {
                Others::Work
            } else {
                Others::Fail
            }
        })
    }

    /// Whether the server is out of order for everyone. A pod's own node always reaches it (API
    /// documentation of `spec.ingress`), so a policy that cuts off every client leaves it ready.
    fn is_down(&self, candidate: &Candidate<'_>, others: Others) -> bool {
        match (others, candidate.server) {
            (Others::Work, _) => false,
            (_, Peer::Workload(id)) => !self.is_ready(id, candidate.known),
            // Nothing tells whether an outside server is there but other clients.
            (others, _) => others == Others::Fail,
        }
    }

    /// Whether pods of the workload are ready: by the Services through which it was called, and where
    /// there are none, by there being pods.
    fn is_ready(&self, id: &WorkloadId, edge: &Edge) -> bool {
        let inventory = self.inventory;
        let is_its = |pod: Option<usize>| {
            let pod = pod.and_then(|index| inventory.pods.get(index));
            pod.is_some_and(|pod| pod.workload == *id)
        };
        let ports = inventory.services.iter().flat_map(|service| &service.ports);
        let mut endpoints = ports.flat_map(|port| &port.endpoints);
        if endpoints.any(|endpoint| is_its(endpoint.pod)) {
            return true;
        }
        let mut pods = inventory.pods.iter().filter(|pod| pod.workload == *id);
        edge.services.is_empty() && pods.any(|pod| !pod.template && pod.owned.until.is_none())
    }
}

/// How other clients of a server fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Nobody else tried.
    None,
    /// All fail.
    Fail,
    /// At least one gets through.
    Work,
}

/// Connections that went as they should.
fn answered(edge: &Edge) -> u64 {
    let of = |verdict| edge.verdicts.get(&verdict).copied().unwrap_or_default();
    of(Verdict::Established).saturating_add(of(Verdict::OneWay))
}

fn failures(edge: &Edge) -> u64 {
    let failed = [Verdict::Unanswered, Verdict::Refused, Verdict::Dropped];
    failed
        .iter()
        .filter_map(|verdict| edge.verdicts.get(verdict))
        .fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests;
