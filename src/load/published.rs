//! ConfigMaps that the controller publishes in its own namespace: the newest part of the record, and the graph.

use super::api_error::ApiError;
use crate::graph::Graph;
use crate::record::{PUBLISHED, Tail, TailError};
use crate::report::graph::{GRAPH_FILE, LEFT_OUT, PUBLISHED_GRAPH, unpack};
use crate::risk::{VOLUME, VolumeReport};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;

/// The published part of the record.
#[derive(Debug)]
pub enum Published {
    Part {
        /// The object's resource version.
        version: Option<String>,
        /// The newest entries, or why the object does not hold any.
        tail: Result<Tail, TailError>,
        /// Volume by the hour, if that is published.
        volume: Option<VolumeReport>,
    },
    /// There is no such object.
    Absent,
    /// The user may not read it: the API server's message.
    Refused(String),
}

/// Reads the published part of the record. `namespace` is the controller's.
///
/// # Errors
/// No answer from the API server.
pub async fn read_published(client: &Client, namespace: &str) -> Result<Published, ApiError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    match api.get_opt(PUBLISHED).await {
        Ok(Some(object)) => {
            let version = object.resource_version();
            let data = object.data.unwrap_or_default();
            Ok(Published::Part {
                version,
                tail: Tail::from_data(&data),
                volume: volume(&data, namespace),
            })
        }
        Ok(None) => Ok(Published::Absent),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(Published::Refused(status.message.clone()))
        }
        Err(error) => Err(ApiError::new(error, format!("read {}", place(namespace)))),
    }
}

fn volume(data: &BTreeMap<String, String>, namespace: &str) -> Option<VolumeReport> {
    let read = serde_json::from_str(data.get(VOLUME)?);
    let place = place(namespace);
    read.inspect_err(|error| {
        tracing::warn!("failed to read {VOLUME} of {place}: {error}; volume is left out");
    })
    .ok()
}

/// The name of the object for people.
pub fn place(namespace: &str) -> String {
    format!("ConfigMap {namespace}/{PUBLISHED}")
}

/// The communication graph as the controller published it.
pub struct PublishedGraph {
    pub graph: Graph,
    /// How many more edges the controller has; they were last seen before the published ones.
    pub left_out: usize,
    /// The object's resource version.
    pub version: Option<String>,
}

/// Reads the published graph. The inner `Err` is why there is none, in words.
///
/// # Errors
/// No answer from the API server.
pub async fn read_published_graph(
    client: &Client,
    namespace: &str,
) -> Result<Result<PublishedGraph, String>, ApiError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let place = format!("ConfigMap {namespace}/{PUBLISHED_GRAPH}");
    let object = match api.get_opt(PUBLISHED_GRAPH).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(Err(format!("there is no {place} yet"))),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Ok(Err(format!("you may not read {place}")));
        }
        Err(error) => return Err(ApiError::new(error, format!("read {place}"))),
    };
    let version = object.resource_version();
    let binary = object.binary_data.unwrap_or_default();
    let Some(packed) = binary.get(GRAPH_FILE) else {
        return Ok(Err(format!("{place} has no {GRAPH_FILE}")));
    };
    let left_out = object.data.unwrap_or_default().remove(LEFT_OUT);
    let left_out = left_out.and_then(|count| count.parse().ok()).unwrap_or(0);
    Ok(match unpack(&packed.0) {
        Ok(graph) => Ok(PublishedGraph {
            graph,
            left_out,
            version,
        }),
        Err(error) => Err(format!("{GRAPH_FILE} of {place} cannot be read: {error}")),
    })
}
