//! What is remembered of each live connection: 16 bytes, in a hash table with open addressing.
//!
//! Arithmetic of the bound: 262 144 entries (a common `nf_conntrack_max`) at no more than 4/5 full are
//! 327 680 slots of 16 bytes, 5 MiB; while it grows for the last time the smaller half is there too,
//! 7.5 MiB.

/// One connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slot {
    /// Its hash; 0 is a free slot.
    key: u64,
    /// When it began, in the tracker's units.
    pub began: u32,
    /// What was reported of it and how: the tracker's bits.
    pub marks: u8,
    /// The dump that last listed it.
    pub generation: u8,
}

impl Slot {
    pub fn new(began: u32, marks: u8, generation: u8) -> Self {
        Slot {
            key: 0,
            began,
            marks,
            generation,
        }
    }
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Connections by the hash of their tuple.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    len: usize,
    max: usize,
}

const FIRST_SLOTS: usize = 1024;

impl Table {
    /// A table for up to `max` connections.
    pub fn new(max: usize) -> Self {
        Table {
            slots: Vec::new(),
            len: 0,
            max,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_full(&self) -> bool {
        self.len >= self.max
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut Slot> {
        let place = self.find(stored(key)).ok()?;
        self.slots.get_mut(place)
    }

    pub fn get(&self, key: u64) -> Option<&Slot> {
        self.slots.get(self.find(stored(key)).ok()?)
    }

    /// Adds a connection, or replaces what is remembered of it.
    ///
    /// # Errors
    /// If the table is full and does not know it.
    pub fn insert(&mut self, key: u64, mut slot: Slot) -> Result<(), Full> {
        slot.key = stored(key);
        if let Ok(place) = self.find(slot.key) {
            self.slots[place] = slot;
            return Ok(());
        }
        if self.is_full() {
            return Err(Full);
        }
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        if let Err(place) = self.find(slot.key) {
            self.slots[place] = slot;
            self.len += 1;
        }
        Ok(())
    }

    pub fn remove(&mut self, key: u64) -> Option<Slot> {
        let mut hole = self.find(stored(key)).ok()?;
        let removed = std::mem::take(&mut self.slots[hole]);
        self.len -= 1;
        // What was pushed behind by it moves up, so that no search ends at the hole too early.
        let count = self.slots.len();
        let mut place = hole;
        loop {
            place = (place + 1) % count;
            let slot = self.slots[place];
            if slot.key == 0 {
                return Some(removed);
            }
            let from_home = (place + count - self.home(slot.key)) % count;
            let from_hole = (place + count - hole) % count;
            if from_home >= from_hole {
                self.slots[hole] = slot;
                self.slots[place] = Slot::default();
                hole = place;
            }
        }
    }

    /// Forgets all that `keep` does not want. Returns their keys.
    pub fn retain(&mut self, keep: impl Fn(&Slot) -> bool) -> Vec<u64> {
        let gone: Vec<u64> = self
            .slots
            .iter()
            .filter(|slot| slot.key != 0 && !keep(slot))
            .map(|slot| slot.key)
            .collect();
        for key in &gone {
            self.remove(*key);
        }
        gone
    }

    fn grow(&mut self) {
        // More than 4/5 of it even at the maximum: a search must find a free slot.
        let most = self.max / 4 * 5 + 8;
        // Halves of the last size, so that two sizes together are never more than 3/2 of it.
        let mut count = most;
        while count / 2 > self.slots.len() && count / 2 >= FIRST_SLOTS {
            count /= 2;
        }
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); count]);
        for slot in old.into_iter().filter(|slot| slot.key != 0) {
            if let Err(place) = self.find(slot.key) {
                self.slots[place] = slot;
            }
        }
    }

    /// Where the key is, or the free slot where it would be.
    fn find(&self, key: u64) -> Result<usize, usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        let mut place = self.home(key);
        loop {
            match self.slots[place].key {
                0 => return Err(place),
                there if there == key => return Ok(place),
                _ => place = (place + 1) % self.slots.len(),
            }
        }
    }

    /// Where the search for a key begins: the hash as a fraction of the table.
    fn home(&self, key: u64) -> usize {
        ((u128::from(key) * self.slots.len() as u128) >> 64) as usize
    }
}

/// 0 means a free slot.
fn stored(key: u64) -> u64 {
    key.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn slot(began: u32) -> Slot {
        Slot::new(began, 0, 0)
    }

    #[test]
    fn it_knows_what_a_hash_map_knows_whatever_is_added_and_removed() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut table = Table::new(600);
        let mut model: HashMap<u64, u32> = HashMap::new();
        for step in 0..200_000u32 {
            // Few keys, crowded at the end of the table so that searches wrap around.
            let key = match random.u64(..3) {
                0 => random.u64(..400),
                1 => u64::MAX - random.u64(..400),
                _ => random.u64(..400) << 54,
            };
            if random.bool() {
                let full = model.len() >= 600 && !model.contains_key(&key.max(1));
                assert_eq!(table.insert(key, slot(step)).is_err(), full);
                if !full {
                    model.insert(key.max(1), step);
                }
            } else {
                let removed = table.remove(key).map(|slot| slot.began);
                assert_eq!(removed, model.remove(&key.max(1)));
            }
            assert_eq!(table.len(), model.len());
        }
        assert!(model.len() > 100);
        for (key, began) in &model {
            assert_eq!(table.get(*key).map(|slot| slot.began), Some(*began));
        }
        let gone = table.retain(|slot| slot.began % 2 == 0);
        assert_eq!(table.len(), model.values().filter(|b| *b % 2 == 0).count());
        assert_eq!(gone.len() + table.len(), model.len());
    }

    #[test]
    fn a_quarter_of_a_million_connections_fit_into_8_mib_while_it_grows() {
        let max = 262_144;
        let mut table = Table::new(max);
        let mut most = 0;
        let mut before = 0;
        let mut random = fastrand::Rng::with_seed(1);
        while !table.is_full() {
            table.insert(random.u64(..), slot(1)).expect("room");
            if table.size() != before {
                most = most.max(before + table.size());
                before = table.size();
            }
        }
        assert_eq!(table.len(), max);
        assert!(most < 8 << 20, "{most}");
        assert_eq!(table.insert(random.u64(..), slot(1)), Err(Full));
    }
}
