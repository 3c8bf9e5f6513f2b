//! One policy of any of the other kinds, and how it is read from and written to an object.

use crate::admin::{AdminNetworkPolicy, ClusterNetworkPolicy};
use crate::calico::{CalicoNetworkSet, CalicoPolicy, CalicoTier};
use crate::cilium::CiliumPolicy;
use crate::limit::Limit;
use crate::unknown_fields::unknown_fields;
use crate::{calico_limits, cilium_limits};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fmt;

/// The kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OtherKind {
    CiliumNetworkPolicy,
    CiliumClusterwideNetworkPolicy,
    ClusterNetworkPolicy,
    AdminNetworkPolicy,
    BaselineAdminNetworkPolicy,
    CalicoNetworkPolicy,
    CalicoGlobalNetworkPolicy,
    CalicoTier,
    CalicoNetworkSet,
    CalicoGlobalNetworkSet,
}

impl OtherKind {
    pub const ALL: [OtherKind; 10] = [
        OtherKind::CiliumNetworkPolicy,
        OtherKind::CiliumClusterwideNetworkPolicy,
        OtherKind::ClusterNetworkPolicy,
        OtherKind::AdminNetworkPolicy,
        OtherKind::BaselineAdminNetworkPolicy,
        OtherKind::CalicoNetworkPolicy,
        OtherKind::CalicoGlobalNetworkPolicy,
        OtherKind::CalicoTier,
        OtherKind::CalicoNetworkSet,
        OtherKind::CalicoGlobalNetworkSet,
    ];

    /// Returns the kind with this name in this API group, whatever its version.
    pub fn of(kind: &str, group: &str) -> Option<OtherKind> {
        let group = match group {
            // The objects as Calico keeps them where it has no API server of its own.
            "crd.projectcalico.org" => "projectcalico.org",
            group => group,
        };
        let mut all = OtherKind::ALL.into_iter();
        all.find(|one| one.kind() == kind && one.group() == group)
    }

    /// The name of the kind in an object.
    pub fn kind(self) -> &'static str {
        match self {
            OtherKind::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            OtherKind::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
            OtherKind::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            OtherKind::AdminNetworkPolicy => "AdminNetworkPolicy",
            OtherKind::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
            OtherKind::CalicoNetworkPolicy => "NetworkPolicy",
            OtherKind::CalicoGlobalNetworkPolicy => "GlobalNetworkPolicy",
            OtherKind::CalicoTier => "Tier",
            OtherKind::CalicoNetworkSet => "NetworkSet",
            OtherKind::CalicoGlobalNetworkSet => "GlobalNetworkSet",
        }
    }

    /// The API group.
    pub fn group(self) -> &'static str {
        match self {
            OtherKind::CiliumNetworkPolicy | OtherKind::CiliumClusterwideNetworkPolicy => {
                "cilium.io"
            }
            OtherKind::ClusterNetworkPolicy
            | OtherKind::AdminNetworkPolicy
            | OtherKind::BaselineAdminNetworkPolicy => "policy.networking.k8s.io",
            _ => "projectcalico.org",
        }
    }

    /// The version of the API in which objects are written.
    pub fn version(self) -> &'static str {
        match self {
            OtherKind::CiliumNetworkPolicy | OtherKind::CiliumClusterwideNetworkPolicy => "v2",
            OtherKind::ClusterNetworkPolicy => "v1alpha2",
            OtherKind::AdminNetworkPolicy | OtherKind::BaselineAdminNetworkPolicy => "v1alpha1",
            _ => "v3",
        }
    }

    /// The name of the kind in paths of the API.
    pub fn plural(self) -> &'static str {
        match self {
            OtherKind::CiliumNetworkPolicy => "ciliumnetworkpolicies",
            OtherKind::CiliumClusterwideNetworkPolicy => "ciliumclusterwidenetworkpolicies",
            OtherKind::ClusterNetworkPolicy => "clusternetworkpolicies",
            OtherKind::AdminNetworkPolicy => "adminnetworkpolicies",
            OtherKind::BaselineAdminNetworkPolicy => "baselineadminnetworkpolicies",
            OtherKind::CalicoNetworkPolicy => "networkpolicies",
            OtherKind::CalicoGlobalNetworkPolicy => "globalnetworkpolicies",
            OtherKind::CalicoTier => "tiers",
            OtherKind::CalicoNetworkSet => "networksets",
            OtherKind::CalicoGlobalNetworkSet => "globalnetworksets",
        }
    }

    pub fn is_namespaced(self) -> bool {
        matches!(
            self,
            OtherKind::CiliumNetworkPolicy
                | OtherKind::CalicoNetworkPolicy
                | OtherKind::CalicoNetworkSet
        )
    }

    /// The name of the kind for people. Calico has kinds of the same name as Kubernetes.
    pub fn shown(self) -> &'static str {
        match self {
            OtherKind::CalicoNetworkPolicy => "Calico's NetworkPolicy",
            OtherKind::CalicoGlobalNetworkPolicy => "Calico's GlobalNetworkPolicy",
            OtherKind::CalicoTier => "Calico's Tier",
            OtherKind::CalicoNetworkSet => "Calico's NetworkSet",
            OtherKind::CalicoGlobalNetworkSet => "Calico's GlobalNetworkSet",
            kind => kind.kind(),
        }
    }
}

