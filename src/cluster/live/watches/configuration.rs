//! The configuration of the network plugin: a few ConfigMaps by name, read from time to time. They are not watched, since
//! who may list ConfigMaps may read all of them.

use super::cache::Cache;
use crate::cluster::live::connect::describe;
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
        if let Ok(maps) = plugin_config_maps(&client).await {
            cache.take_config_maps(maps);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Returns those ConfigMaps of network plugins that are there.
///
/// # Errors
/// Why one cannot be read: whether it is there is not known then.
pub async fn plugin_config_maps(client: &Client) -> Result<Vec<ConfigMap>, String> {
    let mut maps = Vec::new();
    for name in ConfigMap::NAMES {
        let map = read(client, name).await;
        maps.extend(map.map_err(|why| format!("ConfigMap {NAMESPACE}/{name}: {why}"))?);
    }
    Ok(maps)
}

/// Returns the ConfigMap; `None`: there is none.
async fn read(client: &Client, name: &str) -> Result<Option<ConfigMap>, String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}");
    let request = axum::http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(LIMIT, client.request_text(request)).await;
    match answer.map_err(|_| format!("no answer in {} s", LIMIT.as_secs()))? {
        Ok(text) => ConfigMap::from_json(Json::Text(&text))
            .map(Some)
            .map_err(|error| error.to_string()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(describe(&error)),
    }
}
