//! The kinds that a snapshot holds, and what a reader does not know without each.
//!
//! The kinds of Kubernetes itself are always there. All others are looked for, by the groups that the API server has.

use super::reduce::{self, Reduce};
use crate::inventory::OtherPolicy;
use crate::inventory::kubernetes::{
    ConfigMap, CronJob, DaemonSet, Deployment, EndpointSlice, Job, Namespace, Node, Pod,
    ReplicaSet, ReplicationController, Service, StatefulSet,
};
use crate::policy_kinds::OtherKind;
use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Resource;
use kube::core::ApiResource;
use kube::discovery::{ApiCapabilities, Discovery, Scope, verbs};

/// One kind of a snapshot.
#[derive(Clone)]
pub struct SnapshotKind {
    pub resource: ApiResource,
    pub is_namespaced: bool,
    /// What remains of an object.
    pub reduce: Reduce,
    /// Whether only the metadata is asked for.
    pub is_metadata: bool,
    /// What a reader of a snapshot does not know without it.
    pub meaning: &'static str,
    /// Whether a watch writes its changes: pods, and what names and finds them.
    pub is_watched: bool,
}

impl SnapshotKind {
    fn built_in<K: Resource<DynamicType = ()>>(
        reduce: Reduce,
        meaning: &'static str,
    ) -> SnapshotKind {
        SnapshotKind {
            resource: ApiResource::erase::<K>(&()),
            is_namespaced: true,
            reduce,
            is_metadata: false,
            meaning,
            is_watched: true,
        }
    }

    fn of_cluster(self) -> SnapshotKind {
        SnapshotKind {
            is_namespaced: false,
            ..self
        }
    }

    fn unwatched(self) -> SnapshotKind {
        SnapshotKind {
            is_watched: false,
            ..self
        }
    }

    /// `pods`, `deployments.apps`: as kubectl names it.
    pub fn name(&self) -> String {
        match self.resource.group.as_str() {
            "" => self.resource.plural.clone(),
            group => format!("{}.{group}", self.resource.plural),
        }
    }

    pub fn is(&self, kind: &str, group: &str) -> bool {
        self.resource.kind == kind && self.resource.group == group
    }
}

const OWNERS: &str = "the names and selectors of their pods' workloads come from the pods' labels";

/// The kinds of Kubernetes. Pods come first: the time of a snapshot is the time of their list.
pub fn built_in() -> Vec<SnapshotKind> {
    vec![
        SnapshotKind::built_in::<Pod>(reduce::typed::<Pod>, "no traffic can be attributed"),
        SnapshotKind::built_in::<Namespace>(
            reduce::typed::<Namespace>,
            "the labels of namespaces are not known",
        )
        .of_cluster(),
        SnapshotKind::built_in::<Node>(
            reduce::typed::<Node>,
            "kubelet probes and hostNetwork traffic cannot be told from outside traffic",
        )
        .of_cluster(),
        SnapshotKind::built_in::<Service>(
            reduce::typed::<Service>,
            "what is called by a Service's address is not attributed",
        ),
        SnapshotKind::built_in::<EndpointSlice>(
            reduce::typed::<EndpointSlice>,
            "the pods behind a Service are taken from its selector",
        )
        .unwatched(),
        SnapshotKind::built_in::<Deployment>(reduce::typed::<Deployment>, OWNERS),
        SnapshotKind::built_in::<ReplicaSet>(reduce::typed::<ReplicaSet>, OWNERS),
        SnapshotKind::built_in::<StatefulSet>(reduce::typed::<StatefulSet>, OWNERS),
        SnapshotKind::built_in::<DaemonSet>(reduce::typed::<DaemonSet>, OWNERS),
        SnapshotKind::built_in::<Job>(reduce::typed::<Job>, OWNERS),
        SnapshotKind::built_in::<CronJob>(reduce::typed::<CronJob>, OWNERS),
        SnapshotKind::built_in::<ReplicationController>(
            reduce::typed::<ReplicationController>,
            OWNERS,
        ),
        SnapshotKind::built_in::<NetworkPolicy>(
            reduce::policy,
            "policies that are in force are not counted",
        )
        .unwatched(),
    ]
}

