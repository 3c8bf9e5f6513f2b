//! The connection of a command to a cluster: a client, and the small runtime that it runs in.

use super::api_error::ApiError;
use super::error::LoadError;
use super::objects::in_their_type;
use crate::cluster::ConnectSettings;
use crate::cluster::live::{connect, list_page};
use crate::inventory::ObjectRemark;
use crate::inventory::kubernetes::FromJson;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};

/// A Kubernetes client for code that is not async.
pub struct BlockingClient {
    runtime: tokio::runtime::Runtime,
    pub client: Client,
    /// Which cluster it is, for people: `prod (https://203.0.113.1:6443)`.
    pub cluster: String,
    /// The namespace of the context.
    pub default_namespace: String,
}

impl BlockingClient {
    /// Reads the kubeconfig. No request is sent yet.
    ///
    /// # Errors
    /// As [`connect`].
    pub fn new(settings: &ConnectSettings) -> Result<BlockingClient, LoadError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LoadError::Runtime)?;
        let connection = runtime.block_on(connect(settings))?;
        Ok(BlockingClient {
            runtime,
            client: connection.client,
            cluster: connection.cluster,
            default_namespace: connection.namespace,
        })
    }

    /// Waits for a future.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The user name by which the API server knows the client; `None` if it does not return one, as before
    /// Kubernetes 1.28.
    ///
    /// # Errors
    /// As of the API server.
    pub fn user(&self) -> Result<Option<String>, ApiError> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        let review = self.block_on(api.create(&params, &review));
        let review = review.map_err(|error| ApiError::new(error, "ask who you are"))?;
        Ok(review.status.and_then(|status| status.user_info?.username))
    }

    /// All objects of a custom resource in one namespace, or in all (`None`), by namespace and name.
    ///
    /// # Errors
    /// As of the API server.
    pub fn list<K>(&self, namespace: Option<&str>) -> Result<Vec<K>, ApiError>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + FromJson,
    {
        let (client, resource) = (self.client.clone(), ApiResource::erase::<K>(&()));
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let (all, remarks) = self.block_on(list_sorted(api, &resource))?;
        for remark in remarks.iter().take(MOST_REMARKS) {
            tracing::warn!("{remark}");
        }
        Ok(all)
    }
}

/// The most objects that cannot be read and that are named.
const MOST_REMARKS: usize = 20;

/// All objects of a custom resource in all namespaces that can be read, by namespace and name, and what is wrong with the
/// others.
///
/// # Errors
/// As of the API server.
pub async fn list_everywhere<K>(client: &Client) -> Result<(Vec<K>, Vec<ObjectRemark>), ApiError>
where
    K: kube::Resource<DynamicType = ()> + FromJson,
{
    let resource = ApiResource::erase::<K>(&());
    let api = Api::all_with(client.clone(), &resource);
    list_sorted(api, &resource).await
}

async fn list_sorted<K>(
    api: Api<DynamicObject>,
    resource: &ApiResource,
) -> Result<(Vec<K>, Vec<ObjectRemark>), ApiError>
where
    K: kube::Resource<DynamicType = ()> + FromJson,
{
    let what = format!("list {}", resource.plural);
    let list = list_page(&api, false, &ListParams::default()).await;
    let mut items = list.map_err(|error| ApiError::new(error, what))?.items;
    items.sort_by_key(|item| (item.namespace(), item.name_any()));
    Ok(in_their_type(items, resource))
}
