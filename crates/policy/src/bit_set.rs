//! A fixed-size bit set: the pod classes that a selector also selects, as bits, so that a combination of
//! labels is tried with a few `and` operations.

/// A set of numbers smaller than the size that it was created with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BitSet(Vec<u64>);

impl BitSet {
    pub fn empty(size: usize) -> Self {
        BitSet(vec![0; size.div_ceil(64)])
    }

    /// Adds `index`. Ignores an index that is not smaller than the size.
    pub fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Returns true if both sets have a number in common.
    pub fn meets(&self, other: &BitSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// Keeps only the numbers that `other` has as well (intersection).
    pub fn keep(&mut self, other: &BitSet) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a &= b;
        }
    }

    /// Adds every number of `other` (union).
    pub fn add(&mut self, other: &BitSet) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
    }

    /// Removes every number of `other` (difference).
    pub fn remove(&mut self, other: &BitSet) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a &= !b;
        }
    }

    /// Returns the numbers of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(place, word)| {
            (0..64)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| place * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_exactly_the_inserted_numbers() {
        let mut a = BitSet::empty(130);
        for index in [0, 63, 64, 129, 500] {
            a.insert(index);
        }
        assert_eq!(a.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!(a.count(), 4);
        let mut b = BitSet::empty(130);
        b.insert(64);
        assert!(a.meets(&b));
        a.remove(&b);
        assert!(!a.meets(&b));
        b.keep(&a);
        assert!(b.is_empty());
        b.add(&a);
        assert_eq!(a, b);
    }
}
