//! The figures of the first page, as rows of a table.

use crate::evidence::Evidence;
use crate::learning;
use crate::words::thousands;

/// The label and the value of all figures, in order.
pub fn rows(evidence: &Evidence) -> Vec<Vec<String>> {
    let mut rows = traffic(evidence);
    rows.extend(done(evidence));
    rows
}

fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn number(number: usize) -> String {
    thousands(number as u64)
}

fn of(part: usize, whole: usize) -> String {
    format!("{} of {}", number(part), number(whole))
}

/// Workloads, their traffic, and the state of their policies.
fn traffic(evidence: &Evidence) -> Vec<Vec<String>> {
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let unknown = || "not known".to_owned();
    let overall = evidence.learning.overall.as_ref();
    vec![
        row(
            "Workloads isolated in both directions",
            of(figures.isolated, figures.workloads),
        ),
        row(
            "Workloads on the host network, out of reach",
            number(figures.host_network),
        ),
        row(
            "Workloads that policies select and allow everything",
            number(figures.allows_all),
        ),
        row("Observed edges, learned", number(figures.edges)),
        row("Connections of these", thousands(figures.connections)),
        row("Implied edges, which nobody saw", number(figures.implied)),
        row("Observed edges, not learned", number(figures.not_learned)),
        row(
            "Share of the edges seen, estimated",
            overall.map_or_else(unknown, learning::seen),
        ),
        row(
            "Edges still unseen, estimated",
            overall.map_or_else(unknown, learning::unseen),
        ),
        row(
            "Observed edges with a recorded approval",
            of(figures.approved, figures.edges),
        ),
        row(
            "Observed edges that the policies allow (soundness)",
            of(verdict.allowed, verdict.observed),
        ),
        row(
            "Implied edges that the policies allow",
            of(verdict.implied_allowed, verdict.implied),
        ),
        row(
            "Pairs of client and server allowed beyond that (tightness)",
            thousands(verdict.unused_total) + &verdict.unused_connections_text(),
        ),
        row(
            "Rules without use",
            of(verdict.unused_rules.len(), verdict.rules),
        ),
    ]
}

/// Actions, from the record.
fn done(evidence: &Evidence) -> Vec<Vec<String>> {
    let figures = &evidence.figures;
    vec![
        row(
            "Violations, new or open from before",
            number(figures.violations),
        ),
        row(
            "Violations without a known answer",
            number(figures.violations_open),
        ),
        row("Drift repaired", number(figures.drift_repairs)),
        row("Drift left as it was", number(figures.drift_left)),
        row(
            "Ends of a namespace's enforcement",
            number(figures.keeping_ended),
        ),
        row("Break-glass", number(figures.break_glass)),
        row("Decisions", number(figures.decisions)),
    ]
}
