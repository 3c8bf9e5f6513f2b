//! The communication graph in every export format, one format per file.
//!
//! All of them list peers and edges in the graph's own order, so that the same traffic gives the
//! same bytes however the graph came to be.

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
mod parse;
mod published;
pub mod svg;
mod table;

use super::Error;
use crate::graph::Graph;
pub use document::{EdgeDocument, EvidenceDocument, GraphDocument, LessonDocument, PeerDocument};
pub use names::id;
pub use parse::{NotAGraph, parse};
pub use published::{GRAPH_FILE, LEFT_OUT, PUBLISHED_GRAPH, Packed, UnpackError, pack, unpack};

/// A format that `nanoseg graph --output` knows.
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

/// Which edges a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Leave out edges that were seen but not learned (review and ignored), and peers that then
    /// have no edge. JSON, CSV and the table show everything either way.
    pub only_learned: bool,
}

/// The graph in the given format.
///
/// # Errors
/// Only JSON can fail, and only if serde does.
pub fn render(graph: &Graph, format: Format, options: Options) -> Result<String, Error> {
    Ok(match format {
        Format::Table => table::table(graph),
        Format::Json => json::json(graph)?,
        Format::Dot => dot::dot(graph, options),
        Format::Mermaid => mermaid::mermaid(graph, options),
        Format::Graphml => graphml::graphml(graph, options),
        Format::Csv => csv::csv(graph),
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
