//! What a snapshot keeps of an object: what the inventory reads. Environment variables, commands, volumes and managed
//! fields are none of it, and of annotations only those of networks and nanoseg's own (rule: snapshot-holds-what-is-read).

use crate::inventory::ImageScan;
use crate::inventory::kubernetes::LAST_APPLIED;
use crate::inventory::kubernetes::SmallJson;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Map, Value};

/// Makes an object small. It gets the object with reduced metadata, and without `apiVersion` and `kind`.
pub type Reduce = fn(Value) -> Result<Value, serde_json::Error>;

/// Whose annotations are kept: the domain of a key, or one below it.
const ANNOTATIONS: [&str; 7] = [
    "nanoseg.dev",
    "projectcalico.org",
    "ovn.org",
    "cilium.io",
    "flannel.alpha.coreos.com",
    "cncf.io",
    "deployment.kubernetes.io",
];

/// An object as a tree, with `apiVersion` and `kind`, reduced.
///
/// # Errors
/// A field that the inventory reads has the wrong type.
pub fn reduced(
    object: DynamicObject,
    resource: &ApiResource,
    reduce: Reduce,
) -> Result<Value, serde_json::Error> {
    let mut fields = match object.data {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let metadata = metadata(object.metadata, resource);
    fields.insert("metadata".into(), serde_json::to_value(metadata)?);
    let mut small = match reduce(Value::Object(fields))? {
        Value::Object(small) => small,
        _ => Map::new(),
    };
    small.insert("apiVersion".into(), resource.api_version.clone().into());
    small.insert("kind".into(), resource.kind.clone().into());
    Ok(Value::Object(small))
}

/// The fields of metadata that are read. Network plugins write annotations of many names to nodes.
fn metadata(old: ObjectMeta, resource: &ApiResource) -> ObjectMeta {
    let is_node = resource.kind == "Node" && resource.group.is_empty();
    let mut annotations = old.annotations.unwrap_or_default();
    annotations.retain(|key, _| key != LAST_APPLIED && (is_node || is_kept(key)));
    ObjectMeta {
        name: old.name,
        namespace: old.namespace,
        uid: old.uid,
        resource_version: old.resource_version,
        labels: old.labels,
        annotations: Some(annotations).filter(|all| !all.is_empty()),
        owner_references: old.owner_references,
        creation_timestamp: old.creation_timestamp,
        deletion_timestamp: old.deletion_timestamp,
        deletion_grace_period_seconds: old.deletion_grace_period_seconds,
        ..ObjectMeta::default()
    }
}

fn is_kept(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ANNOTATIONS.iter().any(|kept| {
        let below = domain.strip_suffix(kept);
        below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
    })
}

/// What the inventory's own type of a kind has.
pub fn typed<K: SmallJson>(object: Value) -> Result<Value, serde_json::Error> {
    let mut small = K::small_json(object)?;
    for path in [
        "/spec/template/metadata",
        "/spec/jobTemplate/spec/template/metadata",
    ] {
        if let Some(metadata) = small.pointer_mut(path) {
            reduce_template(metadata);
        }
    }
    Ok(small)
}

/// Checksums and settings of injectors stand in the annotations of templates.
fn reduce_template(metadata: &mut Value) {
    let Some(fields) = metadata.as_object_mut() else {
        return;
    };
    if let Some(annotations) = fields.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| is_kept(key));
    }
    fields.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
}

/// A NetworkPolicy whole, except for its status: it is evaluated.
pub fn policy(object: Value) -> Result<Value, serde_json::Error> {
    Ok(fields(object, &["spec"]))
}

/// The metadata and these fields.
pub fn fields(object: Value, kept: &[&str]) -> Value {
    match object {
        Value::Object(mut all) => {
            all.retain(|key, _| key == "metadata" || kept.contains(&key.as_str()));
            Value::Object(all)
        }
        other => other,
    }
}

/// The addresses of a CiliumNode. Its pools of a cloud have thousands of lines.
pub fn cilium_node(object: Value) -> Result<Value, serde_json::Error> {
    let mut small = fields(object, &["spec"]);
    if let Some(spec) = small.get_mut("spec") {
        keep(
            spec,
            &["addresses", "health", "ingress", "ipam", "instance-id"],
        );
        if let Some(ipam) = spec.get_mut("ipam") {
            keep(ipam, &["podCIDRs"]);
        }
    }
    Ok(small)
}

/// What [`ImageScan::of_object`] reads of a report.
pub fn scan(object: Value) -> Result<Value, serde_json::Error> {
    let mut small = fields(object, &["report"]);
    let Some(report) = small.get_mut("report") else {
        return Ok(small);
    };
    keep(report, &["artifact", "registry", "vulnerabilities"]);
    let all = report.get_mut("vulnerabilities");
    for one in all.and_then(Value::as_array_mut).into_iter().flatten() {
        keep(
            one,
            &["severity", "vulnerabilityID", "resource", "fixedVersion"],
        );
    }
    debug_assert!(
        ImageScan::of_object(&small).is_some()
            || small["report"]["artifact"]["repository"].is_null()
    );
    Ok(small)
}

fn keep(value: &mut Value, kept: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| kept.contains(&key.as_str()));
    }
}

#[cfg(test)]
mod tests;
