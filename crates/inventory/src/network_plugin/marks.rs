//! By what a network plugin is known.

use crate::kubernetes::Container;
use nanoseg_plugin::{NetworkPlugin, PluginOption};
use std::collections::BTreeMap;

/// What an object is a mark of. Enforcers come before networks without policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Enforcer(NetworkPlugin),
    /// Pods are connected, and no policy is enforced by it.
    NetworkOnly,
}

/// A program of a network plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    pub mark: Mark,
    /// Its arguments are the plugin's options.
    pub options: bool,
}

/// The namespaces in which network plugins run. Only who administers the cluster creates these.
const NAMESPACES: [&str; 13] = [
    "antrea",
    "calico-system",
    "cilium",
    "cilium-system",
    "gke-managed-dpv2-observability",
    "kube-flannel",
    "kube-network-policies",
    "kube-ovn",
    "kube-router",
    "kube-system",
    "openshift-ovn-kubernetes",
    "ovn-kubernetes",
    "tigera-operator",
];

/// Returns true if what runs in the namespace is the cluster's own.
pub fn is_system_namespace(namespace: &str) -> bool {
    NAMESPACES.contains(&namespace)
}

/// Images by the last part of their name, and what their containers are. The first that fits counts.
const IMAGES: [(&str, Mark); 16] = [
    ("cilium", Mark::Enforcer(NetworkPlugin::Cilium)),
    ("cilium-ci", Mark::Enforcer(NetworkPlugin::Cilium)),
    ("anetd", Mark::Enforcer(NetworkPlugin::Cilium)),
    ("calico-node", Mark::Enforcer(NetworkPlugin::Calico)),
    (
        "aws-network-policy-agent",
        Mark::Enforcer(NetworkPlugin::AwsVpcCni),
    ),
    ("amazon-k8s-cni", Mark::NetworkOnly),
    ("azure-npm", Mark::Enforcer(NetworkPlugin::AzureNpm)),
    ("azure-cns", Mark::NetworkOnly),
    ("antrea-agent-ubuntu", Mark::Enforcer(NetworkPlugin::Antrea)),
    ("antrea-agent-ubi", Mark::Enforcer(NetworkPlugin::Antrea)),
    ("antrea-ubuntu", Mark::Enforcer(NetworkPlugin::Antrea)),
    ("kube-router", Mark::Enforcer(NetworkPlugin::KubeRouter)),
    (
        "kube-network-policies",
        Mark::Enforcer(NetworkPlugin::KubeNetworkPolicies),
    ),
    ("flannel", Mark::NetworkOnly),
    ("ovn-kube", Mark::Enforcer(NetworkPlugin::OvnKubernetes)),
    ("ovnkube", Mark::Enforcer(NetworkPlugin::OvnKubernetes)),
];

/// Containers by their name, where the image's name says nothing (mirrors, digests, `calico/node`).
const CONTAINERS: [(&str, Mark); 10] = [
    ("cilium-agent", Mark::Enforcer(NetworkPlugin::Cilium)),
    ("calico-node", Mark::Enforcer(NetworkPlugin::Calico)),
    (
        "aws-eks-nodeagent",
        Mark::Enforcer(NetworkPlugin::AwsVpcCni),
    ),
    ("aws-node", Mark::NetworkOnly),
    ("azure-npm", Mark::Enforcer(NetworkPlugin::AzureNpm)),
    ("antrea-agent", Mark::Enforcer(NetworkPlugin::Antrea)),
    (
        "ovnkube-controller",
        Mark::Enforcer(NetworkPlugin::OvnKubernetes),
    ),
    ("ovnkube-node", Mark::Enforcer(NetworkPlugin::OvnKubernetes)),
    ("kube-router", Mark::Enforcer(NetworkPlugin::KubeRouter)),
    ("kube-flannel", Mark::NetworkOnly),
];

