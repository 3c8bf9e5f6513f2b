//! Policies of other kinds than NetworkPolicy. They allow and deny as well, and nanoseg does not evaluate
//! them, so it reports at least their names.

use nanoseg_finding::{Code, Finding};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A policy that is not evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherPolicy {
    pub kind: String,
    /// `namespace/name`, or the name of one for all namespaces.
    pub name: String,
    /// The file it was read from.
    pub file: String,
    /// What of it is not judged, or why it could not be read; empty for a kind of which nothing is judged.
    pub fields: Vec<String>,
    /// All but `fields` is judged.
    pub is_partly_judged: bool,
    /// What it opens and closes is known by address, port and protocol: beyond that only requests, or names that were not
    /// looked up, decide.
    pub is_known_at_layer4: bool,
    /// Its content, to compare two of them.
    content: Value,
}

/// A kind of policies that the cluster has and that could not be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlistedKind {
    /// Such as `ciliumnetworkpolicies.cilium.io`.
    pub kind: String,
    pub reason: String,
}

impl UnlistedKind {
    pub fn finding(&self) -> Finding {
        let message = format!(
            "not listed: {}; what they deny or allow is not part of the proof",
            self.reason
        );
        Finding::new(Code::UnjudgedPolicy, &self.kind, message)
    }
}

/// Groups of Kubernetes' own NetworkPolicy: the one that is judged, and the one that no API server serves any more.
const JUDGED: [&str; 2] = ["networking.k8s.io", "extensions"];

/// Returns true if objects of this kind deny or allow connections and are not evaluated: every kind whose name ends in
/// `NetworkPolicy`, and a few others. Those that Calico only stages are not in force.
fn is_policy(kind: &str, group: &str) -> bool {
    match (kind, group) {
        (kind, group) if kind.ends_with("NetworkPolicy") => {
            group.contains('.') && !JUDGED.contains(&group) && !kind.starts_with("Staged")
        }
        // Mesh proxies enforce these.
        ("AuthorizationPolicy", "security.istio.io" | "policy.linkerd.io") => true,
        ("Server" | "ServerAuthorization", "policy.linkerd.io") => true,
        ("MeshTrafficPermission" | "TrafficPermission", "kuma.io") => true,
        ("ServiceIntentions", "consul.hashicorp.com") => true,
        // Security groups for pods on EKS; the firewall of OVN-Kubernetes; that of NSX.
        ("SecurityGroupPolicy", "vpcresources.k8s.aws") => true,
        ("EgressFirewall", "k8s.ovn.org") => true,
        ("SecurityPolicy", "crd.nsx.vmware.com") => true,
        _ => false,
    }
}

/// Returns true if the objects of this kind are not in a namespace. Of kinds that are not known here, the object
/// itself shows it.
fn is_cluster_wide(kind: &str, group: &str, namespace: Option<&str>) -> bool {
    match (kind, group) {
        ("CiliumNetworkPolicy", "cilium.io") => false,
        ("NetworkPolicy", "projectcalico.org" | "crd.projectcalico.org" | "crd.antrea.io") => false,
        ("CiliumClusterwideNetworkPolicy", _) | (_, "policy.networking.k8s.io") => true,
        ("GlobalNetworkPolicy" | "ClusterNetworkPolicy", _) => true,
        _ => namespace.is_none(),
    }
}

/// The name of a kind. Projects have kinds of the same name, so these are told apart.
fn kind_name(kind: &str, group: &str) -> String {
    match group {
        "projectcalico.org" | "crd.projectcalico.org" => format!("Calico's {kind}"),
        "cilium.io" | "policy.networking.k8s.io" => kind.to_owned(),
        group => format!("{kind}.{group}"),
    }
}

/// How many policies a finding names.
const SHOWN: usize = 5;

/// One finding for each kind of policy that is in force and not judged (rule: other-policies-are-said).
pub fn other_policy_findings(policies: &[OtherPolicy]) -> Vec<Finding> {
    let mut by_kind: BTreeMap<(&str, bool), BTreeSet<String>> = BTreeMap::new();
    for one in policies {
        let names = by_kind
            .entry((&one.kind, one.is_partly_judged))
            .or_default();
        names.insert(format!("{}{}", one.name, one.fields_text()));
    }
    let finding = |((kind, is_partly_judged), names): ((&str, bool), BTreeSet<String>)| {
        let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
        let what = if is_partly_judged {
            "judged but for these fields"
        } else {
            "what they deny or allow is not part of the proof"
        };
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "{} in force ({}{more}): {what}",
            names.len(),
            shown.join(", ")
        );
        Finding::new(Code::UnjudgedPolicy, kind, message)
    };
    by_kind.into_iter().map(finding).collect()
}

impl OtherPolicy {
    /// Returns true if objects of this kind are read as other policies.
    pub fn is_kind(kind: &str, group: &str) -> bool {
        is_policy(kind, group)
    }

