//! Links: the edges between the same two peers with the same lesson, joined for pictures.

use super::{Approvals, Approved, names};
use crate::words::count;
use nanoseg_graph::{Edge, Lesson, Peer};
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};

/// One line of a picture.
#[derive(Debug, Clone)]
pub struct Link<'g> {
    pub client: &'g Peer,
    pub server: &'g Peer,
    /// The lesson of the first of its edges; the others' differ at most in the reason.
    pub lesson: &'g Lesson,
    /// Never empty.
    pub ports: BTreeMap<Protocol, BTreeSet<u16>>,
    pub edges: Vec<&'g Edge>,
}

/// How many ports of one protocol a label shows before it counts the rest.
const MAX_PORTS: usize = 3;

/// How many edges of a link a history lists.
const MAX_HISTORIES: usize = 12;

impl Link<'_> {
    /// `8080, 9090/TCP`, with every port.
    pub fn ports_in_full(&self) -> String {
        ports(&self.ports, usize::MAX)
    }

    /// For each of the first few edges how often it was seen, from when to when, and who approved it; then how many
    /// more there are.
    pub fn history(&self, approvals: &Approvals) -> Vec<String> {
        let listed = self.edges.iter().take(MAX_HISTORIES);
        let mut lines: Vec<String> = listed
            .map(|edge| history(edge, &approvals.of(self.client, self.server, edge)))
            .collect();
        let more = self.edges.len().saturating_sub(MAX_HISTORIES);
        if more > 0 {
            lines.push(format!("and {}", count(more as u64, "more edge")));
        }
        lines
    }

    /// `8080, 9090/TCP`, with at most a few ports of each protocol: `22, 23, 25, +36/TCP`.
    pub fn ports_in_short(&self) -> String {
        ports(&self.ports, MAX_PORTS)
    }
}

/// The history and approvals of one edge, in a line.
fn history(edge: &Edge, known: &Approved) -> String {
    let mut parts = match (edge.first, edge.last) {
        (Some(first), Some(last)) => vec![
            count(edge.connections(), "connection"),
            format!("first {first}"),
            format!("last {last}"),
        ],
        _ => vec!["nobody saw it".to_owned()],
    };
    let people = known.approved_by.iter();
    parts.extend(people.map(|who| format!("approved by {who}")));
    format!("{}: {}", names::port(edge), parts.join(", "))
}

/// Ports by protocol in words.
pub fn ports(ports: &BTreeMap<Protocol, BTreeSet<u16>>, most: usize) -> String {
    let mut out = Vec::new();
    for (protocol, numbers) in ports {
        let mut list: Vec<String> = numbers.iter().take(most).map(u16::to_string).collect();
        if numbers.len() > most {
            list.push(format!("+{}", numbers.len() - most));
        }
        out.push(format!("{}/{protocol}", list.join(", ")));
    }
    out.join(", ")
}

/// Joins edges, in order of client, server and lesson.
pub fn links<'g>(edges: &[(&'g Peer, &'g Peer, &'g Edge)]) -> Vec<Link<'g>> {
    let mut joined: BTreeMap<(&Peer, &Peer, u8), Link<'g>> = BTreeMap::new();
    for (client, server, edge) in edges.iter().copied() {
        let rank = match edge.lesson {
            Lesson::Learned => 0,
            Lesson::Implied(_) => 1,
            Lesson::Review(_) => 2,
            Lesson::Ignored(_) => 3,
        };
        let link = joined
            .entry((client, server, rank))
            .or_insert_with(|| Link {
                client,
                server,
                lesson: &edge.lesson,
                ports: BTreeMap::new(),
                edges: Vec::new(),
            });
        link.ports
            .entry(edge.protocol)
            .or_default()
            .insert(edge.port);
        link.edges.push(edge);
    }
    joined.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn an_approval_of_one_edge_is_not_shown_for_another_of_the_same_link() {
        let graph = fixture::shop(false);
        let edges = graph.edges();
        let all = links(&edges);
        let two = all.iter().find(|link| link.edges.len() == 2).unwrap();
        let key = (
            names::id(two.client),
            names::id(two.server),
            Protocol::Tcp,
            two.edges[1].port,
        );
        let known = Approved {
            approved_by: vec!["alice at noon".into()],
            ..Approved::default()
        };
        let lines = two.history(&Approvals([(key, known)].into()));
        let is_approved: Vec<bool> = lines.iter().map(|line| line.contains("alice")).collect();
        assert_eq!(is_approved, [false, true], "{lines:?}");
        assert!(lines[1].starts_with("6380/TCP: 3 connections, first "));
    }

    #[test]
    fn long_port_lists_are_counted_and_protocols_kept_apart() {
        let all = BTreeMap::from([
            (Protocol::Tcp, BTreeSet::from([1, 2, 3, 4, 5])),
            (Protocol::Udp, BTreeSet::from([53])),
        ]);
        assert_eq!(ports(&all, 3), "1, 2, 3, +2/TCP, 53/UDP");
        assert_eq!(ports(&all, usize::MAX), "1, 2, 3, 4, 5/TCP, 53/UDP");
    }
}
