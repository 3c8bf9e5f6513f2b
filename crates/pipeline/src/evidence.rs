//! A graph, an inventory and policies → the evidence of a report.

mod lines;
mod scope;

use super::report::learning_report;
use super::verify::{Judged, judge};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use lines::{answers, edge_lines, figures, workload_lines};
use nanoseg_evaluate::EvaluateError;
use nanoseg_finding::Finding;
use nanoseg_graph::{Edge, Graph, Peer, ServiceEnforcements, estimate};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Timestamp;
use nanoseg_probe::{Results, digests};
use nanoseg_record::{ActionKind, Keeping};
use nanoseg_report::LearningDocument;
use nanoseg_report::evidence::{
    Approval, Asked, BrokenGlass, Event, Evidence, Framework, HourLine, LearningLines, Period,
    RecordHead, Source, Tested, Timeline, ViolationLine, answer, broken_glass, timeline,
};
use scope::Scope;
use std::collections::BTreeMap;

/// The inputs of evidence beside the graph.
#[derive(Debug, Default)]
pub struct EvidenceInputs {
    pub period: Period,
    /// Empty: all.
    pub namespaces: Vec<String>,
    /// Where the network plugin checks connections through Services.
    pub enforcement: ServiceEnforcements,
    pub sources: Vec<Source>,
    pub findings: Vec<Finding>,
    pub framework: Option<Framework>,
    pub hours: Vec<HourLine>,
    /// The begin and end of the observation within the period, if more is known than the graph's span.
    pub observed: Option<(Timestamp, Timestamp)>,
    /// The learning estimate, if it is known already: it cannot be computed from a graph that was read from a file.
    pub learning: Option<LearningDocument>,
    /// Edges with an end that is not in the inventory any more: they are listed, and no policy is judged by them.
    pub gone: Vec<(Peer, Peer, Edge)>,
    pub approvals: Vec<Approval>,
    /// The workloads of policies, `namespace/name`.
    pub owners: BTreeMap<String, WorkloadId>,
    /// The proposals whose connections are still known.
    pub asked: Vec<Asked>,
    /// All events of the record up to the end of the period, oldest first.
    pub events: Vec<Event>,
    pub record: Vec<String>,
    pub record_head: Option<RecordHead>,
    /// Where the record's chain is broken.
    pub record_broken: Option<String>,
    /// File names and texts of the policies.
    pub policy_files: Vec<(String, String)>,
    /// Runs of `nanoseg probe`.
    pub probes: Vec<Results>,
}

/// Builds the evidence. `graph` is what was observed in the period; the policies in `inventory` itself would take part
/// as well. Also returns the part of the graph that is in scope.
///
/// # Errors
/// A policy that the API server would refuse.
pub fn build_evidence(
    graph: &Graph,
    inventory: &Inventory,
    policies: &[NetworkPolicy],
    mut given: EvidenceInputs,
) -> Result<(Evidence, Graph), EvaluateError> {
    let Judged {
        verdict,
        evaluation,
        rules,
        blocked,
    } = judge(
        graph,
        inventory,
        &given.enforcement,
        policies,
        &given.namespaces,
    )?;
    let scope = Scope(&given.namespaces);
    let mut workloads = workload_lines(&evaluation);
    workloads.retain(|one| scope.has(&one.workload.namespace));
    let mut approvals = std::mem::take(&mut given.approvals);
    approvals.retain(|one| scope.has(&one.workload.namespace));
    let answers = answers(graph, rules, &blocked);
    let whole = with_gone(graph, &given.gone);
    let learning = learning(&whole, &mut given);
    let whole = Scope(&given.namespaces).part(whole);
    (given.period.first_seen, given.period.last_seen) = whole.span().unzip();
    let scope = Scope(&given.namespaces);
    let edges = edge_lines(&whole, answers, &approvals, &given.gone);
    let done = Done::of(&given, &scope);
    let judged = digests(policies, inventory);
    let tested = given.probes.into_iter().map(|run| {
        let in_scope = |namespace: &str| scope.has(namespace);
        Tested::new(run, &judged, &workloads, &given.period, in_scope)
    });
    let tested = tested.collect();
    let mut hours = given.hours;
    hours.retain(|one| scope.has_end(&one.client, &one.server));
    let mut findings = given.findings;
    findings.retain(|one| scope.may_concern(&one.subject, inventory));
    findings.sort();
    findings.dedup();
    let mut evidence = Evidence {
        schema: Evidence::SCHEMA,
        period: given.period,
        network_plugin: (&inventory.network_plugin).into(),
        figures: figures(&workloads, &edges, &done, &learning),
        namespaces: given.namespaces.clone(),
        sources: given.sources,
        workloads,
        verdict,
        learning,
        approvals,
        enforced: done.timeline.enforced,
        lapses: done.timeline.lapses,
        violations: done.violations,
        broken_glass: done.broken_glass,
        tested,
        events: done.events,
        record_head: given.record_head,
        record_broken: given.record_broken,
        findings,
        framework: None,
        edges,
        hours,
        record: given.record,
        policies: given.policy_files,
    };
    evidence.framework = given.framework.map(|framework| framework.judge(&evidence));
    Ok((evidence, whole))
}

