//! What a snapshot holds.

use super::error::Missing;
use super::kinds::SnapshotKind;
use serde_json::Value;

/// One object of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    pub namespace: String,
    pub name: String,
    /// `v1/Pod`, `apps/v1/Deployment`.
    pub kind: String,
    /// The object with its `apiVersion` and `kind`.
    pub json: String,
}

impl Item {
    pub fn new(object: &Value) -> Item {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        Item {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            kind: format!("{}/{}", text(&object["apiVersion"]), text(&object["kind"])),
            json: object.to_string(),
        }
    }
}

/// A kind that was listed, to be watched from there on.
#[derive(Clone)]
pub struct Listed {
    pub kind: SnapshotKind,
    /// `None`: everywhere.
    pub namespace: Option<String>,
    pub version: String,
}

/// What a cluster has at one time.
pub struct Snapshot {
    /// When the list of pods was asked for. What the snapshot does not have was not there then, or came later.
    pub taken_at: jiff::Timestamp,
    /// Empty: all of them.
    pub namespaces: Vec<String>,
    /// By kind, namespace and name.
    pub items: Vec<Item>,
    /// What could not be read.
    pub missing: Vec<Missing>,
    pub listed: Vec<Listed>,
}

/// The time, as precise as a watch is.
pub fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Millisecond).unwrap_or(now)
}
