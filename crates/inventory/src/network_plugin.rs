//! Which network plugin enforces policies, by the objects of the cluster: DaemonSets with their images and arguments,
//! pods, ConfigMaps, kinds that only one plugin has, and labels of nodes (rule: plugin-is-part-of-the-model).
//!
//! Only objects of the system's own namespaces count, and those that no namespace has: what somebody else runs under the
//! name of a plugin is no fact about the cluster.

mod marks;
#[cfg(test)]
mod tests;

use super::Objects;
use crate::kubernetes::{ConfigMap, Container, Node, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use marks::{Mark, Program, is_system_namespace, program};
use nanoseg_plugin::{ClusterPlugin, NetworkPlugin, PluginOption, Profile, ToldBy};
use std::collections::{BTreeMap, BTreeSet};

/// The first version of Cilium that honours `endPort` (cilium/cilium#16622).
const RANGES_SINCE: (u32, u32) = (1, 16);
/// How many objects are named.
const NAMED: usize = 3;

/// The network plugin that these objects show.
///
/// Of several enforcers the first counts, by [`NetworkPlugin::ALL`], that is not switched off. A network without policies
/// counts where nothing enforces any, and only if the objects of `kube-system` are there, where an enforcer would be.
pub fn network_plugin(objects: &Objects) -> ClusterPlugin {
    let signs = Signs::of(objects);
    let found = signs.found.iter().filter(|(mark, _)| match mark {
        Mark::Enforcer(_) => true,
        Mark::NetworkOnly => has_system_objects(objects),
    });
    let all: Vec<ClusterPlugin> = found
        .map(|(mark, told)| signs.profile(*mark, told, objects))
        .collect();
    let enforcing = all.iter().find(|one| one.behaviour().enforces);
    enforcing.or(all.first()).cloned().unwrap_or_default()
}

/// Returns true if the snapshot has pods or DaemonSets of `kube-system`.
fn has_system_objects(objects: &Objects) -> bool {
    let sets = objects.daemon_sets.iter().map(|set| &set.metadata);
    let pods = objects.pods.iter().map(|pod| &pod.metadata);
    let mut all = sets.chain(pods);
    all.any(|metadata| metadata.namespace.as_deref() == Some("kube-system"))
}

fn option_flag(option: PluginOption) -> String {
    format!("--{}", option.name())
}

/// What was found, by what it is a mark of. Marks of enforcers come first.
#[derive(Default)]
struct Signs {
    found: BTreeMap<Mark, BTreeSet<String>>,
    /// The arguments of the plugins' containers.
    arguments: BTreeMap<String, String>,
    /// The oldest version of Cilium's agent that runs.
    cilium: Option<(u32, u32)>,
}

impl Signs {
    /// What runs shows it. Where nothing of it is in the snapshot, kinds show it that only one plugin has: their objects
    /// stay when a plugin is gone.
    fn of(objects: &Objects) -> Signs {
        let mut signs = Signs::default();
        for set in &objects.daemon_sets {
            if let Some(spec) = &set.spec.template.spec {
                signs.workload("DaemonSet", &set.metadata, spec);
            }
        }
        for pod in &objects.pods {
            if let Some(spec) = &pod.spec {
                signs.workload("Pod", &pod.metadata, spec);
            }
        }
        if let Some(node) = objects.nodes.iter().find(|node| is_k3s(node)) {
            signs.k3s(node);
        }
        if signs.found.is_empty() {
            signs.kinds(objects);
        }
        signs
    }

    fn kinds(&mut self, objects: &Objects) {
        if let Some(node) = objects.cilium_nodes.first() {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let object = format!("CiliumNode {name}");
            self.add(Mark::Enforcer(NetworkPlugin::Cilium), object);
        }
        let judged = objects.other_kinds.iter().map(|policy| {
            let kind = policy.kind();
            format!("{}.{}", kind.kind(), kind.group())
        });
        let kinds: BTreeSet<String> = judged.chain(objects.skipped.keys().cloned()).collect();
        for kind in &kinds {
            if let Some(mark) = marks::of_kind(kind) {
                self.add(mark, format!("objects of the kind {kind}"));
            }
        }
    }

    /// The profile of what has this mark, with its options.
    fn profile(&self, mark: Mark, told: &BTreeSet<String>, objects: &Objects) -> ClusterPlugin {
        let plugin = match mark {
            Mark::Enforcer(NetworkPlugin::Cilium) => cilium_of(objects),
            Mark::Enforcer(plugin) => plugin,
            Mark::NetworkOnly => NetworkPlugin::None,
        };
        let mut profile = Profile::of(plugin);
        if plugin.is_cilium() && self.cilium.is_some_and(|version| version < RANGES_SINCE) {
            profile.options.end_port = Some(false);
        }
        for option in Profile::options_of(plugin) {
            if let Some(value) = self.arguments.get(option_flag(*option).as_str()) {
                // What is no value of the option leaves the plugin's default.
                let _ = profile.options.set(*option, value);
            }
        }
        let mut told: Vec<String> = told.iter().take(NAMED).cloned().collect();
        told.extend(set_by_configuration(&mut profile, &objects.config_maps));
        ClusterPlugin {
            profile,
            told: ToldBy::Cluster(told),
        }
    }

    fn add(&mut self, mark: Mark, object: String) {
        self.found.entry(mark).or_default().insert(object);
    }

    fn workload(&mut self, kind: &str, metadata: &ObjectMeta, spec: &PodSpec) {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let owners = metadata.owner_references.iter().flatten();
        // A kubelet makes such pods of its own files, in any namespace.
        let mut nodes = owners.filter(|owner| owner.kind == "Node");
        if !is_system_namespace(namespace) || nodes.next().is_some() {
            return;
        }
        // A pod of a DaemonSet is named by it, once.
        let owners = metadata.owner_references.iter().flatten();
        let mut owners = owners.filter(|owner| owner.kind == "DaemonSet");
        let name = metadata.name.as_deref().unwrap_or_default();
        let object = match owners.next() {
            Some(owner) => format!("DaemonSet {namespace}/{}", owner.name),
            None => format!("{kind} {namespace}/{name}"),
        };
        let mut marks: BTreeSet<Mark> = BTreeSet::new();
        for container in &spec.containers {
            if let Some(Program { mark, options }) = program(container) {
                marks.insert(mark);
                if mark == Mark::Enforcer(NetworkPlugin::Cilium) {
                    let version = marks::version(container);
                    self.cilium = match (self.cilium, version) {
                        (Some(known), Some(version)) => Some(known.min(version)),
                        (known, version) => known.or(version),
                    };
                }
                if options {
                    self.arguments.extend(arguments(container));
                }
            }
        }
        if marks.is_empty() {
            marks.extend(marks::labelled(metadata.labels.as_ref()));
        }
        for mark in marks {
            self.add(mark, object.clone());
        }
    }

    /// k3s has kube-router's policies built in, unless it is told to leave them out.
    fn k3s(&mut self, node: &Node) {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let annotations = node.metadata.annotations.iter().flatten();
        let mut arguments = annotations.filter(|(key, _)| *key == "k3s.io/node-args");
        let mark = if arguments.any(|(_, value)| value.contains("--disable-network-policy")) {
            Mark::NetworkOnly
        } else {
            Mark::Enforcer(NetworkPlugin::KubeRouter)
        };
        self.add(mark, format!("Node {name} of k3s"));
    }
}

/// The arguments that were kept, as `--flag` and value. A switch without a value is on.
fn arguments(container: &Container) -> impl Iterator<Item = (String, String)> {
    let all = container.command.iter().chain(&container.args);
    all.map(|argument| match argument.split_once('=') {
        Some((flag, value)) => (flag.to_owned(), value.to_owned()),
        None => (argument.clone(), "true".to_owned()),
    })
}

fn is_k3s(node: &Node) -> bool {
    let annotations = node.metadata.annotations.iter().flatten();
    let labels = node.metadata.labels.iter().flatten();
    let mut keys = annotations.map(|(key, _)| key.as_str());
    let mut types = labels.filter(|(key, _)| *key == "node.kubernetes.io/instance-type");
    keys.any(|key| key.starts_with("k3s.io/")) || types.any(|(_, value)| value == "k3s")
}

/// Cilium under the name of the provider that runs it.
fn cilium_of(objects: &Objects) -> NetworkPlugin {
    let system = objects.daemon_sets.iter().map(|set| &set.metadata);
    let names = system.filter_map(|metadata| metadata.name.as_deref());
    let runs = |wanted: &str| names.clone().any(|name| name == wanted);
    let labelled = |prefix: &str| {
        let mut labels = objects
            .nodes
            .iter()
            .flat_map(|node| node.metadata.labels.iter().flatten());
        labels.any(|(key, _)| key.starts_with(prefix))
    };
    let images = |wanted: &str| {
        let specs = objects.daemon_sets.iter();
        let containers = specs.flat_map(|set| {
            let spec = set.spec.template.spec.iter();
            spec.flat_map(|spec| &spec.containers)
        });
        let mut images = containers.filter_map(|container| container.image.as_deref());
        images.any(|image| image.starts_with(wanted) && image.contains("cilium"))
    };
    if runs("anetd") || labelled("cloud.google.com/gke-") && runs("netd") {
        NetworkPlugin::GkeDataplaneV2
    } else if images("mcr.microsoft.com/") || labelled("kubernetes.azure.com/ebpf-dataplane") {
        NetworkPlugin::AzureCilium
    } else {
        NetworkPlugin::Cilium
    }
}

/// Sets what ConfigMaps say, and returns their names.
fn set_by_configuration(profile: &mut Profile, maps: &[ConfigMap]) -> Vec<String> {
    let system = maps.iter().filter(|map| {
        let namespace = map.metadata.namespace.as_deref();
        namespace.is_some_and(is_system_namespace)
    });
    let mut told = BTreeSet::new();
    for map in system {
        for option in Profile::options_of(profile.plugin) {
            let value = map.data.get(marks::configured_as(profile.plugin, *option));
            let is_set = value.is_some_and(|value| profile.options.set(*option, value));
            if is_set {
                let name = |text: &Option<String>| text.clone().unwrap_or_default();
                let metadata = &map.metadata;
                told.insert(format!(
                    "ConfigMap {}/{}",
                    name(&metadata.namespace),
                    name(&metadata.name)
                ));
            }
        }
    }
    told.into_iter().collect()
}
