//! The cluster as it is now: one list of each kind, for commands that judge policies over pods.

use super::{Access, explain};
use crate::inventory::{ImageScan, Objects};
use anyhow::bail;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectList};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// Objects per answer: an API server holds a whole answer in memory.
const PAGE: u32 = 500;
/// Scans are large: hundreds of vulnerabilities each.
const SCANS_PAGE: u32 = 50;

/// How often an API server is asked again that has too much to do.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// One page of a list. An API server that has too much to do, or has just learned of a resource, says so (429)
/// and is asked again a little later.
///
/// # Errors
/// As of the API server.
pub async fn list_page<K>(api: &Api<K>, params: &ListParams) -> kube::Result<ObjectList<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut tries = 0;
    loop {
        match api.list(params).await {
            Err(kube::Error::Api(status)) if status.code == 429 && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Lists everything that an inventory is built from, in all namespaces. Pods, namespaces and
/// NetworkPolicies are needed; what else may not be read is left out, with a note on stderr.
///
/// # Errors
/// No answer, or no right to list what is needed.
pub fn list_objects(access: &Access) -> anyhow::Result<Objects> {
    access.wait(list_objects_now(&access.client))
}

/// [`list_objects`] where a runtime runs already.
///
/// # Errors
/// As there.
pub async fn list_objects_now(client: &Client) -> anyhow::Result<Objects> {
    Ok(Objects {
        namespaces: list(client, true).await?,
        pods: list(client, true).await?,
        network_policies: list(client, true).await?,
        services: list(client, false).await?,
        endpoint_slices: list(client, false).await?,
        nodes: list(client, false).await?,
        deployments: list(client, false).await?,
        replica_sets: list(client, false).await?,
        replication_controllers: list(client, false).await?,
        stateful_sets: list(client, false).await?,
        daemon_sets: list(client, false).await?,
        jobs: list(client, false).await?,
        cron_jobs: list(client, false).await?,
        snapshots: 1,
        ..Objects::default()
    })
}

/// Where trivy-operator keeps its scans.
pub fn scans_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("aquasecurity.github.io", "v1alpha1", "VulnerabilityReport");
    ApiResource::from_gvk(&kind)
}

/// The scans of trivy-operator, where it is installed and may be read.
///
/// # Errors
/// The API server does not answer.
pub async fn list_scans(client: &Client) -> anyhow::Result<Vec<ImageScan>> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &scans_resource());
    let mut scans = Vec::new();
    let mut params = ListParams::default().limit(SCANS_PAGE);
    loop {
        let page = match list_page(&api, &params).await {
            // It is not installed.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(scans),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                eprintln!("note: left out vulnerabilityreports: {}", status.message);
                return Ok(scans);
            }
            other => other.map_err(|error| explain(error, "list vulnerabilityreports"))?,
        };
        scans.extend(
            page.items
                .iter()
                .filter_map(|one| ImageScan::of_object(&one.data)),
        );
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(scans),
        }
    }
}

async fn list<K>(client: &Client, needed: bool) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Metadata<Ty = ObjectMeta> + Clone + DeserializeOwned + Debug,
{
    let what = format!("list {}", <K as Resource>::plural(&()));
    let api: Api<K> = Api::all(client.clone());
    let mut items = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match list_page(&api, &params).await {
            Err(kube::Error::Api(status)) if status.code == 403 && !needed => {
                eprintln!(
                    "note: left out {}: {}",
                    <K as Resource>::plural(&()),
                    status.message
                );
                return Ok(Vec::new());
            }
            // The roles of nanoseg do not give this: it is the whole cluster's.
            Err(kube::Error::Api(status)) if status.code == 403 => bail!(
                "failed to {what}: not permitted: {}; what policies allow depends on the pods, namespaces and \
                 NetworkPolicies of the whole cluster: ask for the right to list them, or for a snapshot to give with --cluster",
                status.message
            ),
            other => other.map_err(|error| explain(error, &what))?,
        };
        items.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(items),
        }
    }
}
