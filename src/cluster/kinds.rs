//! Lists the kinds that are read, and converts a tree into a typed object.

use crate::inventory::kubernetes::{ConfigMap, FromJson, Json, ListedNode, drop_last_applied};
use crate::inventory::{ImageScan, ObjectRemark, Objects, OtherPolicy, SnapshotGap};
use crate::net::Timestamp;
use crate::policy_kinds::{LimitKind, OtherKind, OtherKindPolicy};
use k8s_openapi::Metadata;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The result of reading a tree.
pub enum Typed {
    Read,
    /// The object is of a kind that the inventory does not use.
    Skipped,
}

macro_rules! kinds {
    ($( $kind:literal $group:literal $field:ident; )*) => {
        /// Adds one object to `objects`. Only the group of its `apiVersion` is compared: the fields that matter
        /// here are the same in all versions of a group. Fields that are not used are dropped.
        ///
        /// # Errors
        /// A field has the wrong type.
        pub fn parse_object(
            kind: &str,
            group: &str,
            tree: Json<'_>,
            objects: &mut Objects,
        ) -> Result<Typed, serde_json::Error> {
            match (kind, group) {
                $( ($kind, $group) => objects.$field.push(namespaced(tree)?), )*
                ("Namespace", "") => objects.namespaces.push(FromJson::from_json(tree)?),
                ("Node", "") => {
                    let (node, heartbeat) = ListedNode::from_json(tree)?.split();
                    objects.nodes.push(node);
                    objects.heartbeat = objects.heartbeat.max(heartbeat);
                }
                // Only shows when the snapshot was taken.
                ("Lease", "coordination.k8s.io") => {
                    let tree = tree.value()?;
                    objects.heartbeat = objects.heartbeat.max(renewed(&tree));
                    return Ok(Typed::Skipped);
                }
                ("ServiceCIDR", "networking.k8s.io") => {
                    objects.service_cidrs.push(FromJson::from_json(tree)?);
                }
                ("CiliumNode", "cilium.io") => {
                    objects.cilium_nodes.push(FromJson::from_json(tree)?);
                }
                // Only those of network plugins, and of these a few values.
                ("ConfigMap", "") => {
                    let tree = tree.value()?;
                    let name = tree.pointer("/metadata/name").and_then(|name| name.as_str());
                    if !name.is_some_and(ConfigMap::is_read) {
                        return Ok(Typed::Skipped);
                    }
                    objects.config_maps.push(namespaced(Json::Value(tree))?);
                }
                ("NetworkPolicy", "networking.k8s.io") => {
                    let mut policy: NetworkPolicy = namespaced(tree)?;
                    policy.metadata.managed_fields = None;
                    drop_last_applied(&mut policy.metadata);
                    objects.network_policies.push(policy);
                }
                (SnapshotGap::KIND, SnapshotGap::GROUP) => {
                    objects.gaps.push(FromJson::from_json(tree)?);
                }
                // A custom resource, and only one of several that report on an image.
                ("VulnerabilityReport", "aquasecurity.github.io") => {
                    let tree = tree.value()?;
                    objects.scans.extend(ImageScan::of_object(&tree));
                    objects.remarks.extend(scan_remark(&tree));
                }
                (kind, group) if OtherKind::of(kind, group).is_some() => {
                    return Ok(other_kind(kind, group, &tree.value()?, objects));
                }
                (kind, group) if OtherPolicy::is_kind(kind, group) => {
                    let tree = tree.value()?;
                    objects.not_judged.extend(OtherPolicy::of_object(kind, group, &tree));
                    return Ok(Typed::Skipped);
                }
                _ => return Ok(Typed::Skipped),
            }
            Ok(Typed::Read)
        }

        /// Appends all objects of `more`.
        pub fn append(objects: &mut Objects, mut more: Objects) {
            $( objects.$field.append(&mut more.$field); )*
            objects.namespaces.append(&mut more.namespaces);
            objects.nodes.append(&mut more.nodes);
            objects.service_cidrs.append(&mut more.service_cidrs);
            objects.cilium_nodes.append(&mut more.cilium_nodes);
            objects.config_maps.append(&mut more.config_maps);
            objects.network_policies.append(&mut more.network_policies);
            objects.other_kinds.append(&mut more.other_kinds);
            objects.gaps.append(&mut more.gaps);
            objects.scans.append(&mut more.scans);
            objects.not_judged.append(&mut more.not_judged);
            objects.unlisted.append(&mut more.unlisted);
            objects.lists.append(&mut more.lists);
            objects.heartbeat = objects.heartbeat.max(more.heartbeat);
            objects.remarks.append(&mut more.remarks);
            objects.snapshots += more.snapshots;
            for (kind, count) in more.skipped {
                *objects.skipped.entry(kind).or_default() += count;
            }
        }
    };
}