/// A policy of another kind than NetworkPolicy, or an object that such policies refer to.
#[derive(Debug, Clone, PartialEq)]
pub enum OtherKindPolicy {
    CiliumNetworkPolicy(CiliumPolicy),
    CiliumClusterwideNetworkPolicy(CiliumPolicy),
    ClusterNetworkPolicy(ClusterNetworkPolicy),
    AdminNetworkPolicy(AdminNetworkPolicy),
    BaselineAdminNetworkPolicy(AdminNetworkPolicy),
    CalicoNetworkPolicy(CalicoPolicy),
    CalicoGlobalNetworkPolicy(CalicoPolicy),
    CalicoTier(CalicoTier),
    CalicoNetworkSet(CalicoNetworkSet),
    CalicoGlobalNetworkSet(CalicoNetworkSet),
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOtherKind {
    pub policy: OtherKindPolicy,
    /// The paths of the fields that nanoseg does not know. If there are any, what the policy says is not known.
    pub unknown: Vec<String>,
}

impl OtherKindPolicy {
    /// Reads an object.
    ///
    /// # Errors
    /// A field has a wrong type or a value that the kind does not have; the text names it.
    pub fn read(kind: OtherKind, object: &Value) -> Result<ReadOtherKind, String> {
        type P = OtherKindPolicy;
        match kind {
            OtherKind::CiliumNetworkPolicy => typed(object, P::CiliumNetworkPolicy),
            OtherKind::CiliumClusterwideNetworkPolicy => {
                typed(object, P::CiliumClusterwideNetworkPolicy)
            }
            OtherKind::ClusterNetworkPolicy => typed(object, P::ClusterNetworkPolicy),
            OtherKind::AdminNetworkPolicy => typed(object, P::AdminNetworkPolicy),
            OtherKind::BaselineAdminNetworkPolicy => typed(object, P::BaselineAdminNetworkPolicy),
            OtherKind::CalicoNetworkPolicy => typed(object, P::CalicoNetworkPolicy),
            OtherKind::CalicoGlobalNetworkPolicy => typed(object, P::CalicoGlobalNetworkPolicy),
            OtherKind::CalicoTier => typed(object, P::CalicoTier),
            OtherKind::CalicoNetworkSet => typed(object, P::CalicoNetworkSet),
            OtherKind::CalicoGlobalNetworkSet => typed(object, P::CalicoGlobalNetworkSet),
        }
    }

    /// Writes the object, with its `apiVersion` and `kind`.
    pub fn to_object(&self) -> Value {
        let kind = self.kind();
        let mut object = Map::new();
        object.insert(
            "apiVersion".into(),
            json!(format!("{}/{}", kind.group(), kind.version())),
        );
        object.insert("kind".into(), json!(kind.kind()));
        if let Value::Object(fields) = self.fields() {
            object.extend(fields);
        }
        Value::Object(object)
    }

