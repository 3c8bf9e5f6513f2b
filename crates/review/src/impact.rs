//! The impact of a proposal, for the person who decides: the connections that it opens and closes, the recorded
//! flows that it would block, findings, and the evidence of everything that it allows.
//!
//! The impact is that at the workload's own end: only the policies that select its pods are considered. The policies
//! of the other end are part of the impact of that workload's proposal.

mod connections;
mod evidence;
mod findings;
#[cfg(test)]
mod tests;

use super::digest::policy_digest;
use super::resources::{ChangeLine, FindingLine, Impact, WouldBlock};
use super::{IntendedConnection, Intent, Violation, subset};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nanoseg_evaluate::{BlockedBy, EvaluateError, Evaluation, HostNetwork};
use nanoseg_finding::Finding;
use nanoseg_graph::{Edge, Graph, Lesson, Peer, Requirement, Requiring, ServiceEnforcements};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The longest list in a proposal; the totals are listed as well. An object in etcd has at most 1.5 MiB.
const MOST_LINES: usize = 50;

/// What the impact of a proposal depends on.
#[derive(Debug, Clone, Copy)]
pub struct ImpactInputs<'a> {
    pub inventory: &'a Inventory,
    pub graph: &'a Graph,
    /// Where the network plugin checks connections through Services.
    pub enforcement: &'a ServiceEnforcements,
    /// All requirements; their edges are those of [`Graph::taught`].
    pub requirements: &'a [Requirement],
    /// Blocked connections that the policy would open.
    pub wanted_blocked: &'a [Violation],
    pub workload: &'a WorkloadId,
    pub policy_name: &'a str,
    /// The approved policy.
    pub base: Option<&'a NetworkPolicySpec>,
    /// The proposed policy.
    pub policy: &'a NetworkPolicySpec,
    /// All other policies in force.
    pub others: &'a [NetworkPolicy],
    /// The findings of the inventory, the graph and the proof.
    pub findings: &'a [Finding],
    /// The estimated share of the workload's edges that were observed, 0–1.
    pub coverage: Option<f64>,
    /// The reason of the proposal, one sentence.
    pub reason: &'a str,
    pub now: Timestamp,
}

/// The most of what a policy closes that is kept to be compared.
const MOST_CLOSED: usize = 500;

/// The impact of a proposal, and what it is meant to do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assessment {
    /// For people; long lists are truncated.
    pub impact: Impact,
    /// For the controller, in full.
    pub intent: Intent,
    pub opens: Opens,
    /// What it closes as a change of a policy; empty for a first one, which closes everything else.
    pub closes: BTreeSet<ChangeLine>,
}

/// The known connections that a policy newly allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Opens {
    pub all: BTreeSet<IntendedConnection>,
    /// Those of them that look names up.
    pub lookups: BTreeSet<IntendedConnection>,
}

impl From<Impact> for Assessment {
    /// Of a policy that is meant to allow nothing in particular.
    fn from(impact: Impact) -> Self {
        Assessment {
            impact,
            ..Assessment::default()
        }
    }
}

/// Computes the impact of a proposal.
///
/// # Errors
/// Returns an error if the API server would refuse a policy, such as one that a person edited.
pub fn assess_impact(inputs: &ImpactInputs<'_>) -> Result<Impact, EvaluateError> {
    Ok(assess(inputs)?.impact)
}

/// Computes the impact of a proposal, and what it is meant to do.
///
/// # Errors
/// Returns an error if the API server would refuse a policy, such as one that a person edited.
pub fn assess(inputs: &ImpactInputs<'_>) -> Result<Assessment, EvaluateError> {
    let sides = PolicyStates::of(inputs);
    let changes = connections::compare(inputs, &sides)?;
    let edges = PolicyEffect::of(inputs, &sides)?;
    let (intent, opens) = (edges.intent(), edges.opens());
    let closes = match inputs.base {
        Some(_) => changes.lost.iter().take(MOST_CLOSED).cloned().collect(),
        None => BTreeSet::new(),
    };
    let mut findings = findings::lines(inputs, &edges);
    let gained_total = changes.gained.len();
    let would_block: Vec<WouldBlock> = edges.blocked.iter().map(evidence::would_block).collect();
    let would_block_total = would_block.len();
    findings.sort_by(|a, b| {
        let rank = |line: &FindingLine| findings::rank(&line.severity);
        let of = |line: &FindingLine| {
            (
                line.code.clone(),
                line.subject.clone(),
                line.message.clone(),
            )
        };
        (rank(a), of(a)).cmp(&(rank(b), of(b)))
    });
    findings.dedup();
    let impact = Impact {
        revision: policy_digest(inputs.policy).to_string(),
        reason: inputs.reason.to_owned(),
        risk: findings::risk(&findings).to_owned(),
        gained: cut(changes.gained),
        gained_total: number(gained_total),
        lost_total: number(changes.lost.len()),
        closed_groups: changes.closed_groups,
        refused: Vec::new(),
        lost: cut(changes.lost),
        findings: cut_findings(findings),
        would_block: cut(would_block),
        would_block_total: number(would_block_total),
        evidence_total: number(edges.allowed.len()),
        evidence: evidence::lines(edges.allowed, inputs),
        // Rounded down, so that the coverage is never overstated.
        coverage: inputs
            .coverage
            .map(|share| (share.clamp(0.0, 1.0) * 100.0) as u8),
    };
    Ok(Assessment {
        impact,
        intent,
        opens,
        closes,
    })
}

fn cut<T>(mut list: Vec<T>) -> Vec<T> {
    list.truncate(MOST_LINES);
    list
}

