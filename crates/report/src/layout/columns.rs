//! The x of every column: as wide as its widest node, with room for labels beside and bends between.

use super::mesh::Mesh;
use super::{Node, gap};

/// One column and what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Column {
    /// Left side of its nodes.
    pub x: f64,
    pub width: f64,
    /// Room for pin labels at its left and right, 0 without any.
    pub labels: (f64, f64),
    /// From where to where lines bend on the way to the next column.
    pub bend: (f64, f64),
}

/// All columns.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    pub columns: Vec<Column>,
    pub width: f64,
}

/// For each column whether a group's border is left of it and right of it.
fn borders(nodes: &[Node], groups: usize, mesh: &Mesh) -> Vec<(bool, bool)> {
    let mut spans = vec![None; groups];
    for item in &mesh.items {
        let group = item
            .node
            .and_then(|node| nodes[node].group)
            .filter(|group| *group < groups);
        if let Some(group) = group {
            let span = spans[group].get_or_insert((item.column, item.column));
            *span = (span.0.min(item.column), span.1.max(item.column));
        }
    }
    let mut borders = vec![(false, false); mesh.columns.len()];
    for (low, high) in spans.into_iter().flatten() {
        borders[low].0 = true;
        borders[high].1 = true;
    }
    borders
}

impl Columns {
    pub fn build(nodes: &[Node], groups: usize, mesh: &Mesh) -> Columns {
        let mut columns = vec![Column::default(); mesh.columns.len()];
        for item in &mesh.items {
            if let Some(node) = item.node {
                let column = &mut columns[item.column];
                column.width = column.width.max(nodes[node].width);
            }
        }
        for slot in mesh.slots.iter().filter(|slot| slot.pin.is_some()) {
            let labels = &mut columns[mesh.items[slot.item].column].labels;
            let room = if slot.at_right {
                &mut labels.1
            } else {
                &mut labels.0
            };
            *room = room.max(slot.label + gap::ARROW);
        }
        let mut steepest = vec![0.0_f64; columns.len()];
        for segment in &mesh.segments {
            let (left, right) = (&mesh.items[segment.left], &mesh.items[segment.right]);
            steepest[left.column] = steepest[left.column].max((left.y - right.y).abs());
        }
        let borders = borders(nodes, groups, mesh);
        let mut x = gap::MARGIN;
        for ((column, steepest), (begins, ends)) in columns.iter_mut().zip(steepest).zip(borders) {
            x += column.labels.0 + if begins { gap::GROUP } else { 0.0 };
            column.x = x;
            x += column.width + column.labels.1 + if ends { gap::GROUP } else { gap::STUB };
            let bend = (gap::BEND.0 + steepest * 0.08).min(gap::BEND.1).round();
            column.bend = (x, x + bend);
            x += bend;
        }
        let width = columns.last().map_or(0.0, |last| last.bend.0);
        Columns {
            columns,
            width: width + gap::MARGIN,
        }
    }
}
