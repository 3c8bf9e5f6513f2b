//! An entry as one line of JSON, in exactly one way: the digest covers the very bytes that are
//! exported, so a line that would be read the same but is written otherwise is refused.

use super::{Action, Draft, Entry};
use crate::net::Timestamp;
use crate::review::Digest;
use serde::{Deserialize, Serialize};

/// A line that is not one of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("failed to read record line: {0}; it was changed or is none")]
    Json(String),
    #[error(
        "failed to read record line {0}: it is not written as nanoseg writes it; it was changed"
    )]
    NotCanonical(u64),
}

/// What the digest covers, in the order of the line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sequence: u64,
    at: Timestamp,
    action: Action,
    actor: String,
    namespace: String,
    object: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    before: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    after: Option<Digest>,
    reason: String,
    previous: Digest,
    /// Absent while the digest is made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    digest: Option<Digest>,
}

/// The entry as a line, without the line break.
pub fn to_line(entry: &Entry) -> String {
    write(entry, Some(entry.digest.clone()))
}

/// Reads a line without its line break. Whether the entry is in its place is for
/// [`super::Verifier`] to say.
///
/// # Errors
/// The line is no entry, or not written as [`to_line`] writes it.
pub fn parse_line(line: &str) -> Result<Entry, LineError> {
    let read: Line = serde_json::from_str(line).map_err(|e| LineError::Json(e.to_string()))?;
    let sequence = read.sequence;
    let digest = read
        .digest
        .ok_or_else(|| LineError::Json("it has no digest".into()))?;
    let entry = Entry {
        sequence,
        at: read.at,
        draft: Draft {
            action: read.action,
            actor: read.actor,
            namespace: read.namespace,
            object: read.object,
            before: read.before,
            after: read.after,
            reason: read.reason,
        },
        previous: read.previous,
        digest,
    };
    if to_line(&entry) == line {
        Ok(entry)
    } else {
        Err(LineError::NotCanonical(sequence))
    }
}

/// The digest that an entry should have.
pub(super) fn digest(entry: &Entry) -> Digest {
    Digest::of_bytes(write(entry, None).as_bytes())
}

fn write(entry: &Entry, digest: Option<Digest>) -> String {
    let draft = entry.draft.clone();
    let line = Line {
        sequence: entry.sequence,
        at: entry.at,
        action: draft.action,
        actor: draft.actor,
        namespace: draft.namespace,
        object: draft.object,
        before: draft.before,
        after: draft.after,
        reason: draft.reason,
        previous: entry.previous.clone(),
        digest,
    };
    // Strings, numbers and options of them: there is nothing that could fail.
    serde_json::to_string(&line).unwrap_or_default()
}
