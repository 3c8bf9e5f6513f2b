//! Publishes the communication graph in a ConfigMap beside the record. The page reads it from there, with the operator's
//! own rights. As with the record nothing waits for it: a failure is logged and tried again.

use crate::cluster::live::{ConfigMapData, WriteError, Writer};
use crate::graph::Graph;
use crate::net::{Outage, Timestamp};
use crate::report::graph::{GRAPH_FILE, LEFT_OUT, PUBLISHED_GRAPH, Packed, pack};
use k8s_openapi::ByteString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many bytes are published at most; a ConfigMap can hold 1 MiB (`MaxSecretSize` in
/// `k8s.io/kubernetes/pkg/apis/core/types.go`). Some ten thousand edges.
const MOST: usize = 768 << 10;
/// The pause between two writes if only counts of known edges changed. Counts change all the time, and every write is a
/// whole new version in etcd.
const REST: Duration = Duration::from_secs(60);
/// The pause if edges came or went.
const SHORT_REST: Duration = Duration::from_secs(5);

/// The publisher and what it needs.
#[derive(Clone)]
pub struct GraphPublisher {
    pub writer: Writer,
    /// The controller's own namespace.
    pub namespace: String,
    /// The graph as it was last built; `None`: not yet.
    pub graph: watch::Receiver<Option<Arc<Graph>>>,
}

#[derive(Debug, Error)]
enum GraphPublisherError {
    #[error(transparent)]
    Report(#[from] crate::report::Error),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl GraphPublisher {
    /// Runs until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut edges, mut rested) = (0, Instant::now());
        let (mut due, mut outage): (Option<Instant>, _) = (None, Outage::default());
        loop {
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = self.graph.changed() => if changed.is_err() { return },
                () = wait => {}
            }
            due = None;
            let Some(graph) = self.graph.borrow_and_update().clone() else {
                continue;
            };
            // Nothing was observed yet: what the leader before published is better than an empty graph.
            let count = graph.inner().edge_count();
            if count == 0 {
                continue;
            }
            let rest = if count == edges { REST } else { SHORT_REST };
            if Instant::now() < rested + rest {
                due = Some(rested + rest);
                continue;
            }
            match self.publish(&graph).await {
                Ok(()) => {
                    edges = count;
                    if let Some(over) = outage.worked(now()) {
                        tracing::info!("published the graph again {over}");
                    }
                }
                Err(error) => {
                    // (rule: logs-tell-changes)
                    if outage.failed(&error.to_string(), now()) {
                        tracing::warn!("failed to publish the graph: {error}; it is tried again");
                    }
                    due = Some(Instant::now() + REST);
                }
            }
            rested = Instant::now();
        }
    }

    async fn publish(&self, graph: &Graph) -> Result<(), GraphPublisherError> {
        let Packed { bytes, left_out } = tokio::task::block_in_place(|| pack(graph, MOST))?;
        let data = ConfigMapData {
            text: BTreeMap::from([(LEFT_OUT.to_owned(), left_out.to_string())]),
            binary: BTreeMap::from([(GRAPH_FILE.to_owned(), ByteString(bytes))]),
        };
        self.writer
            .apply_config_map(&self.namespace, PUBLISHED_GRAPH, &data)
            .await?;
        Ok(())
    }
}

/// The clock: for logs alone.
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}
