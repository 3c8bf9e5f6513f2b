//! Edges as text: a line for each new one, a table, a document.

use super::edges::{Edge, EdgeKey, EdgeTable, Order};
use super::names::Names;
use crate::flow::{Source, Verdict};
use crate::net::Timestamp;
use crate::report::table::{Align, Table};
use serde_json::json;
use std::time::Instant;

/// The names of client and server.
fn ends(key: &EdgeKey, edge: &Edge, names: &Names) -> [String; 2] {
    let labels = edge.labels.as_deref();
    [
        names.of(
            key.client,
            edge.first,
            labels.and_then(|c| c.client.as_ref()),
        ),
        names.of(
            key.server,
            edge.first,
            labels.and_then(|c| c.server.as_ref()),
        ),
    ]
}

/// One line for a new edge.
pub fn line(key: &EdgeKey, edge: &Edge, names: &Names) -> String {
    let [client, server] = ends(key, edge, names);
    format!(
        "{client} -> {server} {}/{} {} ({})\n",
        key.port,
        key.protocol,
        verdict(key.verdict),
        sources(edge),
    )
}

/// The edges as lines, a header first.
pub fn table(
    edges: &EdgeTable,
    names: &Names,
    order: Order,
    now: Instant,
    at: Timestamp,
) -> String {
    let mut table = Table::new([
        ("client", Align::Left),
        ("server", Align::Left),
        ("port", Align::Left),
        ("verdict", Align::Left),
        ("conns", Align::Right),
        ("rate/s", Align::Right),
        ("age", Align::Right),
        ("source", Align::Left),
    ]);
    for (key, edge) in edges.sorted(order, now, |key, edge| ends(key, edge, names)) {
        let [client, server] = ends(key, edge, names);
        let unsure = if edge.undecided { "?" } else { "" };
        table.row([
            client,
            server,
            format!("{}/{}{unsure}", key.port, key.protocol),
            verdict(key.verdict).to_owned(),
            edge.connections().to_string(),
            format!("{:.1}", edge.rate(now)),
            age(at.since(edge.first)),
            sources(edge),
        ]);
    }
    table.render()
}

/// All edges for programs (schema nanoseg.dev/observe/v1).
pub fn document(edges: &EdgeTable, names: &Names, order: Order, now: Instant) -> serde_json::Value {
    let list: Vec<_> = edges
        .sorted(order, now, |key, edge| ends(key, edge, names))
        .into_iter()
        .map(|(key, edge)| {
            let [client, server] = ends(key, edge, names);
            json!({
                "client": key.client,
                "clientName": client,
                "server": key.server,
                "serverName": server,
                "port": key.port,
                "protocol": key.protocol,
                "verdict": key.verdict,
                "connections": edge.connections(),
                "bytes": edge.bytes,
                "first": edge.first,
                "last": edge.last,
                "inferred": edge.undecided,
                "sources": edge.sources(),
            })
        })
        .collect();
    json!({
        "schema": "nanoseg.dev/observe/v1",
        "edges": list,
        "edgesNotShown": edges.overflow,
        "losses": edges.losses,
    })
}

/// The totals, in one line.
pub fn total(edges: &EdgeTable) -> String {
    let mut text = format!("{} edges, {} flow records", edges.len(), edges.records);
    if edges.overflow > 0 {
        text.push_str(&format!(
            ", {} records of edges beyond the table's room",
            edges.overflow
        ));
    }
    if edges.losses > 0 {
        text.push_str(&format!(", {} losses (see docs/observe.md)", edges.losses));
    }
    text
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Established => "established",
        Verdict::OneWay => "one-key",
        Verdict::Unanswered => "unanswered",
        Verdict::Refused => "refused",
        Verdict::Dropped => "dropped",
    }
}

fn sources(edge: &Edge) -> String {
    let names: Vec<_> = edge.sources().into_iter().map(Source::name).collect();
    names.join("+")
}

fn age(nanos: i64) -> String {
    match nanos.max(0) / 1_000_000_000 {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}
