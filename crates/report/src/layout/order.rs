//! The order of items within their column and lane: median sweeps with the best kept, then swaps of
//! neighbours (Gansner, Koutsofios, North and Vo 1993).

use super::mesh::Mesh;

/// Sweeps for a small graph; large ones get fewer.
const SWEEPS: usize = 24;

/// Reorders the columns so that few segments cross.
pub fn reduce_crossings(mesh: &mut Mesh) {
    let sweeps = match mesh.segments.len() {
        0..2_000 => SWEEPS,
        2_000..10_000 => 10,
        _ => 4,
    };
    let mut best = mesh.columns.clone();
    let mut least = crossings(mesh);
    for sweep in 0..sweeps {
        if least == 0 {
            break;
        }
        let rightwards = sweep % 2 == 0;
        let count = mesh.columns.len();
        for step in 1..count {
            let column = if rightwards { step } else { count - 1 - step };
            sort_column(mesh, column, rightwards, sweep % 4 >= 2);
        }
        if sweep % 4 == 3 {
            swap_neighbours(mesh, 2);
        }
        let now = crossings(mesh);
        if now < least {
            (least, best) = (now, mesh.columns.clone());
        }
    }
    mesh.columns = best;
    swap_neighbours(mesh, 6);
}

/// Sorts one column by the middle of each item's neighbours on the side that the sweep comes from.
fn sort_column(mesh: &mut Mesh, column: usize, rightwards: bool, reverse_ties: bool) {
    let places = mesh.places();
    let mut keyed: Vec<(usize, f64, usize)> = mesh.columns[column]
        .iter()
        .map(|index| {
            let item = &mesh.items[*index];
            let segments = if rightwards { &item.left } else { &item.right };
            let mut far: Vec<f64> = segments
                .iter()
                .map(|s| far_place(mesh, &places, *s, rightwards))
                .collect();
            let key = if far.is_empty() {
                places[*index] as f64
            } else {
                median(&mut far)
            };
            (item.lane, key, *index)
        })
        .collect();
    if reverse_ties {
        keyed.reverse();
    }
    keyed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    mesh.columns[column] = keyed.into_iter().map(|(_, _, index)| index).collect();
}

fn far_place(mesh: &Mesh, places: &[usize], segment: usize, left: bool) -> f64 {
    let segment = &mesh.segments[segment];
    places[if left { segment.left } else { segment.right }] as f64
}

/// The middle value, or the mean of the middle two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}

/// How many pairs of segments cross, in all gaps: by counting inversions with a Fenwick tree.
pub fn crossings(mesh: &Mesh) -> u64 {
    let places = mesh.places();
    let mut ends: Vec<Vec<(usize, usize)>> = vec![Vec::new(); mesh.columns.len()];
    for segment in &mesh.segments {
        let column = mesh.items[segment.left].column;
        ends[column].push((places[segment.left], places[segment.right]));
    }
    let mut sum = 0;
    for (column, mut ends) in ends.into_iter().enumerate() {
        ends.sort_unstable();
        let size = mesh.columns.get(column + 1).map_or(0, Vec::len);
        let mut tree = vec![0_u64; size + 1];
        for (seen, (_, right)) in ends.iter().enumerate() {
            let mut not_beyond = 0;
            let mut at = right + 1;
            while at > 0 {
                not_beyond += tree[at];
                at &= at - 1;
            }
            sum += seen as u64 - not_beyond;
            at = right + 1;
            while at <= size {
                tree[at] += 1;
                at += at & at.wrapping_neg();
            }
        }
    }
    sum
}

/// Swaps neighbours of the same lane as long as that saves crossings, at most `rounds` times over.
fn swap_neighbours(mesh: &mut Mesh, rounds: usize) {
    for _ in 0..rounds {
        let mut improved = false;
        for column in 0..mesh.columns.len() {
            let places = mesh.places();
            for upper in 1..mesh.columns[column].len() {
                let (a, b) = (mesh.columns[column][upper - 1], mesh.columns[column][upper]);
                if mesh.items[a].lane == mesh.items[b].lane && gain(mesh, &places, a, b) > 0 {
                    mesh.columns[column].swap(upper - 1, upper);
                    improved = true;
                }
            }
        }
        if !improved {
            break;
        }
    }
}

/// How many crossings are saved by putting `b` above `a`.
fn gain(mesh: &Mesh, places: &[usize], a: usize, b: usize) -> i64 {
    let mut gain = 0;
    for left in [true, false] {
        let ends = |item: usize| -> Vec<usize> {
            let item = &mesh.items[item];
            let segments = if left { &item.left } else { &item.right };
            let mut ends: Vec<usize> = segments
                .iter()
                .map(|s| far_place(mesh, places, *s, left) as usize)
                .collect();
            ends.sort_unstable();
            ends
        };
        let (a, b) = (ends(a), ends(b));
        gain += inversions(&a, &b) - inversions(&b, &a);
    }
    gain
}

/// Pairs with an upper end below a lower one: how often lines cross if `upper` stands above `lower`.
fn inversions(upper: &[usize], lower: &[usize]) -> i64 {
    upper
        .iter()
        .map(|u| lower.partition_point(|l| l < u) as i64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::mesh::{Item, Segment};
    use super::*;

    fn mesh(pairs: &[(usize, usize)]) -> Mesh {
        let item = |column| Item {
            column,
            lane: 1,
            node: None,
            height: 0.0,
            y: 0.0,
            left: Vec::new(),
            right: Vec::new(),
        };
        let mut mesh = Mesh {
            items: (0..6).map(|index| item(index / 3)).collect(),
            columns: vec![vec![0, 1, 2], vec![3, 4, 5]],
            ..Mesh::default()
        };
        for (number, (left, right)) in pairs.iter().enumerate() {
            let (left, right) = (*left, 3 + *right);
            mesh.items[left].right.push(number);
            mesh.items[right].left.push(number);
            mesh.segments.push(Segment {
                left,
                right,
                left_slot: None,
                right_slot: None,
                weight: 1.0,
            });
        }
        mesh
    }

    #[test]
    fn crossings_are_counted_pair_by_pair() {
        assert_eq!(crossings(&mesh(&[(0, 2), (1, 1), (2, 0)])), 3);
        assert_eq!(crossings(&mesh(&[(0, 0), (0, 1), (1, 1)])), 0);
    }

    #[test]
    fn unnecessary_crossings_are_removed() {
        let mut mesh = mesh(&[(0, 2), (1, 0), (2, 1)]);
        reduce_crossings(&mut mesh);
        assert_eq!(crossings(&mesh), 0);
    }
}
