//! The kinds that own pods: how they select them and what they make them from.

use super::{PodTemplateSpec, known_as, null_as_default, small_metadata};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! kinds {
    ($($kind:ident $spec:ty;)*) => { $(
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct $kind {
            #[serde(default, deserialize_with = "small_metadata")]
            pub metadata: ObjectMeta,
            #[serde(default, deserialize_with = "null_as_default")]
            pub spec: $spec,
        }
    )* };
}

kinds! {
    Deployment WorkloadSpec;
    StatefulSet WorkloadSpec;
    DaemonSet WorkloadSpec;
    ReplicaSet ReplicaSetSpec;
    ReplicationController Option<ReplicationControllerSpec>;
    Job Option<JobSpec>;
    CronJob CronJobSpec;
}

/// The specification of a Deployment, StatefulSet or DaemonSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    #[serde(default, deserialize_with = "null_as_default")]
    pub selector: LabelSelector,
    #[serde(default, deserialize_with = "null_as_default")]
    pub template: PodTemplateSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSetSpec {
    #[serde(default, deserialize_with = "null_as_default")]
    pub selector: LabelSelector,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplateSpec>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicationControllerSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplateSpec>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub template: PodTemplateSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronJobSpec {
    #[serde(default, deserialize_with = "null_as_default")]
    pub job_template: JobTemplateSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobTemplateSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<JobSpec>,
}

known_as! {
    Deployment k8s_openapi::api::apps::v1::Deployment;
    StatefulSet k8s_openapi::api::apps::v1::StatefulSet;
    DaemonSet k8s_openapi::api::apps::v1::DaemonSet;
    ReplicaSet k8s_openapi::api::apps::v1::ReplicaSet;
    ReplicationController k8s_openapi::api::core::v1::ReplicationController;
    Job k8s_openapi::api::batch::v1::Job;
    CronJob k8s_openapi::api::batch::v1::CronJob;
}
