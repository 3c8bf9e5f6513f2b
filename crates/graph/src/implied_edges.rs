//! Edges that are allowed unseen: DNS over TCP beside DNS over UDP, and nothing else (rule: dns-over-tcp-implied).

use super::build::Edges;
use super::edge::Lesson;
use nanoseg_net::Protocol;

/// Every client of a DNS server over UDP may fall back to TCP (RFC 7766 section 5), on the server's own port.
pub(super) fn add_dns_over_tcp(edges: &mut Edges) {
    let resolved: Vec<_> = edges
        .iter()
        .filter(|((_, _, protocol, _), edge)| {
            *protocol == Protocol::Udp && edge.tally.dns && edge.lesson == Lesson::Learned
        })
        .map(|((client, server, _, port), udp)| {
            let mut edge = udp.clone();
            edge.tally = Default::default();
            edge.protocol = Protocol::Tcp;
            edge.lesson =
                Lesson::Implied("DNS over UDP was seen, RFC 7766 requires TCP as well".into());
            edge.verdicts.clear();
            edge.windows = Default::default();
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
    }
}
