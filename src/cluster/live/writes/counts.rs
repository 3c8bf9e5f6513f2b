//! Counts writes by kind and outcome.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The outcome of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The write changed the cluster.
    Changed,
    /// The write was sent, and the API server found nothing to change.
    Unchanged,
    /// Not sent: the fence did not allow it, or the object is not ours.
    Refused,
    /// Sent, and the API server refused it or did not answer.
    Failed,
}

impl Outcome {
    /// The label value for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Changed => "changed",
            Outcome::Unchanged => "unchanged",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// Counts by kind and outcome. Writes that were found unnecessary before sending are not counted.
#[derive(Debug, Default)]
pub struct WriteCounts(Mutex<BTreeMap<(&'static str, Outcome), u64>>);

impl WriteCounts {
    /// Counts a write of an object of `kind`.
    pub fn add(&self, kind: &'static str, outcome: Outcome) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((kind, outcome)).or_default() += 1;
    }

    /// All counts above 0, by kind and outcome.
    pub fn all(&self) -> BTreeMap<(&'static str, Outcome), u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many requests reached the API server, with any result.
    pub fn sent(&self) -> u64 {
        let all = self.all();
        let sent = all.iter().filter(|((_, o), _)| *o != Outcome::Refused);
        sent.map(|(_, count)| count).sum()
    }
}
