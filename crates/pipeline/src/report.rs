//! The results of a run as the report's plain data. Figures are copied, never computed again.

use super::{Generated, View};
use nanoseg_evaluate::{Blocked, Excess, Span};
use nanoseg_finding::{Code, Finding, Rule};
use nanoseg_flow::Verdict;
use nanoseg_graph::{Edge, Estimate, Learning, Lesson, OpenReason, Peer};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{ConnectionSet, Direction, Timestamp};
use nanoseg_policy::{RuleOrigin, WorkloadPolicy, file_name};
use nanoseg_report::words::{large, saturated};
use nanoseg_report::{
    self as report, Connection, GraphDocument, Inputs, PolicyReport, RuleReport, RunReport,
};
use std::collections::{BTreeMap, BTreeSet};

/// What the report has beside the results of the run.
#[derive(Debug, Clone, Default)]
pub struct ReportInputs {
    pub inputs: Inputs,
    /// Frames and objects that were skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Findings from loading: damaged captures, missing objects.
    pub findings: Vec<Finding>,
    /// The output folder as the operator wrote it.
    pub output: Option<String>,
}

type TaughtEdge<'a> = (&'a Peer, &'a Peer, &'a Edge);

/// Puts the report together.
pub fn build_report(generated: &Generated, given: ReportInputs) -> RunReport {
    let document = GraphDocument::build(&generated.graph);
    let taught = generated.graph.taught();
    let indices = document.taught_indices();
    let mut skipped = given.skipped;
    for (reason, count) in &generated.skipped {
        *skipped.entry((*reason).into()).or_default() += count;
    }
    let mut findings = given.findings;
    findings.extend(generated.findings.iter().cloned());
    findings.sort();
    findings.dedup();
    RunReport {
        schema: RunReport::SCHEMA,
        inputs: given.inputs,
        skipped,
        learning: learning_report(&generated.learning, generated.end),
        view: view(&generated.view, &findings),
        output: given.output,
        network_plugin: (&generated.network_plugin).into(),
        policies: generated
            .synthesis
            .policies
            .iter()
            .map(|policy| policy_report(policy, &taught, &indices))
            .collect(),
        proof: proof(generated, &taught),
        findings,
        graph: document,
    }
}

/// What was in view, and how much was lost by the findings.
fn view(view: &View, findings: &[Finding]) -> report::ViewDocument {
    let secs = |secs: i64| u64::try_from(secs).unwrap_or(0);
    let losses = findings.iter().filter(|finding| {
        matches!(
            finding.code,
            Code::ObservationLoss
                | Code::TableOverflow
                | Code::TruncatedCapture
                | Code::DamagedCapture
        )
    });
    report::ViewDocument {
        pods: view.pods,
        pods_in_view: view.pods_in_view,
        pods_presumed: view.pods_presumed,
        pod_seconds: secs(view.pod_secs),
        pod_seconds_in_view: secs(view.secs_in_view),
        nodes: view.nodes.clone(),
        presumed_nodes: view.presumed_nodes.clone(),
        unseen_nodes: view.unseen_nodes.clone(),
        losses: losses.count() as u64,
    }
}

/// The estimate in the form of reports; the observation ended at `end`.
pub(super) fn learning_report(learning: &Learning, end: Timestamp) -> report::LearningDocument {
    let convert = |estimate: &Estimate| estimate_report(estimate, end);
    report::LearningDocument {
        overall: convert(&learning.overall),
        workloads: learning
            .workloads
            .iter()
            .map(|(id, estimate)| report::WorkloadEstimate {
                workload: id.clone(),
                estimate: convert(estimate),
            })
            .collect(),
    }
}

fn estimate_report(estimate: &Estimate, end: Timestamp) -> report::EstimateDocument {
    report::EstimateDocument {
        edges: estimate.edges_seen as u64,
        coverage: estimate.is_meaningful().then_some(estimate.coverage),
        missing_mass: estimate.missing_mass,
        unseen_low: estimate.unseen_low.floor() as u64,
        unseen_high: estimate.unseen_high.ceil() as u64,
        last_new_edge: estimate.last_new_edge,
        end: estimate.last_new_edge.map(|_| end),
        confidence: estimate.confidence.clone(),
    }
}

