//! The owners of pods, and their owners, that are not of Kubernetes itself: Rollouts, Knative's revisions, databases.

use super::kinds::{self, SnapshotKind};
use kube::core::GroupVersionKind;
use kube::discovery::{Discovery, verbs};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Groups of Kubernetes itself: their owners of pods are listed anyway. The core group has Secrets, which are never
/// asked for.
const BUILT_IN: [&str; 3] = ["", "apps", "batch"];

/// Namespace and name.
pub type Names = BTreeSet<(String, String)>;

/// Owners that ownerReferences name: `apiVersion` and kind, then namespace and name.
#[derive(Debug, Default)]
pub struct OwnerRefs {
    open: BTreeMap<(String, String), Names>,
    /// What was taken before.
    done: BTreeSet<(String, String, String, String)>,
}

impl OwnerRefs {
    /// Notes the owners of an object.
    pub fn note(&mut self, object: &Value) {
        if !owns_pods(object) {
            return;
        }
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let owners = metadata["ownerReferences"].as_array();
        for owner in owners.into_iter().flatten() {
            let text = |field: &str| owner[field].as_str().unwrap_or_default().to_owned();
            let (version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
            let group = version.rsplit_once('/').map_or("", |(group, _)| group);
            if BUILT_IN.contains(&group) || kind.is_empty() {
                continue;
            }
            let own = (
                version.clone(),
                kind.clone(),
                namespace.to_owned(),
                name.clone(),
            );
            if self.done.insert(own) {
                let names = self.open.entry((version, kind)).or_default();
                names.insert((namespace.to_owned(), name));
            }
        }
    }

    /// The groups of all owners that were noted and not yet taken.
    pub fn groups(&self) -> BTreeSet<String> {
        let versions = self.open.keys().map(|(version, _)| version);
        let groups = versions.filter_map(|version| Some(version.rsplit_once('/')?.0.to_owned()));
        groups.collect()
    }

    /// Takes what was noted since the last time.
    pub fn take(&mut self) -> Wanted {
        Wanted(std::mem::take(&mut self.open))
    }
}

/// Returns true if an object is a pod or may own pods.
fn owns_pods(object: &Value) -> bool {
    const OTHERS: [&str; 6] = [
        "Namespace",
        "Node",
        "Service",
        "Endpoints",
        "EndpointSlice",
        "NetworkPolicy",
    ];
    let kind = object["kind"].as_str().unwrap_or_default();
    !OTHERS.contains(&kind) && kind != "VulnerabilityReport"
}

/// Owners to read.
pub struct Wanted(BTreeMap<(String, String), Names>);

impl Wanted {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds that the cluster has, each with the names. An owner in no namespace has an empty one.
    pub fn kinds(self, discovery: &Discovery) -> Vec<(SnapshotKind, Names)> {
        let found = self.0.into_iter().filter_map(|((version, kind), names)| {
            let (group, version) = version.rsplit_once('/')?;
            let of_version = GroupVersionKind::gvk(group, version, &kind);
            let (resource, can) = discovery
                .resolve_gvk(&of_version)
                .or_else(|| discovery.get(group)?.recommended_kind(&kind))?;
            if !can.supports_operation(verbs::LIST) {
                return None;
            }
            let kind = kinds::custom_owner(resource, &can);
            let names = if kind.is_namespaced {
                names
            } else {
                let names = names.into_iter();
                names.map(|(_, name)| (String::new(), name)).collect()
            };
            Some((kind, names))
        });
        found.collect()
    }
}