/// Labels of pods, where neither image nor container says it.
const LABELS: [(&str, Mark); 8] = [
    ("cilium", Mark::Enforcer(NetworkPlugin::Cilium)),
    ("calico-node", Mark::Enforcer(NetworkPlugin::Calico)),
    ("canal", Mark::Enforcer(NetworkPlugin::Calico)),
    ("aws-node", Mark::NetworkOnly),
    ("azure-npm", Mark::Enforcer(NetworkPlugin::AzureNpm)),
    ("kube-router", Mark::Enforcer(NetworkPlugin::KubeRouter)),
    (
        "kube-network-policies",
        Mark::Enforcer(NetworkPlugin::KubeNetworkPolicies),
    ),
    ("flannel", Mark::NetworkOnly),
];

/// What pods with these labels are of a network plugin.
pub fn labelled(labels: Option<&BTreeMap<String, String>>) -> Option<Mark> {
    let labels = labels?;
    let value = labels.get("k8s-app")?;
    let known = LABELS.iter().find(|(known, _)| known == value);
    known.map(|(_, mark)| *mark)
}

/// The first kindnetd that enforces policies: kind 0.24.0 has kindest/kindnetd:v20240813-c6f155d6.
const KINDNETD_WITH_POLICIES: u32 = 20_240_813;

/// What a container is of a network plugin, if it is of one.
pub fn program(container: &Container) -> Option<Program> {
    let (name, tag) = image_name(container.image.as_deref().unwrap_or_default());
    if name == "kindnetd" {
        return Some(plain(kindnetd(tag)));
    }
    let known = CONTAINERS
        .iter()
        .find(|(known, _)| *known == container.name);
    let known = known.or_else(|| IMAGES.iter().find(|(known, _)| *known == name));
    known.map(|(_, mark)| plain(*mark))
}

const fn plain(mark: Mark) -> Program {
    Program {
        mark,
        options: matches!(mark, Mark::Enforcer(_)),
    }
}

/// The tag of kindnetd begins with its date; without one it is taken to be a new one.
fn kindnetd(tag: Option<&str>) -> Mark {
    let date = tag.and_then(|tag| tag.strip_prefix('v')?.get(..8)?.parse::<u32>().ok());
    match date {
        Some(date) if date < KINDNETD_WITH_POLICIES => Mark::NetworkOnly,
        _ => Mark::Enforcer(NetworkPlugin::KubeNetworkPolicies),
    }
}

/// Major and minor version by the tag of a container's image, such as `v1.14.20`.
pub fn version(container: &Container) -> Option<(u32, u32)> {
    let (_, tag) = image_name(container.image.as_deref()?);
    let mut numbers = tag?.strip_prefix('v')?.split(['.', '-', '+']);
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next()?.parse().ok()?))
}

/// The last part of an image's name, and its tag.
fn image_name(image: &str) -> (&str, Option<&str>) {
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (last, None),
    }
}

/// What a kind of objects (`CiliumNetworkPolicy.cilium.io`) is a mark of: kinds whose objects the plugin itself writes,
/// or that are only served where it is installed.
pub fn of_kind(kind: &str) -> Option<Mark> {
    let (_, group) = kind.split_once('.')?;
    let plugin = match group {
        "cilium.io" => NetworkPlugin::Cilium,
        "crd.projectcalico.org" | "projectcalico.org" => NetworkPlugin::Calico,
        "crd.antrea.io" => NetworkPlugin::Antrea,
        "networking.k8s.aws" => NetworkPlugin::AwsVpcCni,
        "k8s.ovn.org" => NetworkPlugin::OvnKubernetes,
        _ => return None,
    };
    Some(Mark::Enforcer(plugin))
}

/// The key under which a ConfigMap of the plugin has an option.
pub const fn configured_as(plugin: NetworkPlugin, option: PluginOption) -> &'static str {
    match (plugin, option) {
        (NetworkPlugin::AwsVpcCni, PluginOption::EnableNetworkPolicy) => {
            "enable-network-policy-controller"
        }
        (_, option) => option.name(),
    }
}
