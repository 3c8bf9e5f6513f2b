//! What a snapshot or a history lacks, as an object in it: a reader of the file learns it too
//! (rule: snapshot-gap-is-reported).

use super::content::{Item, Snapshot};
use crate::inventory::{SnapshotGap, SnapshotGapSpec};
use serde_json::{Value, json};

/// A time in which changes were missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// `pods`, `pods in shop`.
    pub what: String,
    pub from: jiff::Timestamp,
    pub to: jiff::Timestamp,
    /// Whether it ended: what there is was read again.
    pub is_over: bool,
}

impl Gap {
    /// The document of a history.
    pub fn document(&self) -> Value {
        object(SnapshotGapSpec {
            lacks: format!("changes of {}", self.what),
            meaning: "what came and went in this time is not known".into(),
            from: Some(self.from.to_string()),
            to: Some(self.to.to_string()),
        })
    }
}

/// The objects for what a snapshot lacks.
pub fn items(snapshot: &Snapshot) -> Vec<Item> {
    let others = (!snapshot.namespaces.is_empty()).then(|| SnapshotGapSpec {
        lacks: format!("namespaces other than {}", snapshot.namespaces.join(", ")),
        meaning: "traffic with their pods cannot be attributed".into(),
        ..SnapshotGapSpec::default()
    });
    let missing = snapshot.missing.iter().map(|missing| SnapshotGapSpec {
        lacks: missing.what(),
        meaning: missing.meaning.into(),
        ..SnapshotGapSpec::default()
    });
    others
        .into_iter()
        .chain(missing)
        .map(|spec| Item::new(&object(spec)))
        .collect()
}

/// An object that could not be read.
pub fn unread(what: &str, problem: &str) -> Item {
    Item::new(&object(SnapshotGapSpec {
        lacks: what.to_owned(),
        meaning: format!("it cannot be read, and what it would say is not known: {problem}"),
        ..SnapshotGapSpec::default()
    }))
}

fn object(spec: SnapshotGapSpec) -> Value {
    let lacks = spec.lacks.as_str();
    let time = spec.from.as_deref().unwrap_or_default();
    let name = format!("{lacks} {time}").to_lowercase();
    let name = name.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '.'), "-");
    json!({
        "apiVersion": format!("{}/v1alpha1", SnapshotGap::GROUP),
        "kind": SnapshotGap::KIND,
        "metadata": {"name": name.trim_end_matches('-')},
        "spec": spec,
    })
}
