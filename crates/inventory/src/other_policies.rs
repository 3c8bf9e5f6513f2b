//! Policies of other kinds than NetworkPolicy. They allow and deny as well, and nanoseg does not evaluate
//! them, so it reports at least their names.

use serde_json::Value;
use std::fmt;

/// A policy that is not evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherPolicy {
    pub kind: String,
    /// `namespace/name`, or the name of one for all namespaces.
    pub name: String,
    /// The file it was read from.
    pub file: String,
    /// Its content, to compare two of them.
    content: Value,
}

/// `Some` if objects of this kind are policies that are not evaluated: whether they are namespaced.
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
    /// Returns true if objects of this kind are read as other policies.
    pub fn is_kind(kind: &str, group: &str) -> bool {
        is_namespaced(kind, group).is_some()
    }

    /// Reads an object of such a kind; `None` for other kinds.
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
            name: if in_namespace {
                format!("{}/{name}", text("namespace").unwrap_or("default"))
            } else {
                name.to_owned()
            },
            file: String::new(),
            content: ["spec", "specs"]
                .map(|field| object.get(field).cloned().unwrap_or_default())
                .into_iter()
                .collect(),
        })
    }

    /// Returns true if both have the same content, whatever files they come from.
    pub fn is_same_as(&self, other: &OtherPolicy) -> bool {
        self.content == other.content
    }
}

impl fmt::Display for OtherPolicy {
    /// `CiliumNetworkPolicy shop/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
