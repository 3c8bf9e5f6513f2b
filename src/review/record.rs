//! The record: one line for every decision and every write, each with the digest of the line before,
//! so that nobody can change, remove, insert or reorder lines unseen (rule: record-is-chained).
//!
//! The chain has no key: who can write the whole file can write another chain. What an auditor keeps
//! elsewhere (a [`Head`]) is what such a chain is found out by.

mod line;
mod tail;
mod verify;
mod words;

#[cfg(test)]
mod tests;

pub use line::{LineError, parse_line, to_line};
pub use tail::{PUBLISHED, Problem, Tail, TailError};
pub use verify::{Break, Fault, Verifier};
pub use words::{
    Keeping, glass_broken_at, glass_told_late, keeping, mode_changed, segmentation_removed,
};

use super::Digest;
use crate::net::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! actions {
    ($( $variant:ident $name:literal $meaning:literal; )*) => {
        /// What was done. The names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Action { $( #[doc = $meaning] $variant, )* }

        impl Action {
            pub const ALL: &'static [Action] = &[ $( Action::$variant, )* ];
            /// The name in the record.
            pub fn name(self) -> &'static str { match self { $( Action::$variant => $name, )* } }
        }
    };
}

actions! {
    Proposed "proposed" "A proposal was made.";
    Superseded "superseded" "A proposal gave way to another.";
    Approved "approved" "Somebody approved a proposal.";
    AutoApproved "auto-approved" "The rules for automatic approval approved a proposal.";
    Rejected "rejected" "Somebody rejected a proposal.";
    DecisionRefused "decision-refused" "A decision was refused: outdated, or not possible any more.";
    Applied "applied" "A policy was written.";
    Deleted "deleted" "A policy was deleted.";
    DriftRepaired "drift-repaired" "A policy that somebody had changed or deleted was written again.";
    DriftGivenUp "drift-given-up" "Somebody keeps changing a policy; it is repaired only now and then.";
    RolledBack "rolled-back" "Somebody went back to an earlier revision.";
    AutoRolledBack "auto-rolled-back" "Approved traffic was blocked after an apply, so it was taken back.";
    BreakGlassOn "break-glass-on" "The policies of a namespace were taken away.";
    BreakGlassOff "break-glass-off" "Enforcement of a namespace goes on.";
    ModeChanged "mode-changed" "The mode of a Segmentation changed.";
    SegmentationAdded "segmentation-added" "A namespace is segmented from now on.";
    SegmentationRemoved "segmentation-removed" "A namespace is not segmented any more.";
    Violation "violation" "Traffic was seen that the approved policies do not allow.";
    Adopted "adopted" "A policy that nanoseg had written before was taken over.";
    Exported "exported" "Policies were written to a folder.";
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub action: Action,
    /// Who did it: a user name, or `nanoseg`.
    pub actor: String,
    pub namespace: String,
    /// What it was done to, such as `NetworkPolicy/nanoseg-web`.
    pub object: String,
    /// The policy before, where there was one.
    pub before: Option<Digest>,
    /// The policy after, where there is one.
    pub after: Option<Digest>,
    pub reason: String,
}

/// One line of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From 1, without gaps.
    pub sequence: u64,
    pub at: Timestamp,
    pub draft: Draft,
    /// The digest of the entry before; zeros for the first.
    pub previous: Digest,
    /// The digest of everything above, as [`to_line`] writes it.
    pub digest: Digest,
}

impl Entry {
    /// The end of the chain that ends with this entry.
    pub fn head(&self) -> Head {
        Head {
            sequence: self.sequence,
            digest: self.digest.clone(),
        }
    }
}

/// The end of a chain: what the next entry follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// 0 while nothing is recorded.
    pub sequence: u64,
    pub digest: Digest,
}

/// A text that is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no head: write NUMBER:sha256:DIGEST, as nanoseg record verify prints it")]
pub struct NotAHead(String);

impl Head {
    /// Reads the text form; `sha256:` may be left out.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Head, NotAHead> {
        let wrong = || NotAHead(text.to_owned());
        let (number, digest) = text.split_once(':').ok_or_else(wrong)?;
        let digest = if digest.starts_with("sha256:") {
            Digest::parse(digest)
        } else {
            Digest::parse(&format!("sha256:{digest}"))
        };
        Ok(Head {
            sequence: number.parse().map_err(|_| wrong())?,
            digest: digest.map_err(|_| wrong())?,
        })
    }
}

/// `NUMBER:sha256:DIGEST`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.digest)
    }
}

impl Default for Head {
    fn default() -> Self {
        Head {
            sequence: 0,
            digest: Digest::zero(),
        }
    }
}

/// Makes entries, each following the one before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    head: Head,
}

impl Chain {
    /// A chain that goes on after `head`.
    pub fn after(head: Head) -> Chain {
        Chain { head }
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next entry. It is part of the chain from now on: whoever fails to store it has to go back
    /// to the head that was before.
    pub fn append(&mut self, draft: Draft, at: Timestamp) -> Entry {
        let mut entry = Entry {
            sequence: self.head.sequence.saturating_add(1),
            at,
            draft,
            previous: self.head.digest.clone(),
            digest: Digest::zero(),
        };
        entry.digest = line::digest(&entry);
        self.head = Head {
            sequence: entry.sequence,
            digest: entry.digest.clone(),
        };
        entry
    }
}
