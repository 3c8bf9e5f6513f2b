//! Keeps the spool within its bounds: which batches are made smaller, and in which order.

use super::condense::{Reduction, condense};
use super::{BatchCodec, ENTRY, Entry, Place, Spool};
use nanoseg_flow::FlowBatch;
use std::ops::Range;

impl<C: BatchCodec> Spool<C> {
    /// Makes batches smaller until the spool is within its bounds. Batches that are out stay as they are; the bounds
    /// are larger than what may be out.
    pub(super) fn make_room(&mut self) {
        // A receiver sees no difference after the first reduction, so it begins early, a piece at a time.
        if self.bytes(true) > self.limits.disk_bytes / 4 * 3 {
            self.reduce(true, Reduction::Merged);
        }
        for disk in [true, false] {
            while self.is_too_much(disk)
                && Reduction::ALL
                    .iter()
                    .any(|reduction| self.reduce(disk, *reduction))
            {}
        }
    }

    fn is_too_much(&self, disk: bool) -> bool {
        let bound = if disk {
            self.limits.disk_bytes
        } else {
            self.limits.memory_bytes
        };
        self.bytes(disk) > bound || self.entries.len() > self.limits.batches
    }

    /// Applies `reduction` to the oldest batches that do not have it. Returns false if there are none, or if the disk
    /// refuses.
    fn reduce(&mut self, disk: bool, reduction: Reduction) -> bool {
        let Some(range) = self.oldest_run(disk, reduction) else {
            return false;
        };
        if range.len() == 1 && reduction == Reduction::Merged {
            if let Some(entry) = self.entries.get_mut(range.start) {
                entry.reduction = reduction;
            }
            return true;
        }
        self.rewrite(range, reduction)
    }

    /// Returns the oldest batches without `reduction` that can be merged: of one run, one after the other.
    fn oldest_run(&self, disk: bool, reduction: Reduction) -> Option<Range<usize>> {
        let fits =
            |entry: &Entry| !entry.may_have_arrived && matches!(entry.place, Place::Disk) == disk;
        let from = self
            .entries
            .iter()
            .position(|entry| fits(entry) && entry.reduction < reduction)?;
        let first = self.entries.get(from)?;
        let with_first = |entry: &Entry| fits(entry) && entry.name.instance == first.name.instance;
        let mut bytes = first.bytes;
        let mut until = from + 1;
        while let Some(entry) = self.entries.get(until)
            && with_first(entry)
            && bytes + entry.bytes <= self.limits.merge_bytes
        {
            bytes += entry.bytes;
            until += 1;
        }
        // A batch that was reduced before is small now, so the others are merged into it.
        let before = from
            .checked_sub(1)
            .and_then(|index| self.entries.get(index));
        let joins =
            before.is_some_and(|e| with_first(e) && bytes + e.bytes <= self.limits.merge_bytes);
        Some(from - usize::from(joins)..until)
    }

    /// Replaces several batches by one. Returns true if the spool changed.
    fn rewrite(&mut self, range: Range<usize>, reduction: Reduction) -> bool {
        let mut batches: Vec<FlowBatch> = Vec::new();
        for index in range.clone() {
            let Some(content) = self.content(index) else {
                return false;
            };
            let decoded = match content {
                Some(content) => self.codec.decode(&content),
                // It was put aside, so the others are looked at again.
                None => return true,
            };
            match decoded {
                Ok(batch) => batches.push(batch),
                Err(why) => {
                    self.damaged(index, &why);
                    return true;
                }
            }
        }
        let Some((one, lost)) = condense(batches, reduction) else {
            return false;
        };
        if !self.replace(range, &one, reduction) {
            return false;
        }
        for (loss, count) in lost {
            *self.told_losses.entry(loss).or_default() += count;
        }
        true
    }

    fn replace(&mut self, range: Range<usize>, one: &FlowBatch, reduction: Reduction) -> bool {
        let content = self.codec.encode(one);
        let Some(first) = self.entries.get(range.start) else {
            return false;
        };
        let mut name = first.name;
        name.sequence = one.sequence;
        let entry = if matches!(first.place, Place::Disk) {
            let Some(bytes) = self.write(&name, &content) else {
                return false;
            };
            Entry {
                name,
                place: Place::Disk,
                bytes,
                reduction,
                out: false,
                may_have_arrived: false,
            }
        } else {
            Entry {
                name,
                bytes: content.len() as u64 + ENTRY,
                place: Place::Memory(content),
                reduction,
                out: false,
                may_have_arrived: false,
            }
        };
        let on_disk = matches!(entry.place, Place::Disk);
        let old: Vec<Entry> = self.entries.drain(range.clone()).collect();
        self.entries.insert(range.start, entry);
        if on_disk && let Some(folder) = &mut self.folder {
            // They must not come back when the merged one is gone, so the folder is synced.
            let removed = old
                .iter()
                .filter(|entry| entry.name.id() != name.id())
                .try_for_each(|entry| folder.remove(&entry.name))
                .and_then(|()| folder.sync());
            self.note(removed, "remove a merged batch");
        }
        true
    }
}
