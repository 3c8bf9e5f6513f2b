//! The way to a cluster for commands of operators: which cluster and as whom, which namespaces, and what an
//! answer of the API server means to a person.

mod list;

pub use list::{list_objects, list_objects_now, list_scans, scans_resource};

use crate::cluster::live::{ConnectSettings, connect};
use anyhow::{Context, anyhow};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::path::PathBuf;

/// Which cluster, and as whom; read as kubectl reads it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AccessArgs {
    /// The kubeconfig to use (default: KUBECONFIG, ~/.kube/config, the ServiceAccount of the pod).
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use (default: its current one).
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
}

impl AccessArgs {
    pub fn settings(&self) -> ConnectSettings {
        ConnectSettings {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        }
    }
}

/// Which namespaces to look at.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NamespaceArgs {
    /// The namespace (default: the one of the kubeconfig's context).
    #[arg(long, short, value_name = "NS")]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
}

/// One namespace.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NamespaceArg {
    /// The namespace (default: the one of the kubeconfig's context).
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
}

/// A connection, and the small runtime that it lives in.
pub struct Access {
    runtime: tokio::runtime::Runtime,
    pub client: Client,
    /// Which cluster it is, for people.
    pub cluster: String,
    /// The namespace of the context.
    pub default_namespace: String,
}

impl Access {
    /// Reads the kubeconfig. Nothing is asked of the cluster yet.
    pub fn open(args: &AccessArgs) -> anyhow::Result<Access> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start; is the process out of file descriptors?")?;
        let connection = runtime.block_on(connect(&args.settings()))?;
        Ok(Access {
            runtime,
            client: connection.client,
            cluster: connection.cluster,
            default_namespace: connection.namespace,
        })
    }

    /// Waits for an answer.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// As whom the API server knows us; `None` if it does not tell (before Kubernetes 1.28 it cannot).
    pub fn user(&self) -> Option<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let asked = SelfSubjectReview::default();
        let answer = self.wait(api.create(&PostParams::default(), &asked)).ok()?;
        answer.status?.user_info?.username
    }

    /// The namespace that is meant.
    pub fn namespace(&self, arg: &NamespaceArg) -> String {
        let named = arg.namespace.clone();
        named.unwrap_or_else(|| self.default_namespace.clone())
    }

    /// All objects of a custom resource in the namespaces that are meant, by namespace and name.
    pub fn list<K>(&self, scope: &NamespaceArgs) -> anyhow::Result<Vec<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = if scope.all_namespaces {
            Api::all(self.client.clone())
        } else {
            let named = scope.namespace.as_deref();
            Api::namespaced(
                self.client.clone(),
                named.unwrap_or(&self.default_namespace),
            )
        };
        self.wait(list_sorted(api))
    }
}

/// All objects of a custom resource in all namespaces, by namespace and name.
pub async fn list_everywhere<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    list_sorted(Api::all(client.clone())).await
}

async fn list_sorted<K>(api: Api<K>) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = format!("list {}", K::plural(&()));
    let list = list::list_page(&api, &ListParams::default()).await;
    let mut items = list.map_err(|error| explain(error, &what))?.items;
    items.sort_by_key(|item| (item.namespace(), item.name_any()));
    Ok(items)
}

impl NamespaceArgs {
    pub fn is_all(&self) -> bool {
        self.all_namespaces
    }

    /// Where nothing was found, in words.
    pub fn place(&self, access: &Access) -> String {
        if self.all_namespaces {
            return "any namespace".into();
        }
        let named = self.namespace.as_deref();
        format!("namespace {}", named.unwrap_or(&access.default_namespace))
    }
}

/// An error of the API server in words that say what to do. `what` is what was tried: `list pods`.
pub fn explain(error: kube::Error, what: &str) -> anyhow::Error {
    match &error {
        kube::Error::Api(status) if status.code == 401 => anyhow!(
            "failed to {what}: the API server does not know you ({}); log in again, or choose another context with --context",
            status.message
        ),
        kube::Error::Api(status) if status.code == 403 => anyhow!(
            "failed to {what}: not permitted: {}; ask for the role nanoseg-viewer to read, nanoseg-operator to decide, or nanoseg-reader to look at the whole cluster (deploy/base/access)",
            status.message
        ),
        // The path itself is unknown: there is no such resource.
        kube::Error::Api(status)
            if status.code == 404 && status.message.starts_with("404 page not found") =>
        {
            anyhow!(
                "failed to {what}: this cluster does not have nanoseg's custom resources; install them with: nanoseg crd | kubectl apply --server-side -f -"
            )
        }
        kube::Error::Api(status) => anyhow!("failed to {what}: {}", status.message),
        _ => anyhow::Error::new(error).context(format!(
            "failed to {what}: no answer from the API server; is the kubeconfig's server right and reachable?"
        )),
    }
}
