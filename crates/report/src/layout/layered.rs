//! The steps of a layered drawing, one after the other.

use super::columns::Columns;
use super::mesh::Mesh;
use super::{Input, Layout, Link, Node, order, place, rank, route, rows, sane};

/// Lays out the graph.
pub fn layered(input: &Input) -> Layout {
    let known = |link: &Link| {
        link.from != link.to && link.from < input.nodes.len() && link.to < input.nodes.len()
    };
    let links: Vec<(usize, Link)> = input
        .links
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, link)| known(link))
        .collect();
    let nodes: Vec<Node> = input
        .nodes
        .iter()
        .map(|node| sane(node, input.groups))
        .collect();
    let columns = rank::columns(&nodes, input.groups + 1, &links);
    let rows = rows::rows(&nodes, input.groups, &links, &columns);
    let mut mesh = Mesh::build(&nodes, &links, &columns, &rows);
    order::reduce_crossings(&mut mesh);
    mesh.sort_slots();
    let lanes = place::place(&mut mesh, &rows);
    let columns = Columns::build(&nodes, input.groups, &mesh);
    route::layout(input, &mesh, &columns, &lanes, &rows)
}
