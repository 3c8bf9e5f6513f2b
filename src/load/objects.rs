//! The objects of a cluster as it is now: one list of each kind.

use super::api_error::ApiError;
use super::error::LoadError;
use super::notice::{Notice, NoticeSink};
use crate::inventory::{ImageScan, Objects};
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectList};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// Objects per page: an API server holds a whole page in memory.
const PAGE: u32 = 500;
/// Scans are large: hundreds of vulnerabilities each.
const SCANS_PAGE: u32 = 50;

/// How often a request is repeated while the API server is overloaded.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// One page of a list. An API server that is overloaded, or has just learned of a resource, answers 429; the
/// request is then repeated a little later.
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
            page => return page,
        }
    }
}

/// Lists everything that an inventory is built from, in all namespaces. Pods, namespaces and NetworkPolicies are
/// required; other kinds that may not be listed are left out, with a notice.
///
/// # Errors
/// No answer, or no right to list what is required.
pub async fn list_objects(client: &Client, notices: &dyn NoticeSink) -> Result<Objects, LoadError> {
    let lists = Lists { client, notices };
    Ok(Objects {
        namespaces: lists.required().await?,
        pods: lists.required().await?,
        network_policies: lists.required().await?,
        services: lists.optional().await?,
        endpoint_slices: lists.optional().await?,
        nodes: lists.optional().await?,
        deployments: lists.optional().await?,
        replica_sets: lists.optional().await?,
        replication_controllers: lists.optional().await?,
        stateful_sets: lists.optional().await?,
        daemon_sets: lists.optional().await?,
        jobs: lists.optional().await?,
        cron_jobs: lists.optional().await?,
        snapshots: 1,
        ..Objects::default()
    })
}

/// Where trivy-operator keeps its scans.
pub fn scans_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("aquasecurity.github.io", "v1alpha1", "VulnerabilityReport");
    ApiResource::from_gvk(&kind)
}

/// The scans of trivy-operator, where it is installed and they may be listed.
///
/// # Errors
/// The API server does not answer.
pub async fn list_scans(
    client: &Client,
    notices: &dyn NoticeSink,
) -> Result<Vec<ImageScan>, ApiError> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &scans_resource());
    let mut scans = Vec::new();
    let mut params = ListParams::default().limit(SCANS_PAGE);
    loop {
        let page = match list_page(&api, &params).await {
            // It is not installed.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(scans),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                notices.report(Notice::MayNotList {
                    plural: "vulnerabilityreports".into(),
                    message: status.message,
                });
                return Ok(scans);
            }
            other => other.map_err(|error| ApiError::new(error, "list vulnerabilityreports"))?,
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

/// Lists of all namespaces.
struct Lists<'a> {
    client: &'a Client,
    notices: &'a dyn NoticeSink,
}

impl Lists<'_> {
    async fn required<K>(&self) -> Result<Vec<K>, ApiError>
    where
        K: Resource<DynamicType = ()>
            + Metadata<Ty = ObjectMeta>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.all(|what, message| Err(ApiError::ForbiddenCluster { what, message }))
            .await
    }

    async fn optional<K>(&self) -> Result<Vec<K>, ApiError>
    where
        K: Resource<DynamicType = ()>
            + Metadata<Ty = ObjectMeta>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.all(|_, message| {
            self.notices.report(Notice::MayNotList {
                plural: <K as Resource>::plural(&()).into_owned(),
                message,
            });
            Ok(Vec::new())
        })
        .await
    }

    /// All pages. `forbidden` decides what becomes of a list that is not permitted.
    async fn all<K>(
        &self,
        forbidden: impl FnOnce(String, String) -> Result<Vec<K>, ApiError>,
    ) -> Result<Vec<K>, ApiError>
    where
        K: Resource<DynamicType = ()>
            + Metadata<Ty = ObjectMeta>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let what = format!("list {}", <K as Resource>::plural(&()));
        let api: Api<K> = Api::all(self.client.clone());
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match list_page(&api, &params).await {
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return forbidden(what, status.message);
                }
                other => other.map_err(|error| ApiError::new(error, what.clone()))?,
            };
            items.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(items),
            }
        }
    }
}
