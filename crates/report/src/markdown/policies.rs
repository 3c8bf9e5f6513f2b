//! The policies by namespace, and behind each rule the edges that need it.

use super::{heading, table};
use crate::escape::{code, markdown as text};
use crate::graph::EdgeDocument;
use crate::run::{PolicyReport, RuleReport, RunReport};
use crate::words::{count, thousands, time};
use nanoseg_net::Direction;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many edges of one rule are printed; `report.json` has all.
const MOST_EDGES: usize = 25;

/// DNS names by peer id.
type Names<'a> = BTreeMap<&'a str, &'a [String]>;

/// The section on policies.
pub fn policies(out: &mut String, run: &RunReport) {
    heading(out, 2, "Policies");
    if run.policies.is_empty() {
        out.push_str("None.\n");
        return;
    }
    out.push_str("The rules under *Decided by* are described in `docs/design.md` of nanoseg.\n\n");
    let names: Names = run
        .graph
        .peers
        .iter()
        .filter(|peer| !peer.dns_names.is_empty())
        .map(|peer| (peer.id.as_str(), peer.dns_names.as_slice()))
        .collect();
    let mut namespaces: BTreeMap<&str, Vec<&PolicyReport>> = BTreeMap::new();
    for policy in &run.policies {
        namespaces
            .entry(policy.workload.namespace.as_str())
            .or_default()
            .push(policy);
    }
    for (number, (namespace, policies)) in namespaces.iter_mut().enumerate() {
        policies.sort_by_key(|policy| &policy.workload);
        if number > 0 {
            out.push('\n');
        }
        let number = count(policies.len() as u64, "policy");
        let _ = writeln!(out, "### Namespace {} ({number})", text(namespace));
        for policy in policies {
            one(out, run, policy, &names);
        }
    }
}

fn one(out: &mut String, run: &RunReport, policy: &PolicyReport, names: &Names) {
    let (name, kind) = (text(&policy.workload.name), text(&policy.workload.kind));
    heading(out, 4, &format!("{name} ({kind})"));
    let _ = writeln!(out, "{} in {}", code(&policy.name), code(&policy.file));
    if policy.rules.is_empty() {
        out.push_str("\nDenies everything: nothing was observed.\n");
        return;
    }
    let mut rules: Vec<&RuleReport> = policy.rules.iter().collect();
    rules.sort_by_key(|rule| rule.direction);
    let rows: Vec<Vec<String>> = rules
        .iter()
        .flat_map(|rule| rows(run, rule, names))
        .collect();
    out.push('\n');
    let header = [
        "Rule",
        "Edge",
        ">Connections",
        "First (UTC)",
        "Last (UTC)",
        "Sample",
        "Decided by",
    ];
    table(out, &header, &rows);
}

/// One row per edge; the first has the rule and what decided.
fn rows(run: &RunReport, rule: &RuleReport, names: &Names) -> Vec<Vec<String>> {
    let edges: Vec<&EdgeDocument> = rule
        .edges
        .iter()
        .filter_map(|index| run.graph.edges.get(*index))
        .collect();
    let decided: Vec<String> = rule
        .decided_by
        .iter()
        .map(|rule| code(rule.name()))
        .collect();
    let mut rows: Vec<Vec<String>> = edges
        .iter()
        .take(MOST_EDGES)
        .map(|edge| edge_row(edge, rule.direction, names))
        .collect();
    if edges.len() > MOST_EDGES {
        let more = format!(
            "… and {} in `report.json`",
            count((edges.len() - MOST_EDGES) as u64, "more edge")
        );
        rows.push(vec![
            String::new(),
            more,
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    if rows.is_empty() {
        rows.push(vec![String::new(); 7]);
    }
    if let Some(first) = rows.first_mut() {
        if let Some(cell) = first.first_mut() {
            *cell = text(&rule.text);
        }
        if let Some(cell) = first.last_mut() {
            *cell = decided.join(", ");
        }
    }
    rows
}

fn edge_row(edge: &EdgeDocument, direction: Direction, names: &Names) -> Vec<String> {
    let other = match direction {
        Direction::Ingress => &edge.client,
        Direction::Egress => &edge.server,
    };
    let mut what = format!("{} {}/{}", code(other), edge.port, edge.protocol);
    if let Some(dns) = names.get(other.as_str()) {
        let _ = write!(what, " ({})", code(&dns.join(", ")));
    }
    if let Some(reason) = &edge.lesson.reason {
        let _ = write!(what, ", {}: {}", edge.lesson.kind, text(reason));
    }
    if edge.inferred {
        what.push_str(", direction inferred");
    }
    if !edge.services.is_empty() {
        let _ = write!(what, ", called as {}", code(&edge.services.join(", ")));
    }
    vec![
        String::new(),
        what,
        thousands(edge.connections),
        edge.first.map(time).unwrap_or_default(),
        edge.last.map(time).unwrap_or_default(),
        sample(edge),
        String::new(),
    ]
}

/// The first flow record behind the edge, and how many more there are.
fn sample(edge: &EdgeDocument) -> String {
    let Some(first) = edge.evidence.first() else {
        return String::new();
    };
    let mut out = code(&format!("{} → {}", first.client, socket(first)));
    if let Some(via) = first.via {
        let _ = write!(out, " via {}", code(&via.to_string()));
    }
    if edge.evidence_total > 1 {
        let _ = write!(out, " and {} more", thousands(edge.evidence_total - 1));
    }
    out
}

fn socket(evidence: &crate::graph::EvidenceDocument) -> String {
    std::net::SocketAddr::new(evidence.server, evidence.port).to_string()
}
