//! What changes in a cluster, and which changes need a new view.

use crate::inventory::WorkloadId;
use crate::inventory::kubernetes::Pod;
use crate::load::objects::scans_resource;
use crate::load::published::Published;
use crate::record::PUBLISHED;
use crate::report::graph::PUBLISHED_GRAPH;
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
use std::collections::BTreeMap;
use std::future::ready;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageChange {
    /// Proposals, decisions, policies and the record.
    Decisions,
    /// The graph, and pods and Segmentations, whose status changes all the time.
    Cluster,
    Scans,
    /// Scans cannot be watched: they may change without an event.
    ScansUnseen,
}

/// An object of any kind, of which only its change matters: one type for all kinds, so that one watcher is compiled.
type Watched = PartialObjectMeta<DynamicObject>;

/// A stream of the changes that the page would show, and of watches that broke.
pub fn changes(
    client: &Client,
    controller_namespace: &str,
) -> impl Stream<Item = Result<PageChange, watcher::Error>> + Unpin + use<> {
    // Errors are left out: when the user may not read the published objects, the page shows it in another place.
    let published = |name: &str, change: PageChange| {
        let resource = ApiResource::erase::<ConfigMap>(&());
        let api = Api::namespaced_with(client.clone(), controller_namespace, &resource);
        // Only this name: the role permits no more.
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        events(api, only)
            .filter_map(move |event| ready(event.ok().map(|()| Ok(change))))
            .boxed()
    };
    let scans = Api::all_with(client.clone(), &scans_resource());
    select_all([
        changes_of::<PolicyProposal>(client, PageChange::Decisions),
        changes_of::<ProposalDecision>(client, PageChange::Decisions),
        changes_of::<NetworkPolicy>(client, PageChange::Decisions),
        changes_of::<Segmentation>(client, PageChange::Cluster),
        changes_of::<Pod>(client, PageChange::Cluster),
        published(PUBLISHED, PageChange::Decisions),
        published(PUBLISHED_GRAPH, PageChange::Cluster),
        // trivy-operator may not be installed, or be installed later; a role may permit less than ours.
        events(scans, watcher::Config::default())
            .map(|event| {
                Ok(match event {
                    Ok(()) => PageChange::Scans,
                    Err(_) => PageChange::ScansUnseen,
                })
            })
            .boxed(),
    ])
}

fn changes_of<K: Resource<DynamicType = ()>>(
    client: &Client,
    change: PageChange,
) -> BoxStream<'static, Result<PageChange, watcher::Error>> {
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

/// The versions of what was read, as far as it is watched. The same fingerprint gives the same view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// UID and resource version of policies, proposals, decisions and what is published.
    pub versions: Vec<(Option<String>, Option<String>)>,
    /// Digests of what is shown of pods: the rest of their status changes all the time.
    pub pods: Vec<u64>,
    /// UID and generation of Segmentations, whose status changes all the time.
    pub generations: Vec<(Option<String>, Option<i64>)>,
    /// What is shown of their status.
    pub waiting: BTreeMap<WorkloadId, String>,
    /// The generation of the scans: see [`super::scans::Scans::read`].
    pub scans: u64,
}

/// UIDs and resource versions.
pub fn versions<'a, K: ResourceExt + 'a>(
    objects: impl IntoIterator<Item = &'a K>,
) -> impl Iterator<Item = (Option<String>, Option<String>)> {
    let objects = objects.into_iter();
    objects.map(|one| (one.uid(), one.resource_version()))
}

/// A digest of what is shown of a pod.
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

/// The version of the published part of the record.
pub fn published_version(published: Option<&Published>) -> (Option<String>, Option<String>) {
    match published {
        Some(Published::Part { version, .. }) => (None, version.clone()),
        Some(Published::Refused(why)) => (Some(why.clone()), None),
        Some(Published::Absent) | None => (None, None),
    }
}
