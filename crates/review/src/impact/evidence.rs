//! The evidence of a proposal: edges as lines for people.

use super::{ImpactInputs, MOST_LINES, WorkloadEdge};
use crate::resources::{EvidenceLine, SeenUnguarded, WouldBlock};
use nanoseg_flow::Verdict;
use nanoseg_graph::{Corroboration, Edge, Lesson, Peer};
use nanoseg_net::Timestamp;
use std::net::SocketAddr;

/// The most pairs of addresses that are listed for a connection.
const SAMPLES: usize = 3;

/// Returns the evidence of what the policy allows. What it newly allows comes first, so that the rest is truncated
/// first.
pub fn lines(mut allowed: Vec<WorkloadEdge<'_>>, inputs: &ImpactInputs<'_>) -> Vec<EvidenceLine> {
    // The sort is stable: within new and other edges the order of the graph is kept.
    allowed.sort_by_key(|seen| !seen.is_new);
    allowed.truncate(MOST_LINES);
    allowed.iter().map(|seen| line(seen, inputs)).collect()
}

/// Returns the evidence of one connection that the policy allows.
fn line(seen: &WorkloadEdge<'_>, inputs: &ImpactInputs<'_>) -> EvidenceLine {
    let edge = seen.edge;
    let mut notes: Vec<String> = edge.services.iter().map(|s| format!("via {s}")).collect();
    for peer in [seen.client, seen.server] {
        if let Peer::Outside(address) = peer {
            let names = inputs.graph.names.get(address);
            notes.extend(names.into_iter().flatten().cloned());
        }
    }
    if matches!(edge.lesson, Lesson::Implied(_)) {
        notes.push("implied".into());
    }
    if !edge.lesson.teaches() {
        notes.push("blocked".into());
    }
    if !edge.observers.is_empty() {
        notes.push(format!("seen by {}", edge.observers));
    }
    if !edge.is_corroborated() {
        notes.push(silence(edge));
    }
    if let Some(period) = edge.unguarded {
        notes.push(period.to_string());
    }
    if seen.is_new && inputs.base.is_some() {
        notes.push("new".into());
    }
    EvidenceLine {
        client: seen.client.to_string(),
        server: seen.server.to_string(),
        port: format!("{}/{}", edge.port, edge.protocol),
        connections: answered(seen),
        first_seen: time(edge.first),
        last_seen: time(edge.last),
        notes,
        samples: samples(edge),
        unguarded: edge.unguarded.map(|period| SeenUnguarded {
            cause: period.cause.name().to_owned(),
            from: period.from.to_string(),
            to: period.to.map(|to| to.to_string()),
        }),
    }
}

/// Returns which agents should have seen the edge and do not tell of it: `one-sided: node-b did not see it`.
pub fn silence(edge: &Edge) -> String {
    let nodes = edge.one_sided.clone();
    if nodes.is_empty() {
        return Corroboration::Waiting(edge.waiting.clone()).to_string();
    }
    Corroboration::OneSided(nodes).to_string()
}

/// Returns the first pairs of addresses of the edge.
fn samples(edge: &Edge) -> Vec<String> {
    let mut samples: Vec<String> = Vec::new();
    for one in &edge.evidence {
        let sample = format!("{} → {}", one.client, SocketAddr::new(one.server, one.port));
        if samples.len() < SAMPLES && !samples.contains(&sample) {
            samples.push(sample);
        }
    }
    samples
}

/// Returns a recorded connection that the policy would block, as a line.
pub fn would_block(seen: &WorkloadEdge<'_>) -> WouldBlock {
    WouldBlock {
        client: seen.client.to_string(),
        server: seen.server.to_string(),
        port: format!("{}/{}", seen.edge.port, seen.edge.protocol),
        connections: answered(seen),
        last_seen: time(seen.edge.last),
    }
}

/// Returns the number of connections that succeeded.
fn answered(seen: &WorkloadEdge<'_>) -> u64 {
    let of = |verdict| {
        seen.edge
            .verdicts
            .get(&verdict)
            .copied()
            .unwrap_or_default()
    };
    of(Verdict::Established).saturating_add(of(Verdict::OneWay))
}

fn time(at: Option<Timestamp>) -> String {
    // Whole seconds, as Kubernetes shows times.
    at.map(|at| Timestamp::from_secs(at.nanos().div_euclid(1_000_000_000)).to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_flow::Opening;
    use nanoseg_graph::Evidence;
    use nanoseg_net::Protocol;

    #[test]
    fn a_few_distinct_pairs_of_addresses_are_listed() {
        let mut edge = Edge::new(Protocol::Tcp, 8080);
        for client in [7, 7, 8, 9, 10] {
            edge.evidence.push(Evidence {
                client: [10, 0, 0, client].into(),
                server: [10, 0, 1, 1].into(),
                port: 8080,
                via: None,
                seen_as: None,
                verdict: Verdict::Established,
                opening: Opening::Handshake,
                connections: 1,
                first: Timestamp::from_secs(0),
                last: Timestamp::from_secs(0),
            });
        }
        let expected = ["7", "8", "9"].map(|n| format!("10.0.0.{n} → 10.0.1.1:8080"));
        assert_eq!(samples(&edge), expected);
    }
}
