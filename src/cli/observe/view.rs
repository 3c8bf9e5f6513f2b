//! Edges as text: one line each as they come, a table, a document.

use super::board::{Board, Order, Seen, Way};
use super::names::Names;
use crate::flow::{Source, Verdict};
use crate::net::Timestamp;
use crate::report::table::{Align, Table};
use serde_json::json;
use std::time::Instant;

/// What client and server are shown as.
fn ends(way: &Way, seen: &Seen, names: &Names) -> [String; 2] {
    let labels = seen.labels.as_deref();
    [
        names.of(
            way.client,
            seen.first,
            labels.and_then(|c| c.client.as_ref()),
        ),
        names.of(
            way.server,
            seen.first,
            labels.and_then(|c| c.server.as_ref()),
        ),
    ]
}

/// One line for a new edge.
pub fn line(way: &Way, seen: &Seen, names: &Names) -> String {
    let [client, server] = ends(way, seen, names);
    format!(
        "{client} -> {server} {}/{} {} ({})\n",
        way.port,
        way.protocol,
        verdict(way.verdict),
        sources(seen),
    )
}

/// The edges as lines, a header first.
pub fn table(board: &Board, names: &Names, order: Order, now: Instant, at: Timestamp) -> String {
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
    for (way, seen) in board.sorted(order, now, |way, seen| ends(way, seen, names)) {
        let [client, server] = ends(way, seen, names);
        let unsure = if seen.undecided { "?" } else { "" };
        table.row([
            client,
            server,
            format!("{}/{}{unsure}", way.port, way.protocol),
            verdict(way.verdict).to_owned(),
            seen.connections().to_string(),
            format!("{:.1}", seen.rate(now)),
            age(at.since(seen.first)),
            sources(seen),
        ]);
    }
    table.render()
}

/// All edges for programs (schema nanoseg.dev/observe/v1).
pub fn document(board: &Board, names: &Names, order: Order, now: Instant) -> serde_json::Value {
    let edges: Vec<_> = board
        .sorted(order, now, |way, seen| ends(way, seen, names))
        .into_iter()
        .map(|(way, seen)| {
            let [client, server] = ends(way, seen, names);
            json!({
                "client": way.client,
                "clientName": client,
                "server": way.server,
                "serverName": server,
                "port": way.port,
                "protocol": way.protocol,
                "verdict": way.verdict,
                "connections": seen.connections(),
                "bytes": seen.bytes,
                "first": seen.first,
                "last": seen.last,
                "inferred": seen.undecided,
                "sources": seen.sources(),
            })
        })
        .collect();
    json!({
        "schema": "nanoseg.dev/observe/v1",
        "edges": edges,
        "edgesNotShown": board.overflow,
        "losses": board.losses,
    })
}

/// What there is in all, one line.
pub fn total(board: &Board) -> String {
    let mut text = format!("{} edges, {} flow records", board.len(), board.records);
    if board.overflow > 0 {
        text.push_str(&format!(
            ", {} records of edges beyond the table's room",
            board.overflow
        ));
    }
    if board.losses > 0 {
        text.push_str(&format!(", {} losses (see docs/observe.md)", board.losses));
    }
    text
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Established => "established",
        Verdict::OneWay => "one-way",
        Verdict::Unanswered => "unanswered",
        Verdict::Refused => "refused",
        Verdict::Dropped => "dropped",
    }
}

fn sources(seen: &Seen) -> String {
    let names: Vec<_> = seen.sources().into_iter().map(Source::name).collect();
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
