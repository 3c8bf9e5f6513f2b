//! The cluster as `nanoseg probe` needs it: who is there, what policies say, who was seen to reach whom.

use crate::cli::network_plugin::NetworkPluginArgs;
use crate::cli::verify::check_namespaces;
use crate::cluster::ConnectSettings;
use crate::cluster::live::Prober;
use crate::evaluate::{Evaluation, HostNetwork};
use crate::graph::Graph;
use crate::inventory::{Inventory, OwnerRule};
use crate::load::{
    ApiError, BlockingClient, NoticeSink, current, invalid_policy, read_objects,
    read_published_graph,
};
use crate::plugin::EnforcedPorts;
use crate::probe::{ClusterFacts, PodName, Subject, Unfit, subject};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The cluster at one moment.
pub struct ClusterState {
    pub inventory: Inventory,
    pub policies: Vec<NetworkPolicy>,
    /// What the controller publishes.
    pub graph: Option<Graph>,
    not_judged: Vec<String>,
}

/// The pods, by whether they can get a container.
pub struct Pods {
    pub fit: Vec<Subject>,
    pub unfit: BTreeMap<PodName, Unfit>,
    pub running: BTreeSet<PodName>,
}

impl ClusterState {
    /// Reads objects, and the graph that the controller in `namespace` publishes.
    pub fn read(
        client: &BlockingClient,
        settings: ConnectSettings,
        namespace: &str,
        plugin: NetworkPluginArgs,
        notices: &dyn NoticeSink,
    ) -> anyhow::Result<ClusterState> {
        let (objects, _) = read_objects(&[], &settings, notices)?;
        let policies = current(&objects);
        let (mut inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
        inventory.take_network_plugin(plugin.profile());
        let graph = client.block_on(read_published_graph(&client.client, namespace))?;
        let graph = match graph {
            Ok(published) => Some(published.graph),
            Err(why) => {
                eprintln!("note: {why}: the servers are those that Services declare");
                None
            }
        };
        let unlisted = objects.unlisted.iter();
        let unlisted = unlisted.map(|one| format!("{} (not listed: {})", one.kind, one.reason));
        let not_judged = objects.not_judged.iter().map(ToString::to_string);
        let not_judged = not_judged.chain(unlisted);
        Ok(ClusterState {
            not_judged: not_judged.collect(),
            inventory,
            policies,
            graph,
        })
    }

    /// # Errors
    /// A namespace that the cluster does not have.
    pub fn check_namespaces(&self, namespaces: &BTreeSet<String>) -> anyhow::Result<()> {
        check_namespaces(namespaces, &self.inventory)
    }

    /// # Errors
    /// A policy that cannot be judged.
    pub fn evaluation(&self) -> anyhow::Result<Evaluation> {
        let evaluation = Evaluation::new(&self.inventory, &self.policies, HostNetwork::Exact);
        Ok(evaluation.map_err(|error| invalid_policy(error, &[]))?)
    }

    /// The pods as they are now.
    ///
    /// # Errors
    /// As of the API server.
    pub fn pods(&self, client: &BlockingClient, most: usize) -> anyhow::Result<Pods> {
        let all = client.block_on(Prober::pods(&client.client));
        let all = all.map_err(|error| ApiError::new(error, "list pods"))?;
        let mut pods = Pods {
            fit: Vec::new(),
            unfit: BTreeMap::new(),
            running: BTreeSet::new(),
        };
        for pod in &all {
            let name = name_of(pod);
            if pod.pointer("/status/phase").and_then(Value::as_str) == Some("Running") {
                pods.running.insert(name.clone());
            }
            match subject(pod, most) {
                Ok(subject) => pods.fit.push(subject),
                Err(why) => {
                    pods.unfit.insert(name, why);
                }
            }
        }
        Ok(pods)
    }

    /// On which port the plugin checks connections through Services.
    pub fn ports(&self) -> EnforcedPorts {
        self.inventory.network_plugin.behaviour().ports
    }

    /// What is known of the network plugin and of other policies.
    pub fn facts(&self) -> ClusterFacts {
        let plugin = &self.inventory.network_plugin;
        let behaviour = plugin.behaviour();
        ClusterFacts {
            plugin: Some(plugin.to_string()),
            enforces: (!plugin.is_unknown()).then_some(behaviour.enforces),
            ip_blocks_match_nodes: (!plugin.is_unknown()).then_some(behaviour.ip_block.nodes),
            not_judged: self.not_judged.clone(),
            ..ClusterFacts::default()
        }
    }
}

fn name_of(pod: &Value) -> PodName {
    let text = |pointer: &str| {
        let text = pod.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    PodName {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    }
}
