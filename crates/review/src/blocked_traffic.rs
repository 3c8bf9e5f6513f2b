//! Approved traffic that is blocked after a policy was applied: the reason of an automatic rollback.
//!
//! A rollback opens what was closed, so it needs evidence: a connection that worked before, that was meant to stay
//! allowed, that was tried since and never succeeded, to a server that is not simply down.

use super::subset;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{BlockedBy, EvaluateError, Evaluation, HostNetwork};
use nanoseg_flow::Verdict;
use nanoseg_graph::{Edge, Graph, Peer, Requiring, ServiceEnforcements};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Protocol, Timestamp};
use std::collections::BTreeSet;
use std::fmt;

/// If the new policies *allow* a connection and it still fails, the network plugin may interpret them differently
/// than nanoseg does. This needs more evidence: at least this many failed attempts, other clients that reach the
/// server...
const UNEXPLAINED_FAILURES: u64 = 3;
/// ...and at most this many seconds since the policy was applied.
const UNEXPLAINED_FOR: i64 = 600;

/// The time that network plugins may need to enforce an applied policy, in seconds. Connections that succeed within
/// it prove nothing.
pub const ENFORCEMENT_DELAY: i64 = 5;

/// A connection that worked before a policy was applied and has not worked since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedTraffic {
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
    /// Attempts since the policy was applied; none succeeded.
    pub failed: u64,
    /// Connections that were established before the policy was applied.
    pub worked: u64,
    /// The last failed attempt.
    pub last_failed: Timestamp,
    /// Is true if the new policies deny the connection, by evaluation. If not, the network plugin interprets them
    /// differently.
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

/// Finds traffic of `workload` that a change of its policy has blocked.
///
/// `graph` is everything that was observed, `recent` only what began after `applied_at`, or some seconds later
/// ([`nanoseg_graph::build_attempts`], [`has_mixed_results`]). `before` and `after` are all policies in force before and after.
/// `enforcement`: where the network plugin checks connections through Services. Of several connections it returns one that is denied, and of those the one with the most failures.
///
/// # Errors
/// Returns an error if the API server would refuse a policy.
#[expect(
    clippy::too_many_arguments,
    reason = "two of each kind: all is known and what is recent, before and after, since when and now"
)]
pub fn blocked_after(
    graph: &Graph,
    recent: &Graph,
    inventory: &Inventory,
    enforcement: &ServiceEnforcements,
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
            // Only an edge that teaches was meant to be allowed (rule: rollback-needs-evidence).
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
    let small = subset::of_workloads(inventory, &peers);
    let check = BlockedTrafficCheck {
        own: &own,
        recent,
        inventory,
        requiring: Requiring {
            graph,
            inventory,
            enforcement,
        },
        before: evaluation(&small, before)?,
        after: evaluation(&small, after)?,
        is_new: now <= applied_at.plus_secs(UNEXPLAINED_FOR),
    };
    let found = candidates.iter().filter_map(|c| check.check(c));
    // The first of several equal ones, so that the result is deterministic.
    Ok(found.reduce(|best, one| {
        if (one.denied, one.failed) > (best.denied, best.failed) {
            one
        } else {
            best
        }
    }))
}

/// Returns true if some connection of `workload` both worked and failed in `recent`: it may have worked only until
/// the network plugin enforced the policy ([`ENFORCEMENT_DELAY`]).
pub fn has_mixed_results(recent: &Graph, workload: &WorkloadId) -> bool {
    let edges = recent.edges_of(&Peer::Workload(workload.clone()));
    let mut edges = edges.into_iter();
    edges.any(|(_, _, edge)| answered(edge) > 0 && failures(edge) > 0)
}

fn evaluation(
    inventory: &Inventory,
    policies: &[NetworkPolicy],
) -> Result<Evaluation, EvaluateError> {
    let selecting = subset::policies_selecting(policies, inventory);
    Evaluation::new(inventory, selecting.iter().copied(), HostNetwork::Exact)
}

/// An edge that worked before and has only failed since.
struct Candidate<'a> {
    client: &'a Peer,
    server: &'a Peer,
    /// The edge in everything that was observed.
    known: &'a Edge,
    /// The edge since the policy was applied.
    new: &'a Edge,
    worked: u64,
    failed: u64,
}

struct BlockedTrafficCheck<'a> {
    own: &'a Peer,
    recent: &'a Graph,
    inventory: &'a Inventory,
    requiring: Requiring<'a>,
    before: Evaluation,
    after: Evaluation,
    /// Is true if the policy was applied so recently that it may be the cause of failures that the evaluation does not
    /// explain.
    is_new: bool,
}

impl BlockedTrafficCheck<'_> {
    fn check(&self, candidate: &Candidate<'_>) -> Option<BlockedTraffic> {
        let Candidate {
            client,
            server,
            known,
            new,
            ..
        } = candidate;
        let needed = self
            .requiring
            .of(client, server, known, Requiring::NOT_TAUGHT);
        let denies = |evaluation: &Evaluation, own_end: bool| {
            let blocked = needed.iter().flat_map(|r| evaluation.blocked(r));
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
            // What the other end's policy denies is checked for that workload.
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

    /// Returns how other clients of the server have fared since the policy was applied.
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

    /// Returns true if the server is down for everyone. A pod's own node always reaches it (API documentation of
    /// `spec.ingress`), so the pod stays ready even if a policy blocks every client.
    fn is_down(&self, candidate: &Candidate<'_>, others: Others) -> bool {
        match (others, candidate.server) {
            (Others::Work, _) => false,
            (_, Peer::Workload(id)) => !self.is_ready(id, candidate.known),
            // Only the results of other clients show whether an outside server is up.
            (others, _) => others == Others::Fail,
        }
    }

    /// Returns true if pods of the workload are ready: if a Service has one as an endpoint or, if it was not called
    /// through a Service, if there is a pod.
    fn is_ready(&self, id: &WorkloadId, edge: &Edge) -> bool {
        let inventory = self.inventory;
        let is_its = |pod: Option<usize>| {
            let pod = pod.and_then(|index| inventory.pods.get(index));
            pod.is_some_and(|pod| pod.workload == *id)
        };
        let ports = inventory.services.iter().flat_map(|service| &service.ports);
        let mut endpoints = ports.flat_map(|port| &port.endpoints);
        if endpoints.any(|endpoint| endpoint.own && is_its(endpoint.pod)) {
            return true;
        }
        let mut pods = inventory.pods.iter().filter(|pod| pod.workload == *id);
        edge.services.is_empty() && pods.any(|pod| !pod.template && pod.owned.until.is_none())
    }
}

/// The results of other clients of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// No other client tried.
    None,
    /// All fail.
    Fail,
    /// At least one succeeds.
    Work,
}

/// Returns the number of connections that succeeded.
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
