//! Edges that are allowed unseen: DNS over TCP beside DNS over UDP, and nothing else (DESIGN §4.9).

use super::build::{Draft, Drafts};
use super::edge::Lesson;
use crate::net::Protocol;

/// Every client of a DNS server over UDP may fall back to TCP (RFC 7766 §5), on the server's own port.
pub(super) fn add_dns_over_tcp(drafts: &mut Drafts) {
    let resolved: Vec<_> = drafts
        .iter()
        .filter(|((_, _, protocol, _), draft)| {
            *protocol == Protocol::Udp && draft.tally.dns && draft.edge.lesson == Lesson::Learned
        })
        .map(|((client, server, _, port), draft)| {
            let mut edge = draft.edge.clone();
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
        let tally = Default::default();
        let draft = drafts.entry(key).or_insert_with(|| Draft {
            edge: edge.clone(),
            tally,
        });
        // Tried over TCP without an answer: still implied, with what was seen kept beside it.
        if !draft.edge.lesson.teaches() {
            draft.edge.lesson = edge.lesson;
        }
    }
}
