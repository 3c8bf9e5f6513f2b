//! The y of every item. Lanes are stacked; within a column each lane's items keep their order and
//! distances, and come as near as that allows to where their lines would be straight: isotonic
//! regression by pooling neighbours (PAVA), swept in both directions.

use super::gap;
use super::mesh::{Item, Mesh};
use super::rows::Rows;

/// Sweeps with means, then with medians, which make lines exactly straight.
const SWEEPS: (usize, usize) = (24, 16);

/// From where to where a lane reaches; items stay within.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Lane {
    pub top: f64,
    pub bottom: f64,
}

/// Sets `y` of all items and returns the lanes.
pub fn place(mesh: &mut Mesh, rows: &Rows) -> Vec<Lane> {
    let cells = cells(mesh);
    let lanes = stack(mesh, &cells, rows);
    for (_, lane, items) in &cells {
        start(mesh, items, lanes[*lane]);
    }
    let few = if mesh.items.len() > 5_000 { 3 } else { 1 };
    for sweep in 0..(SWEEPS.0 + SWEEPS.1) / few {
        let medians = sweep >= SWEEPS.0 / few;
        let order: Vec<usize> = match sweep % 2 {
            0 => (0..cells.len()).collect(),
            _ => (0..cells.len()).rev().collect(),
        };
        for index in order {
            let (_, lane, items) = &cells[index];
            let wanted: Vec<(f64, f64)> = items
                .iter()
                .map(|item| wanted(mesh, *item, medians))
                .collect();
            settle(mesh, items, &wanted, lanes[*lane]);
        }
    }
    for item in &mut mesh.items {
        item.y = item.y.round();
    }
    flatten(mesh, &cells, &lanes);
    lanes
}

/// Straightens the remaining waves: each bend moves to the y of the bend before it, if its neighbours allow that;
/// everything else stays.
fn flatten(mesh: &mut Mesh, cells: &[Cell], lanes: &[Lane]) {
    for rightwards in [true, false] {
        let order: Vec<&Cell> = if rightwards {
            cells.iter().collect()
        } else {
            cells.iter().rev().collect()
        };
        for (_, lane, items) in order {
            let wanted: Vec<(f64, f64)> = items
                .iter()
                .map(|index| match before(mesh, *index, rightwards) {
                    Some(y) => (y, 1.0),
                    None => (mesh.items[*index].y, 1e6),
                })
                .collect();
            settle(mesh, items, &wanted, lanes[*lane]);
            for item in items {
                mesh.items[*item].y = mesh.items[*item].y.round();
            }
        }
    }
}

/// The y of the bend from which a sweep comes to this bend, if it is one and not far off.
fn before(mesh: &Mesh, index: usize, rightwards: bool) -> Option<f64> {
    let item = &mesh.items[index];
    let segments = if rightwards { &item.left } else { &item.right };
    let ends = segments.iter().map(|segment| &mesh.segments[*segment]);
    let mut bends = ends
        .map(|segment| {
            &mesh.items[if rightwards {
                segment.left
            } else {
                segment.right
            }]
        })
        .filter(|other| other.node.is_none());
    let only = bends
        .next()
        .filter(|_| item.node.is_none() && bends.next().is_none())?;
    Some(only.y)
}

/// Column, lane and items from top to bottom.
type Cell = (usize, usize, Vec<usize>);

fn cells(mesh: &Mesh) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for (number, column) in mesh.columns.iter().enumerate() {
        for item in column {
            let lane = mesh.items[*item].lane;
            match cells.last_mut() {
                Some(last) if (last.0, last.1) == (number, lane) => last.2.push(*item),
                _ => cells.push((number, lane, vec![*item])),
            }
        }
    }
    cells
}

/// The least distance of two neighbours' middles.
fn distance(a: &Item, b: &Item) -> f64 {
    let between = match (a.node, b.node) {
        (Some(_), Some(_)) => gap::NODES,
        (None, None) => gap::LINES,
        _ => gap::NODE_LINE,
    };
    (a.height + b.height) / 2.0 + between
}

/// The height of a cell's stacked items.
fn total(mesh: &Mesh, items: &[usize]) -> f64 {
    let half = |item: Option<&usize>| item.map_or(0.0, |item| mesh.items[*item].height / 2.0);
    let between: f64 = items
        .windows(2)
        .map(|pair| distance(&mesh.items[pair[0]], &mesh.items[pair[1]]))
        .sum();
    half(items.first()) + between + half(items.last())
}

