//! Takes a snapshot: one kind after the other.

use super::content::{Item, Listed, Snapshot, now};
use super::error::{Missing, SnapshotError};
use super::gap;
use super::kinds::{self, SnapshotKind};
use super::list::{self, ListError};
use super::owners::OwnerRefs;
use super::reduce;
use crate::inventory::kubernetes::ConfigMap;
use kube::core::DynamicObject;
use kube::discovery::Discovery;
use kube::{Api, Client};
use std::collections::BTreeSet;

impl Snapshot {
    /// Takes a snapshot of these namespaces and of what is not in a namespace; of all, if none is named.
    ///
    /// # Errors
    /// The API server does not answer, a namespace does not exist, or pods may not be listed.
    pub async fn take(client: &Client, namespaces: &[String]) -> Result<Snapshot, SnapshotError> {
        let mut taker = Taker {
            client,
            namespaces,
            snapshot: Snapshot {
                taken_at: now(),
                namespaces: namespaces.to_vec(),
                items: Vec::new(),
                missing: Vec::new(),
                listed: Vec::new(),
            },
            owners: OwnerRefs::default(),
            services: BTreeSet::new(),
        };
        for kind in kinds::built_in() {
            taker.required(&kind).await?;
        }
        taker.api_server_service().await;
        taker.network_plugin().await;
        taker.endpoints().await?;
        taker.custom().await;
        let mut snapshot = taker.snapshot;
        let mut gaps = gap::items(&snapshot);
        snapshot.items.append(&mut gaps);
        Ok(snapshot)
    }
}

