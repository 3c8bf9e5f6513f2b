//! What changes in a cluster, and what of it makes another page.

use crate::cli::access::scans_resource;
use crate::cli::published::Published;
use crate::record::PUBLISHED;
use crate::report::graph::PUBLISHED_GRAPH;
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use futures_util::stream::{BoxStream, select_all};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// What is decided about, and what was decided.
    Decisions,
    /// Pods and Segmentations, whose status changes all the time, and the graph.
    Cluster,
    Scans,
    /// Scans cannot be watched: they may change unseen.
    ScansUnseen,
}

/// Word of everything that a look would show, or of a watch that broke.
pub fn changes(
    client: &Client,
    controller_namespace: &str,
) -> impl Stream<Item = Result<Change, watcher::Error>> + Unpin + use<> {
    let settings = watcher::Config::default;
    // That what is published may not be read is on the page.
    let published = |name: &str, change: Change| {
        watcher(
            Api::<PartialObjectMeta<ConfigMap>>::namespaced(client.clone(), controller_namespace),
            // Only of that name: a role gives no more.
            settings().fields(&format!("metadata.name={name}")),
        )
        .default_backoff()
        .filter_map(move |event| ready(event.ok().map(|_| Ok(change))))
        .boxed()
    };
    let scans = watcher(
        Api::<PartialObjectMeta<DynamicObject>>::all_with(client.clone(), &scans_resource()),
        settings(),
    );
    select_all([
        changes_of::<PolicyProposal>(client, Change::Decisions),
        changes_of::<ProposalDecision>(client, Change::Decisions),
        changes_of::<NetworkPolicy>(client, Change::Decisions),
        changes_of::<PartialObjectMeta<Segmentation>>(client, Change::Cluster),
        changes_of::<PartialObjectMeta<Pod>>(client, Change::Cluster),
        published(PUBLISHED, Change::Decisions),
        published(PUBLISHED_GRAPH, Change::Cluster),
        // trivy-operator may not be installed, or may be later; a role may give less than ours.
        scans
            .default_backoff()
            .map(|event| {
                Ok(match event {
                    Ok(_) => Change::Scans,
                    Err(_) => Change::ScansUnseen,
                })
            })
            .boxed(),
    ])
}

fn changes_of<K>(
    client: &Client,
    change: Change,
) -> BoxStream<'static, Result<Change, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default());
    let events = events.default_backoff();
    events.map(move |event| event.map(|_| change)).boxed()
}

/// What was looked at, as far as it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Of policies, proposals, decisions and what is published.
    pub versions: Vec<(Option<String>, Option<String>)>,
    /// Of the pods what is shown of them: their status has more, which changes all the time.
    pub pods: Vec<u64>,
    /// Of Segmentations: their status is not shown.
    pub generations: Vec<(Option<String>, Option<i64>)>,
    /// How often other scans were found than before.
    pub scans: u64,
}

pub fn versions<'a, K: ResourceExt + 'a>(
    objects: impl IntoIterator<Item = &'a K>,
) -> impl Iterator<Item = (Option<String>, Option<String>)> {
    let objects = objects.into_iter();
    objects.map(|one| (one.uid(), one.resource_version()))
}

/// What is shown of a pod.
pub fn digest(pod: &Pod) -> u64 {
    let mut hasher = DefaultHasher::new();
    (pod.uid(), pod.labels()).hash(&mut hasher);
    if let Some(status) = &pod.status {
        let ips = status.pod_ips.iter().flatten().map(|one| &one.ip);
        let images = status.container_statuses.iter().flatten();
        let images = images.map(|one| &one.image_id);
        let lists: (Vec<_>, Vec<_>) = (ips.collect(), images.collect());
        (&status.phase, lists).hash(&mut hasher);
    }
    hasher.finish()
}

/// Of the part of the record that the controller publishes.
pub fn published_version(published: Option<&Published>) -> (Option<String>, Option<String>) {
    match published {
        Some(Published::Part { version, .. }) => (None, version.clone()),
        Some(Published::Refused(why)) => (Some(why.clone()), None),
        Some(Published::Absent) | None => (None, None),
    }
}
