//! Policies of other kinds than NetworkPolicy. They allow and deny as well, and nanoseg does not judge them: so they
//! are at least known by name.

use serde_json::Value;
use std::fmt;

/// A policy that is not judged.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherPolicy {
    pub kind: String,
    /// `namespace/name`, or the name of one for all namespaces.
    pub name: String,
    /// The file it was read from.
    pub file: String,
    /// What it says, to tell whether two are the same.
    says: Value,
}

/// Whether objects of such a kind are policies that are not judged, and whether they are in a namespace.
fn is_namespaced(kind: &str, group: &str) -> Option<bool> {
    match (kind, group) {
        ("CiliumNetworkPolicy", "cilium.io") => Some(true),
        ("CiliumClusterwideNetworkPolicy", "cilium.io") => Some(false),
        (
            "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" | "ClusterNetworkPolicy",
            "policy.networking.k8s.io",
        ) => Some(false),
        ("NetworkPolicy", "projectcalico.org" | "crd.projectcalico.org") => Some(true),
        ("GlobalNetworkPolicy", "projectcalico.org" | "crd.projectcalico.org") => Some(false),
        _ => None,
    }
}

impl OtherPolicy {
    /// Whether objects of such a kind are read as such.
    pub fn is_kind(kind: &str, group: &str) -> bool {
        is_namespaced(kind, group).is_some()
    }

    /// Of an object of such a kind.
    pub fn of_object(kind: &str, group: &str, object: &Value) -> Option<OtherPolicy> {
        let in_namespace = is_namespaced(kind, group)?;
        let text = |field: &str| {
            let value = object.get("metadata").and_then(|meta| meta.get(field));
            value
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let name = text("name").unwrap_or("(no name)");
        let calico = if group.ends_with("projectcalico.org") {
            "Calico's "
        } else {
            ""
        };
        Some(OtherPolicy {
            kind: format!("{calico}{kind}"),
            name: match in_namespace {
                true => format!("{}/{name}", text("namespace").unwrap_or("default")),
                false => name.to_owned(),
            },
            file: String::new(),
            says: ["spec", "specs"]
                .map(|field| object.get(field).cloned().unwrap_or_default())
                .into_iter()
                .collect(),
        })
    }

    /// Whether both say the same, wherever they are written.
    pub fn says_as(&self, other: &OtherPolicy) -> bool {
        self.says == other.says
    }
}

impl fmt::Display for OtherPolicy {
    /// `CiliumNetworkPolicy shop/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
