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

/// Keeps the configuration in `cache`. What may not be read is not known: the plugin's defaults count.
pub async fn follow(client: Client, cache: Arc<Cache>) {
    loop {
        let mut maps = Vec::new();
        for name in ConfigMap::NAMES {
            maps.extend(read(&client, name).await);
        }
        cache.take_config_maps(maps);
        tokio::time::sleep(EVERY).await;
    }
}

async fn read(client: &Client, name: &str) -> Option<ConfigMap> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}");
    let request = axum::http::Request::get(path).body(Vec::new()).ok()?;
    let answer = tokio::time::timeout(LIMIT, client.request_text(request)).await;
    let text = answer.ok()?.ok()?;
    ConfigMap::from_json(Json::Text(&text)).ok()
}