struct Taker<'a> {
    client: &'a Client,
    namespaces: &'a [String],
    snapshot: Snapshot,
    owners: OwnerRefs,
    /// Services (namespace, name) of which no EndpointSlice was seen yet.
    services: BTreeSet<(String, String)>,
}

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl Taker<'_> {
    /// A kind that every cluster has.
    async fn required(&mut self, kind: &SnapshotKind) -> Result<(), SnapshotError> {
        for namespace in self.places(kind) {
            match self.list(kind, namespace.as_deref(), |_| true).await {
                Ok(()) => {}
                Err(ListError::Failed(message)) => {
                    return Err(SnapshotError::failed(kind, message));
                }
                Err(ListError::Forbidden(message)) if kind.is("Pod", "") => {
                    return Err(SnapshotError::forbidden(namespace, message));
                }
                Err(why) => self.lacks(kind, namespace, why),
            }
        }
        if kind.is("Namespace", "") {
            self.named_namespaces().await?;
        }
        Ok(())
    }

    fn places(&self, kind: &SnapshotKind) -> Vec<Option<String>> {
        if self.namespaces.is_empty() || !kind.is_namespaced {
            vec![None]
        } else {
            self.namespaces.iter().cloned().map(Some).collect()
        }
    }

    fn lacks(&mut self, kind: &SnapshotKind, namespace: Option<String>, why: ListError) {
        self.snapshot.missing.push(Missing {
            kind: kind.name(),
            namespace,
            why,
            meaning: kind.meaning,
        });
    }

    /// Adds the objects of one kind in one place, as far as they are wanted.
    async fn list(
        &mut self,
        kind: &SnapshotKind,
        namespace: Option<&str>,
        wanted: impl Fn(&Item) -> bool,
    ) -> Result<(), ListError> {
        let api = api(self.client, kind, namespace);
        let (owners, services) = (&mut self.owners, &mut self.services);
        let mut items: Vec<Item> = Vec::new();
        let version = list::list(
            &api,
            kind.is_metadata,
            &mut items,
            Vec::clear,
            |items, object| {
                note_service(kind, &object, services);
                let what = format!("{} {}", kind.resource.kind, name_of(&object));
                let small = reduce::reduced(object, &kind.resource, kind.reduce);
                let small = match small {
                    Ok(small) => small,
                    // It stops nothing else (rule: malformed-object-is-a-finding).
                    Err(error) => {
                        items.push(gap::unread(&what, &error.to_string()));
                        return Ok(());
                    }
                };
                let item = Item::new(&small);
                if wanted(&item) {
                    owners.note(&small);
                    items.push(item);
                }
                Ok(())
            },
        )
        .await?;
        items.sort();
        self.snapshot.items.append(&mut items);
        self.snapshot.listed.push(Listed {
            kind: kind.clone(),
            namespace: namespace.map(str::to_owned),
            version,
        });
        Ok(())
    }

    /// Namespaces that are named exist, and where they may not be listed each of them is read.
    async fn named_namespaces(&mut self) -> Result<(), SnapshotError> {
        let Some(kind) = kinds::built_in()
            .into_iter()
            .find(|k| k.is("Namespace", ""))
        else {
            return Ok(());
        };
        let is_listed = self
            .snapshot
            .listed
            .iter()
            .any(|l| l.kind.is("Namespace", ""));
        let mut all = 0;
        for namespace in self.namespaces {
            if is_listed {
                let mut items = self.snapshot.items.iter();
                let is_there = |item: &Item| item.namespace.is_empty() && item.name == *namespace;
                if !items.any(is_there) {
                    return Err(SnapshotError::NoNamespace(namespace.clone()));
                }
                continue;
            }
            let api = api(self.client, &kind, None);
            match api.get_opt(namespace).await {
                Ok(None) => return Err(SnapshotError::NoNamespace(namespace.clone())),
                Ok(Some(object)) => {
                    let small = reduce::reduced(object, &kind.resource, kind.reduce);
                    let small = small.map_err(|e| SnapshotError::failed(&kind, e.to_string()))?;
                    self.snapshot.items.push(Item::new(&small));
                    all += 1;
                }
                Err(_) => {}
            }
        }
        if !is_listed && all > 0 && all == self.namespaces.len() {
            // Those that were asked for are there.
            self.snapshot
                .missing
                .retain(|missing| missing.kind != kind.name());
        }
        Ok(())
    }

    /// The Service of the API server, of which every pod may be a client, and its endpoints; if they may be read.
    async fn api_server_service(&mut self) {
        const PLACE: (&str, &str) = ("default", "kubernetes");
        if self.namespaces.is_empty() || self.namespaces.iter().any(|one| one == PLACE.0) {
            return;
        }
        let built_in = kinds::built_in();
        let kinds = built_in
            .iter()
            .filter(|k| k.is("Service", "") || k.is("EndpointSlice", "discovery.k8s.io"));
        for kind in kinds {
            let listed = self.snapshot.listed.len();
            let is_its = |item: &Item| item.name == PLACE.1 || item.name.starts_with("kubernetes-");
            let read = self.list(kind, Some(PLACE.0), is_its).await;
            self.snapshot.listed.truncate(listed);
            if let Err(why) = read {
                self.lacks(kind, Some(PLACE.0.to_owned()), why);
            }
        }
    }

    /// What shows which network plugin enforces policies, and with which options: its DaemonSets, where only other
    /// namespaces are asked for, and its ConfigMaps by their names, as far as they may be read.
    async fn network_plugin(&mut self) {
        const SYSTEM: &str = "kube-system";
        if !self.namespaces.is_empty() && !self.namespaces.iter().any(|one| one == SYSTEM) {
            let built_in = kinds::built_in();
            let kind = built_in.iter().find(|k| k.is("DaemonSet", "apps"));
            let listed = self.snapshot.listed.len();
            if let Some(kind) = kind
                && let Err(why) = self.list(kind, Some(SYSTEM), |_| true).await
            {
                self.lacks(kind, Some(SYSTEM.to_owned()), why);
            }
            self.snapshot.listed.truncate(listed);
        }
        let kind = kinds::config_maps();
        let api = api(self.client, &kind, Some(SYSTEM));
        for name in ConfigMap::NAMES {
            match api.get_opt(name).await {
                Ok(None) => {}
                Ok(Some(object)) => {
                    let small = reduce::reduced(object, &kind.resource, kind.reduce);
                    self.snapshot.items.push(match small {
                        Ok(small) => Item::new(&small),
                        Err(error) => gap::unread(&format!("ConfigMap {name}"), &error.to_string()),
                    });
                }
                Err(error) => {
                    let why = ListError::new(&error);
                    self.lacks(&kind, Some(SYSTEM.to_owned()), why);
                    return;
                }
            }
        }
    }

    /// Endpoints of Services without EndpointSlices.
    async fn endpoints(&mut self) -> Result<(), SnapshotError> {
        if self.services.is_empty() {
            return Ok(());
        }
        let kind = kinds::endpoints();
        let lacking = std::mem::take(&mut self.services);
        for namespace in self.places(&kind) {
            let is_lacking =
                |item: &Item| lacking.contains(&(item.namespace.clone(), item.name.clone()));
            if let Err(why) = self.list(&kind, namespace.as_deref(), is_lacking).await {
                self.lacks(&kind, namespace, why);
            }
        }
        Ok(())
    }

    /// The kinds that a cluster may have or not, and the custom owners of pods.
    async fn custom(&mut self) {
        let discovery = match self.discover().await {
            Ok(discovery) => discovery,
            Err(error) => {
                self.snapshot.missing.push(Missing {
                    kind: "custom resources".into(),
                    namespace: None,
                    why: ListError::new(&error),
                    meaning: "other policies, CiliumNodes, ServiceCIDRs and custom owners of pods are not known",
                });
                return;
            }
        };
        for kind in kinds::optional(&discovery) {
            self.optional(&kind, |_| true).await;
        }
        // An owner of an owner may be of another kind.
        const DEPTH: usize = 8;
        for _ in 0..DEPTH {
            let wanted = self.owners.take();
            if wanted.is_empty() {
                break;
            }
            for (kind, names) in wanted.kinds(&discovery) {
                let is_owner =
                    |item: &Item| names.contains(&(item.namespace.clone(), item.name.clone()));
                self.optional(&kind, is_owner).await;
            }
        }
    }

    async fn optional(&mut self, kind: &SnapshotKind, wanted: impl Fn(&Item) -> bool) {
        for namespace in self.places(kind) {
            match self.list(kind, namespace.as_deref(), &wanted).await {
                // It was there a moment ago.
                Ok(()) | Err(ListError::Unknown) => {}
                Err(why) => self.lacks(kind, namespace, why),
            }
        }
    }

    /// Which groups there are: in one request, or group by group from an API server that is older than 1.26.
    async fn discover(&self) -> kube::Result<Discovery> {
        let aggregated = Discovery::new(self.client.clone()).run_aggregated().await;
        let Err(error) = aggregated else {
            return aggregated;
        };
        if matches!(&error, kube::Error::Api(status) if status.code == 403) {
            return Err(error);
        }
        let groups = self.owners.groups();
        let mut groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        groups.extend(kinds::GROUPS);
        Discovery::new(self.client.clone())
            .filter(&groups)
            .run()
            .await
    }
}

pub fn api(client: &Client, kind: &SnapshotKind, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource),
        None => Api::all_with(client.clone(), &kind.resource),
    }
}

fn name_of(object: &DynamicObject) -> String {
    let metadata = &object.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    match metadata.namespace.as_deref() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// Remembers Services, until an EndpointSlice of theirs is seen.
fn note_service(
    kind: &SnapshotKind,
    object: &DynamicObject,
    services: &mut BTreeSet<(String, String)>,
) {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    if kind.is("Service", "") {
        // An ExternalName is a name and has no endpoints.
        if object.data["spec"]["type"] != "ExternalName" {
            services.insert((namespace, object.metadata.name.clone().unwrap_or_default()));
        }
    } else if kind.is("EndpointSlice", "discovery.k8s.io") {
        let labels = object.metadata.labels.as_ref();
        if let Some(name) = labels.and_then(|labels| labels.get(SERVICE_NAME)) {
            services.remove(&(namespace, name.clone()));
        }
    }
}