    /// The fields of the object, without `apiVersion` and `kind`.
    fn fields(&self) -> Value {
        let written = match self {
            OtherKindPolicy::CiliumNetworkPolicy(policy)
            | OtherKindPolicy::CiliumClusterwideNetworkPolicy(policy) => {
                serde_json::to_value(policy)
            }
            OtherKindPolicy::ClusterNetworkPolicy(policy) => serde_json::to_value(policy),
            OtherKindPolicy::AdminNetworkPolicy(policy)
            | OtherKindPolicy::BaselineAdminNetworkPolicy(policy) => serde_json::to_value(policy),
            OtherKindPolicy::CalicoNetworkPolicy(policy)
            | OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => serde_json::to_value(policy),
            OtherKindPolicy::CalicoTier(tier) => serde_json::to_value(tier),
            OtherKindPolicy::CalicoNetworkSet(set)
            | OtherKindPolicy::CalicoGlobalNetworkSet(set) => serde_json::to_value(set),
        };
        // Every type here has text as its keys, so writing cannot fail.
        written.unwrap_or_default()
    }

    pub fn kind(&self) -> OtherKind {
        match self {
            OtherKindPolicy::CiliumNetworkPolicy(_) => OtherKind::CiliumNetworkPolicy,
            OtherKindPolicy::CiliumClusterwideNetworkPolicy(_) => {
                OtherKind::CiliumClusterwideNetworkPolicy
            }
            OtherKindPolicy::ClusterNetworkPolicy(_) => OtherKind::ClusterNetworkPolicy,
            OtherKindPolicy::AdminNetworkPolicy(_) => OtherKind::AdminNetworkPolicy,
            OtherKindPolicy::BaselineAdminNetworkPolicy(_) => OtherKind::BaselineAdminNetworkPolicy,
            OtherKindPolicy::CalicoNetworkPolicy(_) => OtherKind::CalicoNetworkPolicy,
            OtherKindPolicy::CalicoGlobalNetworkPolicy(_) => OtherKind::CalicoGlobalNetworkPolicy,
            OtherKindPolicy::CalicoTier(_) => OtherKind::CalicoTier,
            OtherKindPolicy::CalicoNetworkSet(_) => OtherKind::CalicoNetworkSet,
            OtherKindPolicy::CalicoGlobalNetworkSet(_) => OtherKind::CalicoGlobalNetworkSet,
        }
    }

    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            OtherKindPolicy::CiliumNetworkPolicy(policy)
            | OtherKindPolicy::CiliumClusterwideNetworkPolicy(policy) => &policy.metadata,
            OtherKindPolicy::ClusterNetworkPolicy(policy) => &policy.metadata,
            OtherKindPolicy::AdminNetworkPolicy(policy)
            | OtherKindPolicy::BaselineAdminNetworkPolicy(policy) => &policy.metadata,
            OtherKindPolicy::CalicoNetworkPolicy(policy)
            | OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => &policy.metadata,
            OtherKindPolicy::CalicoTier(tier) => &tier.metadata,
            OtherKindPolicy::CalicoNetworkSet(set)
            | OtherKindPolicy::CalicoGlobalNetworkSet(set) => &set.metadata,
        }
    }

    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            OtherKindPolicy::CiliumNetworkPolicy(policy)
            | OtherKindPolicy::CiliumClusterwideNetworkPolicy(policy) => &mut policy.metadata,
            OtherKindPolicy::ClusterNetworkPolicy(policy) => &mut policy.metadata,
            OtherKindPolicy::AdminNetworkPolicy(policy)
            | OtherKindPolicy::BaselineAdminNetworkPolicy(policy) => &mut policy.metadata,
            OtherKindPolicy::CalicoNetworkPolicy(policy)
            | OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => &mut policy.metadata,
            OtherKindPolicy::CalicoTier(tier) => &mut tier.metadata,
            OtherKindPolicy::CalicoNetworkSet(set)
            | OtherKindPolicy::CalicoGlobalNetworkSet(set) => &mut set.metadata,
        }
    }

    /// The namespace of a namespaced kind; `default` where the object has none, as with kubectl.
    pub fn namespace(&self) -> Option<&str> {
        let namespace = self.metadata().namespace.as_deref();
        let namespace = namespace.filter(|name| !name.is_empty());
        self.kind()
            .is_namespaced()
            .then(|| namespace.unwrap_or("default"))
    }

    /// `shop/web`, or the name alone of a cluster-wide object.
    pub fn name(&self) -> String {
        let name = self.metadata().name.as_deref().unwrap_or("(no name)");
        match self.namespace() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }

    /// What of the policy is not judged, or at layer 4 only.
    pub fn limits(&self) -> Vec<Limit> {
        match self {
            OtherKindPolicy::CiliumNetworkPolicy(policy)
            | OtherKindPolicy::CiliumClusterwideNetworkPolicy(policy) => {
                cilium_limits::limits(policy)
            }
            OtherKindPolicy::ClusterNetworkPolicy(policy) => cluster_limits(policy),
            OtherKindPolicy::AdminNetworkPolicy(policy)
            | OtherKindPolicy::BaselineAdminNetworkPolicy(policy) => admin_limits(policy),
            OtherKindPolicy::CalicoNetworkPolicy(policy) => calico_limits::limits(policy, false),
            OtherKindPolicy::CalicoGlobalNetworkPolicy(policy) => {
                calico_limits::limits(policy, true)
            }
            OtherKindPolicy::CalicoTier(_)
            | OtherKindPolicy::CalicoNetworkSet(_)
            | OtherKindPolicy::CalicoGlobalNetworkSet(_) => Vec::new(),
        }
    }
}