/// `ConfigMap`: only those of network plugins, by name, and of these a few values.
pub fn config_maps() -> SnapshotKind {
    SnapshotKind::built_in::<ConfigMap>(
        reduce::typed::<ConfigMap>,
        "the options of the network plugin are not known; its defaults count",
    )
    .unwatched()
}

/// `Endpoints`: only where a Service has no EndpointSlice.
pub fn endpoints() -> SnapshotKind {
    SnapshotKind::built_in::<Endpoints>(
        |object| Ok(reduce::fields(object, &["subsets"])),
        "the pods behind a Service without EndpointSlices are taken from its selector",
    )
    .unwatched()
}

/// Groups that may have kinds of a snapshot, beside those of the owners of pods.
pub const GROUPS: [&str; 6] = [
    "networking.k8s.io",
    "policy.networking.k8s.io",
    "cilium.io",
    "projectcalico.org",
    "crd.projectcalico.org",
    "aquasecurity.github.io",
];

/// The kinds that a cluster may have or not, of those that it has, by group and kind.
pub fn optional(discovery: &Discovery) -> Vec<SnapshotKind> {
    let mut kinds = Vec::new();
    for group in GROUPS {
        // Calico's own API server shows the same objects once more.
        if group == "crd.projectcalico.org" && discovery.has_group("projectcalico.org") {
            continue;
        }
        let Some(found) = discovery.get(group) else {
            continue;
        };
        let mut of_group: Vec<_> = found.resources_by_stability();
        of_group.sort_by(|(a, _), (b, _)| a.kind.cmp(&b.kind));
        kinds.extend(of_group.into_iter().filter_map(optional_kind));
    }
    kinds
}

fn optional_kind((resource, can): (ApiResource, ApiCapabilities)) -> Option<SnapshotKind> {
    if !can.supports_operation(verbs::LIST) {
        return None;
    }
    let (kind, group) = (resource.kind.as_str(), resource.group.as_str());
    let (reduce, meaning): (Reduce, _) = match (kind, group) {
        ("ServiceCIDR", "networking.k8s.io") => (
            |object| Ok(reduce::fields(object, &["spec"])),
            "the range of Service addresses is taken from the Services that there are",
        ),
        ("CiliumNode", "cilium.io") => (
            reduce::cilium_node,
            "the addresses that Cilium gives to nodes are not known",
        ),
        ("VulnerabilityReport", "aquasecurity.github.io") => {
            (reduce::scan, "vulnerabilities are not known")
        }
        _ if OtherPolicy::is_kind(kind, group) || OtherKind::of(kind, group).is_some() => (
            |object| Ok(reduce::fields(object, &["spec", "specs"])),
            "policies of this kind that are in force are neither judged nor mentioned",
        ),
        _ => return None,
    };
    Some(SnapshotKind {
        is_namespaced: can.scope == Scope::Namespaced,
        resource,
        reduce,
        is_metadata: false,
        meaning,
        is_watched: false,
    })
}

/// The kinds of policies of others, and of what they refer to, that an API server has.
///
/// # Errors
/// The API server does not answer, or does not tell.
pub async fn other_kind_resources(client: &kube::Client) -> kube::Result<Vec<ApiResource>> {
    let aggregated = Discovery::new(client.clone()).run_aggregated().await;
    let discovery = match aggregated {
        Ok(discovery) => discovery,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Err(kube::Error::Api(status));
        }
        // An API server that is older than 1.26.
        Err(_) => Discovery::new(client.clone()).filter(&GROUPS).run().await?,
    };
    let is_policy = |kind: &SnapshotKind| {
        let (kind, group) = (&kind.resource.kind, &kind.resource.group);
        OtherPolicy::is_kind(kind, group) || OtherKind::of(kind, group).is_some()
    };
    let found = optional(&discovery).into_iter().filter(is_policy);
    Ok(found.map(|kind| kind.resource).collect())
}

/// A kind of which only the metadata is read: an owner of pods that is not of Kubernetes itself.
pub fn custom_owner(resource: ApiResource, can: &ApiCapabilities) -> SnapshotKind {
    SnapshotKind {
        is_namespaced: can.scope == Scope::Namespaced,
        resource,
        reduce: |object| Ok(reduce::fields(object, &[])),
        is_metadata: true,
        meaning: "what owns the owners of pods is not known",
        is_watched: false,
    }
}
