//! The evidence behind edges: all edges between two ends, which may be whole namespaces.

use super::html::{Frame, NavEntry, moment, part, size, text};
use super::map::{End, end_of};
use super::pagination::Pagination;
use super::view::View;
use crate::graph::{Edge, Evidence, Graph, Lesson, Peer};
use crate::report::words::thousands;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The columns of [`row`].
pub const HEADER: [&str; 10] = [
    "client",
    "server",
    "port",
    "lesson",
    ">connections",
    ">bytes",
    "first seen",
    "last seen",
    "via",
    "seen by",
];

/// A peer by its name: an outside address with its DNS names.
pub fn name(graph: &Graph, peer: &Peer) -> String {
    match peer {
        Peer::Outside(address) => graph
            .named_address(address)
            .unwrap_or_else(|| address.to_string()),
        other => other.to_string(),
    }
}

/// The lesson of an edge, with its reason.
pub fn lesson(lesson: &Lesson) -> String {
    match lesson {
        Lesson::Learned => "learned".into(),
        Lesson::Implied(why) => format!("implied: {why}"),
        Lesson::Review(why) => format!("review: {why}"),
        Lesson::Ignored(why) => format!("not learned: {why}"),
    }
}

/// One row of a table of edges, under [`HEADER`].
pub fn row(graph: &Graph, (client, server, edge): (&Peer, &Peer, &Edge)) -> Vec<Markup> {
    let services: Vec<&str> = edge.services.iter().map(String::as_str).collect();
    vec![
        text(name(graph, client)),
        text(name(graph, server)),
        text(format!("{}/{}", edge.port, edge.protocol)),
        text(lesson(&edge.lesson)),
        text(thousands(edge.connections())),
        text(size(
            edge.bytes_to_server.saturating_add(edge.bytes_to_client),
        )),
        edge.first.map(moment).unwrap_or_default(),
        edge.last.map(moment).unwrap_or_default(),
        text(services.join(", ")),
        text(observers(edge)),
    ]
}

/// The nodes whose agents saw the edge, and those that should have seen it and did not.
fn observers(edge: &Edge) -> String {
    let mut words = edge.observers.to_string();
    if !edge.one_sided.is_empty() {
        words.push_str(&format!("; one-sided: not by {}", edge.one_sided));
    } else if !edge.waiting.is_empty() {
        words.push_str(&format!("; not yet by {}", edge.waiting));
    }
    if let Some(period) = edge.unguarded {
        words.push_str(&format!("; first {period}"));
    }
    words
}

/// The page of all edges from one end of the map to another; `None` if there are none.
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
    let path = "edge";
    let pages = Pagination { frame, path, query };
    let samples: Vec<&Evidence> = edges
        .iter()
        .flat_map(|(_, _, edge)| &edge.evidence)
        .collect();
    let header = [
        "client",
        "server",
        "called",
        "verdict",
        ">connections",
        "first",
        "last",
    ];
    let body = html! {
        (other_way(frame, graph, &from, &to))
        (pages.table("rows", &HEADER, &edges, |edge| row(graph, *edge)))
        @if !samples.is_empty() {
            h2 { "Samples" } "\n"
            (pages.table("samples", &header, &samples, |one| sample(one)))
        }
    };
    let [from, to] = [from, to].map(|end| title(graph, &end));
    Some(frame.page(NavEntry::Map, &format!("{from} → {to}"), &body))
}

/// From the callers of an end a link to what it calls, and back; empty if there is nothing.
fn other_way(frame: &Frame, graph: &Graph, from: &End, to: &End) -> Markup {
    let label = match (from, to) {
        (End::Any, End::Any) => return html! {},
        (End::Any, _) => "What it calls",
        (_, End::Any) => "Who calls it",
        _ => return html! {},
    };
    let mut all = graph.edges().into_iter();
    if !all.any(|(client, server, _)| end_of(client, to) && end_of(server, from)) {
        return html! {};
    }
    let path = format!("edge?from={}&to={}", part(&to.id()), part(&from.id()));
    html! { p { (frame.link(&path, label)) } "\n" }
}

fn sample(one: &Evidence) -> Vec<Markup> {
    vec![
        text(one.client.to_string()),
        text(SocketAddr::new(one.server, one.port).to_string()),
        text(one.via.map(|via| via.to_string()).unwrap_or_default()),
        text(format!("{:?}", one.verdict).to_lowercase()),
        text(thousands(one.connections)),
        moment(one.first),
        moment(one.last),
    ]
}

/// An end by its name.
pub fn title(graph: &Graph, end: &End) -> String {
    match end {
        End::Address(address) => name(graph, &Peer::Outside(*address)),
        other => other.to_string(),
    }
}