/// What was done in the period, according to the record.
struct Done {
    timeline: Timeline,
    violations: Vec<ViolationLine>,
    broken_glass: Vec<BrokenGlass>,
    events: Vec<Event>,
}

impl Done {
    fn of(given: &EvidenceInputs, scope: &Scope<'_>) -> Done {
        let period = given.period;
        let mut timeline = timeline(&given.events, &given.owners);
        let is_in_scope = |policy: &str, from, to| {
            let namespace = policy.split('/').next().unwrap_or_default();
            scope.has(namespace) && period.touches(from, to)
        };
        let enforced = &mut timeline.enforced;
        enforced.retain(|one| is_in_scope(&one.policy, one.from, one.to));
        let lapses = &mut timeline.lapses;
        lapses.retain(|one| is_in_scope(&one.policy, one.from, one.to));
        let mut violations = answer(&given.events, &given.asked);
        violations.retain(|one| scope.has(&one.namespace) && period.touches(one.at, one.over()));
        let mut broken = broken_glass(&given.events);
        broken.retain(|one| scope.has(&one.namespace) && period.touches(one.from, one.to));
        let events = given.events.iter();
        let events =
            events.filter(|one| scope.has(&one.entry.namespace) && period.contains(one.at));
        Done {
            timeline,
            violations,
            broken_glass: broken,
            events: events.cloned().collect(),
        }
    }

    /// How often the enforcement of a namespace's policies ended in the period.
    fn keeping_ended(&self) -> usize {
        let ends = |event: &&Event| {
            let action = &event.entry.action;
            action.keeping() == Some(Keeping::Ends)
                || action.kind() == ActionKind::SegmentationRemoved
        };
        self.events.iter().filter(ends).count()
    }
}

fn with_gone(graph: &Graph, gone: &[(Peer, Peer, Edge)]) -> Graph {
    let mut whole = graph.clone();
    for (client, server, edge) in gone {
        whole.add_edge(client, server, edge.clone());
    }
    whole
}

/// The part of the estimate that is in scope: known already, or computed from the whole graph.
fn learning(graph: &Graph, given: &mut EvidenceInputs) -> LearningLines {
    let scope = Scope(&given.namespaces);
    let (overall, mut workloads) = match given.learning.take() {
        // The overall estimate does not hold for a part.
        Some(known) => (
            given.namespaces.is_empty().then_some(known.overall),
            known.workloads,
        ),
        None => {
            let Some((begin, end)) = given.observed.or_else(|| graph.span()) else {
                return LearningLines::default();
            };
            let part = scope.part(graph.clone());
            let found = learning_report(&estimate(&part, begin, end), end);
            (Some(found.overall), found.workloads)
        }
    };
    workloads.retain(|one| scope.has(&one.workload.namespace));
    LearningLines { overall, workloads }
}
