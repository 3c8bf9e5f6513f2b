//! Writes that the watches do not show yet. Without them the controller would compare with an older state than its own
//! last write, and write again.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// Namespace and name.
pub type Key = (String, String);

/// The key of an object.
pub fn key_of(meta: &ObjectMeta) -> Key {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    (text(&meta.namespace), text(&meta.name))
}

/// Our last write of each object of one kind, kept until the watch shows it.
#[derive(Debug, Default)]
pub struct PendingWrites(BTreeMap<Key, Last>);

#[derive(Debug, Clone, PartialEq)]
enum Last {
    /// It has this version, or a later one.
    Written(u64),
    /// The object of this uid is gone.
    Deleted(String),
}

impl PendingWrites {
    /// Notes a write. `meta`: the object's metadata as the API server returned it.
    pub fn wrote(&mut self, meta: &ObjectMeta) {
        if let Some(version) = version(meta) {
            self.0.insert(key_of(meta), Last::Written(version));
        }
    }

    pub fn deleted(&mut self, key: Key, uid: String) {
        self.0.insert(key, Last::Deleted(uid));
    }

    /// Returns true if `live`, the object as the watch has it, is older than our last write.
    pub fn is_behind(&mut self, key: &Key, live: Option<&ObjectMeta>) -> bool {
        let behind = match self.0.get(key) {
            None => false,
            // resourceVersion is a growing number in every API server (KEP-5504).
            Some(Last::Written(ours)) => live.and_then(version).is_none_or(|seen| seen < *ours),
            Some(Last::Deleted(uid)) => live.is_some_and(|live| live.uid.as_ref() == Some(uid)),
        };
        if !behind {
            self.0.remove(key);
        }
        behind
    }
}

fn version(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: Some("shop".into()),
            name: Some("web".into()),
            uid: Some(uid.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn the_watch_is_behind_until_it_is_as_new_as_our_write() {
        let mut pending = PendingWrites::default();
        let key = key_of(&meta("a", "1"));
        assert!(!pending.is_behind(&key, None));
        pending.wrote(&meta("a", "10"));
        assert!(pending.is_behind(&key, None));
        assert!(pending.is_behind(&key, Some(&meta("a", "9"))));
        assert!(!pending.is_behind(&key, Some(&meta("a", "11"))));
        // Once the watch has caught up, a missing object has been deleted.
        assert!(!pending.is_behind(&key, None));
    }

    #[test]
    fn the_watch_is_behind_until_the_deleted_object_is_gone() {
        let mut pending = PendingWrites::default();
        let key = key_of(&meta("a", "1"));
        pending.deleted(key.clone(), "a".into());
        assert!(pending.is_behind(&key, Some(&meta("a", "1"))));
        assert!(!pending.is_behind(&key, Some(&meta("b", "3"))));
    }
}
