//! The bodies of requests: only the fields that are ours, so that we own no others.

use crate::cluster::live::watches::Malformed;
use crate::inventory::MANAGED_BY;
use crate::review::resources::{FIELD_MANAGER, PolicyProposal, Segmentation};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The label of policies that the controller itself wrote: an admission policy of nanoseg lets it make them only in
/// namespaces that are enforced.
pub const WRITTEN_BY: (&str, &str) = ("nanoseg.dev/written-by", "controller");

/// The content that a ConfigMap must have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigMapData {
    /// `data`.
    pub text: BTreeMap<String, String>,
    /// `binaryData`.
    pub binary: BTreeMap<String, ByteString>,
}

/// Returns the kind's name in the API, for one of the kinds that are written.
pub fn kind<K: Resource<DynamicType = ()>>() -> &'static str {
    let name = K::kind(&());
    [
        "NetworkPolicy",
        "PolicyProposal",
        "ProposalDecision",
        "Segmentation",
    ]
    .into_iter()
    .find(|known| *known == name)
    .unwrap_or("object")
}

/// The body of an apply: name, labels, annotations and spec, and the version of `live` that it replaces.
pub fn policy(wanted: &NetworkPolicy, live: Option<&NetworkPolicy>) -> Value {
    let mut labels = wanted.labels().clone();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    labels.insert(WRITTEN_BY.0.into(), WRITTEN_BY.1.into());
    let mut body = head(wanted, &labels);
    put(
        &mut body,
        "/metadata",
        "resourceVersion",
        live.and_then(|l| l.resource_version()),
    );
    put(&mut body, "", "spec", wanted.spec.as_ref());
    body
}

/// As [`policy`], for a proposal, with its owners.
pub fn proposal(wanted: &PolicyProposal, live: Option<&PolicyProposal>) -> Value {
    let mut body = head(wanted, wanted.labels());
    let owners = wanted.metadata.owner_references.as_ref();
    put(&mut body, "/metadata", "ownerReferences", owners);
    put(
        &mut body,
        "/metadata",
        "resourceVersion",
        live.and_then(|l| l.resource_version()),
    );
    put(&mut body, "", "spec", Some(&wanted.spec));
    body
}

/// The body of a merge patch (RFC 7396) that leaves nothing of the spec of `live` but what is wanted. The controller has
/// no right to replace a whole object.
pub fn whole_spec(live: &PolicyProposal, wanted: &PolicyProposal) -> Value {
    let value =
        |proposal: &PolicyProposal| serde_json::to_value(&proposal.spec).unwrap_or_default();
    json!({
        "metadata": {"resourceVersion": live.resource_version()},
        "spec": replacing(&value(live), value(wanted)),
    })
}

/// The merge patch that makes `wanted` of `live`.
fn replacing(live: &Value, wanted: Value) -> Value {
    let (Value::Object(live), Value::Object(mut wanted)) = (live, wanted.clone()) else {
        return wanted;
    };
    for (key, old) in live {
        let new = match wanted.remove(key) {
            Some(new) => replacing(old, new),
            None => Value::Null,
        };
        wanted.insert(key.clone(), new);
    }
    Value::Object(wanted)
}

/// The body of an apply to the status subresource. The uid makes sure that it is still the same object.
pub fn status<K>(live: &K, status: &K::Status) -> Value
where
    K: Resource<DynamicType = ()> + HasStatus,
    K::Status: Serialize,
{
    let mut body = head(live, &BTreeMap::new());
    if let Some(metadata) = body.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("annotations");
    }
    put(&mut body, "/metadata", "uid", live.uid());
    put(&mut body, "", "status", Some(status));
    body
}

/// As [`status`], of a Segmentation that cannot be read.
pub fn malformed_status(one: &Malformed, status: &Value) -> Value {
    let mut body = json!({
        "apiVersion": Segmentation::api_version(&()),
        "kind": Segmentation::kind(&()),
        "metadata": {"name": one.name, "namespace": one.namespace},
        "status": status,
    });
    put(&mut body, "/metadata", "uid", one.uid.as_ref());
    body
}

/// The body of an apply of a ConfigMap.
pub fn config_map(namespace: &str, name: &str, data: &ConfigMapData) -> Value {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY.0: MANAGED_BY.1},
        },
        "data": data.text,
    });
    let binary = Some(&data.binary).filter(|binary| !binary.is_empty());
    put(&mut body, "", "binaryData", binary);
    body
}

fn head<K: Resource<DynamicType = ()>>(object: &K, labels: &BTreeMap<String, String>) -> Value {
    let mut body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": object.name_any(), "namespace": object.namespace()},
    });
    let annotations = object.annotations();
    put(
        &mut body,
        "/metadata",
        "labels",
        Some(labels).filter(|l| !l.is_empty()),
    );
    put(
        &mut body,
        "/metadata",
        "annotations",
        Some(annotations).filter(|a| !a.is_empty()),
    );
    body
}

fn put(body: &mut Value, place: &str, key: &str, value: Option<impl Serialize>) {
    let value = value.and_then(|value| serde_json::to_value(value).ok());
    let object = body.pointer_mut(place).and_then(Value::as_object_mut);
    if let (Some(value), Some(object)) = (value, object) {
        object.insert(key.to_owned(), value);
    }
}

/// Returns true if an apply of `wanted` would change nothing: all its fields have these values already, and are
/// ours.
pub fn holds_policy(live: &NetworkPolicy, wanted: &NetworkPolicy) -> bool {
    live.spec == wanted.spec && holds_metadata(live, wanted) && applied_by_us(live)
}

/// As [`holds_policy`].
pub fn holds_proposal(live: &PolicyProposal, wanted: &PolicyProposal) -> bool {
    live.spec == wanted.spec && holds_metadata(live, wanted)
}

/// As [`holds_policy`].
pub fn holds_data(live: &ConfigMap, wanted: &ConfigMapData) -> bool {
    fn holds<T: PartialEq>(
        live: Option<&BTreeMap<String, T>>,
        wanted: &BTreeMap<String, T>,
    ) -> bool {
        let mut wanted = wanted.iter();
        wanted.all(|(key, value)| live.is_some_and(|data| data.get(key) == Some(value)))
    }
    holds(live.data.as_ref(), &wanted.text) && holds(live.binary_data.as_ref(), &wanted.binary)
}

fn holds_metadata<K: ResourceExt>(live: &K, wanted: &K) -> bool {
    let has = |there: &BTreeMap<String, String>, here: &BTreeMap<String, String>| {
        here.iter()
            .all(|(key, value)| there.get(key) == Some(value))
    };
    has(live.labels(), wanted.labels())
        && has(live.annotations(), wanted.annotations())
        && wanted
            .owner_references()
            .iter()
            .all(|owner| live.owner_references().contains(owner))
}

fn applied_by_us<K: ResourceExt>(live: &K) -> bool {
    live.managed_fields().iter().any(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_removes_what_is_not_wanted() {
        let live = json!({"a": {"b": 1, "c": [1, 2]}, "d": 4});
        let wanted = json!({"a": {"c": [3]}, "e": {"f": 5}});
        let patch = replacing(&live, wanted);
        assert_eq!(
            patch,
            json!({"a": {"b": null, "c": [3]}, "d": null, "e": {"f": 5}})
        );
    }
}
