//! Assigns a row to each group and node. Groups that share no column may share a row; groups with many links
//! between them are near each other.

use super::{Link, Node, Side};

/// Up to this number of rows, every order is tried.
const TRY_ALL: usize = 7;

/// The rows from top to bottom. Row `r` is lane `2r + 1`; the even lanes are the channels around them.
#[derive(Debug, Clone)]
pub struct Rows {
    pub count: usize,
    /// The row of each node.
    pub of_node: Vec<usize>,
    /// True if a group is in the row (else it has no borders).
    pub grouped: Vec<bool>,
}

/// Sorts groups into rows and rows into an order. Group `groups` is the one without a border.
pub fn rows(nodes: &[Node], groups: usize, links: &[(usize, Link)], columns: &[usize]) -> Rows {
    let (of_group, count) = pack(nodes, groups + 1, columns);
    let weights = weights(nodes, links, &of_group, count);
    let place = inverse(&best_order(&weights));
    let of_group: Vec<usize> = of_group
        .iter()
        .map(|row| place.get(*row).copied().unwrap_or(0))
        .collect();
    let mut of_node: Vec<Option<usize>> = nodes
        .iter()
        .map(|node| node.group.map(|group| of_group[group]))
        .collect();
    settle(&mut of_node, links, count.max(1));
    let mut grouped = vec![false; count.max(1)];
    for node in nodes {
        if let Some(group) = node.group.filter(|group| *group < groups) {
            grouped[of_group[group]] = true;
        }
    }
    Rows {
        count: count.max(1),
        of_node: of_node.into_iter().map(|row| row.unwrap_or(0)).collect(),
        grouped,
    }
}

/// First fit, the largest group first: for each group its row, and how many rows there are.
fn pack(nodes: &[Node], groups: usize, columns: &[usize]) -> (Vec<usize>, usize) {
    let mut spans: Vec<(usize, usize, usize, usize)> = Vec::new();
    for group in 0..groups {
        let members: Vec<usize> = (0..nodes.len())
            .filter(|n| nodes[*n].group == Some(group))
            .map(|n| columns[n])
            .collect();
        if let (Some(low), Some(high)) = (members.iter().min(), members.iter().max()) {
            spans.push((group, *low, *high, members.len()));
        }
    }
    spans.sort_by_key(|(group, _, _, size)| (std::cmp::Reverse(*size), *group));
    let mut rows: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut of_group = vec![0; groups];
    for (group, low, high, _) in spans {
        let free = |row: &Vec<(usize, usize)>| row.iter().all(|(l, h)| high < *l || *h < low);
        let row = rows.iter().position(free).unwrap_or_else(|| {
            rows.push(Vec::new());
            rows.len() - 1
        });
        rows[row].push((low, high));
        of_group[group] = row;
    }
    (of_group, rows.len())
}

/// How many links run between each two rows.
fn weights(
    nodes: &[Node],
    links: &[(usize, Link)],
    of_group: &[usize],
    rows: usize,
) -> Vec<Vec<f64>> {
    let mut weights = vec![vec![0.0; rows]; rows];
    for (_, link) in links {
        if let (Some(a), Some(b)) = (nodes[link.from].group, nodes[link.to].group) {
            let weight = if link.light { 0.1 } else { 1.0 };
            weights[of_group[a]][of_group[b]] += weight;
            weights[of_group[b]][of_group[a]] += weight;
        }
    }
    weights
}

