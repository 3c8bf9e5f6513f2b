//! Links: the edges between the same two peers that teach the same, joined for pictures.

use super::Approvals;
use crate::graph::{Edge, Lesson, Peer};
use crate::net::Protocol;
use crate::report::words::count;
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

impl Link<'_> {
    /// `8080, 9090/TCP`, with every port.
    pub fn ports_in_full(&self) -> String {
        ports(&self.ports, usize::MAX)
    }

    /// How often it was seen, from when to when, and who approved it: a few words each.
    pub fn history(&self, approvals: &Approvals) -> Vec<String> {
        let edges = self.edges.iter();
        let total: u64 = edges.clone().map(|edge| edge.connections()).sum();
        let first = edges.clone().filter_map(|edge| edge.first).min();
        let last = edges.filter_map(|edge| edge.last).max();
        let seen = match (first, last) {
            (Some(first), Some(last)) => vec![
                count(total, "connection"),
                format!("first {first}"),
                format!("last {last}"),
            ],
            _ => vec!["nobody saw it".to_owned()],
        };
        let people = approvals.approvers(self.client, self.server, &self.edges);
        let people = people.into_iter().map(|who| format!("approved by {who}"));
        seen.into_iter().chain(people).collect()
    }

    /// `8080, 9090/TCP`, with at most a few ports of each protocol: `22, 23, 25, +36/TCP`.
    pub fn ports_in_short(&self) -> String {
        ports(&self.ports, MAX_PORTS)
    }
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
    use super::*;

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
