//! The objects of a cluster as it is now: one list of each kind.

use super::api_error::ApiError;
use super::error::LoadError;
use super::notice::{Notice, NoticeSink};
use crate::cluster::live::{list_page, typed};
use crate::inventory::kubernetes::FromJson;
use crate::inventory::{ImageScan, Objects};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, Resource};

/// Objects per page: an API server holds a whole page in memory.
const PAGE: u32 = 500;
/// Scans are large: hundreds of vulnerabilities each.
const SCANS_PAGE: u32 = 50;

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
        let page = match list_page(&api, false, &params).await {
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
        K: Resource<DynamicType = ()> + FromJson,
    {
        let resource = ApiResource::erase::<K>(&());
        match self.all(&resource).await? {
            Listed::Objects(objects) => in_their_type(objects, &resource),
            Listed::Forbidden(message) => Err(ApiError::ForbiddenCluster {
                what: list_of(&resource),
                message,
            }),
        }
    }

    async fn optional<K>(&self) -> Result<Vec<K>, ApiError>
    where
        K: Resource<DynamicType = ()> + FromJson,
    {
        let resource = ApiResource::erase::<K>(&());
        match self.all(&resource).await? {
            Listed::Objects(objects) => in_their_type(objects, &resource),
            Listed::Forbidden(message) => {
                let plural = resource.plural;
                self.notices.report(Notice::MayNotList { plural, message });
                Ok(Vec::new())
            }
        }
    }

    /// All pages of one kind, as dynamic objects: this is compiled once for all kinds.
    async fn all(&self, resource: &ApiResource) -> Result<Listed, ApiError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match list_page(&api, false, &params).await {
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Ok(Listed::Forbidden(status.message));
                }
                other => other.map_err(|error| ApiError::new(error, list_of(resource)))?,
            };
            items.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(Listed::Objects(items)),
            }
        }
    }
}

/// The objects of a kind, or why they may not be listed.
enum Listed {
    Objects(Vec<DynamicObject>),
    Forbidden(String),
}

fn list_of(resource: &ApiResource) -> String {
    format!("list {}", resource.plural)
}

/// The objects in the type of their kind.
pub fn in_their_type<K>(
    objects: Vec<DynamicObject>,
    resource: &ApiResource,
) -> Result<Vec<K>, ApiError>
where
    K: Resource<DynamicType = ()> + FromJson,
{
    let objects: Result<Vec<K>, serde_json::Error> = objects.into_iter().map(typed).collect();
    objects.map_err(|error| ApiError::new(kube::Error::SerdeError(error), list_of(resource)))
}