/// The order with the least sum of weight × distance: all orders if they are few, else by moving
/// single rows as long as that helps.
fn best_order(weights: &[Vec<f64>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    if weights.len() <= TRY_ALL {
        let mut best = order.clone();
        let mut least = cost(&best, weights);
        permute(&mut order, 0, &mut |candidate| {
            let cost = cost(candidate, weights);
            if cost < least - 1e-9 {
                least = cost;
                best = candidate.to_vec();
            }
        });
        return best;
    }
    let mut least = cost(&order, weights);
    for _ in 0..8 {
        let mut moved = false;
        for from in 0..order.len() {
            for to in 0..order.len() {
                let mut candidate = order.clone();
                let row = candidate.remove(from);
                candidate.insert(to, row);
                let cost = cost(&candidate, weights);
                if cost < least - 1e-9 {
                    (least, order, moved) = (cost, candidate, true);
                }
            }
        }
        if !moved || weights.len() > 40 {
            break;
        }
    }
    order
}

fn permute(order: &mut Vec<usize>, from: usize, visit: &mut impl FnMut(&[usize])) {
    if from + 1 >= order.len() {
        return visit(order);
    }
    for other in from..order.len() {
        order[from..=other].rotate_right(1);
        permute(order, from + 1, visit);
        order[from..=other].rotate_left(1);
    }
}

fn cost(order: &[usize], weights: &[Vec<f64>]) -> f64 {
    let mut sum = 0.0;
    for (i, a) in order.iter().enumerate() {
        for (j, b) in order.iter().enumerate().skip(i + 1) {
            sum += weights[*a][*b] * (j - i) as f64;
        }
    }
    sum
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut place = vec![0; order.len()];
    for (index, row) in order.iter().enumerate() {
        place[*row] = index;
    }
    place
}

/// Nodes without a group are in the row that most of their links lead to, the upper of equals; this runs twice, so
/// that nodes linked only to each other follow.
fn settle(of_node: &mut [Option<usize>], links: &[(usize, Link)], rows: usize) {
    for _ in 0..2 {
        let mut votes = vec![Vec::new(); of_node.len()];
        for (_, link) in links {
            for (a, b) in [(link.from, link.to), (link.to, link.from)] {
                if let (None, Some(row)) = (of_node[a], of_node[b]) {
                    votes[a].push(row);
                }
            }
        }
        for (node, votes) in votes.iter().enumerate() {
            let most = (0..rows)
                .rev()
                .max_by_key(|row| votes.iter().filter(|v| *v == row).count());
            if !votes.is_empty() {
                of_node[node] = most;
            }
        }
    }
}

/// The lane in which a link's line runs past other columns: within its row, or in the channel beside
/// its server's row on the client's side. A line to an outsider stays in its row unless others' groups
/// stand in the way.
pub fn lane(nodes: &[Node], columns: &[usize], rows: &Rows, link: &Link) -> usize {
    let (from, to) = (rows.of_node[link.from], rows.of_node[link.to]);
    let (a, b) = (&nodes[link.from], &nodes[link.to]);
    let (low, high) = (
        columns[link.from].min(columns[link.to]),
        columns[link.from].max(columns[link.to]),
    );
    let stranger = |node: usize| {
        let group = nodes[node].group;
        rows.of_node[node] == to
            && (low + 1..high).contains(&columns[node])
            && group != a.group
            && group != b.group
    };
    let loose = (a.side != Side::Any || b.side != Side::Any) && !(0..nodes.len()).any(stranger);
    match from.cmp(&to) {
        std::cmp::Ordering::Equal if a.group == b.group || loose => 2 * to + 1,
        std::cmp::Ordering::Equal | std::cmp::Ordering::Less => 2 * to,
        std::cmp::Ordering::Greater => 2 * to + 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_share_a_row_only_without_a_common_column() {
        let node = |group| Node {
            width: 1.0,
            height: 1.0,
            group: Some(group),
            side: Side::Any,
        };
        let nodes = [node(0), node(0), node(1), node(2)];
        let rows = rows(&nodes, 3, &[], &[1, 2, 0, 2]);
        assert_eq!(rows.of_node[0], rows.of_node[2]);
        assert_ne!(rows.of_node[0], rows.of_node[3]);
    }

    #[test]
    fn rows_with_many_links_are_near_each_other() {
        let mut weights = vec![vec![0.0; 3]; 3];
        (weights[0][2], weights[2][0]) = (5.0, 5.0);
        let order = best_order(&weights);
        let place = inverse(&order);
        assert_eq!(place[0].abs_diff(place[2]), 1);
    }
}
