//! Assigns a column to each node: by the longest path, then as near to its neighbours as links
//! allow, outsiders at the sides, nodes without links where there is room.

use super::acyclic::stream_order;
use super::{Link, Node, Side};

/// How often nodes are moved towards their neighbours.
const PASSES: usize = 12;
/// How many columns a group without any link spreads over at most.
const LOOSE_COLUMNS: usize = 4;

/// For each node its column, counted from 0 without gaps at the left.
pub fn columns(nodes: &[Node], groups: usize, links: &[(usize, Link)]) -> Vec<usize> {
    let inner = |node: usize| nodes[node].side == Side::Any;
    let place = stream_order(nodes.len(), links);
    let among: Vec<(usize, usize, f64)> = links
        .iter()
        .filter(|(_, link)| inner(link.from) && inner(link.to))
        .map(|(_, link)| {
            let weight = if link.light { 0.05 } else { 1.0 };
            if place[link.from] < place[link.to] {
                (link.from, link.to, weight)
            } else {
                (link.to, link.from, weight)
            }
        })
        .collect();
    let mut ranks = longest_paths(nodes.len(), &place, &among);
    tighten(&mut ranks, &among, &outward(nodes, links));
    loose(nodes, groups, links, &mut ranks);
    sides(nodes, links, &place, &mut ranks);
    let least = ranks.iter().copied().min().unwrap_or(0);
    ranks.iter().map(|rank| (rank - least) as usize).collect()
}

/// The longest path to each node, following `place`.
fn longest_paths(nodes: usize, place: &[usize], links: &[(usize, usize, f64)]) -> Vec<i64> {
    let mut sorted: Vec<&(usize, usize, f64)> = links.iter().collect();
    sorted.sort_by_key(|(from, to, _)| (place[*from], place[*to]));
    let mut ranks = vec![0; nodes];
    for (from, to, _) in sorted {
        ranks[*to] = ranks[*to].max(ranks[*from] + 1);
    }
    ranks
}

/// For each node the weight of its links to outsiders: at the left, at the right.
fn outward(nodes: &[Node], links: &[(usize, Link)]) -> Vec<(f64, f64)> {
    let mut pulls = vec![(0.0, 0.0); nodes.len()];
    for (_, link) in links {
        for (node, other) in [(link.from, link.to), (link.to, link.from)] {
            match nodes[other].side {
                Side::Any => {}
                Side::First => pulls[node].0 += if link.light { 0.05 } else { 1.0 },
                Side::Last => pulls[node].1 += if link.light { 0.05 } else { 1.0 },
            }
        }
    }
    pulls
}

/// Moves each node within the room that its neighbours leave, to where its links are shortest in all.
fn tighten(ranks: &mut [i64], links: &[(usize, usize, f64)], outward: &[(f64, f64)]) {
    let rightmost = ranks.iter().copied().max().unwrap_or(0);
    let mut ins = vec![Vec::new(); ranks.len()];
    let mut outs = vec![Vec::new(); ranks.len()];
    for (from, to, weight) in links {
        outs[*from].push((*to, *weight));
        ins[*to].push((*from, *weight));
    }
    for _ in 0..PASSES {
        let mut moved = false;
        let mut order: Vec<usize> = (0..ranks.len()).collect();
        order.sort_by_key(|node| (std::cmp::Reverse(ranks[*node]), *node));
        for node in order {
            let low = ins[node].iter().map(|(other, _)| ranks[*other] + 1).max();
            let high = outs[node].iter().map(|(other, _)| ranks[*other] - 1).min();
            let pull = |list: &[(usize, f64)]| list.iter().map(|(_, weight)| weight).sum::<f64>();
            let left = pull(&ins[node]) + outward[node].0;
            let right = pull(&outs[node]) + outward[node].1;
            let low = low.or((outward[node].0 > 0.0).then_some(0));
            let high = high.or((outward[node].1 > 0.0).then_some(rightmost));
            let wanted = match (low, high) {
                (None, Some(high)) => high,
                (Some(low), Some(high)) if right > left => high.max(low),
                (Some(low), Some(_)) if left > right => low,
                _ => ranks[node],
            };
            moved |= wanted != ranks[node];
            ranks[node] = wanted;
        }
        if !moved {
            break;
        }
    }
}