    /// Reads an object of such a kind; `None` for other kinds.
    pub fn of_object(kind: &str, group: &str, object: &Value) -> Option<OtherPolicy> {
        is_policy(kind, group).then(|| OtherPolicy::with_fields(kind, group, object, Vec::new()))
    }

    /// Names an object of which some fields are not judged.
    pub fn with_fields(
        kind: &str,
        group: &str,
        object: &Value,
        fields: Vec<String>,
    ) -> OtherPolicy {
        let text = |field: &str| {
            let value = object.get("metadata").and_then(|meta| meta.get(field));
            value
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let name = text("name").unwrap_or("(no name)");
        OtherPolicy {
            kind: kind_name(kind, group),
            name: if is_cluster_wide(kind, group, text("namespace")) {
                name.to_owned()
            } else {
                format!("{}/{name}", text("namespace").unwrap_or("default"))
            },
            file: String::new(),
            fields,
            is_partly_judged: false,
            is_known_at_layer4: false,
            content: ["spec", "specs"]
                .map(|field| object.get(field).cloned().unwrap_or_default())
                .into_iter()
                .collect(),
        }
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

impl OtherPolicy {
    /// The same, of which all but the fields is judged; `is_known_at_layer4`: see the field.
    #[must_use]
    pub fn partly(self, is_known_at_layer4: bool) -> OtherPolicy {
        OtherPolicy {
            is_partly_judged: true,
            is_known_at_layer4,
            ..self
        }
    }

    /// What of it is not judged, as a clause behind its name; empty if none of it is judged.
    pub fn fields_text(&self) -> String {
        if self.fields.is_empty() {
            return String::new();
        }
        format!(": {}", self.fields.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(kind: &str, group: &str, metadata: Value) -> Option<String> {
        let object = json!({"metadata": metadata, "spec": {}});
        OtherPolicy::of_object(kind, group, &object).map(|one| one.to_string())
    }

    #[test]
    fn every_kind_that_denies_or_allows_is_named_with_its_scope() {
        let namespaced = json!({"name": "p", "namespace": "shop"});
        for (kind, group, shown) in [
            (
                "CiliumNetworkPolicy",
                "cilium.io",
                "CiliumNetworkPolicy shop/p",
            ),
            (
                "NetworkPolicy",
                "crd.projectcalico.org",
                "Calico's NetworkPolicy shop/p",
            ),
            (
                "NetworkPolicy",
                "crd.antrea.io",
                "NetworkPolicy.crd.antrea.io shop/p",
            ),
            (
                "AdminNetworkPolicy",
                "policy.networking.k8s.io",
                "AdminNetworkPolicy p",
            ),
            (
                "ClusterNetworkPolicy",
                "crd.antrea.io",
                "ClusterNetworkPolicy.crd.antrea.io p",
            ),
            (
                "ApplicationNetworkPolicy",
                "networking.k8s.aws",
                "ApplicationNetworkPolicy.networking.k8s.aws shop/p",
            ),
            (
                "Server",
                "policy.linkerd.io",
                "Server.policy.linkerd.io shop/p",
            ),
            (
                "AuthorizationPolicy",
                "security.istio.io",
                "AuthorizationPolicy.security.istio.io shop/p",
            ),
        ] {
            assert_eq!(of(kind, group, namespaced.clone()).as_deref(), Some(shown));
        }
        for (kind, group) in [
            ("NetworkPolicy", "networking.k8s.io"),
            ("NetworkPolicy", "extensions"),
            ("NetworkPolicy", ""),
            ("StagedNetworkPolicy", "crd.projectcalico.org"),
            ("AuthorizationPolicy", "example.com"),
            ("Deployment", "apps"),
        ] {
            assert_eq!(of(kind, group, namespaced.clone()), None, "{kind}.{group}");
        }
    }

    #[test]
    fn one_finding_for_each_kind_names_some_of_them_and_counts_all() {
        let object =
            |name: usize| json!({"metadata": {"name": format!("p{name}"), "namespace": "a"}});
        let mut all: Vec<_> = (0..7)
            .filter_map(|name| {
                OtherPolicy::of_object("CiliumNetworkPolicy", "cilium.io", &object(name))
            })
            .collect();
        let guard = json!({"metadata": {"name": "guard"}});
        all.extend(OtherPolicy::of_object(
            "AdminNetworkPolicy",
            "policy.networking.k8s.io",
            &guard,
        ));
        let told: Vec<String> = other_policy_findings(&all)
            .into_iter()
            .map(|finding| format!("{} {}", finding.subject, finding.message))
            .collect();
        assert_eq!(
            told,
            [
                "AdminNetworkPolicy 1 in force (guard): what they deny or allow is not part of the proof",
                "CiliumNetworkPolicy 7 in force (a/p0, a/p1, a/p2, a/p3, a/p4 and 2 more): what they deny or allow is \
                 not part of the proof",
            ]
        );
    }
}
