//! The findings of a proposal: those of the run about its workload, and those about the connections that it newly
//! allows.

use super::{ImpactInputs, PolicyEffect, WorkloadEdge};
use crate::foreign_pods::foreign_pods;
use crate::resources::{FindingLine, Impact};
use nanoseg_finding::{Code, Finding, Severity};
use nanoseg_graph::{End, METADATA, Peer, is_private};
use nanoseg_inventory::WorkloadId;
use std::collections::BTreeSet;

const SECONDS_PER_DAY: i64 = 86_400;

/// Returns all findings, in no particular order.
pub fn lines(inputs: &ImpactInputs<'_>, edges: &PolicyEffect<'_>) -> Vec<FindingLine> {
    let own = inputs.workload.to_string();
    // Findings with these codes are made again, about what the policy newly allows and not about all that was
    // observed.
    let anew = [
        Code::InternetEgress,
        Code::CrossNamespace,
        Code::MetadataService,
    ];
    let concerns = |finding: &&Finding| !anew.contains(&finding.code) && finding.is_about(&own);
    let mut lines: Vec<FindingLine> = inputs.findings.iter().filter(concerns).map(line).collect();
    let scanners: BTreeSet<&str> = inputs
        .findings
        .iter()
        .filter(|finding| finding.code == Code::PortScan)
        .map(|finding| finding.subject.as_str())
        .collect();
    let peers = peers(inputs);
    let foreign = foreign_pods(inputs.inventory, inputs.workload, inputs.policy, &peers);
    lines.extend(foreign.iter().map(line));
    for seen in &edges.allowed {
        lines.extend(of_allowed(inputs, seen, &scanners));
    }
    for seen in &edges.blocked {
        let message = "was used by recorded flows, and would be blocked";
        lines.push(new(Code::WouldBlock, words(seen), message));
    }
    lines
}

/// The workloads that the policy is meant to let talk with its own: those of the requirements, and of the blocked
/// connections that are wanted.
fn peers<'a>(inputs: &ImpactInputs<'a>) -> BTreeSet<&'a WorkloadId> {
    let mut peers = BTreeSet::new();
    for requirement in inputs.requirements {
        let ends = [&requirement.client, &requirement.server];
        let [client, server] = ends.map(|end| match end {
            End::Workload(id) => Some(id),
            End::Addresses(_) | End::Ranges(_) => None,
        });
        if client == Some(inputs.workload) || server == Some(inputs.workload) {
            peers.extend(client.into_iter().chain(server));
        }
    }
    for wanted in inputs.wanted_blocked {
        peers.extend(wanted.client.workload());
        peers.extend(wanted.server.workload());
    }
    peers
}

fn of_allowed(
    inputs: &ImpactInputs<'_>,
    seen: &WorkloadEdge<'_>,
    scanners: &BTreeSet<&str>,
) -> Vec<FindingLine> {
    let mut lines = Vec::new();
    if !seen.is_new {
        return lines;
    }
    let mut push = |code, message: &str| lines.push(new(code, words(seen), message));
    if let (Peer::Workload(client), Peer::Workload(server)) = (seen.client, seen.server)
        && client.namespace != server.namespace
    {
        push(Code::CrossNamespace, "would be open between namespaces");
    }
    if let Peer::Outside(address) = seen.server {
        if METADATA.contains(&address.to_string().as_str()) {
            push(
                Code::MetadataService,
                "would be open, and hands out credentials",
            );
        } else if !is_private(*address) {
            push(
                Code::InternetEgress,
                "would be open to an address outside of the cluster",
            );
        }
    }
    if !seen.edge.lesson.teaches() {
        push(
            Code::BlockedTraffic,
            "was tried, is blocked, and would be opened",
        );
    }
    if scanners.contains(seen.client.to_string().as_str()) {
        push(
            Code::ScanShadow,
            "is used by a client that also scanned ports",
        );
    }
    if !seen.edge.is_corroborated() {
        push(Code::OneSided, &super::evidence::silence(seen.edge));
    }
    if let Some(period) = seen.edge.unguarded {
        push(Code::SeenUnguarded, &period.to_string());
    }
    let is_young = |first| inputs.now.secs_since(first) < SECONDS_PER_DAY;
    if seen.edge.known_since().is_some_and(is_young) {
        push(
            Code::FirstSeenToday,
            "was first seen within the last 24 hours",
        );
    }
    lines
}

/// `client → server port/protocol`.
fn words(seen: &WorkloadEdge<'_>) -> String {
    let (client, server, edge) = (seen.client, seen.server, seen.edge);
    format!("{client} → {server} {}/{}", edge.port, edge.protocol)
}

fn new(code: Code, subject: String, message: &str) -> FindingLine {
    line(&Finding::new(code, subject, message))
}

fn line(finding: &Finding) -> FindingLine {
    FindingLine {
        severity: finding.severity.to_string(),
        code: finding.code.name().to_owned(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
        shared: false,
    }
}

impl Impact {
    /// Marks the findings about the workload itself that nearly all workloads share: they raise no risk any more, and
    /// stand behind those that do (rule: shared-findings-raise-no-risk). What the policy opens is never shared.
    pub fn mark_shared(&mut self, workload: &WorkloadId, codes: &BTreeSet<Code>) {
        let own = workload.to_string();
        for line in &mut self.findings {
            line.shared = line.subject == own && codes.iter().any(|code| code.name() == line.code);
        }
        self.findings
            .sort_by_key(|line| (line.shared, rank(&line.severity)));
        self.risk = risk(&self.findings).to_owned();
    }

    /// Adds a finding that the assessment does not know of, with the others of its severity.
    pub fn add_finding(&mut self, finding: &Finding) {
        let line = line(finding);
        let worse =
            |other: &FindingLine| !other.shared && rank(&other.severity) < rank(&line.severity);
        let place = self
            .findings
            .iter()
            .take_while(|other| worse(other))
            .count();
        self.findings.insert(place, line);
        self.risk = risk(&self.findings).to_owned();
    }
}

/// Returns the rank of a severity; the worst has the smallest rank.
pub fn rank(severity: &str) -> u8 {
    let is = |of: Severity| severity == of.to_string();
    match () {
        () if is(Severity::Error) => 0,
        () if is(Severity::Warning) => 1,
        () => 2,
    }
}

/// Returns the risk of a proposal by its worst finding that others do not share: `high`, `medium` or `low`.
pub fn risk(findings: &[FindingLine]) -> &'static str {
    let raising = findings.iter().filter(|line| !line.shared);
    match raising.map(|line| rank(&line.severity)).min() {
        Some(0) => "high",
        Some(1) => "medium",
        _ => "low",
    }
}
