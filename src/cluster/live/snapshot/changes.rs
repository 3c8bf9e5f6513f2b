//! What is new in a version of an object, and which objects are gone: the documents of a history.

use super::content::{Item, Snapshot};
use super::text::DELETED_AT;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Kind (as [`Item::kind`]), namespace, name.
type Key = (String, String, String);

/// The objects as they were last written. It grows with the cluster, and not with time.
#[derive(Debug, Default)]
pub struct Changes {
    known: BTreeMap<Key, Known>,
    /// The last objects that went, with their uid: a list that is older than their end still has them.
    ended: VecDeque<(Key, String)>,
}

/// How many ends are remembered.
const ENDED: usize = 10_000;

#[derive(Debug)]
struct Known {
    uid: String,
    version: u64,
    /// Without what is no change.
    json: String,
}

/// Objects of one kind that were listed again, since a watch did not get all changes.
pub struct Relisted<'a> {
    /// As [`Item::kind`].
    pub kind: String,
    /// `None`: everywhere.
    pub namespace: Option<&'a str>,
    pub objects: Vec<Value>,
    /// The version of the list.
    pub version: &'a str,
}

impl Changes {
    pub fn of(snapshot: &Snapshot) -> Changes {
        let mut changes = Changes::default();
        for Item { json, .. } in &snapshot.items {
            if let Ok(object) = serde_json::from_str(json) {
                changes.known.insert(key(&object), known(&object));
            }
        }
        changes
    }

    /// The documents for a version of an object: none if nothing changed that is read; and first the end of another
    /// object of that name.
    pub fn seen(&mut self, object: Value, at: jiff::Timestamp) -> Vec<Value> {
        let (key, new) = (key(&object), known(&object));
        let mut documents = Vec::new();
        if let Some(old) = self.known.get(&key) {
            if old.version > new.version {
                return documents;
            }
            if old.uid != new.uid {
                documents.extend(restored(old).map(|old| ended(old, at)));
            } else if old.json == new.json {
                return documents;
            }
        }
        documents.push(object);
        self.known.insert(key, new);
        documents
    }

    /// The document for an object that is gone; `last` is its last state.
    pub fn gone(&mut self, last: Value, at: jiff::Timestamp) -> Value {
        let key = key(&last);
        self.known.remove(&key);
        self.ended.push_back((key, uid(&last)));
        if self.ended.len() > ENDED {
            self.ended.pop_front();
        }
        ended(last, at)
    }

    /// The documents for a list: what changed since the last certain time, and what is gone. Nobody knows when within
    /// the gap it went, so it counts as gone since its beginning.
    pub fn relisted(&mut self, list: Relisted<'_>, since: jiff::Timestamp) -> Vec<Value> {
        let version = number(list.version);
        let there: BTreeSet<Key> = list.objects.iter().map(key).collect();
        let is_gone = |key: &Key, known: &Known| {
            key.0 == list.kind
                && list.namespace.is_none_or(|namespace| key.1 == namespace)
                && known.version <= version
                && !there.contains(key)
        };
        let gone: Vec<Key> = self
            .known
            .iter()
            .filter(|(key, known)| is_gone(key, known))
            .map(|(key, _)| key.clone())
            .collect();
        let gone = gone.into_iter().filter_map(|key| self.known.remove(&key));
        let mut documents: Vec<Value> = gone
            .filter_map(|known| {
                let mut object = restored(&known)?;
                // Newer than every version of it that was written.
                object["metadata"]["resourceVersion"] = list.version.into();
                Some(ended(object, since))
            })
            .collect();
        let over: BTreeSet<(Key, String)> = self.ended.iter().cloned().collect();
        let is_over = |object: &Value| over.contains(&(key(object), uid(object)));
        for object in list.objects.into_iter().filter(|object| !is_over(object)) {
            documents.append(&mut self.seen(object, since));
        }
        documents
    }
}

fn key(object: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    (
        format!("{}/{}", text(&object["apiVersion"]), text(&object["kind"])),
        text(&metadata["namespace"]),
        text(&metadata["name"]),
    )
}

fn uid(object: &Value) -> String {
    let uid = object["metadata"]["uid"].as_str();
    uid.unwrap_or_default().to_owned()
}

/// A resource version is opaque by contract, and a growing number in every API server (KEP-5504).
fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

fn known(object: &Value) -> Known {
    let mut object = object.clone();
    let version = object["metadata"]["resourceVersion"].take();
    // Readiness comes and goes.
    let conditions = object.pointer_mut("/status/conditions");
    if let Some(conditions) = conditions.and_then(Value::as_array_mut) {
        conditions.retain(|one| !matches!(one["type"].as_str(), Some("Ready" | "ContainersReady")));
    }
    Known {
        uid: uid(&object),
        version: number(version.as_str().unwrap_or_default()),
        json: object.to_string(),
    }
}

fn restored(known: &Known) -> Option<Value> {
    let mut object: Value = serde_json::from_str(&known.json).ok()?;
    object["metadata"]["resourceVersion"] = known.version.to_string().into();
    Some(object)
}

/// The last version of an object that is gone, with the time. `deletionTimestamp` is when its grace period is over; an
/// object that is gone earlier, or was deleted without one, ended then. Kubernetes cuts such times to the second.
fn ended(mut object: Value, at: jiff::Timestamp) -> Value {
    let metadata = &mut object["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][DELETED_AT] = at.to_string().into();
    let second = jiff::Timestamp::from_second(at.as_second()).unwrap_or(at);
    let due = metadata["deletionTimestamp"].as_str();
    let due = due.and_then(|due| due.parse::<jiff::Timestamp>().ok());
    if due.is_none_or(|due| due > second) {
        metadata["deletionTimestamp"] = second.to_string().into();
    }
    object
}

#[cfg(test)]
mod tests;
