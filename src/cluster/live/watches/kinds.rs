//! The kinds that are watched, and the special handling of each.

use super::cache::Cache;
use super::follow;
use super::ingest::{Ingest, everywhere, in_default};
use super::store::Store;
use super::trim::Trim;
use crate::inventory::kubernetes::{
    CronJob, DaemonSet, Deployment, EndpointSlice, FromJson, Job, Namespace, Node, Pod, ReplicaSet,
    Service, StatefulSet,
};
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Client, Resource};
use std::fmt::{self, Debug};
use std::sync::Arc;
use tokio::task::JoinSet;

/// One kind of objects, with its name in the API.
pub trait Watched:
    Resource<DynamicType = ()> + Trim + Clone + Debug + PartialEq + FromJson + Send + Sync + 'static
{
    const KIND: Kind;

    fn store(stores: &Stores) -> &Store<Self>;
}

macro_rules! kinds {
    ($( $kind:ident $field:ident $probe:ident; )*) => {
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

        /// A task for each kind.
        pub fn follow_all(client: &Client, cache: &Arc<Cache>, tasks: &mut JoinSet<()>) {
            for ingest in [ $( Ingest::of::<$kind>($probe::<$kind>), )* ] {
                tasks.spawn(follow::follow(client.clone(), cache.clone(), ingest));
            }
        }
    };
}

kinds! {
    Pod pods in_default;
    Service services in_default;
    EndpointSlice endpoint_slices in_default;
    Namespace namespaces everywhere;
    Node nodes everywhere;
    Deployment deployments in_default;
    ReplicaSet replica_sets in_default;
    StatefulSet stateful_sets in_default;
    DaemonSet daemon_sets in_default;
    Job jobs in_default;
    CronJob cron_jobs in_default;
    NetworkPolicy network_policies in_default;
    Segmentation segmentations in_default;
    PolicyProposal proposals in_default;
    ProposalDecision decisions in_default;
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