/// Truncates a list of findings. Automatic approval depends on the codes, so the first finding of each code is kept,
/// however many others there are.
fn cut_findings(list: Vec<FindingLine>) -> Vec<FindingLine> {
    let mut codes = BTreeSet::new();
    let first: Vec<bool> = list
        .iter()
        .map(|line| codes.insert(line.code.clone()))
        .collect();
    let mut room = MOST_LINES.saturating_sub(codes.len());
    let mut kept = Vec::new();
    for (line, is_first) in list.into_iter().zip(first) {
        if !is_first {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        kept.push(line);
    }
    kept
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The policies that select the workload's pods, before and after.
struct PolicyStates {
    before: Vec<NetworkPolicy>,
    after: Vec<NetworkPolicy>,
}

impl PolicyStates {
    fn of(inputs: &ImpactInputs<'_>) -> PolicyStates {
        let own = BTreeSet::from([inputs.workload]);
        let small = subset::of_workloads(inputs.inventory, &own);
        let others = subset::policies_selecting(inputs.others, &small);
        let with = |spec: Option<&NetworkPolicySpec>| {
            let own = spec.map(|spec| as_policy(inputs, spec));
            own.into_iter()
                .chain(others.iter().map(|p| (*p).clone()))
                .collect()
        };
        PolicyStates {
            before: with(inputs.base),
            after: with(Some(inputs.policy)),
        }
    }
}

fn as_policy(inputs: &ImpactInputs<'_>, spec: &NetworkPolicySpec) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(inputs.workload.namespace.clone()),
            name: Some(inputs.policy_name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(spec.clone()),
    }
}

/// An edge with the workload at one end.
struct WorkloadEdge<'a> {
    client: &'a Peer,
    server: &'a Peer,
    edge: &'a Edge,
    /// Is true if the base policy did not allow it. Without a base policy every edge is new.
    is_new: bool,
}

/// The workload's edges, by the effect of the policy on them.
struct PolicyEffect<'a> {
    allowed: Vec<WorkloadEdge<'a>>,
    /// Edges that teach, that the base policy allowed, and that the proposed policy does not.
    blocked: Vec<WorkloadEdge<'a>>,
}

impl<'a> PolicyEffect<'a> {
    fn of(
        inputs: &ImpactInputs<'a>,
        sides: &PolicyStates,
    ) -> Result<PolicyEffect<'a>, EvaluateError> {
        let own = Peer::Workload(inputs.workload.clone());
        let edges = inputs.graph.edges_of(&own);
        let mut workloads = BTreeSet::from([inputs.workload]);
        for (client, server, _) in &edges {
            workloads.extend(client.workload());
            workloads.extend(server.workload());
        }
        let small = subset::of_workloads(inputs.inventory, &workloads);
        let evaluation =
            |policies: &[NetworkPolicy]| Evaluation::new(&small, policies, HostNetwork::Exact);
        let (before, after) = (evaluation(&sides.before)?, evaluation(&sides.after)?);
        let requiring = Requiring {
            graph: inputs.graph,
            inventory: inputs.inventory,
            enforcement: inputs.enforcement,
        };
        let mut effect = PolicyEffect {
            allowed: Vec::new(),
            blocked: Vec::new(),
        };
        for (client, server, edge) in edges {
            let needed = requiring.of(client, server, edge, Requiring::NOT_TAUGHT);
            let allows = |evaluation: &Evaluation| {
                let mut all = needed.iter().flat_map(|r| evaluation.blocked(r));
                !needed.is_empty() && !all.any(|blocked| is_at(&blocked.by, &own, client, server))
            };
            let (was, is) = (allows(&before), allows(&after));
            let seen = WorkloadEdge {
                client,
                server,
                edge,
                is_new: inputs.base.is_none() || !was,
            };
            if is && (edge.lesson.teaches() || is_wanted(inputs, client, server, edge)) {
                effect.allowed.push(seen);
            } else if was && !is && edge.lesson.teaches() {
                effect.blocked.push(seen);
            }
        }
        Ok(effect)
    }

    /// All of it, as it is kept with the revision.
    fn intent(&self) -> Intent {
        Intent::new(
            self.allowed.iter().map(WorkloadEdge::connection),
            self.blocked.iter().map(WorkloadEdge::connection),
        )
    }

    /// What is new of it.
    fn opens(&self) -> Opens {
        let new = || self.allowed.iter().filter(|seen| seen.is_new);
        let lookups = new().filter(|seen| seen.edge.tally.dns || is_implied(seen.edge));
        let bounded = |all: Vec<IntendedConnection>| Intent::new(all, []).allows;
        Opens {
            all: bounded(new().map(WorkloadEdge::connection).collect()),
            lookups: bounded(lookups.map(WorkloadEdge::connection).collect()),
        }
    }
}

/// Only lookups of names are implied.
fn is_implied(edge: &Edge) -> bool {
    matches!(edge.lesson, Lesson::Implied(_))
}

impl WorkloadEdge<'_> {
    fn connection(&self) -> IntendedConnection {
        IntendedConnection {
            client: self.client.clone(),
            server: self.server.clone(),
            protocol: self.edge.protocol,
            port: self.edge.port,
        }
    }
}

/// Returns true if a policy at the workload's own end blocks the connection.
fn is_at(by: &BlockedBy, own: &Peer, client: &Peer, server: &Peer) -> bool {
    match by {
        BlockedBy::Ingress(_) => server == own,
        BlockedBy::Egress(_) => client == own,
        BlockedBy::UnknownWorkload(_) => false,
    }
}

fn is_wanted(inputs: &ImpactInputs<'_>, client: &Peer, server: &Peer, edge: &Edge) -> bool {
    inputs.wanted_blocked.iter().any(|wanted| {
        (&wanted.client, &wanted.server, wanted.protocol, wanted.port)
            == (client, server, edge.protocol, edge.port)
    })
}
