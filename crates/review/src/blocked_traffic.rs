//! Approved traffic that is blocked after a policy was applied: the reason of an automatic rollback
//! (rule: rollback-needs-evidence).
//!
//! A rollback opens what was closed, so whoever is restrained must not be able to cause it. What counts is a connection
//! that both revisions were approved to allow, that worked before, that the present policies deny by evaluation, and
//! whose failure is proven by clients that were there before the change, from both ends, for some time.

mod evidence;
mod reopens;

use super::{IntendedConnection, Intent, LagCause, PluginLag, denials, subset};
use evidence::{Failing, Reports};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{EvaluateError, Evaluation, HostNetwork};
use nanoseg_flow::{FlowRecord, Observer, Verdict};
use nanoseg_graph::{Edge, Graph, Outcome, Peer, Requiring, ServiceEnforcements, Views};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Direction, Timestamp};
use std::collections::BTreeSet;
use std::fmt;

/// The time that network plugins may need to enforce an applied policy, in seconds. What is tried within it proves
/// nothing, whether it works or not.
pub const ENFORCEMENT_DELAY: i64 = 5;

/// The same in this cluster: longer if the plugin needed longer lately (rule: plugin-lag-is-measured).
pub fn enforcement_delay(lag: &PluginLag) -> i64 {
    lag.seconds(LagCause::PolicyChange, ENFORCEMENT_DELAY)
}

/// A change of a workload's policy.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub workload: &'a WorkloadId,
    pub applied_at: Timestamp,
    /// What the applied revision was approved to do.
    pub intent: &'a Intent,
    /// What the revision before was approved to do; `None`: there is no revision before.
    pub intent_before: Option<&'a Intent>,
    /// All policies that would be in force after a rollback.
    pub policies_before: &'a [NetworkPolicy],
    /// All policies that are in force.
    pub policies_after: &'a [NetworkPolicy],
}

/// What was observed.
#[derive(Debug, Clone, Copy)]
pub struct EffectInputs<'a> {
    /// Everything that was observed.
    pub graph: &'a Graph,
    /// The attempts since [`ENFORCEMENT_DELAY`] after the change ([`nanoseg_graph::build_attempts`]).
    pub recent: &'a Graph,
    /// The same attempts, as each observer reported them.
    pub records: &'a [(&'a Observer, &'a FlowRecord)],
    /// When each node's agent observed.
    pub views: &'a Views,
    pub inventory: &'a Inventory,
    /// Where the network plugin checks connections through Services.
    pub enforcement: &'a ServiceEnforcements,
    /// What the network plugin needed lately: what fails for no longer proves nothing.
    pub plugin_lag: &'a PluginLag,
    pub now: Timestamp,
}

/// What a change did to approved traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effect {
    /// A connection that the policies deny although they were meant to allow it, and what is to be done.
    pub blocked: Option<(BlockedTraffic, Remedy)>,
    /// Connections that the policies allow and that fail all the same: something else blocks them.
    pub unexplained: Vec<BlockedTraffic>,
}

/// What is to be done about approved traffic that is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Go back to the revision before.
    RollBack,
    /// Nothing automatically: a person decides.
    AskPerson(NotAutomatic),
}

/// Why the controller does not roll back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAutomatic {
    /// It would leave no policy.
    NoRevisionBefore,
    /// It would open again what the revision closes.
    Reopens,
}

impl fmt::Display for NotAutomatic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NotAutomatic::NoRevisionBefore => "there is no approved revision before it",
            NotAutomatic::Reopens => "the revision before would open again what this one closes",
        })
    }
}

/// A connection that worked before a policy was applied and has not worked since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedTraffic {
    pub connection: IntendedConnection,
    /// Attempts since the policy was applied; none succeeded.
    pub failed: u64,
    /// Connections that were established before the policy was applied.
    pub worked: u64,
    /// The pods of the client whose attempts failed.
    pub pods: usize,
    /// From their first to their last failed attempt, in seconds.
    pub seconds: i64,
    /// Is true if the policies in force deny the connection, by evaluation.
    pub denied: bool,
}