kinds! {
    "Pod" "" pods;
    "Service" "" services;
    "ReplicationController" "" replication_controllers;
    "EndpointSlice" "discovery.k8s.io" endpoint_slices;
    "Endpoints" "" endpoints;
    "Deployment" "apps" deployments;
    "ReplicaSet" "apps" replica_sets;
    "StatefulSet" "apps" stateful_sets;
    "DaemonSet" "apps" daemon_sets;
    "Job" "batch" jobs;
    "CronJob" "batch" cron_jobs;
}

/// The annotation of a List with the time at which `nanoseg snapshot` took it (RFC 3339).
pub const TAKEN_AT: &str = "nanoseg.dev/taken-at";

/// When a list was taken, by its metadata.
pub(super) fn taken_at(metadata: Option<&serde_json::Value>) -> Option<Timestamp> {
    let text = metadata?.get("annotations")?.get(TAKEN_AT)?.as_str()?;
    Some(text.parse::<jiff::Timestamp>().ok()?.into())
}

/// Reads a policy of another kind. What is not judged of it is named; if its fields are not all known, none of it is
/// judged (rule: other-kinds-are-judged).
pub fn other_kind(
    kind: &str,
    group: &str,
    tree: &serde_json::Value,
    objects: &mut Objects,
) -> Typed {
    let read = OtherKind::of(kind, group).map(|kind| OtherKindPolicy::read(kind, tree));
    let not_judged = |fields| OtherPolicy::with_fields(kind, group, tree, fields);
    match read {
        None => Typed::Skipped,
        Some(Err(problem)) => {
            objects.not_judged.push(not_judged(vec![problem]));
            Typed::Skipped
        }
        Some(Ok(read)) if !read.unknown.is_empty() => {
            objects.not_judged.push(not_judged(read.unknown));
            Typed::Skipped
        }
        Some(Ok(read)) => {
            let limits = read.policy.limits();
            let fields: Vec<String> = limits.iter().map(ToString::to_string).collect();
            if !fields.is_empty() {
                let mut kinds = limits.iter().map(|limit| limit.kind);
                let is_known = kinds.all(|kind| kind != LimitKind::NotJudged);
                objects.not_judged.push(not_judged(fields).partly(is_known));
            }
            objects.other_kinds.push(read.policy);
            Typed::Read
        }
    }
}

/// What is wrong with a scan.
fn scan_remark(scan: &serde_json::Value) -> Option<ObjectRemark> {
    let field = ImageScan::wrong_field(scan)?;
    let text = |place: &str| scan.pointer(place).and_then(|value| value.as_str());
    let [namespace, name] = ["/metadata/namespace", "/metadata/name"].map(text);
    Some(ObjectRemark {
        object: format!(
            "VulnerabilityReport {}/{}",
            namespace.unwrap_or("default"),
            name.unwrap_or_default()
        ),
        problem: format!(
            "{field} is not as trivy-operator writes it; what it would say is not known"
        ),
        // Whoever reads the file knows its name.
        file: String::new(),
    })
}

/// When a Lease was renewed.
fn renewed(lease: &serde_json::Value) -> Option<Timestamp> {
    let text = lease.pointer("/spec/renewTime")?.as_str()?;
    Some(text.parse::<jiff::Timestamp>().ok()?.into())
}

/// A namespaced object. Without a namespace it is in `default`, as with kubectl.
fn namespaced<K>(tree: Json<'_>) -> Result<K, serde_json::Error>
where
    K: FromJson + Metadata<Ty = ObjectMeta>,
{
    let mut object = K::from_json(tree)?;
    let namespace = &mut object.metadata_mut().namespace;
    if namespace.as_deref().is_none_or(str::is_empty) {
        *namespace = Some("default".to_owned());
    }
    Ok(object)
}
