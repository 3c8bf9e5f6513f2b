//! From a key's hash to the slot of its connection: open addressing with linear probing, 8 bytes an
//! entry. The keys themselves are in the connections, which a hit touches anyway.

/// The lower half is the slot plus one (0: empty), the upper half the hash.
pub(super) struct Index {
    entries: Vec<u64>,
    used: usize,
}

const SMALLEST: usize = 1 << 10;

impl Index {
    pub fn new() -> Self {
        Index {
            entries: vec![0; SMALLEST],
            used: 0,
        }
    }

    #[inline(always)]
    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.entries.len() - 1)
    }

    #[inline(always)]
    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.entries.len() - 1)
    }

    /// The slot under `hash` for which `is_it` holds.
    #[inline(always)]
    pub fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let entry = self.entries[place];
            if entry == 0 {
                return None;
            }
            let slot = (entry as u32).wrapping_sub(1);
            if (entry >> 32) as u32 == hash && is_it(slot) {
                return Some(slot);
            }
            place = self.next(place);
        }
    }

    /// The first slot under `hash`, whether it is the right one or not: to prefetch it.
    #[inline(always)]
    pub fn first(&self, hash: u32) -> Option<u32> {
        (self.entries[self.home(hash)] as u32).checked_sub(1)
    }

    /// Adds a slot that is not there yet.
    pub fn insert(&mut self, hash: u32, slot: u32) {
        if (self.used + 1) * 2 > self.entries.len() {
            self.grow();
        }
        self.place(u64::from(hash) << 32 | (u64::from(slot) + 1));
        self.used += 1;
    }

    fn place(&mut self, entry: u64) {
        let mut place = self.home((entry >> 32) as u32);
        while self.entries[place] != 0 {
            place = self.next(place);
        }
        self.entries[place] = entry;
    }

    fn grow(&mut self) {
        let bigger = vec![0; self.entries.len() * 2];
        for entry in std::mem::replace(&mut self.entries, bigger) {
            if entry != 0 {
                self.place(entry);
            }
        }
    }

    /// Removes a slot and closes the gap, so that no tombstones pile up.
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let wanted = u64::from(hash) << 32 | (u64::from(slot) + 1);
        let mut gap = self.home(hash);
        while self.entries[gap] != wanted {
            if self.entries[gap] == 0 {
                return;
            }
            gap = self.next(gap);
        }
        self.used -= 1;
        let mut place = gap;
        loop {
            place = self.next(place);
            let entry = self.entries[place];
            if entry == 0 {
                break;
            }
            // An entry may move into the gap if its home is not behind the gap.
            let home = self.home((entry >> 32) as u32);
            let mask = self.entries.len() - 1;
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(gap) & mask {
                self.entries[gap] = entry;
                gap = place;
            }
        }
        self.entries[gap] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_like_a_map_whatever_collides(
            steps in prop::collection::vec((any::<bool>(), 0u32..8, 0u32..40), 0..400)
        ) {
            let (mut index, mut model) = (Index::new(), BTreeMap::new());
            for (insert, hash, slot) in steps {
                // Few hashes, and those at the end of the array, so that probing wraps around.
                let hash = if hash < 4 { u32::MAX - hash } else { hash };
                let known = model.contains_key(&slot);
                if insert && !known {
                    index.insert(hash, slot);
                    model.insert(slot, hash);
                } else if let Some(hash) = model.remove(&slot) {
                    index.remove(hash, slot);
                }
                for (slot, hash) in &model {
                    prop_assert_eq!(index.find(*hash, |found| found == *slot), Some(*slot));
                }
                prop_assert_eq!(index.used, model.len());
            }
        }
    }
}
