//! The objects of one kind by namespace and name.

use kube::ResourceExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Namespace (empty for cluster-scoped objects) and name.
pub type Key = (String, String);

/// All objects of one kind.
pub struct Store<K>(Mutex<BTreeMap<Key, Arc<K>>>);

impl<K> Default for Store<K> {
    fn default() -> Self {
        Store(Mutex::default())
    }
}

impl<K> Store<K> {
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All objects, ordered by namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.lock().values().cloned().collect()
    }
}

impl<K: Clone> Store<K> {
    /// Copies of all objects, ordered by namespace and name.
    pub fn copies(&self) -> Vec<K> {
        self.lock()
            .values()
            .map(|object| K::clone(object))
            .collect()
    }
}

pub fn key<K: ResourceExt>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}
