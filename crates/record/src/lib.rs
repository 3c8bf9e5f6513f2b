//! Room 0: the record. It has one line for every decision and every write, and each line holds the digest of
//! the line before it, so that nobody can change, remove, insert or reorder lines unseen (rule: record-is-chained).
//!
//! How the data flows:
//!
//! ```text
//! who acts ─ Entry (an Action with typed details, an Actor, the objects) ─ Chain::append ─▶ RecordLine
//!            RecordLine ─ to_line ─▶ one line of JSON, stored, published and exported byte for byte
//! one line ─ parse_line ─▶ RecordLine ─ Verifier ─▶ is the chain whole?
//!                          RecordLine ─ match on Action ─▶ evidence, timeline, the page
//! ```
//!
//! Every line holds its facts twice. The `details` are typed: programs read these ([`Action`]). The `reason` is
//! a sentence for people ([`Action::sentence`]): no program reads it, so rewording it changes no evidence.
//! Lines of earlier versions have a sentence and no details. They still read and verify, byte for byte; the
//! module [`legacy`] turns their sentences into details, and is the only place that parses a sentence.
//!
//! The digest of a line covers the bytes of the line as it is written, without the digest itself.
//!
//! The chain has no key: a person who can write the whole file can write another chain. An auditor finds that out
//! with the end of the chain (a [`Head`]) that was kept elsewhere.

mod action;
mod actor;
mod audit;
mod chain;
mod digest;
pub mod legacy;
mod line;
mod rulings;
mod sentence;
mod tail;
#[cfg(test)]
mod tests;
mod verify;

pub use action::{
    Action, ActionKind, Connection, Drift, Keeping, MOST_CONNECTIONS, Mode, NoConnection,
    RefusalKind, RemainingPolicies, ResetCause,
};
pub use actor::{Actor, CONTROLLER};
pub use audit::{Audit, Audited, Discontinuity, Witness};
pub use chain::{Chain, Head, NotAHead};
pub use digest::{Digest, NotADigest};
pub use line::{LineError, parse_line, to_line};
pub use rulings::{NamespaceRuling, OpeningRuling, Rulings};
pub use tail::{PUBLISHED, Problem, Tail, TailError};
pub use verify::{Break, Fault, Verifier};

use nanoseg_net::Timestamp;

/// What was done, by whom and to what: the part of a line that its writer decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub action: Action,
    pub actor: Actor,
    pub namespace: String,
    /// The name of the object that it was done to, such as `nanoseg-web` of a NetworkPolicy.
    pub object: String,
    /// The policy before, if there was one.
    pub before: Option<Digest>,
    /// The policy after, if there is one.
    pub after: Option<Digest>,
    /// A sentence for people. No program reads it.
    pub reason: String,
}

impl Entry {
    /// An entry without policies, whose reason is the sentence of its action.
    pub fn new(action: Action, actor: Actor, namespace: &str, object: &str) -> Entry {
        Entry {
            reason: action.sentence(),
            action,
            actor,
            namespace: namespace.to_owned(),
            object: object.to_owned(),
            before: None,
            after: None,
        }
    }

    /// The same entry with the policy before and the policy after.
    #[must_use]
    pub fn with_policies(mut self, before: Option<Digest>, after: Option<Digest>) -> Entry {
        (self.before, self.after) = (before, after);
        self
    }

    /// The same entry with another sentence for people.
    #[must_use]
    pub fn with_reason(mut self, reason: String) -> Entry {
        self.reason = reason;
        self
    }
}

/// One line of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLine {
    /// From 1, without gaps.
    pub sequence: u64,
    /// When the line was written. For some lines it was done earlier: [`RecordLine::done`].
    pub at: Timestamp,
    pub entry: Entry,
    /// The digest of the line before; zeros for the first.
    pub previous: Digest,
    /// The digest of the bytes of the line, without this digest.
    pub digest: Digest,
    /// The line is one of an earlier version, without details: it is written again as it was.
    untyped: bool,
}

impl RecordLine {
    /// The end of the chain that ends with this line.
    pub fn head(&self) -> Head {
        Head {
            sequence: self.sequence,
            digest: self.digest.clone(),
        }
    }

    /// When it was done, if that was earlier than the line was written: another leader recorded it.
    pub fn done(&self) -> Option<Timestamp> {
        self.entry.action.done().filter(|done| *done <= self.at)
    }
}
