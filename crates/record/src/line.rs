//! A line of the record as JSON, in exactly one way: the digest covers the very bytes that are exported, so a
//! line that would be read the same but is written otherwise is refused.
//!
//! ```text
//! {"sequence":14,"at":"…","action":"approved","details":{"proposal":"db-2","why":"CHG-1042"},"actor":"olga",
//!  "by":"user","namespace":"shop","object":"nanoseg-db","before":"sha256:…","after":"sha256:…",
//!  "reason":"db-2: CHG-1042","previous":"sha256:…","digest":"sha256:…"}
//! ```
//!
//! Lines of earlier versions have neither `details` nor `by`. A line has `by` if and only if its details are typed.

use crate::{Action, Actor, CONTROLLER, Digest, Entry, RecordLine, legacy};
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};

/// A text that is no line of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("failed to read record line: {0}; it was changed or is none")]
    Json(String),
    #[error(
        "failed to read record line {0}: it is not written as nanoseg writes it; it was changed"
    )]
    NotCanonical(u64),
}

/// The fields in the order of the line. Fields that it does not have are refused by [`parse_line`]: the line is
/// not what [`to_line`] writes then.
#[derive(Serialize, Deserialize)]
struct Fields {
    sequence: u64,
    at: Timestamp,
    #[serde(flatten)]
    action: Action,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    by: Option<By>,
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

/// What the `actor` of a line is the name of.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum By {
    User,
    Controller,
    FieldManager {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        at: Option<Timestamp>,
    },
    Unknown,
}

impl By {
    fn of(actor: &Actor) -> By {
        match actor {
            Actor::User { .. } => By::User,
            Actor::Controller => By::Controller,
            Actor::FieldManager { at, .. } => By::FieldManager { at: *at },
            Actor::Unknown => By::Unknown,
        }
    }

    fn actor(self, name: String) -> Actor {
        match self {
            By::User => Actor::User { name },
            By::Controller => Actor::Controller,
            By::FieldManager { at } => Actor::FieldManager { name, at },
            By::Unknown => Actor::Unknown,
        }
    }
}

/// The line as JSON, without the line break.
pub fn to_line(line: &RecordLine) -> String {
    write(line, Some(line.digest.clone()))
}

/// Reads a line without its line break. Whether the line is in its place is for [`crate::Verifier`] to find.
///
/// # Errors
/// The text is no line of a record, or not written as [`to_line`] writes it.
pub fn parse_line(text: &str) -> Result<RecordLine, LineError> {
    let read: Fields = serde_json::from_str(text).map_err(|e| LineError::Json(e.to_string()))?;
    let digest = read
        .digest
        .ok_or_else(|| LineError::Json("it has no digest".into()))?;
    let (untyped, action, actor) = match read.by {
        Some(by) => (false, read.action, by.actor(read.actor)),
        None => {
            let kind = read.action.kind();
            let action = legacy::action(kind, &read.object, &read.reason);
            (true, action, earlier_actor(read.actor))
        }
    };
    let line = RecordLine {
        sequence: read.sequence,
        at: read.at,
        entry: Entry {
            action,
            actor,
            namespace: read.namespace,
            object: read.object,
            before: read.before,
            after: read.after,
            reason: read.reason,
        },
        previous: read.previous,
        digest,
        untyped,
    };
    if to_line(&line) == text {
        Ok(line)
    } else {
        Err(LineError::NotCanonical(line.sequence))
    }
}

/// Earlier versions wrote the name alone.
fn earlier_actor(name: String) -> Actor {
    if name == CONTROLLER {
        Actor::Controller
    } else {
        Actor::User { name }
    }
}

/// The digest that a line should have.
pub(crate) fn digest(line: &RecordLine) -> Digest {
    Digest::of_bytes(write(line, None).as_bytes())
}

fn write(line: &RecordLine, digest: Option<Digest>) -> String {
    let entry = line.entry.clone();
    let (action, by) = if line.untyped {
        let action = entry.action.kind();
        (Action::Undetailed { action }, None)
    } else {
        (entry.action, Some(By::of(&entry.actor)))
    };
    let fields = Fields {
        sequence: line.sequence,
        at: line.at,
        action,
        actor: entry.actor.name().to_owned(),
        by,
        namespace: entry.namespace,
        object: entry.object,
        before: entry.before,
        after: entry.after,
        reason: entry.reason,
        previous: line.previous.clone(),
        digest,
    };
    // Strings, numbers and options of them: there is nothing that could fail.
    serde_json::to_string(&fields).unwrap_or_default()
}
