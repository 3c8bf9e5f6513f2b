//! Which kinds are watched, and what is particular to each.

use super::follow;
use super::hub::{Hub, Shelves};
use super::shelf::Shelf;
use super::trim::Trim;
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use crate::inventory::kubernetes::{
    CronJob, DaemonSet, Deployment, EndpointSlice, Job, Namespace, Node, Pod, ReplicaSet, Service,
    StatefulSet,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::{self, Debug};
use std::sync::Arc;
use tokio::task::JoinSet;

/// One kind of objects, as the API spells it.
pub trait Watched:
    Resource<DynamicType = ()>
    + Trim
    + Clone
    + Debug
    + PartialEq
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    const KIND: Kind;

    fn shelf(shelves: &Shelves) -> &Shelf<Self>;

    /// Where one name can be asked for.
    fn probe(client: &Client) -> Api<Self>;
}

macro_rules! kinds {
    ($( $kind:ident $field:ident $probe:expr; )*) => {
        /// What is watched.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $( $kind, )* }

        impl Kind {
            pub const ALL: &[Kind] = &[ $( Kind::$kind, )* ];

            /// As the API spells it.
            pub fn as_str(self) -> &'static str {
                match self { $( Kind::$kind => stringify!($kind), )* }
            }
        }

        /// A shelf for each kind.
        #[derive(Default)]
        pub struct AllShelves { $( pub $field: Shelf<$kind>, )* }

        $(
            impl Watched for $kind {
                const KIND: Kind = Kind::$kind;

                fn shelf(shelves: &Shelves) -> &Shelf<Self> {
                    &shelves.$field
                }

                fn probe(client: &Client) -> Api<Self> {
                    let probe: fn(&Client) -> Api<Self> = $probe;
                    probe(client)
                }
            }
        )*

        /// A task for each kind.
        pub fn follow_all(client: &Client, hub: &Arc<Hub>, tasks: &mut JoinSet<()>) {
            $( tasks.spawn(follow::follow::<$kind>(client.clone(), hub.clone())); )*
        }
    };
}

fn everywhere<K: Resource<DynamicType = ()>>(client: &Client) -> Api<K> {
    Api::all(client.clone())
}

/// One namespace, so that the API server reads one key instead of all.
fn in_default<K>(client: &Client) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), "default")
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
