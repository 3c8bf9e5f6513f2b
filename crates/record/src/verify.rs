//! Finds what somebody did to a record, one line after the other. For an intact record it takes constant space.

use crate::{Digest, Head, RecordLine, line};
use std::collections::BTreeMap;
use std::fmt;

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The entry is not what it was when it was written, or another stands in its place.
    Changed,
    /// The entry is missing at its place.
    Removed,
    /// The entry stands at another place.
    Reordered,
    /// There is an entry with that number already, or there should be none.
    Inserted,
    /// The record ends before this entry.
    Truncated,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fault::Changed => "was changed",
            Fault::Removed => "is missing at its place",
            Fault::Reordered => "stands at another place",
            Fault::Inserted => "was inserted",
            Fault::Truncated => "is missing at the end",
        })
    }
}

/// Where a record is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to verify record: entry {sequence} {fault}; compare with a copy kept elsewhere")]
pub struct Break {
    /// The number of the line that is concerned; of several missing ones the first.
    pub sequence: u64,
    pub fault: Fault,
}

/// Checks lines in the order in which they stand. It goes on after a break, so that all breaks can be
/// reported: a line that is missing at its place and comes later is reported as reordered then.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    head: Head,
    /// Missing so far: the last of each gap, by its first.
    gaps: BTreeMap<u64, u64>,
    /// What is known from elsewhere, by sequence.
    anchors: BTreeMap<u64, Digest>,
}

impl Verifier {
    /// For a part of a record that follows `head`.
    pub fn after(head: Head) -> Verifier {
        Verifier {
            head,
            ..Verifier::default()
        }
    }

    /// The same verifier with the digest of a line that was kept elsewhere: a chain that was made anew has
    /// another.
    #[must_use]
    pub fn with_anchor(mut self, anchor: Head) -> Verifier {
        self.anchors.insert(anchor.sequence, anchor.digest);
        self
    }

    /// Checks the next line.
    ///
    /// # Errors
    /// What is wrong with it, or with the line that should stand before it.
    pub fn check(&mut self, entry: &RecordLine) -> Result<(), Break> {
        let broken = |sequence, fault| Err(Break { sequence, fault });
        let sequence = entry.sequence;
        if sequence <= self.head.sequence {
            let fault = if self.fill(sequence) {
                Fault::Reordered
            } else {
                Fault::Inserted
            };
            return broken(sequence, fault);
        }
        let before = std::mem::replace(
            &mut self.head,
            Head {
                sequence,
                digest: entry.digest.clone(),
            },
        );
        let missing = before.sequence.saturating_add(1);
        if sequence > missing {
            self.gaps.insert(missing, sequence - 1);
        }
        // A part of a record follows an entry that is not in it: only its digest can be compared.
        let start = self.anchors.remove(&before.sequence);
        let known = self.anchors.remove(&sequence);
        if line::digest(entry) != entry.digest || known.is_some_and(|d| d != entry.digest) {
            return broken(sequence, Fault::Changed);
        }
        if start.is_some_and(|digest| digest != before.digest) {
            return broken(before.sequence, Fault::Changed);
        }
        if sequence > missing {
            return broken(missing, Fault::Removed);
        }
        if entry.previous != before.digest {
            // This line is as it was written, but it was written after another line.
            return broken(before.sequence.max(1), Fault::Changed);
        }
        Ok(())
    }

    /// Ends the check. `expected` is the number and the digest of the last line, if they are known from
    /// elsewhere.
    ///
    /// # Errors
    /// Lines are missing at the end (also the line of an anchor), the last line is another one, or there are
    /// more lines than there should be.
    pub fn finish(self, expected: Option<(u64, Digest)>) -> Result<(), Break> {
        let last = self.head.sequence;
        let broken = |sequence, fault| Err(Break { sequence, fault });
        if self.anchors.keys().any(|sequence| *sequence > last) {
            return broken(last.saturating_add(1), Fault::Truncated);
        }
        let Some((sequence, digest)) = expected else {
            return Ok(());
        };
        if last < sequence {
            return broken(last.saturating_add(1), Fault::Truncated);
        }
        if last > sequence {
            return broken(sequence.saturating_add(1), Fault::Inserted);
        }
        if self.head.digest != digest {
            return broken(sequence, Fault::Changed);
        }
        Ok(())
    }

    /// Takes `sequence` out of the gaps. Returns false if it was not missing.
    fn fill(&mut self, sequence: u64) -> bool {
        let gap = self.gaps.range(..=sequence).next_back();
        let Some((first, last)) = gap.map(|(first, last)| (*first, *last)) else {
            return false;
        };
        if sequence > last {
            return false;
        }
        self.gaps.remove(&first);
        if first < sequence {
            self.gaps.insert(first, sequence - 1);
        }
        if sequence < last {
            self.gaps.insert(sequence + 1, last);
        }
        true
    }
}
