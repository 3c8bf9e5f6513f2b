//! DNS over TCP beside DNS over UDP: edges that are allowed unseen (rule: dns-over-tcp-implied). The only others are
//! lookups that were not seen (`lookups`).

use super::edge::{Edge, Lesson};
use super::edge_key::Edges;
use nanoseg_flow::Verdict;
use nanoseg_net::Protocol;

/// A query without an answer implies nothing, also where it repeats.
pub(super) fn is_answered(edge: &Edge) -> bool {
    edge.lesson == Lesson::Learned && edge.verdicts.contains_key(&Verdict::Established)
}

/// Every client of a DNS server over UDP may fall back to TCP (RFC 7766 section 5), on the server's own port.
pub(super) fn add_dns_over_tcp(edges: &mut Edges) {
    let resolved: Vec<_> = edges
        .iter()
        .filter(|((_, _, protocol, _), edge)| {
            *protocol == Protocol::Udp && edge.tally.dns && is_answered(edge)
        })
        .map(|((client, server, _, port), udp)| {
            let mut edge = udp.clone();
            edge.tally = Default::default();
            edge.protocol = Protocol::Tcp;
            edge.lesson =
                Lesson::Implied("DNS over UDP was seen, RFC 7766 requires TCP as well".into());
            edge.verdicts.clear();
            edge.windows = Default::default();
            edge.clients.clear();
            (
                edge.bytes_to_server,
                edge.bytes_to_client,
                edge.evidence_total,
            ) = (0, 0, 0);
            (edge.first, edge.last) = (None, None);
            edge.evidence.clear();
            ((client.clone(), server.clone(), Protocol::Tcp, *port), edge)
        })
        .collect();
    for (key, edge) in resolved {
        let known = edges.entry(key).or_insert_with(|| edge.clone());
        // Tried over TCP without an answer: still implied, with what was seen kept beside it.
        if !known.lesson.teaches() {
            known.lesson = edge.lesson;
        }
        // As the edge that it follows from, also if that one is called in more ways by now.
        if matches!(known.lesson, Lesson::Implied(_)) {
            known.services.extend(edge.services);
            known.service_ports.extend(edge.service_ports);
            known.node_ports.extend(edge.node_ports);
            known.enforced_from.extend(edge.enforced_from);
        }
    }
}
