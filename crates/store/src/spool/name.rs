//! File names of batches: they sort in the order in which batches were made, and hold the identity of the
//! batch, so that nothing needs to be read at start.

use nanoseg_flow::{BatchId, Instance};

/// The ending of names of batches.
pub const ENDING: &str = "batch";

/// The name of a batch's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchName {
    /// The place in the order of all batches of this folder, whichever run made them.
    pub order: u64,
    pub instance: Instance,
    pub sequence: (u64, u64),
}

impl BatchName {
    /// Returns which batch it is.
    pub fn id(&self) -> BatchId {
        BatchId {
            instance: self.instance,
            sequence: self.sequence,
        }
    }

    /// Returns the name of the file.
    pub fn file_name(&self) -> String {
        let (first, last) = self.sequence;
        format!(
            "{:016x}-{}-{first:x}-{last:x}.{ENDING}",
            self.order, self.instance
        )
    }

    /// Parses a file name; `None` if [`BatchName::file_name`] does not make it.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(ENDING)?.strip_suffix('.')?;
        let mut parts = stem.split('-');
        let mut part = || parts.next();
        let order = u64::from_str_radix(part()?, 16).ok()?;
        let instance = u128::from_str_radix(part()?, 16).ok()?;
        let first = u64::from_str_radix(part()?, 16).ok()?;
        let last = u64::from_str_radix(part()?, 16).ok()?;
        let parsed = BatchName {
            order,
            instance: Instance(instance.to_be_bytes()),
            sequence: (first, last),
        };
        (first <= last && parsed.file_name() == name).then_some(parsed)
    }

    /// Returns true if this batch stands for everything that `other` stands for.
    pub fn covers(&self, other: &BatchName) -> bool {
        self.instance == other.instance
            && self.sequence.0 <= other.sequence.0
            && other.sequence.1 <= self.sequence.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_sort_in_order() {
        let name = |order, last| BatchName {
            order,
            instance: Instance([7; 16]),
            sequence: (3, last),
        };
        let (a, b) = (name(9, 3), name(16, 900));
        assert!(a.file_name() < b.file_name());
        assert_eq!(BatchName::parse(&b.file_name()), Some(b));
        assert!(b.covers(&a) && !a.covers(&b));
        for wrong in [
            "",
            ".batch",
            "1-2-3-4.batch",
            "0000000000000001-07070707070707070707070707070707-5-3.batch",
            "0000000000000001-07070707070707070707070707070707-3-5.batch.tmp",
            "0000000000000001-07070707070707070707070707070707-+3-5.batch",
            "0000000000000001-07070707070707070707070707070707-3-5-7.batch",
        ] {
            assert_eq!(BatchName::parse(wrong), None, "{wrong}");
        }
    }
}
