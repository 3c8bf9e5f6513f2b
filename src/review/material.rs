//! What a proposal would do, for who decides: connections opened and closed, recorded flows that would be
//! blocked, findings, and the evidence of everything that it allows.
//!
//! It speaks of the workload's own end: what the policies that select its pods say. What the other end's
//! policies say is that workload's proposal.

mod changes;
mod checks;
mod evidence;
#[cfg(test)]
mod tests;

use super::digest::policy_digest;
use super::resources::{FindingLine, Material, WouldBlock};
use super::{Violation, narrow};
use crate::evaluate::{BlockedBy, EvaluateError, Evaluation, HostNetwork};
use crate::finding::Finding;
use crate::graph::{Edge, Graph, Peer, Requirement, Requiring, ServiceEnforcement};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeSet;

/// The longest list that a proposal carries; totals are beside. An object in etcd is 1.5 MiB at most.
const MOST_LINES: usize = 50;

/// What a proposal is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub inventory: &'a Inventory,
    pub graph: &'a Graph,
    /// All that must be allowed; their edges are those of [`Graph::taught`].
    pub requirements: &'a [Requirement],
    /// Blocked connections that the policy would open.
    pub wanted_blocked: &'a [Violation],
    pub workload: &'a WorkloadId,
    pub policy_name: &'a str,
    /// The approved policy.
    pub base: Option<&'a NetworkPolicySpec>,
    /// The policy to judge.
    pub policy: &'a NetworkPolicySpec,
    /// All other policies in force.
    pub others: &'a [NetworkPolicy],
    /// What was noticed of the inventory, the graph and the proof.
    pub findings: &'a [Finding],
    /// The estimated share of the workload's edges seen, 0–1.
    pub coverage: Option<f64>,
    /// Why there is a proposal.
    pub reason: &'a str,
    pub now: Timestamp,
}

/// Works out what a policy would do.
///
/// # Errors
/// A policy that the API server would refuse, such as one that a person edited.
pub fn build_material(question: &Question<'_>) -> Result<Material, EvaluateError> {
    let sides = Sides::of(question);
    let changes = changes::compare(question, &sides)?;
    let edges = Judged::of(question, &sides)?;
    let mut findings = checks::lines(question, &edges);
    let gained_total = changes.gained.len();
    let would_block: Vec<WouldBlock> = edges.blocked.iter().map(evidence::would_block).collect();
    let would_block_total = would_block.len();
    findings.sort_by(|a, b| {
        let rank = |line: &FindingLine| checks::rank(&line.severity);
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
    Ok(Material {
        revision: policy_digest(question.policy).to_string(),
        reason: question.reason.to_owned(),
        risk: checks::risk(&findings).to_owned(),
        gained: cut(changes.gained),
        gained_total: number(gained_total),
        lost_total: number(changes.lost.len()),
        lost: cut(changes.lost),
        findings: cut_findings(findings),
        would_block: cut(would_block),
        would_block_total: number(would_block_total),
        evidence_total: number(edges.allowed.len()),
        evidence: evidence::lines(edges.allowed, question),
        // Rounded down: nothing is said to be known that is not.
        coverage: question
            .coverage
            .map(|share| (share.clamp(0.0, 1.0) * 100.0) as u8),
    })
}

fn cut<T>(mut list: Vec<T>) -> Vec<T> {
    list.truncate(MOST_LINES);
    list
}

/// Automatic approval goes by codes, so the first of each code stays however many there are of the others.
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
struct Sides {
    before: Vec<NetworkPolicy>,
    after: Vec<NetworkPolicy>,
}

impl Sides {
    fn of(question: &Question<'_>) -> Sides {
        let own = BTreeSet::from([question.workload]);
        let small = narrow::with_workloads(question.inventory, &own);
        let others = narrow::selecting(question.others, &small);
        let with = |spec: Option<&NetworkPolicySpec>| {
            let own = spec.map(|spec| as_policy(question, spec));
            own.into_iter()
                .chain(others.iter().map(|p| (*p).clone()))
                .collect()
        };
        Sides {
            before: with(question.base),
            after: with(Some(question.policy)),
        }
    }
}

fn as_policy(question: &Question<'_>, spec: &NetworkPolicySpec) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(question.workload.namespace.clone()),
            name: Some(question.policy_name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(spec.clone()),
    }
}

/// An edge of the workload.
struct Seen<'a> {
    client: &'a Peer,
    server: &'a Peer,
    edge: &'a Edge,
    /// The policy before did not allow it; without a policy before, all count as new.
    is_new: bool,
}

/// The workload's edges, by what the policy does to them.
struct Judged<'a> {
    allowed: Vec<Seen<'a>>,
    /// Taught, allowed before, and not any more.
    blocked: Vec<Seen<'a>>,
}

impl<'a> Judged<'a> {
    fn of(question: &Question<'a>, sides: &Sides) -> Result<Judged<'a>, EvaluateError> {
        let own = Peer::Workload(question.workload.clone());
        let edges = question.graph.edges_of(&own);
        let mut workloads = BTreeSet::from([question.workload]);
        for (client, server, _) in &edges {
            workloads.extend(client.workload());
            workloads.extend(server.workload());
        }
        let small = narrow::with_workloads(question.inventory, &workloads);
        let evaluation =
            |policies: &[NetworkPolicy]| Evaluation::new(&small, policies, HostNetwork::Exact);
        let (before, after) = (evaluation(&sides.before)?, evaluation(&sides.after)?);
        let requiring = Requiring {
            graph: question.graph,
            inventory: question.inventory,
            enforcement: ServiceEnforcement::AfterTranslation,
        };
        let mut judged = Judged {
            allowed: Vec::new(),
            blocked: Vec::new(),
        };
        for (client, server, edge) in edges {
            let asked = requiring.of(client, server, edge, Requiring::NOT_TAUGHT);
            let allows = |evaluation: &Evaluation| {
                let mut all = asked.iter().flat_map(|r| evaluation.blocked(r));
                !asked.is_empty() && !all.any(|blocked| is_at(&blocked.by, &own, client, server))
            };
            let (was, is) = (allows(&before), allows(&after));
            let seen = Seen {
                client,
                server,
                edge,
                is_new: question.base.is_none() || !was,
            };
            if is && (edge.lesson.teaches() || is_wanted(question, client, server, edge)) {
                judged.allowed.push(seen);
            } else if was && !is && edge.lesson.teaches() {
                judged.blocked.push(seen);
            }
        }
        Ok(judged)
    }
}

/// Whether it is a policy of the workload's own end that blocks.
fn is_at(by: &BlockedBy, own: &Peer, client: &Peer, server: &Peer) -> bool {
    match by {
        BlockedBy::Ingress(_) => server == own,
        BlockedBy::Egress(_) => client == own,
        BlockedBy::UnknownWorkload(_) => false,
    }
}

fn is_wanted(question: &Question<'_>, client: &Peer, server: &Peer, edge: &Edge) -> bool {
    question.wanted_blocked.iter().any(|wanted| {
        (&wanted.client, &wanted.server, wanted.protocol, wanted.port)
            == (client, server, edge.protocol, edge.port)
    })
}
