//! The graph as the controller publishes it: the JSON document, compressed, cut to the size that fits.

use super::parse::{NotAGraph, parse};
use super::{Format, Options, render};
use crate::Error;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use nanoseg_graph::{Edge, Graph, Peer};
use nanoseg_net::Timestamp;
use std::io::{Read, Write};

/// The name of the ConfigMap, in the controller's namespace.
pub const PUBLISHED_GRAPH: &str = "nanoseg-graph";
/// Its key in `binaryData`: the JSON of [`super::GraphDocument`] as gzip (RFC 1952).
pub const GRAPH_FILE: &str = "graph.json.gz";
/// Its key in `data` with the number of edges that had no room.
pub const LEFT_OUT: &str = "leftOut";

/// The largest size of a published graph after decompression, in bytes.
const LARGEST: u64 = 256 << 20;

/// A graph, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub bytes: Vec<u8>,
    /// How many edges had no room: those whose last connection is the oldest.
    pub left_out: usize,
}

/// Why a published graph cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("it cannot be unpacked: {0}")]
    Gzip(#[from] std::io::Error),
    #[error(transparent)]
    Graph(#[from] NotAGraph),
}

/// Packs the graph into at most `most` bytes, or into the size of an empty one if that is larger.
///
/// # Errors
/// None that this input can cause.
pub fn pack(graph: &Graph, most: usize) -> Result<Packed, Error> {
    let edges = graph.edges();
    let (mut bytes, mut kept) = (packed(graph)?, edges.len());
    while bytes.len() > most && kept > 0 {
        // Nine tenths of what should fit: edges differ in size.
        let share = kept.saturating_mul(most) / bytes.len();
        kept = (share * 9 / 10).min(kept - 1);
        bytes = packed(&newest(graph, &edges, kept))?;
    }
    Ok(Packed {
        bytes,
        left_out: edges.len() - kept,
    })
}

/// Reads what [`pack`] made.
///
/// # Errors
/// It is something else, or of another version.
pub fn unpack(bytes: &[u8]) -> Result<Graph, UnpackError> {
    let mut text = String::new();
    GzDecoder::new(bytes)
        .take(LARGEST)
        .read_to_string(&mut text)?;
    Ok(parse(&text)?)
}

fn packed(graph: &Graph) -> Result<Vec<u8>, Error> {
    let text = render(graph, Format::Json, Options::default())?;
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text.as_bytes())?;
    Ok(packer.finish()?)
}

/// The edges that were seen last; implied ones, which nobody sees, stay as long as any.
fn newest(graph: &Graph, edges: &[(&Peer, &Peer, &Edge)], most: usize) -> Graph {
    let mut edges = edges.to_vec();
    let last = |edge: &Edge| edge.last.unwrap_or(Timestamp::from_nanos(i64::MAX));
    edges.sort_by_key(|(_, _, edge)| std::cmp::Reverse(last(edge)));
    let mut part = Graph::default();
    for (client, server, edge) in edges.into_iter().take(most) {
        part.add_edge(client, server, edge.clone());
    }
    let names = graph.names.iter();
    let is_in: std::collections::BTreeSet<_> = part.peers().cloned().collect();
    let names = names.filter(|(address, _)| is_in.contains(&Peer::Outside(**address)));
    part.names = names
        .map(|(address, names)| (*address, names.clone()))
        .collect();
    part
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn json(graph: &Graph) -> String {
        render(graph, Format::Json, Options::default()).expect("JSON")
    }

    #[test]
    fn a_packed_graph_is_unpacked_and_the_same_graph_gives_the_same_bytes() {
        for graph in [fixture::shop(false), fixture::hostile(), Graph::default()] {
            let one = pack(&graph, usize::MAX).expect("packed");
            assert_eq!(one.left_out, 0);
            assert_eq!(json(&unpack(&one.bytes).expect("a graph")), json(&graph));
            assert_eq!(pack(&graph, usize::MAX).expect("packed"), one);
        }
    }

    #[test]
    fn edges_that_do_not_fit_are_left_out_and_counted_the_oldest_first() {
        let graph = fixture::shop(false);
        let whole = pack(&graph, usize::MAX).expect("packed");
        let part = pack(&graph, whole.bytes.len() * 3 / 4).expect("packed");
        assert!(part.bytes.len() <= whole.bytes.len() * 3 / 4 && part.left_out > 0);
        let left = unpack(&part.bytes).expect("a graph");
        assert_eq!(left.edges().len() + part.left_out, graph.edges().len());
        let oldest = left.edges().iter().filter_map(|(.., edge)| edge.last).min();
        let gone = graph.edges();
        let gone = gone.iter().filter(|(client, server, edge)| {
            left.edge(client, server, edge.protocol, edge.port)
                .is_none()
        });
        for (.., edge) in gone {
            assert!(edge.last <= oldest, "{edge:?}");
        }
        let none = pack(&graph, 1).expect("packed");
        assert_eq!(none.left_out, graph.edges().len());
    }

    #[test]
    fn data_that_is_not_a_graph_is_refused() {
        assert!(matches!(unpack(b"no gzip"), Err(UnpackError::Gzip(_))));
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(b"{}").expect("written");
        let bytes = packer.finish().expect("packed");
        assert!(matches!(unpack(&bytes), Err(UnpackError::Graph(_))));
    }
}
