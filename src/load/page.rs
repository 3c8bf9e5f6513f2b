//! What the review page shows: a generated folder once, or a cluster again after every change.

mod changes;
mod cluster;
mod folder;
mod proposal_graph;
mod record;
mod scans;

pub use folder::{FolderSource, read_folder};

use super::client::BlockingClient;
use super::error::LoadError;
use super::notice::NoticeSink;
use super::risk::RiskSource;
use crate::cluster::ConnectSettings;
use crate::plugin::{EnforcedPorts, Profile};
use crate::web::{Shown, View};
use cluster::ClusterPage;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the page of a cluster comes from.
#[derive(Debug, Clone)]
pub struct PageSource {
    pub connect: ConnectSettings,
    /// Recorded flows for the map; empty: the graph that the controller publishes.
    pub flows: Vec<PathBuf>,
    /// A copy of the controller's state.
    pub state: Option<PathBuf>,
    pub risk: RiskSource,
    /// Where the network plugin checks traffic to Services, in namespaces whose Segmentation does not say it.
    pub service_enforcement: Option<EnforcedPorts>,
    /// The network plugin, if it is not the one that the cluster's objects show.
    pub network_plugin: Option<Profile>,
    /// The namespace of the controller.
    pub controller_namespace: String,
}

/// The views of the page, one after the other.
pub struct Views {
    pub receiver: watch::Receiver<Shown>,
    /// Dropping the sender would end the stream of changes.
    _sender: Option<watch::Sender<Shown>>,
}

impl Views {
    /// One view that never changes.
    pub fn fixed(view: View) -> Views {
        let (sender, receiver) = watch::channel(first(view));
        Views {
            receiver,
            _sender: Some(sender),
        }
    }

    /// Reads the cluster once, and again in a thread of its own whenever something changes.
    ///
    /// # Errors
    /// The cluster does not answer, or a file cannot be read.
    pub fn watch(source: PageSource, notices: Arc<dyn NoticeSink>) -> Result<Views, LoadError> {
        let client = BlockingClient::new(&source.connect)?;
        // Without the right to ask, or before Kubernetes 1.28, the page shows no user.
        let user = client.user().ok().flatten();
        let user = user.map_or(String::new(), |user| format!("{user} at "));
        let page = ClusterPage::new(user + &client.cluster, source, notices);
        let (fingerprint, view) = client.block_on(page.read_view(&client.client))?;
        let (sender, receiver) = watch::channel(first(view));
        std::thread::Builder::new()
            .name("cluster".into())
            .spawn(move || page.follow(&client, &sender, fingerprint))
            .map_err(LoadError::Thread)?;
        Ok(Views {
            receiver,
            _sender: None,
        })
    }
}

fn first(view: View) -> Shown {
    Shown {
        version: 1,
        view: Arc::new(view),
        problem: None,
    }
}
