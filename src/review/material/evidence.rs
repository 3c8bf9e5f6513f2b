//! Edges as lines for people.

use super::{Question, Seen};
use crate::flow::Verdict;
use crate::graph::{Lesson, Peer};
use crate::net::Timestamp;
use crate::review::resources::{EvidenceLine, WouldBlock};

/// The evidence of a connection that the policy allows.
pub fn line(seen: &Seen<'_>, question: &Question<'_>) -> EvidenceLine {
    let edge = seen.edge;
    let mut notes: Vec<String> = edge.services.iter().map(|s| format!("via {s}")).collect();
    for peer in [seen.client, seen.server] {
        if let Peer::Outside(address) = peer {
            let names = question.graph.names.get(address);
            notes.extend(names.into_iter().flatten().cloned());
        }
    }
    if matches!(edge.lesson, Lesson::Implied(_)) {
        notes.push("implied".into());
    }
    if !edge.lesson.teaches() {
        notes.push("blocked".into());
    }
    if seen.is_new && question.base.is_some() {
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
    }
}

/// A recorded connection that the policy would block.
pub fn would_block(seen: &Seen<'_>) -> WouldBlock {
    WouldBlock {
        client: seen.client.to_string(),
        server: seen.server.to_string(),
        port: format!("{}/{}", seen.edge.port, seen.edge.protocol),
        connections: answered(seen),
        last_seen: time(seen.edge.last),
    }
}

/// Connections that went as they should.
fn answered(seen: &Seen<'_>) -> u64 {
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
