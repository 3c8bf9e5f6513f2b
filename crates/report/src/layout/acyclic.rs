//! Finds the links that run backwards: the greedy order of Eades, Lin and Smyth (1993), by weight.

use super::Link;

/// The weight of a light link; a full one has 1.
const LIGHT: f64 = 0.05;

/// For each node its place in an order in which few and light links run backwards.
pub fn stream_order(nodes: usize, links: &[(usize, Link)]) -> Vec<usize> {
    let mut outs = vec![Vec::new(); nodes];
    let mut ins = vec![Vec::new(); nodes];
    let mut balance = vec![0.0_f64; nodes];
    let (mut open_out, mut open_in) = (vec![0_usize; nodes], vec![0_usize; nodes]);
    for (_, link) in links {
        let weight = if link.light { LIGHT } else { 1.0 };
        outs[link.from].push((link.to, weight));
        ins[link.to].push((link.from, weight));
        balance[link.from] += weight;
        balance[link.to] -= weight;
        open_out[link.from] += 1;
        open_in[link.to] += 1;
    }
    let mut left: Vec<usize> = (0..nodes).collect();
    let (mut front, mut back) = (Vec::new(), Vec::new());
    while !left.is_empty() {
        // A sink goes to the back, a source to the front, else the node with the largest surplus of outgoing weight.
        let sink = left.iter().position(|node| open_out[*node] == 0);
        let source = left.iter().position(|node| open_in[*node] == 0);
        let place = sink.or(source).unwrap_or_else(|| most(&left, &balance));
        let node = left.remove(place);
        if sink.is_some() {
            back.push(node)
        } else {
            front.push(node)
        }
        for (other, weight) in &outs[node] {
            open_in[*other] = open_in[*other].saturating_sub(1);
            balance[*other] += weight;
        }
        for (other, weight) in &ins[node] {
            open_out[*other] = open_out[*other].saturating_sub(1);
            balance[*other] -= weight;
        }
    }
    let mut place = vec![0; nodes];
    for (index, node) in front.into_iter().chain(back.into_iter().rev()).enumerate() {
        place[node] = index;
    }
    place
}

fn most(left: &[usize], balance: &[f64]) -> usize {
    let mut best = 0;
    for (place, node) in left.iter().enumerate() {
        if balance[*node] > balance[left[best]] {
            best = place;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_cycle_is_broken_at_one_link() {
        let links = [link(0, 1), link(1, 2), link(2, 0), link(1, 3)];
        let place = stream_order(4, &links);
        let back = links
            .iter()
            .filter(|(_, l)| place[l.from] > place[l.to])
            .count();
        assert_eq!(back, 1);
    }

    #[test]
    fn a_light_link_yields_to_a_full_one() {
        let mut back = link(1, 0);
        back.1.light = true;
        let place = stream_order(2, &[back, link(0, 1)]);
        assert!(place[0] < place[1]);
    }
}
