//! When something was told, by the receiver's clock.

use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};

/// When something was told, by the receiver's clock: who tells it cannot move these times back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Told {
    /// When it was told first. Nobody knew of it before.
    pub first: Timestamp,
    /// Until when it went on: its own time where its observer told everything in order, else when it was told last.
    pub last: Timestamp,
}

impl Told {
    /// When both were told.
    pub fn and(self, other: Told) -> Told {
        Told {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// The same for times of which one may be of a file, that nobody told.
    pub fn merge(one: Option<Told>, other: Option<Told>) -> Option<Told> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        }
    }
}
