//! The rows of a report: workloads, edges, figures.

use super::Done;
use crate::evaluate::{Direction, Evaluation, RuleRef, RuleUse};
use crate::graph::{Edge, Graph, Peer};
use crate::inventory::WorkloadId;
use crate::net::Protocol;
use crate::report::evidence::{
    Approval, EdgeLine, Figures, LearningLines, Reply, RuleApproval, ViolationLine, WorkloadLine,
};
use crate::report::graph::{EdgeDocument, GraphDocument, id};
use std::collections::{BTreeMap, BTreeSet};

/// How each workload stands: isolated where all its pods are.
pub fn workload_lines(evaluation: &Evaluation) -> Vec<WorkloadLine> {
    let mut lines: BTreeMap<WorkloadId, WorkloadLine> = BTreeMap::new();
    for (id, class) in evaluation.classes() {
        let line = lines
            .entry(class.workload.clone())
            .or_insert_with(|| WorkloadLine {
                workload: class.workload.clone(),
                ingress: true,
                egress: true,
                host_network: true,
                policies: Vec::new(),
            });
        line.ingress &= evaluation.isolated(id, Direction::Ingress);
        line.egress &= evaluation.isolated(id, Direction::Egress);
        line.host_network &= class.host_network;
        for direction in [Direction::Ingress, Direction::Egress] {
            for policy in evaluation.isolated_by(id, direction) {
                if !line.policies.iter().any(|known| known == policy) {
                    line.policies.push(policy.to_owned());
                }
            }
        }
        line.policies.sort();
    }
    lines.into_values().collect()
}

/// Client, server, protocol and port of an edge, as documents have them.
pub type Key = (String, String, Protocol, u16);

/// The rules that allow each edge of `O`.
pub fn allowed_by(graph: &Graph, uses: Vec<RuleUse>) -> BTreeMap<Key, Vec<RuleRef>> {
    let taught = graph.taught();
    let mut rules: BTreeMap<Key, Vec<RuleRef>> = BTreeMap::new();
    for one in uses {
        for edge in one.edges {
            if let Some(edge) = taught.get(edge) {
                rules.entry(key(edge)).or_default().push(one.rule.clone());
            }
        }
    }
    rules
}

fn key((client, server, edge): &(&Peer, &Peer, &Edge)) -> Key {
    (id(client), id(server), edge.protocol, edge.port)
}

/// Every edge of the graph, those of `O` with the rules that allow them.
pub fn edge_lines(
    graph: &Graph,
    mut rules: BTreeMap<Key, Vec<RuleRef>>,
    approvals: &[Approval],
    gone: &[(Peer, Peer, Edge)],
) -> Vec<EdgeLine> {
    let gone: BTreeSet<Key> = gone
        .iter()
        .map(|(client, server, edge)| key(&(client, server, edge)))
        .collect();
    let approved: BTreeMap<&str, &Approval> = approvals
        .iter()
        .map(|one| (one.policy.as_str(), one))
        .collect();
    let approver = |rule: &RuleRef| {
        let rules = &approved.get(rule.policy.as_str())?.rules;
        let is_it =
            |one: &&RuleApproval| (one.direction, one.index) == (rule.direction, rule.index);
        let found = rules.iter().find(is_it)?;
        Some(format!("{} at {}", found.by, found.at))
    };
    let document = GraphDocument::build(graph);
    let line = |edge: &EdgeDocument| {
        let key = (
            edge.client.clone(),
            edge.server.clone(),
            edge.protocol,
            edge.port,
        );
        let allowed_by = rules.remove(&key).unwrap_or_default();
        let approved_by: BTreeSet<String> = allowed_by.iter().filter_map(approver).collect();
        EdgeLine {
            gone: gone.contains(&key),
            client: key.0,
            server: key.1,
            protocol: edge.protocol,
            port: edge.port,
            lesson: edge.lesson.kind,
            connections: edge.connections,
            first_seen: edge.first,
            last_seen: edge.last,
            allowed_by,
            approved_by: approved_by.into_iter().collect(),
        }
    };
    document.edges.iter().map(line).collect()
}

pub fn figures(
    workloads: &[WorkloadLine],
    edges: &[EdgeLine],
    done: &Done,
    learning: &LearningLines,
) -> Figures {
    let (hosts, pods): (Vec<_>, Vec<_>) = workloads.iter().partition(|one| one.host_network);
    let learned = |edge: &&EdgeLine| matches!(edge.lesson, "learned" | "implied");
    let count = |actions: &[&str]| {
        let events = done.events.iter();
        events
            .filter(|event| actions.contains(&event.action))
            .count()
    };
    let open = |one: &&ViolationLine| one.reply == Reply::Open;
    let overall = learning.overall.as_ref();
    Figures {
        workloads: pods.len(),
        isolated: pods.iter().filter(|one| one.ingress && one.egress).count(),
        host_network: hosts.len(),
        edges: edges.iter().filter(learned).count(),
        connections: edges
            .iter()
            .filter(learned)
            .map(|edge| edge.connections)
            .sum(),
        not_learned: edges.iter().filter(|edge| !learned(edge)).count(),
        approved: edges
            .iter()
            .filter(learned)
            .filter(|edge| !edge.approved_by.is_empty())
            .count(),
        violations: done.violations.len(),
        violations_open: done.violations.iter().filter(open).count(),
        drift_repairs: count(&["drift-repaired"]),
        break_glass: done.broken_glass.len(),
        decisions: count(&["approved", "auto-approved", "rejected", "rolled-back"]),
        coverage: overall.and_then(|one| one.coverage),
        missing_mass: overall.and_then(|one| one.missing_mass),
    }
}
