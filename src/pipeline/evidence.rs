//! A graph, an inventory and policies → the evidence of a report.

use super::report::learning_report;
use super::verify::{Judged, judge};
use crate::evaluate::{Direction, EvaluateError, Evaluation, RuleRef, RuleUse};
use crate::finding::Finding;
use crate::graph::{Edge, Graph, Peer, estimate};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::{Protocol, Timestamp};
use crate::report::Learning;
use crate::report::evidence::{
    Approval, Asked, EdgeLine, RuleApproval, Event, Evidence, Figures, Framework, HourLine, LearningLines, Period,
    RecordHead, Reply, Source, ViolationLine, WorkloadLine, answer, broken_glass, timeline,
    BrokenGlass, Enforced,
};
use crate::report::graph::{GraphDocument, id};
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
    /// When observation began and ended within the period, where more is known than the graph's span.
    pub observed: Option<(Timestamp, Timestamp)>,
    /// The learning estimate, where it is known already: a graph that was read again cannot tell it.
    pub learning: Option<Learning>,
    /// Edges with an end that is not in the inventory any more: they are told, and no policy is judged by
    /// them.
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
}

/// Puts the evidence together. `graph` holds what was observed in the period; the policies that `inventory`
/// itself holds would take part as well. Gives the graph back as far as it is in scope.
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
    } = judge(graph, inventory, policies, &given.namespaces)?;
    given.period = Period {
        first_seen: graph.span().map(|span| span.0),
        last_seen: graph.span().map(|span| span.1),
        ..given.period
    };
    let scope = Scope(&given.namespaces);
    let mut workloads = workload_lines(&evaluation);
    workloads.retain(|one| scope.has(&one.workload.namespace));
    let approvals: Vec<Approval> = std::mem::take(&mut given.approvals)
        .into_iter()
        .filter(|one| scope.has(&one.workload.namespace))
        .collect();
    let allowed = allowed_by(graph, rules);
    let whole = with_gone(graph, &given.gone);
    let learning = learning(&whole, &mut given);
    let whole = Scope(&given.namespaces).part(whole);
    let scope = Scope(&given.namespaces);
    let edges = edge_lines(&whole, allowed, &approvals, &given.gone);
    let done = Done::of(&given, &scope);
    let mut hours = given.hours;
    hours.retain(|one| scope.has_end(&one.client, &one.server));
    let mut findings = given.findings;
    findings.retain(|one| scope.may_concern(&one.subject, inventory));
    findings.sort();
    findings.dedup();
    let mut evidence = Evidence {
        schema: Evidence::SCHEMA,
        period: given.period,
        figures: figures(&workloads, &edges, &done, &learning),
        namespaces: given.namespaces.clone(),
        sources: given.sources,
        workloads,
        verdict,
        learning,
        approvals,
        enforced: done.enforced,
        violations: done.violations,
        broken_glass: done.broken_glass,
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

/// The namespaces that the report is about; all, if there is none.
struct Scope<'a>(&'a [String]);

impl Scope<'_> {
    fn has(&self, namespace: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|one| one == namespace)
    }

    fn has_end(&self, client: &Peer, server: &Peer) -> bool {
        let ends = [client, server].into_iter().filter_map(Peer::workload);
        self.0.is_empty() || ends.into_iter().any(|id| self.has(&id.namespace))
    }

    /// The edges with an end in it.
    fn part(&self, graph: Graph) -> Graph {
        if self.0.is_empty() {
            return graph;
        }
        let workloads = graph.peers().filter_map(Peer::workload);
        let workloads = workloads.filter(|id| self.has(&id.namespace));
        graph.around(&workloads.cloned().collect())
    }

    /// Whether a finding's subject is not of another namespace alone.
    fn may_concern(&self, subject: &str, inventory: &Inventory) -> bool {
        let Some((namespace, _)) = subject.split_once('/') else {
            return true;
        };
        let mut namespaces = inventory.workloads.keys().map(|id| id.namespace.as_str());
        let is_other = !self.has(namespace) && namespaces.any(|known| known == namespace);
        let mut wanted = self.0.iter();
        !is_other || wanted.any(|one| subject.contains(&format!("{one}/")))
    }
}

/// What was done in the period, by the record.
struct Done {
    enforced: Vec<Enforced>,
    violations: Vec<ViolationLine>,
    broken_glass: Vec<BrokenGlass>,
    events: Vec<Event>,
}

impl Done {
    fn of(given: &EvidenceInputs, scope: &Scope<'_>) -> Done {
        let period = given.period;
        let mut enforced = timeline(&given.events, &given.owners);
        enforced.retain(|one| {
            let namespace = one.policy.split('/').next().unwrap_or_default();
            scope.has(namespace) && period.touches(one.from, one.to)
        });
        let mut violations = answer(&given.events, &given.asked);
        violations.retain(|one| scope.has(&one.namespace) && period.contains(one.at));
        let mut broken = broken_glass(&given.events);
        broken.retain(|one| scope.has(&one.namespace) && period.touches(one.from, one.to));
        let events = given.events.iter();
        let events = events.filter(|one| scope.has(&one.namespace) && period.contains(one.at));
        Done {
            enforced,
            violations,
            broken_glass: broken,
            events: events.cloned().collect(),
        }
    }
}

fn with_gone(graph: &Graph, gone: &[(Peer, Peer, Edge)]) -> Graph {
    let mut whole = graph.clone();
    for (client, server, edge) in gone {
        whole.add_edge(client, server, edge.clone());
    }
    whole
}

/// The estimate as far as it is in scope: known already, or from the graph of everything.
fn learning(graph: &Graph, given: &mut EvidenceInputs) -> LearningLines {
    let scope = Scope(&given.namespaces);
    let (overall, mut workloads) = match given.learning.take() {
        // Of a part of it the whole tells nothing.
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

/// Client, server, protocol and port of an edge, as documents have them.
type Key = (String, String, Protocol, u16);

/// The rules that allow each edge of `O`.
fn allowed_by(graph: &Graph, uses: Vec<RuleUse>) -> BTreeMap<Key, Vec<RuleRef>> {
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
fn edge_lines(
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
        let is_it = |one: &&RuleApproval| (one.direction, one.index) == (rule.direction, rule.index);
        let found = rules.iter().find(is_it)?;
        Some(format!("{} at {}", found.by, found.at))
    };
    let document = GraphDocument::build(graph);
    let line = |edge: &crate::report::graph::EdgeDocument| {
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

fn figures(
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