impl fmt::Display for BlockedTraffic {
    /// `shop/web → shop/db 5432/TCP: 40 attempts of 2 pods failed within 31 s and none worked, 120 worked before; …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.denied {
            "the policy does not allow it any more"
        } else {
            "the policies allow it, so something else blocks it"
        };
        let pods = match self.pods {
            1 => "1 pod".to_owned(),
            pods => format!("{pods} pods"),
        };
        let IntendedConnection {
            client,
            server,
            protocol,
            port,
        } = &self.connection;
        write!(
            f,
            "{client} → {server} {port}/{protocol}: {} attempts of {pods} failed within {} s and none worked, {} worked before; {why}",
            self.failed, self.seconds, self.worked
        )
    }
}

/// Finds approved traffic of a workload that does not work since a change of its policy. Of several denied connections
/// it returns the one with the most failures.
///
/// # Errors
/// Returns an error if the API server would refuse a policy.
pub fn effect_of(change: &Change<'_>, inputs: &EffectInputs<'_>) -> Result<Effect, EvaluateError> {
    let candidates = candidates(change, inputs);
    if candidates.is_empty() {
        return Ok(Effect::default());
    }
    let mut peers: BTreeSet<&WorkloadId> = BTreeSet::from([change.workload]);
    for candidate in &candidates {
        peers.extend(candidate.client.workload());
        peers.extend(candidate.server.workload());
    }
    let small = subset::of_workloads(inputs.inventory, &peers);
    let check = EffectCheck {
        own: Peer::Workload(change.workload.clone()),
        inputs,
        before: evaluation(&small, change.policies_before)?,
        after: evaluation(&small, change.policies_after)?,
    };
    let found: Vec<BlockedTraffic> = candidates.iter().filter_map(|c| check.check(c)).collect();
    let (denied, unexplained): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.denied);
    // The first of several equal ones, so that the result is deterministic.
    let worst = denied.into_iter().reduce(
        |best, one| {
            if one.failed > best.failed { one } else { best }
        },
    );
    let blocked = match worst {
        Some(traffic) => Some((traffic, remedy(change, inputs)?)),
        None => None,
    };
    Ok(Effect {
        blocked,
        unexplained,
    })
}

fn remedy(change: &Change<'_>, inputs: &EffectInputs<'_>) -> Result<Remedy, EvaluateError> {
    if change.intent_before.is_none() {
        return Ok(Remedy::AskPerson(NotAutomatic::NoRevisionBefore));
    }
    if reopens::reopens(change, inputs)? {
        return Ok(Remedy::AskPerson(NotAutomatic::Reopens));
    }
    Ok(Remedy::RollBack)
}

/// A connection that both revisions were meant to allow, that worked before and has only failed since, by enough
/// evidence.
struct Candidate<'a> {
    client: &'a Peer,
    server: &'a Peer,
    /// The edge in everything that was observed.
    known: &'a Edge,
    connection: IntendedConnection,
    worked: u64,
    failed: u64,
    failing: Failing,
}

