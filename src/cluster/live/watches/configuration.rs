//! The configuration of the network plugin: a few ConfigMaps by name, read from time to time. They are not watched, since
//! who may list ConfigMaps may read all of them.

use super::cache::Cache;
use crate::inventory::kubernetes::{ConfigMap, FromJson, Json};
use kube::Client;
use std::sync::Arc;
use std::time::Duration;

/// How often it is read. A plugin's agents take a new configuration when they are started again.
const EVERY: Duration = Duration::from_secs(60);
/// The longest time for an answer. The API server itself bounds a ConfigMap to 1 MiB.
const LIMIT: Duration = Duration::from_secs(10);
/// Where network plugins have it.
const NAMESPACE: &str = "kube-system";

/// Keeps the configuration in `cache`. While it cannot be read, what was known counts; what was never read is not known, and
/// the plugin's defaults count.
pub async fn follow(client: Client, cache: Arc<Cache>) {
    loop {
        if let Some(maps) = read_all(&client).await {
            cache.take_config_maps(maps);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Returns those that are there; `None` if an answer is missing.
async fn read_all(client: &Client) -> Option<Vec<ConfigMap>> {
    let mut maps = Vec::new();
    for name in ConfigMap::NAMES {
        maps.extend(read(client, name).await?);
    }
    Some(maps)
}

/// Returns the ConfigMap, or `Some(None)` if there is none.
async fn read(client: &Client, name: &str) -> Option<Option<ConfigMap>> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}");
    let request = axum::http::Request::get(path).body(Vec::new()).ok()?;
    let answer = tokio::time::timeout(LIMIT, client.request_text(request)).await;
    match answer.ok()? {
        Ok(text) => ConfigMap::from_json(Json::Text(&text)).ok().map(Some),
        Err(kube::Error::Api(status)) if status.code == 404 => Some(None),
        Err(_) => None,
    }
}
