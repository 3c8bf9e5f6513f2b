//! Whether an object really is owned by the one that it names. Whoever may create a pod can write any owner into it:
//! then it is its own workload, and none of the owner's (rule: owner-by-identity).

use super::OwnerObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use std::collections::BTreeMap;

/// Namespace, kind and name of a controller.
type Key = (String, &'static str, String);

/// An object that names an owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owned<'a> {
    pub created: Option<&'a Time>,
    pub labels: Option<&'a BTreeMap<String, String>>,
    pub is_pod: bool,
    /// It has not ended.
    pub is_there: bool,
}

impl<'a> Owned<'a> {
    /// The object that owns it, as one that names an owner.
    pub fn above(self, created: Option<&'a Time>) -> Owned<'a> {
        Owned {
            created,
            is_pod: false,
            is_there: false,
            ..self
        }
    }

    /// Returns true if a pod cannot be what the named owner controls. A controller lets go of a pod that it does not
    /// select, and the garbage collector deletes one whose owner is not there; after that its owner's name still counts,
    /// since owners of finished pods are deleted as well.
    pub fn is_false_claim(
        &self,
        reference: &OwnerReference,
        object: Option<&OwnerObject<'_>>,
        has_kind: impl Fn() -> bool,
    ) -> bool {
        if !self.is_pod {
            return false;
        }
        let Some(object) = object else {
            // What a hand-written manifest leaves out is not looked for.
            return self.is_there && !reference.uid.is_empty() && has_kind();
        };
        // Hand-written manifests leave the hash of a release out.
        let wanted = object.match_labels.iter();
        let mut wanted = wanted.filter(|(key, _)| !key.ends_with("template-hash"));
        !wanted.all(|(key, value)| self.labels.and_then(|own| own.get(key)) == Some(value))
    }
}

/// The uids of all versions of each controller, and when each was created.
#[derive(Debug, Default)]
pub(super) struct Identities<'a>(BTreeMap<Key, Vec<(&'a str, Option<&'a Time>)>>);

impl<'a> Identities<'a> {
    pub fn add(&mut self, key: &Key, metadata: &'a ObjectMeta) {
        let uid = metadata.uid.as_deref().unwrap_or_default();
        let known = self.0.entry(key.clone()).or_default();
        known.push((uid, metadata.creation_timestamp.as_ref()));
    }

    /// Returns true if a reference names none of the objects that had this name, by uid, and what has the reference was
    /// created after the first of them: an owner of before, that nobody knows any more, cannot be meant. Where uids or
    /// times are left out, nothing can be said.
    pub fn is_another(&self, key: &Key, reference: &OwnerReference, owned: Option<&Time>) -> bool {
        let known = self.0.get(key).map(Vec::as_slice).unwrap_or_default();
        let differs = |(uid, _): &(&str, _)| !uid.is_empty() && *uid != reference.uid;
        if known.is_empty() || reference.uid.is_empty() || !known.iter().all(differs) {
            return false;
        }
        let first = known.iter().map(|(_, created)| *created).min().flatten();
        matches!((first, owned), (Some(first), Some(owned)) if owned >= first)
    }
}
