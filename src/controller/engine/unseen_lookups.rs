//! Workloads whose name lookups nobody saw, for the status of their namespace (rule: dns-not-observed).

use super::observation::Observation;
use crate::finding::Code;
use crate::graph::{Graph, Lesson, Peer};
use std::collections::BTreeSet;

/// The most workloads that a condition names.
const MAX_SAID: usize = 10;

/// What there is to say of a namespace.
#[derive(Debug, Default)]
pub struct UnseenLookups {
    /// One sentence for each workload, the first ten.
    pub said: Vec<String>,
    /// For one of them no resolver is known that could be allowed: its next pod may find nobody.
    pub is_unresolved: bool,
}

/// Finds them by the findings of the last full build.
pub fn of(namespace: &str, observation: &Observation) -> UnseenLookups {
    let built = &observation.built;
    let theirs = built.findings.iter().filter(|one| {
        one.code == Code::DnsNotObserved && one.subject.split('/').next() == Some(namespace)
    });
    let mut found = UnseenLookups::default();
    let resolved = with_implied_lookups(&built.graph);
    for one in theirs {
        if found.said.len() < MAX_SAID {
            found.said.push(format!("{} {}", one.subject, one.message));
        }
        found.is_unresolved |= !resolved.contains(&one.subject);
    }
    found
}

/// The workloads for which lookups are allowed that nobody saw.
fn with_implied_lookups(graph: &Graph) -> BTreeSet<String> {
    let edges = graph.edges().into_iter();
    let implied = edges.filter(|(_, _, edge)| matches!(edge.lesson, Lesson::Implied(_)));
    implied
        .filter_map(|(client, _, _)| match client {
            Peer::Workload(id) => Some(id.to_string()),
            _ => None,
        })
        .collect()
}
