//! The rows of a report: workloads, edges, figures.

use super::Done;
use nanoseg_evaluate::{Evaluation, RuleRef, RuleUse};
use nanoseg_graph::{Edge, Graph, Peer};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Protocol};
use nanoseg_record::ActionKind;
use nanoseg_report::evidence::{
    Approval, EdgeLine, Figures, LearningLines, RuleApproval, ViolationLine, WorkloadLine,
};
use nanoseg_report::graph::{EdgeDocument, GraphDocument, id};
use std::collections::{BTreeMap, BTreeSet};

/// The isolation of each workload: it is isolated if all its pods are.
pub fn workload_lines(evaluation: &Evaluation) -> Vec<WorkloadLine> {
    let mut lines: BTreeMap<WorkloadId, WorkloadLine> = BTreeMap::new();
    for (id, class) in evaluation.classes() {
        let line = lines
            .entry(class.workload.clone())
            .or_insert_with(|| WorkloadLine {
                workload: class.workload.clone(),
                ingress: true,
                egress: true,
                ingress_allows_all: false,
                egress_allows_all: false,
                host_network: true,
                policies: Vec::new(),
            });
        line.ingress &= evaluation.isolated(id, Direction::Ingress);
        line.egress &= evaluation.isolated(id, Direction::Egress);
        line.ingress_allows_all |= evaluation.allows_everything(id, Direction::Ingress);
        line.egress_allows_all |= evaluation.allows_everything(id, Direction::Egress);
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

/// Client, server, protocol and port of an edge, as documents write them.
pub type Key = (String, String, Protocol, u16);

/// Whether the policies allow one edge.
#[derive(Debug, Default)]
pub struct Said {
    allowed_by: Vec<RuleRef>,
    blocked: bool,
}

/// Whether the policies allow each edge of `O`. A rule at one end does not allow what the other end denies.
pub fn answers(
    graph: &Graph,
    uses: Vec<RuleUse>,
    blocked: &BTreeSet<usize>,
) -> BTreeMap<Key, Said> {
    let taught = graph.taught();
    let mut answers: BTreeMap<Key, Said> = BTreeMap::new();
    for index in blocked {
        if let Some(edge) = taught.get(*index) {
            answers.entry(key(edge)).or_default().blocked = true;
        }
    }
    for one in uses {
        for index in one.edges.difference(blocked) {
            if let Some(edge) = taught.get(*index) {
                let answer = answers.entry(key(edge)).or_default();
                answer.allowed_by.push(one.rule.clone());
            }
        }
    }
    answers
}

fn key((client, server, edge): &(&Peer, &Peer, &Edge)) -> Key {
    (id(client), id(server), edge.protocol, edge.port)
}

/// Every edge of the graph, those of `O` with the rules that allow them.
pub fn edge_lines(
    graph: &Graph,
    mut answers: BTreeMap<Key, Said>,
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
        let Said {
            allowed_by,
            blocked,
        } = answers.remove(&key).unwrap_or_default();
        let approved_by: BTreeSet<String> = allowed_by.iter().filter_map(approver).collect();
        let has_approval = |side: Direction| {
            let mut rules = allowed_by.iter().filter(|rule| rule.direction == side);
            rules.any(|rule| approver(rule).is_some())
        };
        let approved =
            !allowed_by.is_empty() && allowed_by.iter().all(|rule| has_approval(rule.direction));
        EdgeLine {
            approved,
            gone: gone.contains(&key),
            blocked,
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
    let learned = |edge: &&EdgeLine| edge.lesson == "learned";
    let implied = |edge: &&EdgeLine| edge.lesson == "implied";
    let count = |actions: &[ActionKind]| {
        let events = done.events.iter();
        events
            .filter(|event| actions.contains(&event.entry.action.kind()))
            .count()
    };
    let open = |one: &&ViolationLine| !one.is_answered();
    let overall = learning.overall.as_ref();
    Figures {
        workloads: pods.len(),
        isolated: pods.iter().filter(|one| one.is_closed()).count(),
        allows_all: pods
            .iter()
            .filter(|one| one.ingress_allows_all || one.egress_allows_all)
            .count(),
        host_network: hosts.len(),
        edges: edges.iter().filter(learned).count(),
        connections: edges
            .iter()
            .filter(learned)
            .map(|edge| edge.connections)
            .sum(),
        implied: edges.iter().filter(implied).count(),
        not_learned: edges
            .iter()
            .filter(|edge| !learned(edge) && !implied(edge))
            .count(),
        approved: edges
            .iter()
            .filter(learned)
            .filter(|edge| edge.approved)
            .count(),
        violations: done.violations.iter().filter(|one| one.counts()).count(),
        violations_open: done.violations.iter().filter(open).count(),
        drift_repairs: count(&[ActionKind::DriftRepaired]),
        drift_left: count(&[ActionKind::DriftGivenUp]),
        keeping_ended: done.keeping_ended(),
        break_glass: done.broken_glass.len(),
        decisions: count(&[
            ActionKind::Approved,
            ActionKind::AutoApproved,
            ActionKind::Rejected,
            ActionKind::RolledBack,
        ]),
        coverage: overall.and_then(|one| one.coverage),
        missing_mass: overall.and_then(|one| one.missing_mass),
    }
}
