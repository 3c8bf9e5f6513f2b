//! The kinds that are watched, and the special handling of each.

use super::store::Store;
use super::trim::Trim;
use crate::inventory::kubernetes::{
    CronJob, DaemonSet, Deployment, EndpointSlice, FromJson, Job, Namespace, Node, Pod, ReplicaSet,
    Service, StatefulSet,
};
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Resource;
use std::fmt::{self, Debug};

/// One kind of objects, with its name in the API.
pub trait Watched:
    Resource<DynamicType = ()> + Trim + Clone + Debug + PartialEq + FromJson + Send + Sync + 'static
{
    const KIND: Kind;

    fn store(stores: &Stores) -> &Store<Self>;
}

/// Whether objects of a kind are in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// Does something for each kind.
pub trait EachKind {
    fn kind<K: Watched>(&mut self, scope: Scope);
}

macro_rules! kinds {
    ($( $kind:ident $field:ident $scope:ident; )*) => {
        /// The kinds that are watched.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $( $kind, )* }

        impl Kind {
            pub const ALL: &[Kind] = &[ $( Kind::$kind, )* ];

            /// The kind's name in the API.
            pub fn as_str(self) -> &'static str {
                match self { $( Kind::$kind => stringify!($kind), )* }
            }
        }

        /// A store for each kind.
        #[derive(Default)]
        pub struct Stores { $( pub $field: Store<$kind>, )* }

        $(
            impl Watched for $kind {
                const KIND: Kind = Kind::$kind;

                fn store(stores: &Stores) -> &Store<Self> {
                    &stores.$field
                }
            }
        )*

        /// Visits all kinds.
        pub fn for_each_kind(visitor: &mut impl EachKind) {
            $( visitor.kind::<$kind>(Scope::$scope); )*
        }
    };
}

kinds! {
    Pod pods Namespaced;
    Service services Namespaced;
    EndpointSlice endpoint_slices Namespaced;
    Namespace namespaces Cluster;
    Node nodes Cluster;
    Deployment deployments Namespaced;
    ReplicaSet replica_sets Namespaced;
    StatefulSet stateful_sets Namespaced;
    DaemonSet daemon_sets Namespaced;
    Job jobs Namespaced;
    CronJob cron_jobs Namespaced;
    NetworkPolicy network_policies Namespaced;
    Segmentation segmentations Namespaced;
    PolicyProposal proposals Namespaced;
    ProposalDecision decisions Namespaced;
}

/// The kinds that [`super::Watches::objects`] holds.
pub const INVENTORY: &[Kind] = &[
    Kind::Pod,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Namespace,
    Kind::Node,
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
    Kind::CronJob,
    Kind::NetworkPolicy,
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
