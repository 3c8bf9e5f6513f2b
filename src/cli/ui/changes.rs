//! What changes in a cluster, and what of it makes another page.

use crate::cli::access::scans_resource;
use crate::cli::published::Published;
use crate::inventory::kubernetes::Pod;
use crate::report::graph::PUBLISHED_GRAPH;
use crate::review::record::PUBLISHED;
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use futures_util::stream::{BoxStream, select_all};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
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

/// Of whatever kind, only that it changed: one type for all of them, so that one watcher is compiled.
type Watched = PartialObjectMeta<DynamicObject>;

/// Returns a change for everything that a look would show, or an error for a watch that broke.
pub fn changes(
    client: &Client,
    controller_namespace: &str,
) -> impl Stream<Item = Result<Change, watcher::Error>> + Unpin + use<> {
    // That what is published may not be read is on the page.
    let published = |name: &str, change: Change| {
        let resource = ApiResource::erase::<ConfigMap>(&());
        let api = Api::namespaced_with(client.clone(), controller_namespace, &resource);
        // Only of that name: a role gives no more.
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        events(api, only)
            .filter_map(move |event| ready(event.ok().map(|()| Ok(change))))
            .boxed()
    };
    let scans = Api::all_with(client.clone(), &scans_resource());
    select_all([
        changes_of::<PolicyProposal>(client, Change::Decisions),
        changes_of::<ProposalDecision>(client, Change::Decisions),
        changes_of::<NetworkPolicy>(client, Change::Decisions),
        changes_of::<Segmentation>(client, Change::Cluster),
        changes_of::<Pod>(client, Change::Cluster),
        published(PUBLISHED, Change::Decisions),
        published(PUBLISHED_GRAPH, Change::Cluster),
        // trivy-operator may not be installed, or may be later; a role may give less than ours.
        events(scans, watcher::Config::default())
            .map(|event| {
                Ok(match event {
                    Ok(()) => Change::Scans,
                    Err(_) => Change::ScansUnseen,
                })
            })
            .boxed(),
    ])
}

fn changes_of<K: Resource<DynamicType = ()>>(
    client: &Client,
    change: Change,
) -> BoxStream<'static, Result<Change, watcher::Error>> {
    let api = Api::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    events(api, watcher::Config::default())
        .map(move |event| event.map(|()| change))
        .boxed()
}

fn events(
    api: Api<Watched>,
    config: watcher::Config,
) -> BoxStream<'static, Result<(), watcher::Error>> {
    let events = watcher(api, config).default_backoff();
    events.map(|event| event.map(|_| ())).boxed()
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
