//! A text table: one line per edge, for reading and for `grep`.

use super::names;
use crate::table::{Align, Table};
use crate::words;
use nanoseg_graph::{Edge, Graph, Peer};

/// The graph as an aligned text table.
pub fn table(graph: &Graph) -> String {
    let mut table = Table::new([
        ("CLIENT", Align::Left),
        ("SERVER", Align::Left),
        ("PORT", Align::Left),
        ("LESSON", Align::Left),
        ("CONNS", Align::Right),
        ("BYTES", Align::Right),
        ("FIRST (UTC)", Align::Left),
        ("LAST (UTC)", Align::Left),
        ("NOTES", Align::Left),
    ]);
    for (client, server, edge) in graph.edges() {
        let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), words::time);
        table.row([
            named(graph, client),
            named(graph, server),
            names::port(edge),
            names::lesson(&edge.lesson).to_owned(),
            words::thousands(edge.connections()),
            words::bytes(edge.bytes_to_server.saturating_add(edge.bytes_to_client)),
            time(edge.first),
            time(edge.last),
            notes(edge),
        ]);
    }
    table.render()
}

fn named(graph: &Graph, peer: &Peer) -> String {
    match names::dns_names(graph, peer).first() {
        Some(name) => format!("{peer} ({name})"),
        None => names::id(peer),
    }
}

fn notes(edge: &Edge) -> String {
    let mut notes = Vec::new();
    if let Some(reason) = names::reason(&edge.lesson) {
        notes.push(reason.to_owned());
    }
    if edge.inferred {
        notes.push("direction inferred".to_owned());
    }
    if !edge.services.is_empty() {
        let services: Vec<&str> = edge.services.iter().map(String::as_str).collect();
        notes.push(format!("via {}", services.join(", ")));
    }
    notes.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    #[test]
    fn the_table_has_one_line_per_edge() {
        let text = table(&fixture::shop(false));
        let expected = "\
CLIENT                             SERVER                                 PORT      LESSON   CONNS   BYTES  FIRST (UTC)          LAST (UTC)           NOTES
monitoring/prometheus[Deployment]  shop/web[Deployment]                   9090/TCP  learned      3  3.3 kB  2026-01-05 10:00:00  2026-01-05 10:05:00
shop/app[Deployment]               shop/app[Deployment]                   7000/TCP  learned      3  3.3 kB  2026-01-05 10:00:00  2026-01-05 10:05:00
shop/app[Deployment]               shop/redis[StatefulSet]                6379/TCP  learned      3  3.3 kB  2026-01-05 10:00:00  2026-01-05 10:05:00
shop/app[Deployment]               shop/redis[StatefulSet]                6380/TCP  learned      3  3.3 kB  2026-01-05 10:00:00  2026-01-05 10:05:00
shop/app[Deployment]               outside:203.0.113.9 (api.pay.example)  443/TCP   learned      3  3.3 kB  2026-01-05 10:00:00  2026-01-05 10:05:00
shop/web[Deployment]               shop/app[Deployment]                   8080/TCP  learned      3  3.3 kB  2026-01-05 10:00:00  2026-01-05 10:05:00  via shop/app:80
shop/web[Deployment]               shop/redis[StatefulSet]                22/TCP    ignored      1     0 B  2026-01-05 10:00:00  2026-01-05 10:05:00  refused
shop/web[Deployment]               unknown-pod:10.1.9.9                   53/TCP    implied      0     0 B  -                    -                    DNS over TCP (RFC 7766)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn hostile_names_cannot_reach_the_terminal_or_break_a_line() {
        let text = table(&fixture::hostile());
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        assert_eq!(text.lines().count(), 2);
    }
}