fn policy_report(
    policy: &WorkloadPolicy,
    taught: &[TaughtEdge<'_>],
    indices: &[usize],
) -> PolicyReport {
    PolicyReport {
        workload: policy.workload.clone(),
        name: policy.policy.metadata.name.clone().unwrap_or_default(),
        file: file_name(policy),
        rules: policy
            .written_rules()
            .iter()
            .map(|rule| rule_report(rule, taught, indices))
            .collect(),
    }
}

fn rule_report(rule: &RuleOrigin, taught: &[TaughtEdge<'_>], indices: &[usize]) -> RuleReport {
    let edges: Vec<TaughtEdge<'_>> = rule
        .edges()
        .iter()
        .filter_map(|index| taught.get(*index).copied())
        .collect();
    let names: BTreeSet<&str> = rule
        .peers
        .iter()
        .flat_map(|peer| &peer.names)
        .map(String::as_str)
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let ports: BTreeSet<String> = edges
        .iter()
        .map(|(_, _, edge)| format!("{}/{}", edge.port, edge.protocol))
        .collect();
    let ports: Vec<String> = ports.into_iter().collect();
    let (names, ports) = (names.join(", "), ports.join(", "));
    let text = match rule.direction {
        Direction::Ingress => format!("in from {names} → {ports}"),
        Direction::Egress => format!("out to {names} → {ports}"),
    };
    RuleReport {
        direction: rule.direction,
        text,
        decided_by: deciding_rules(&edges),
        edges: rule
            .edges()
            .iter()
            .filter_map(|index| indices.get(*index).copied())
            .collect(),
    }
}

/// The rules of `docs/design.md` that made these edges what they are.
fn deciding_rules(edges: &[TaughtEdge<'_>]) -> Vec<Rule> {
    let mut rules = BTreeSet::new();
    for (client, server, edge) in edges {
        rules.insert(match &edge.lesson {
            Lesson::Implied(_) => Rule::DnsOverTcpImplied,
            _ if edge.verdicts.contains_key(&Verdict::Established) => Rule::OnlyConversationsTeach,
            _ => Rule::OneWayUdp,
        });
        if edge.inferred {
            rules.insert(Rule::DirectionInferred);
        }
        if !edge.services.is_empty() {
            rules.insert(Rule::ServiceTargetPort);
        }
        if !edge.enforced_from.is_empty() {
            rules.insert(Rule::NodePortFromAnyNode);
        }
        for peer in [client, server] {
            match peer {
                Peer::Node(_) => rules.insert(Rule::NodeByAddress),
                Peer::ApiServer => rules.insert(Rule::ApiServerEndpoints),
                Peer::Outside(_) => rules.insert(Rule::OutsideAddressBlocks),
                Peer::Workload(_) | Peer::Unattributed(_) => false,
            };
        }
    }
    rules.into_iter().collect()
}

fn proof(generated: &Generated, taught: &[TaughtEdge<'_>]) -> report::ProofDocument {
    let proof = &generated.proof;
    let is_implied = |index: usize| {
        taught
            .get(index)
            .is_some_and(|(_, _, e)| matches!(e.lesson, Lesson::Implied(_)))
    };
    let blocked_edges: BTreeSet<usize> = proof
        .blocked
        .iter()
        .chain(&proof.blocked_by_existing)
        .map(|blocked| blocked.edge)
        .filter(|edge| !is_implied(*edge))
        .collect();
    let observed = (0..taught.len())
        .filter(|index| !is_implied(*index))
        .count() as u64;
    report::ProofDocument {
        observed,
        observed_allowed: observed - blocked_edges.len() as u64,
        blocked: proof.blocked.iter().map(blocked_line).collect(),
        blocked_by_existing: proof.blocked_by_existing.iter().map(blocked_line).collect(),
        excess_total: proof.excess.total,
        excess_connections: saturated(proof.excess.connections),
        excess: proof.excess.entries.iter().map(excess_line).collect(),
        implied: taught.iter().filter_map(implied_line).collect(),
        existing_excess_total: proof.excess_by_existing.total,
        existing_excess_connections: saturated(proof.excess_by_existing.connections),
        existing_excess: proof
            .excess_by_existing
            .entries
            .iter()
            .map(excess_line)
            .collect(),
        open: generated
            .synthesis
            .open
            .iter()
            .map(open_direction)
            .collect(),
        unattributed: generated.unattributed.clone(),
    }
}

fn open_direction(
    (workload, direction, reasons): (&WorkloadId, Direction, &BTreeSet<OpenReason>),
) -> report::OpenDirection {
    report::OpenDirection {
        workload: workload.clone(),
        direction,
        reasons: reasons.iter().map(ToString::to_string).collect(),
    }
}

fn blocked_line(blocked: &Blocked) -> Connection {
    Connection {
        client: span(&blocked.client),
        server: span(&blocked.server),
        ports: ports(&blocked.connections),
        reason: Some(blocked.by.to_string()),
        count: 1,
    }
}

fn excess_line(excess: &Excess) -> Connection {
    let reason = (!excess.policies.is_empty()).then(|| excess.policies.join(", "));
    Connection {
        client: span(&excess.client),
        server: span(&excess.server),
        ports: ports(&excess.connections),
        reason,
        count: saturated(excess.count()),
    }
}

fn implied_line((client, server, edge): &TaughtEdge<'_>) -> Option<Connection> {
    let Lesson::Implied(reason) = &edge.lesson else {
        return None;
    };
    Some(Connection {
        client: client.to_string(),
        server: server.to_string(),
        ports: format!("{}/{}", edge.port, edge.protocol),
        reason: Some(reason.clone()),
        count: 1,
    })
}

/// A span as text; several addresses have their number behind them, and a long list of ranges is cut.
fn span(span: &Span) -> String {
    const SHOWN: usize = 4;
    match span {
        Span::Addresses(set) if set.ranges().count() > SHOWN => {
            let shown: Vec<String> = set.ranges().take(SHOWN).map(|r| r.to_string()).collect();
            format!(
                "{}, … ({} addresses)",
                shown.join(", "),
                large(saturated(set.count()))
            )
        }
        Span::Addresses(set) if set.count() > 1 => {
            format!("{set} ({} addresses)", large(saturated(set.count())))
        }
        other => other.to_string(),
    }
}

/// `8080/TCP, 8000-8100/TCP`, or `all ports`.
fn ports(connections: &ConnectionSet) -> String {
    if connections.is_all() {
        return "all ports".into();
    }
    let words = connections.iter().flat_map(|(protocol, ports)| {
        ports.ranges().iter().map(move |(first, last)| {
            if first == last {
                format!("{first}/{protocol}")
            } else {
                format!("{first}-{last}/{protocol}")
            }
        })
    });
    words.collect::<Vec<_>>().join(", ")
}
