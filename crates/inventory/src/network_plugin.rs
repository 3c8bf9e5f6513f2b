//! Which network plugin enforces policies, as far as a snapshot shows it.

use super::Objects;

/// A plugin that honours an ipBlock otherwise than the specification lets one expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkPlugin {
    Cilium,
}

impl NetworkPlugin {
    /// The plugin that these objects show: objects of its own API group, or its pods on the nodes.
    pub fn of(objects: &Objects) -> Option<NetworkPlugin> {
        let own_group = objects
            .skipped
            .keys()
            .any(|kind| kind.ends_with(".cilium.io"))
            || !objects.cilium_nodes.is_empty();
        let own_pods = objects.pods.iter().any(|pod| {
            let labels = pod.metadata.labels.iter().flatten();
            let mut agents = labels.filter(|(key, _)| key.as_str() == "k8s-app");
            agents.any(|(_, value)| value == "cilium")
        });
        (own_group || own_pods).then_some(NetworkPlugin::Cilium)
    }
}
