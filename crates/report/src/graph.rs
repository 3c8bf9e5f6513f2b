//! The communication graph in every export format, one format per file.
//!
//! All of them list peers and edges in the graph's own order, so that the same traffic gives the
//! same bytes, whatever the order in which the graph was built.

mod approvals;
mod csv;
mod document;
mod dot;
#[cfg(test)]
pub(crate) mod fixture;
mod graphml;
mod json;
mod links;
mod mermaid;
mod names;
mod options;
mod parse;
mod published;
pub mod svg;
mod table;

use super::Error;
pub use approvals::{Approvals, Approved, EdgeId};
pub use document::{EdgeDocument, EvidenceDocument, GraphDocument, LessonDocument, PeerDocument};
pub use names::id;
use nanoseg_graph::Graph;
pub use options::Options;
pub use parse::{NotAGraph, parse};
pub use published::{GRAPH_FILE, LEFT_OUT, PUBLISHED_GRAPH, Packed, UnpackError, pack, unpack};

/// A format of `nanoseg graph --output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    Table,
    Json,
    Dot,
    Mermaid,
    Graphml,
    Csv,
    Svg,
}

impl Format {
    pub const ALL: [Format; 7] = [
        Format::Table,
        Format::Json,
        Format::Dot,
        Format::Mermaid,
        Format::Graphml,
        Format::Csv,
        Format::Svg,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Dot => "dot",
            Format::Mermaid => "mermaid",
            Format::Graphml => "graphml",
            Format::Csv => "csv",
            Format::Svg => "svg",
        }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// The graph in the given format.
///
/// # Errors
/// Only JSON can fail, and only if serde does.
pub fn render(graph: &Graph, format: Format, options: Options) -> Result<String, Error> {
    render_with(graph, format, options, None)
}

/// The same with the approvals of each edge, if they are known; Mermaid and DOT also show when edges were seen. The
/// table and SVG have no approvals.
///
/// # Errors
/// See [`render`].
pub fn render_with(
    graph: &Graph,
    format: Format,
    options: Options,
    approvals: Option<&Approvals>,
) -> Result<String, Error> {
    Ok(match format {
        Format::Table => table::table(graph),
        Format::Json => json::json(graph, approvals)?,
        Format::Dot => dot::dot(graph, options, approvals),
        Format::Mermaid => mermaid::mermaid(graph, options, approvals),
        Format::Graphml => graphml::graphml(graph, options, approvals),
        Format::Csv => csv::csv(graph, approvals),
        Format::Svg => svg::svg(graph, options),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_the_same_whatever_the_order_of_insertion() {
        for format in Format::ALL {
            let forward = render(&fixture::shop(false), format, Options::default()).unwrap();
            let backward = render(&fixture::shop(true), format, Options::default()).unwrap();
            assert_eq!(forward, backward, "{}", format.name());
        }
    }

    #[test]
    fn every_format_has_a_name_that_leads_back_to_it() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Some(format));
        }
        assert_eq!(Format::parse("pdf"), None);
    }

    #[test]
    fn who_approved_an_edge_is_in_every_format_for_programs_and_in_pictures_in_text() {
        let graph = fixture::shop(false);
        let edges = graph.edges();
        let (client, server, edge) = edges[0];
        let key = (id(client), id(server), edge.protocol, edge.port);
        let known = Approved {
            allowed_by: vec!["shop/web ingress[0]".into()],
            approved_by: vec!["alice at 2026-01-04T00:00:00Z".into()],
        };
        let approvals = Approvals([(key, known)].into());
        let formats = [
            Format::Json,
            Format::Csv,
            Format::Graphml,
            Format::Dot,
            Format::Mermaid,
        ];
        for format in formats {
            let options = Options::default();
            let text = render_with(&graph, format, options, Some(&approvals)).unwrap();
            let name = format.name();
            let who = "alice at 2026-01-04T00:00:00Z";
            let lines = text.lines().filter(|line| line.contains(who));
            assert_eq!(lines.count(), 1, "{name}: {text}");
            assert!(text.contains("2026-01-05T10:05:00Z"), "{name}: {text}");
            let is_picture = matches!(format, Format::Dot | Format::Mermaid);
            assert_eq!(text.contains("3 connections"), is_picture, "{name}: {text}");
            assert_ne!(text, render(&graph, format, options).unwrap());
        }
    }

    #[test]
    fn an_empty_graph_is_written_in_every_format() {
        for format in Format::ALL {
            assert!(
                !render(&Graph::default(), format, Options::default())
                    .unwrap()
                    .is_empty()
            );
        }
    }
}