/// Nodes without links go to the emptiest column of their group, the rightmost of equals; groups
/// without any link spread over a few columns at the right, row by row.
fn loose(nodes: &[Node], groups: usize, links: &[(usize, Link)], ranks: &mut [i64]) {
    let mut linked = vec![false; nodes.len()];
    for (_, link) in links {
        linked[link.from] = true;
        linked[link.to] = true;
    }
    let inner = |node: usize| nodes[node].side == Side::Any;
    let rightmost = (0..nodes.len())
        .filter(|n| linked[*n] && inner(*n))
        .map(|n| ranks[n])
        .max();
    for group in (0..groups).map(Some).chain([None]) {
        let members: Vec<usize> = (0..nodes.len())
            .filter(|n| nodes[*n].group == group && inner(*n))
            .collect();
        let fixed: Vec<i64> = members
            .iter()
            .filter(|n| linked[**n])
            .map(|n| ranks[*n])
            .collect();
        let free: Vec<usize> = members.into_iter().filter(|n| !linked[*n]).collect();
        let range = match (fixed.iter().min(), fixed.iter().max()) {
            (Some(low), Some(high)) => (*low, *high),
            _ => {
                let wide = (free.len() as f64).sqrt().ceil() as i64;
                let wide = wide.clamp(1, LOOSE_COLUMNS as i64);
                let high = rightmost.unwrap_or(wide - 1);
                ((high - wide + 1).min(high), high)
            }
        };
        let filled_by_links = !fixed.is_empty();
        let mut filled = fixed;
        for node in free {
            let used = |rank: &i64| filled.iter().filter(|other| *other == rank).count();
            let mut ranks_of_group = range.0..=range.1;
            let emptiest = if filled_by_links {
                ranks_of_group.rev().min_by_key(used)
            } else {
                ranks_of_group.by_ref().min_by_key(used)
            };
            let rank = emptiest.unwrap_or(range.0);
            filled.push(rank);
            ranks[node] = rank;
        }
    }
}

/// Puts outsiders left and right of all others. Those at the right may call each other (a node calls
/// the API server), which takes more columns.
fn sides(nodes: &[Node], links: &[(usize, Link)], place: &[usize], ranks: &mut [i64]) {
    let inner = || (0..nodes.len()).filter(|n| nodes[*n].side == Side::Any);
    let low = inner().map(|n| ranks[n]).min();
    let high = inner().map(|n| ranks[n]).max();
    let last = |n: usize| nodes[n].side == Side::Last;
    let among: Vec<(usize, usize, f64)> = links
        .iter()
        .filter(|(_, link)| last(link.from) && last(link.to))
        .map(|(_, link)| {
            if place[link.from] < place[link.to] {
                (link.from, link.to, 1.0)
            } else {
                (link.to, link.from, 1.0)
            }
        })
        .collect();
    let beyond = longest_paths(nodes.len(), place, &among);
    for (index, node) in nodes.iter().enumerate() {
        match node.side {
            Side::Any => {}
            Side::First => ranks[index] = low.unwrap_or(1) - 1,
            Side::Last => ranks[index] = high.unwrap_or(-1) + 1 + beyond[index],
        }
    }
    // Two at the left that call each other, which the caller should not ask for: the called one moves.
    for (_, link) in links {
        if ranks[link.from] == ranks[link.to] {
            ranks[link.to] = high.unwrap_or(ranks[link.from]).max(ranks[link.from]) + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(side: Side) -> Node {
        Node {
            width: 10.0,
            height: 10.0,
            group: None,
            side,
        }
    }

    fn link(from: usize, to: usize) -> (usize, Link) {
        (
            0,
            Link {
                from,
                to,
                pin: 0,
                label: 0.0,
                light: false,
            },
        )
    }

    #[test]
    fn clients_are_left_of_their_servers_and_near_them() {
        // 0 → 1 → 2 → 3, and 4 → 3 only: 4 moves next to 3.
        let nodes = vec![node(Side::Any); 5];
        let links = [link(0, 1), link(1, 2), link(2, 3), link(4, 3)];
        assert_eq!(columns(&nodes, 0, &links), [0, 1, 2, 3, 2]);
    }

    #[test]
    fn outsiders_are_at_the_sides_whatever_they_call() {
        let nodes = [
            node(Side::First),
            node(Side::Any),
            node(Side::Any),
            node(Side::Last),
            node(Side::Last),
        ];
        let links = [link(0, 2), link(1, 2), link(1, 3), link(4, 3), link(3, 1)];
        let columns = columns(&nodes, 0, &links);
        assert_eq!(columns[..3], [0, 1, 2]);
        assert!(columns[3] != columns[4] && columns[3].min(columns[4]) == 3);
    }

    #[test]
    fn no_link_stays_within_a_column() {
        let nodes = vec![node(Side::First), node(Side::First), node(Side::Any)];
        let links = [link(0, 1), link(1, 0), link(2, 1)];
        let columns = columns(&nodes, 0, &links);
        assert!(
            links.iter().all(|(_, l)| columns[l.from] != columns[l.to]),
            "{columns:?}"
        );
    }
}