fn candidates<'a>(change: &Change<'a>, inputs: &EffectInputs<'a>) -> Vec<Candidate<'a>> {
    let reports = Reports {
        records: inputs.records,
        inventory: inputs.inventory,
        views: inputs.views,
        applied_at: change.applied_at,
        new_pod: inputs
            .plugin_lag
            .seconds(LagCause::PodStart, evidence::NEW_POD),
        now: inputs.now,
    };
    let own = Peer::Workload(change.workload.clone());
    let edges = inputs.recent.edges_of(&own).into_iter();
    edges
        .filter_map(|(client, server, new)| {
            let connection = IntendedConnection {
                client: client.clone(),
                server: server.clone(),
                protocol: new.protocol,
                port: new.port,
            };
            let before = change.intent_before;
            let is_meant = change.intent.allows.contains(&connection)
                && before.is_none_or(|intent| intent.allows.contains(&connection));
            let known = inputs
                .graph
                .edge(client, server, new.protocol, new.port)
                .filter(|_| is_meant)?;
            let worked = answered(known).saturating_sub(answered(new));
            // Known before: who tells of it cannot move that back (rule: told-by-the-receivers-clock).
            let began = known
                .known_since()
                .is_some_and(|first| first < change.applied_at);
            let failed = failures(new);
            let fails = began && worked > 0 && failed > 0 && answered(new) == 0;
            let is_told = |edge: &Edge, outcome| {
                edge.corroboration(outcome, inputs.views, inputs.now)
                    .is_trusted()
            };
            let is_told = is_told(known, Outcome::Answered) && is_told(new, Outcome::Failed);
            // Only a pod can be shown to have been there before the change.
            let pods = client.workload().filter(|_| fails && is_told)?;
            Some(Candidate {
                failing: reports.failing(pods, server, new)?,
                client,
                server,
                known,
                connection,
                worked,
                failed,
            })
        })
        .collect()
}

fn evaluation(
    inventory: &Inventory,
    policies: &[NetworkPolicy],
) -> Result<Evaluation, EvaluateError> {
    let selecting = subset::policies_selecting(policies, inventory);
    Evaluation::new(inventory, selecting.iter().copied(), HostNetwork::Exact)
}

struct EffectCheck<'a> {
    own: Peer,
    inputs: &'a EffectInputs<'a>,
    before: Evaluation,
    after: Evaluation,
}

impl EffectCheck<'_> {
    /// Returns the candidate if its failure is the change's doing, or if nothing explains it.
    fn check(&self, candidate: &Candidate<'_>) -> Option<BlockedTraffic> {
        let Candidate {
            client,
            server,
            known,
            ..
        } = candidate;
        let requiring = Requiring {
            graph: self.inputs.graph,
            inventory: self.inputs.inventory,
            enforcement: self.inputs.enforcement,
        };
        let needed = requiring.of(client, server, known, Requiring::NOT_TAUGHT);
        let denies = |evaluation: &Evaluation, own_end: bool| {
            // It was not answered since: none of the ways in which it may be seen excuses another.
            denials(&needed, false, evaluation)
                .iter()
                .any(|denial| match denial.at {
                    Direction::Ingress => !own_end || **server == self.own,
                    Direction::Egress => !own_end || **client == self.own,
                })
        };
        let denied = denies(&self.after, true);
        // What the other end's policy denies is checked for that workload, and what a rollback would not open is no
        // reason for one.
        let is_of_others = if denied {
            denies(&self.before, false)
        } else {
            denies(&self.after, false)
        };
        if is_of_others || self.is_down(candidate) {
            return None;
        }
        Some(BlockedTraffic {
            connection: candidate.connection.clone(),
            failed: candidate.failed,
            worked: candidate.worked,
            pods: candidate.failing.pods,
            seconds: candidate.failing.seconds,
            denied,
        })
    }

    /// Returns how other clients of the server have fared since the policy was applied.
    fn others(&self, candidate: &Candidate<'_>) -> Others {
        let edges = self.inputs.recent.edges_of(candidate.server).into_iter();
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
    fn is_down(&self, candidate: &Candidate<'_>) -> bool {
        match (self.others(candidate), candidate.server) {
            (Others::Work, _) => false,
            (_, Peer::Workload(id)) => !self.is_ready(id, candidate.known),
            // Only the results of other clients show whether an outside server is up.
            (others, _) => others == Others::Fail,
        }
    }

    /// Returns true if pods of the workload are ready: if a Service has one as an endpoint or, if it was not called
    /// through a Service, if there is a pod.
    fn is_ready(&self, id: &WorkloadId, edge: &Edge) -> bool {
        let inventory = self.inputs.inventory;
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
