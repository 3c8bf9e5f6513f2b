//! The evidence behind edges: all between two ends, which may be whole namespaces.

use super::html::{Frame, Place, table, text};
use super::map::{End, end_of};
use super::view::View;
use crate::graph::{Edge, Graph, Lesson, Peer};
use crate::report::words::{bytes, thousands, time};
use std::collections::BTreeMap;

/// The columns of [`row`].
pub const HEADER: [&str; 9] = [
    "client",
    "server",
    "port",
    "lesson",
    ">connections",
    ">bytes",
    "first seen",
    "last seen",
    "via",
];

/// A peer as people know it: an outside address by its names.
pub fn name(graph: &Graph, peer: &Peer) -> String {
    match peer {
        Peer::Outside(address) => {
            let names = graph.names.get(address).into_iter().flatten();
            let names: Vec<&str> = names.map(String::as_str).collect();
            match names.is_empty() {
                true => address.to_string(),
                false => format!("{} ({address})", names.join(", ")),
            }
        }
        other => other.to_string(),
    }
}

/// What an edge teaches, and why.
pub fn lesson(lesson: &Lesson) -> String {
    match lesson {
        Lesson::Learned => "learned".into(),
        Lesson::Implied(why) => format!("implied: {why}"),
        Lesson::Review(why) => format!("review: {why}"),
        Lesson::Ignored(why) => format!("not learned: {why}"),
    }
}

/// One line of a table of edges.
pub fn row(graph: &Graph, (client, server, edge): (&Peer, &Peer, &Edge)) -> Vec<String> {
    let services: Vec<&str> = edge.services.iter().map(String::as_str).collect();
    vec![
        text(name(graph, client)),
        text(name(graph, server)),
        format!("{}/{}", edge.port, edge.protocol),
        text(lesson(&edge.lesson)),
        thousands(edge.connections()),
        bytes(edge.bytes_to_server.saturating_add(edge.bytes_to_client)),
        edge.first.map(time).unwrap_or_default(),
        edge.last.map(time).unwrap_or_default(),
        text(services.join(", ")),
    ]
}

/// The page of everything from one end of the map to another.
pub fn page(frame: &Frame, view: &View, query: &BTreeMap<String, String>) -> Option<String> {
    let graph = &view.given.graph;
    let (from, to) = (
        End::parse(query.get("from")?)?,
        End::parse(query.get("to")?)?,
    );
    let edges: Vec<_> = graph
        .edges()
        .into_iter()
        .filter(|(client, server, _)| end_of(client, &from) && end_of(server, &to))
        .collect();
    if edges.is_empty() {
        return None;
    }
    let rows: Vec<Vec<String>> = edges.iter().map(|edge| row(graph, *edge)).collect();
    let mut samples = Vec::new();
    for (_, _, edge) in &edges {
        for one in &edge.evidence {
            samples.push(vec![
                text(one.client.to_string()),
                text(format!("{}:{}", one.server, one.port)),
                text(one.via.map(|via| via.to_string()).unwrap_or_default()),
                text(format!("{:?}", one.verdict).to_lowercase()),
                thousands(one.connections),
                time(one.first),
                time(one.last),
            ]);
        }
    }
    let mut body = table(&HEADER, &rows);
    if !samples.is_empty() {
        let header = [
            "client",
            "server",
            "called",
            "verdict",
            ">connections",
            "first",
            "last",
        ];
        body.push_str("<h2>Samples</h2>\n");
        body.push_str(&table(&header, &samples));
    }
    Some(frame.page(Place::Map, &format!("{from} → {to}"), &body))
}