impl fmt::Display for OtherKindPolicy {
    /// `CiliumNetworkPolicy shop/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().shown(), self.name())
    }
}

/// The fields of every object that say nothing of what is allowed.
const ENVELOPE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

fn typed<T: DeserializeOwned + Serialize>(
    object: &Value,
    of: impl FnOnce(T) -> OtherKindPolicy,
) -> Result<ReadOtherKind, String> {
    let typed: T = T::deserialize(object).map_err(|problem| problem.to_string())?;
    let written = serde_json::to_value(&typed).map_err(|problem| problem.to_string())?;
    let fields = object.as_object().into_iter().flatten();
    let fields =
        fields.filter(|(key, value)| !ENVELOPE.contains(&key.as_str()) && !value.is_null());
    let mut unknown = Vec::new();
    for (key, value) in fields {
        match written.get(key) {
            Some(written) => unknown.extend(unknown_fields(value, written, key)),
            None => unknown.push(key.clone()),
        }
    }
    let mut policy = of(typed);
    let metadata = policy.metadata_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    Ok(ReadOtherKind { policy, unknown })
}

/// Nodes by their labels, which inventories do not have; all nodes are known. And names.
fn peer_limits(peers: &[crate::admin::AdminPeer], path: &str, found: &mut Vec<Limit>) {
    for (index, peer) in peers.iter().enumerate() {
        let labels = peer.nodes.as_ref();
        let all = |selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector| {
            selector
                .match_labels
                .as_ref()
                .is_none_or(|labels| labels.is_empty())
                && selector
                    .match_expressions
                    .as_ref()
                    .is_none_or(|list| list.is_empty())
        };
        if labels.is_some_and(|selector| !all(selector)) {
            found.push(Limit::not_judged(format!("{path}[{index}].nodes")));
        }
        if peer.domain_names.is_some() {
            found.push(Limit::seen_names(format!("{path}[{index}].domainNames")));
        }
    }
}

fn cluster_limits(policy: &ClusterNetworkPolicy) -> Vec<Limit> {
    let mut found = Vec::new();
    for (index, rule) in policy.spec.egress.iter().flatten().enumerate() {
        peer_limits(&rule.to, &format!("spec.egress[{index}].to"), &mut found);
    }
    found
}

fn admin_limits(policy: &AdminNetworkPolicy) -> Vec<Limit> {
    let mut found = Vec::new();
    for (index, rule) in policy.spec.egress.iter().flatten().enumerate() {
        peer_limits(&rule.to, &format!("spec.egress[{index}].to"), &mut found);
    }
    found
}
