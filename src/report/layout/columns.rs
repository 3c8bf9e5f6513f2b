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

impl Columns {
    pub fn build(nodes: &[Node], mesh: &Mesh) -> Columns {
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
        let mut x = gap::MARGIN + gap::GROUP;
        for (column, steepest) in columns.iter_mut().zip(steepest) {
            x += column.labels.0;
            column.x = x;
            x += column.width + column.labels.1 + gap::GROUP;
            let bend = (gap::BEND.0 + steepest * 0.1).min(gap::BEND.1).round();
            column.bend = (x, x + bend);
            x += bend + gap::GROUP;
        }
        let width = columns.last().map_or(0.0, |last| last.bend.0);
        Columns {
            columns,
            width: width + gap::MARGIN,
        }
    }
}