/// Stacks the lanes, each as high as its fullest column.
fn stack(mesh: &Mesh, cells: &[Cell], rows: &Rows) -> Vec<Lane> {
    let mut heights = vec![None; 2 * rows.count + 1];
    for (_, lane, items) in cells {
        let height: &mut Option<f64> = &mut heights[*lane];
        *height = Some(height.unwrap_or(0.0).max(total(mesh, items)));
    }
    let mut lanes = vec![Lane::default(); heights.len()];
    let mut y = gap::MARGIN;
    for (index, height) in heights.iter().enumerate() {
        let row = index % 2 == 1;
        let grouped = row && rows.grouped[index / 2];
        if grouped {
            y += gap::TITLE;
        }
        lanes[index] = Lane {
            top: y,
            bottom: y + height.unwrap_or(0.0),
        };
        y = lanes[index].bottom;
        if grouped {
            y += gap::GROUP;
        }
        // A channel with lines keeps off both rows beside it.
        let inside = index + 1 < heights.len() && (row || index > 0);
        let used = !row && height.is_some();
        let next_used = row && heights.get(index + 1).is_some_and(Option::is_some);
        if row && next_used || used && index + 1 < heights.len() {
            y += gap::NODE_LINE;
        } else if row && inside && index + 2 < heights.len() {
            y += gap::ROWS;
        }
    }
    lanes
}

/// Stacks the items in the middle of their lane.
fn start(mesh: &mut Mesh, items: &[usize], lane: Lane) {
    let mut y = (lane.top + lane.bottom - total(mesh, items)) / 2.0;
    let mut before: Option<usize> = None;
    for item in items {
        y += match before {
            None => mesh.items[*item].height / 2.0,
            Some(before) => distance(&mesh.items[before], &mesh.items[*item]),
        };
        mesh.items[*item].y = y;
        before = Some(*item);
    }
}

/// The position that an item's lines ask for, and its weight.
fn wanted(mesh: &Mesh, index: usize, median: bool) -> (f64, f64) {
    let item = &mesh.items[index];
    let mut pulls: Vec<(f64, f64)> = Vec::with_capacity(item.left.len() + item.right.len());
    for (segments, left) in [(&item.left, true), (&item.right, false)] {
        for segment in segments {
            let segment = &mesh.segments[*segment];
            let far = if left { segment.left } else { segment.right };
            let straight = mesh.items[far].y + mesh.end_offset(segment, left)
                - mesh.end_offset(segment, !left);
            pulls.push((straight, segment.weight));
        }
    }
    let weight: f64 = pulls.iter().map(|(_, weight)| weight).sum();
    if pulls.is_empty() {
        return (item.y, 0.01);
    }
    if median {
        return (weighted_median(&mut pulls, weight), weight);
    }
    (
        pulls.iter().map(|(y, weight)| y * weight).sum::<f64>() / weight,
        weight,
    )
}

fn weighted_median(pulls: &mut [(f64, f64)], weight: f64) -> f64 {
    pulls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut sum = 0.0;
    for (index, (y, own)) in pulls.iter().enumerate() {
        sum += own;
        if sum * 2.0 > weight + 1e-9 {
            return *y;
        }
        if (sum * 2.0 - weight).abs() <= 1e-9 {
            let next = pulls.get(index + 1).map_or(*y, |next| next.0);
            return (y + next) / 2.0;
        }
    }
    pulls.last().map_or(0.0, |last| last.0)
}

/// Moves a cell's items to their wanted positions, as near as order, distances and the lane allow.
fn settle(mesh: &mut Mesh, items: &[usize], wanted: &[(f64, f64)], lane: Lane) {
    // With the distances taken off, "in order and far enough apart" is "not descending".
    let mut offsets = Vec::with_capacity(items.len());
    let mut offset = 0.0;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            offset += distance(&mesh.items[items[index - 1]], &mesh.items[*item]);
        }
        offsets.push(offset);
    }
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for ((y, weight), offset) in wanted.iter().zip(&offsets) {
        let mut pool = (y - offset, *weight, 1);
        while let Some(before) = pools.last().copied().filter(|before| before.0 > pool.0) {
            let weight = before.1 + pool.1;
            pool = (
                (before.0 * before.1 + pool.0 * pool.1) / weight,
                weight,
                before.2 + pool.2,
            );
            pools.pop();
        }
        pools.push(pool);
    }
    let half = |item: Option<&usize>| item.map_or(0.0, |item| mesh.items[*item].height / 2.0);
    let low = lane.top + half(items.first());
    let high = (lane.bottom - half(items.last()) - offset).max(low);
    let levels = pools
        .iter()
        .flat_map(|(y, _, count)| std::iter::repeat_n(*y, *count));
    let ys: Vec<f64> = levels
        .zip(&offsets)
        .map(|(y, o)| y.clamp(low, high) + o)
        .collect();
    for (item, y) in items.iter().zip(ys) {
        mesh.items[*item].y = y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weighted_median_is_exact() {
        assert_eq!(weighted_median(&mut [(5.0, 1.0), (1.0, 3.0)], 4.0), 1.0);
        assert_eq!(weighted_median(&mut [(5.0, 1.0), (1.0, 1.0)], 2.0), 3.0);
    }
}
