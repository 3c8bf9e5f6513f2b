//! The Kubernetes objects that the inventory reads, with the fields that it reads, under the names of the API.
//!
//! They stand here beside the types of `k8s-openapi`, which have every field there is: an object of a thousand
//! pods is a tenth as large in memory, what is not read cannot look like a change in a watch (readiness,
//! restarts and heart-beats are most updates), and the code that reads a kind is a tenth as long, once for each
//! deserializer. `NetworkPolicy` is no part of this: it is evaluated and written whole.
//!
//! As in `k8s-openapi`, a field that is absent or `null` is empty, and `apiVersion` and `kind` are not read: who
//! asks for a kind knows it.

mod config_map;
mod node;
mod pod;
mod service;
mod workload;

pub use config_map::ConfigMap;
pub use node::{
    AddressPair, CiliumIpam, CiliumNode, CiliumNodeAddress, CiliumNodeSpec, ListedNode, Namespace,
    Node, NodeAddress, NodeSpec, NodeStatus,
};
pub use pod::{
    Capabilities, Container, ContainerPort, ContainerState, ContainerStateRunning,
    ContainerStateTerminated, ContainerStatus, FLAGS, HostIp, Pod, PodCondition, PodIp, PodSpec,
    PodStatus, PodTemplateSpec, SecurityContext,
};
pub use service::{
    Endpoint, EndpointAddress, EndpointConditions, EndpointPort, EndpointSlice, EndpointSubset,
    Endpoints, LoadBalancerIngress, LoadBalancerStatus, ObjectReference, Service, ServiceCidr,
    ServiceCidrSpec, ServicePort, ServiceSpec, ServiceStatus,
};
pub use workload::{
    CronJob, CronJobSpec, DaemonSet, Deployment, Job, JobSpec, JobTemplateSpec, ReplicaSet,
    ReplicaSetSpec, ReplicationController, ReplicationControllerSpec, StatefulSet, WorkloadSpec,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};

/// The annotation in which kubectl keeps what was applied last: the object once more.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Removes kubectl's copy of the object.
pub fn drop_last_applied(metadata: &mut ObjectMeta) {
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Metadata without managed fields and without kubectl's copy of the object.
fn small_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut metadata = ObjectMeta::deserialize(deserializer)?;
    metadata.managed_fields = None;
    drop_last_applied(&mut metadata);
    Ok(metadata)
}

/// Metadata with managed fields, which show the program that wrote an annotation, and without kubectl's copy.
fn managed_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut metadata = ObjectMeta::deserialize(deserializer)?;
    drop_last_applied(&mut metadata);
    Ok(metadata)
}

/// [`small_metadata`] of a pod template, which may have none.
fn small_template_metadata<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ObjectMeta>, D::Error> {
    let mut metadata = Option::<ObjectMeta>::deserialize(deserializer)?;
    if let Some(metadata) = &mut metadata {
        metadata.managed_fields = None;
        drop_last_applied(metadata);
    }
    Ok(metadata)
}

/// The default where the value is `null`, as the API server reads it.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An object in JSON.
pub enum Json<'a> {
    Value(serde_json::Value),
    Text(&'a str),
}

impl Json<'_> {
    /// # Errors
    /// The text is no JSON.
    pub fn value(self) -> Result<serde_json::Value, serde_json::Error> {
        match self {
            Json::Value(value) => Ok(value),
            Json::Text(text) => serde_json::from_str(text),
        }
    }
}

/// A kind that is read from JSON. For the kinds of this crate that is compiled here, once, and not in each crate that
/// reads them.
pub trait FromJson: Sized {
    /// # Errors
    /// A field of it has the wrong type.
    fn from_json(object: Json<'_>) -> Result<Self, serde_json::Error>;
}

/// A kind that is written as it is read: what no field of its type holds is left out.
pub trait SmallJson {
    /// # Errors
    /// A field of it has the wrong type.
    fn small_json(object: serde_json::Value) -> Result<serde_json::Value, serde_json::Error>;
}

macro_rules! from_json {
    ($($kind:ty)*) => { $(
        impl FromJson for $kind {
            #[inline(never)]
            fn from_json(object: Json<'_>) -> Result<Self, serde_json::Error> {
                match object {
                    Json::Value(value) => serde_json::from_value(value),
                    Json::Text(text) => serde_json::from_str(text),
                }
            }
        }
    )* };
}

macro_rules! json {
    ($($kind:ty)*) => {
        from_json! { $($kind)* }
        $(
            impl SmallJson for $kind {
                #[inline(never)]
                fn small_json(
                    object: serde_json::Value,
                ) -> Result<serde_json::Value, serde_json::Error> {
                    serde_json::to_value(Self::from_json(Json::Value(object))?)
                }
            }
        )*
    };
}

from_json! { ListedNode super::SnapshotGap }
json! {
    ConfigMap Namespace Node Pod Service EndpointSlice Endpoints ServiceCidr CiliumNode Deployment ReplicaSet StatefulSet DaemonSet
    Job CronJob ReplicationController k8s_openapi::api::networking::v1::NetworkPolicy
}

/// Implements the traits by which a client knows a kind, with the facts that `k8s-openapi` has of it.
macro_rules! known_as {
    ($($kind:ident $known:ty;)*) => { $(
        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = <$known as k8s_openapi::Resource>::API_VERSION;
            const GROUP: &'static str = <$known as k8s_openapi::Resource>::GROUP;
            const KIND: &'static str = <$known as k8s_openapi::Resource>::KIND;
            const VERSION: &'static str = <$known as k8s_openapi::Resource>::VERSION;
            const URL_PATH_SEGMENT: &'static str =
                <$known as k8s_openapi::Resource>::URL_PATH_SEGMENT;
            type Scope = <$known as k8s_openapi::Resource>::Scope;
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = ObjectMeta;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    )* };
}

use known_as;
