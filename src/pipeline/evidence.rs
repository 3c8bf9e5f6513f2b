//! A graph, an inventory and policies → the evidence of a report.

use super::verify::{Judged, judge};
use crate::evaluate::{Direction, EvaluateError, Evaluation, RuleRef, RuleUse};
use crate::finding::Finding;
use crate::graph::Graph;
use crate::inventory::{Inventory, WorkloadId};
use crate::report::evidence::{
    Approval, EdgeLine, Event, Evidence, Figures, Framework, HourLine, Period, RecordHead, Source,
    WorkloadLine, timeline,
};
use crate::report::graph::GraphDocument;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::{BTreeMap, BTreeSet};

/// What evidence is made of beside the graph.
#[derive(Debug, Default)]
pub struct EvidenceInputs {
    pub period: Period,
    /// Empty: all.
    pub namespaces: Vec<String>,
    pub sources: Vec<Source>,
    pub findings: Vec<Finding>,
    pub framework: Option<Framework>,
    pub hours: Vec<HourLine>,
    pub approvals: Vec<Approval>,
    /// All events of the record up to the end of the period, oldest first.
    pub events: Vec<Event>,
    pub record: Vec<String>,
    pub record_head: Option<RecordHead>,
    /// File names and texts of the policies.
    pub policy_files: Vec<(String, String)>,
}

/// Puts the evidence together. `graph` holds what was observed in the period; the policies that `inventory`
/// itself holds would take part as well.
///
/// # Errors
/// A policy that the API server would refuse.
pub fn build_evidence(
    graph: &Graph,
    inventory: &Inventory,
    policies: &[NetworkPolicy],
    given: EvidenceInputs,
) -> Result<Evidence, EvaluateError> {
    let Judged {
        verdict,
        evaluation,
        rules,
    } = judge(graph, inventory, policies, &given.namespaces)?;
    let mut workloads = workload_lines(&evaluation);
    let in_scope = |namespace: &str| {
        given.namespaces.is_empty() || given.namespaces.iter().any(|one| one == namespace)
    };
    workloads.retain(|one| in_scope(&one.workload.namespace));
    let approvals: Vec<Approval> = given
        .approvals
        .into_iter()
        .filter(|one| in_scope(&one.workload.namespace))
        .collect();
    let edges = edge_lines(graph, rules, &given.namespaces, &approvals);
    let enforced = timeline(&given.events);
    let enforced = enforced.into_iter().filter(|one| {
        let namespace = one.policy.split('/').next().unwrap_or_default();
        let starts_in_time = given.period.to.is_none_or(|to| one.from < to);
        let ends_in_time = match (one.to, given.period.from) {
            (Some(to), Some(from)) => to > from,
            _ => true,
        };
        in_scope(namespace) && starts_in_time && ends_in_time
    });
    let enforced = enforced.collect();
    let mut events = given.events;
    events.retain(|event| in_scope(&event.namespace) && given.period.contains(event.at));
    let mut evidence = Evidence {
        schema: Evidence::SCHEMA,
        period: given.period,
        namespaces: given.namespaces,
        sources: given.sources,
        figures: figures(&workloads, &edges, &events),
        workloads,
        verdict,
        approvals,
        enforced,
        events,
        record_head: given.record_head,
        findings: given.findings,
        framework: None,
        edges,
        hours: given.hours,
        record: given.record,
        policies: given.policy_files,
    };
    evidence.findings.sort();
    evidence.findings.dedup();
    evidence.framework = given.framework.map(|framework| framework.judge(&evidence));
    Ok(evidence)
}

/// How each workload stands: isolated where all its pods are.
fn workload_lines(evaluation: &Evaluation) -> Vec<WorkloadLine> {
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

/// Every edge of the graph, those of `O` with the rules that allow them.
fn edge_lines(
    graph: &Graph,
    uses: Vec<RuleUse>,
    namespaces: &[String],
    approvals: &[Approval],
) -> Vec<EdgeLine> {
    let document = GraphDocument::build(graph);
    let indices = document.taught_indices();
    let mut rules: BTreeMap<usize, Vec<RuleRef>> = BTreeMap::new();
    for one in uses {
        for edge in one.edges {
            if let Some(index) = indices.get(edge) {
                rules.entry(*index).or_default().push(one.rule.clone());
            }
        }
    }
    let approved: BTreeMap<&str, &Approval> = approvals
        .iter()
        .map(|one| (one.policy.as_str(), one))
        .collect();
    let in_scope = |id: &str| {
        let namespace = id.split('/').next().unwrap_or_default();
        namespaces.is_empty() || namespaces.iter().any(|one| one == namespace)
    };
    let line = |(index, edge): (usize, &crate::report::graph::EdgeDocument)| {
        let allowed_by = rules.remove(&index).unwrap_or_default();
        let approved_by: BTreeSet<String> = allowed_by
            .iter()
            .filter_map(|rule| approved.get(rule.policy.as_str()))
            .map(|one| format!("{} at {}", one.by, one.at))
            .collect();
        EdgeLine {
            client: edge.client.clone(),
            server: edge.server.clone(),
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
    let edges = document.edges.iter().enumerate();
    edges
        .filter(|(_, edge)| in_scope(&edge.client) || in_scope(&edge.server))
        .map(line)
        .collect()
}

fn figures(workloads: &[WorkloadLine], edges: &[EdgeLine], events: &[Event]) -> Figures {
    let (hosts, pods): (Vec<_>, Vec<_>) = workloads.iter().partition(|one| one.host_network);
    let learned = |edge: &&EdgeLine| matches!(edge.lesson, "learned" | "implied");
    let count = |actions: &[&str]| {
        let events = events.iter();
        events
            .filter(|event| actions.contains(&event.action))
            .count()
    };
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
        violations: count(&["violation"]),
        drift_repairs: count(&["drift-repaired"]),
        break_glass: count(&["break-glass-on"]),
        decisions: count(&["approved", "auto-approved", "rejected", "rolled-back"]),
    }
}
