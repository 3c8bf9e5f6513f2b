//! The transitive closure of a graph, counted: the number of nodes that each node reaches. Computed over the
//! strongly connected components (Kosaraju, Sharir), because all nodes of a component reach the same nodes.

use fixedbitset::FixedBitSet;

/// Returns for each node the number of other nodes that it reaches. `rows` are the successors of each node.
pub fn reached(rows: &[FixedBitSet]) -> Vec<usize> {
    let components = components(rows);
    let mut of = vec![0; rows.len()];
    for (number, component) in components.iter().enumerate() {
        for node in component {
            of[*node] = number;
        }
    }
    // Components are in topological order: those that a component reaches are finished before it.
    let mut sets: Vec<FixedBitSet> = vec![FixedBitSet::new(); components.len()];
    let mut counts = vec![0; rows.len()];
    for (number, component) in components.iter().enumerate().rev() {
        let mut set = FixedBitSet::with_capacity(rows.len());
        let mut next = FixedBitSet::with_capacity(rows.len());
        for node in component {
            set.insert(*node);
            next.union_with(&rows[*node]);
        }
        for node in next.ones() {
            if !set.contains(node) {
                set.union_with(&sets[of[node]]);
            }
        }
        let count = set.count_ones(..) - 1;
        for node in component {
            counts[*node] = count;
        }
        sets[number] = set;
    }
    counts
}

/// Returns the strongly connected components in topological order: no path leads from one to an earlier one.
fn components(rows: &[FixedBitSet]) -> Vec<Vec<usize>> {
    let mut backwards = vec![FixedBitSet::with_capacity(rows.len()); rows.len()];
    for (from, row) in rows.iter().enumerate() {
        for to in row.ones() {
            backwards[to].insert(from);
        }
    }
    let mut unseen = FixedBitSet::with_capacity(rows.len());
    unseen.insert_range(..);
    let mut finished = Vec::with_capacity(rows.len());
    for start in 0..rows.len() {
        visit(rows, start, &mut unseen, &mut finished);
    }
    unseen.insert_range(..);
    let mut components = Vec::new();
    for start in finished.into_iter().rev() {
        let mut component = Vec::new();
        visit(&backwards, start, &mut unseen, &mut component);
        if !component.is_empty() {
            components.push(component);
        }
    }
    components
}

/// Visits the unseen nodes that `start` reaches, depth first, and lists them in post-order.
fn visit(rows: &[FixedBitSet], start: usize, unseen: &mut FixedBitSet, finished: &mut Vec<usize>) {
    if !unseen.contains(start) {
        return;
    }
    unseen.set(start, false);
    let mut path = vec![start];
    while let Some(node) = path.last() {
        match rows[*node].intersection(unseen).next() {
            Some(next) => {
                unseen.set(next, false);
                path.push(next);
            }
            None => finished.extend(path.pop()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_counts_equal_those_of_a_search_from_each_node(edges in proptest::collection::vec((0..12usize, 0..12usize), 0..40)) {
            let mut rows = vec![FixedBitSet::with_capacity(12); 12];
            for (from, to) in edges {
                rows[from].insert(to);
            }
            let found = reached(&rows);
            for (start, found) in found.iter().enumerate() {
                let (mut seen, mut todo) = (FixedBitSet::with_capacity(12), vec![start]);
                seen.insert(start);
                while let Some(node) = todo.pop() {
                    for next in rows[node].ones() {
                        if !seen.put(next) {
                            todo.push(next);
                        }
                    }
                }
                prop_assert_eq!(*found, seen.count_ones(..) - 1);
            }
        }
    }
}
