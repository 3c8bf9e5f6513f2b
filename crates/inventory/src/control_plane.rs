//! What the arguments of the cluster's own components say of its addresses
//! (rule: service-range-is-declared, api-server-endpoints).

use super::owners::namespace_of;
use crate::kubernetes as core;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// The port of kube-apiserver where nothing says another one (`--secure-port`).
const SECURE_PORT: u16 = 6443;
/// The labels by which kubeadm, and before it others, mark the nodes that run kube-apiserver.
const CONTROL_PLANE_LABELS: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// The arguments that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ControlPlane {
    pub service_ranges: Vec<IpNet>,
    pub pod_ranges: Vec<IpNet>,
    pub node_ports: Option<RangeInclusive<u16>>,
    /// Where kube-apiserver listens, by its pods, else by the nodes that are marked for it.
    pub api_servers: BTreeSet<SocketAddr>,
}

impl ControlPlane {
    /// Reads pods and nodes. Only pods of the system's own namespaces count: what another namespace's pod has in
    /// its arguments is no fact about the cluster.
    pub fn read(pods: &[&core::Pod], nodes: &[&core::Node]) -> ControlPlane {
        let mut found = ControlPlane::default();
        for pod in pods.iter().filter(|pod| is_system(pod)) {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            for container in containers {
                found.note(pod, container);
            }
        }
        if found.api_servers.is_empty() {
            let marked = nodes.iter().filter(|node| is_control_plane(node));
            let internal = marked.flat_map(|node| internal_addresses(node));
            found.api_servers = internal
                .map(|ip| SocketAddr::new(ip, SECURE_PORT))
                .collect();
        }
        found
    }

    fn note(&mut self, pod: &core::Pod, container: &core::Container) {
        let values = |flag: &'static str| {
            let all = container.command.iter().chain(&container.args);
            all.filter_map(move |text| text.strip_prefix(flag)?.strip_prefix('='))
                .flat_map(|value| value.split(','))
        };
        self.service_ranges
            .extend(values("--service-cluster-ip-range").filter_map(parse_range));
        self.pod_ranges
            .extend(values("--cluster-cidr").filter_map(parse_range));
        self.node_ports = values("--service-node-port-range")
            .find_map(parse_ports)
            .or(self.node_ports.take());
        if container.name == "kube-apiserver" {
            let port = values("--secure-port").find_map(|text| text.parse().ok());
            let advertised: Vec<IpAddr> = values("--advertise-address")
                .filter_map(|text| text.parse().ok())
                .collect();
            let addresses = if advertised.is_empty() {
                host_addresses(pod)
            } else {
                advertised
            };
            let port = port.unwrap_or(SECURE_PORT);
            self.api_servers
                .extend(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)));
        }
    }
}

fn is_system(pod: &core::Pod) -> bool {
    let namespace = namespace_of(&pod.metadata);
    namespace == "kube-system" || namespace.starts_with("openshift-kube-")
}

fn is_control_plane(node: &core::Node) -> bool {
    let labels = node.metadata.labels.as_ref();
    labels.is_some_and(|labels| {
        CONTROL_PLANE_LABELS
            .iter()
            .any(|key| labels.contains_key(*key))
    })
}

fn internal_addresses(node: &core::Node) -> Vec<IpAddr> {
    let all = node
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten());
    all.filter(|one| one.type_ == "InternalIP")
        .filter_map(|one| one.address.parse().ok())
        .collect()
}

fn host_addresses(pod: &core::Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let listed = status.host_ips.iter().flatten().map(|one| one.ip.as_str());
    listed
        .chain(status.host_ip.as_deref())
        .filter_map(|text| text.parse().ok())
        .collect()
}

fn parse_range(text: &str) -> Option<IpNet> {
    let range: IpNet = text.trim().parse().ok()?;
    Some(range.trunc())
}

/// `30000-32767`, or `30000+2767` (the length after the first port).
fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    if let Some((first, last)) = text.split_once('-') {
        return Some(number(first)?..=number(last)?);
    }
    let (first, more) = text.split_once('+')?;
    let first = number(first)?;
    Some(first..=first.saturating_add(number(more)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, arguments: &str) -> core::Pod {
        let text = format!(
            "metadata: {{namespace: {namespace}, name: kube-apiserver-cp}}\n\
             spec: {{hostNetwork: true, containers: [{{name: kube-apiserver, command: [{arguments}]}}]}}\n\
             status: {{hostIP: 192.0.2.10}}"
        );
        serde_yaml::from_str(&text).expect("a pod")
    }

    #[test]
    fn the_arguments_of_kube_apiserver_tell_its_ranges_and_its_address() {
        let arguments = "kube-apiserver, --service-cluster-ip-range=10.96.0.0/12, '--service-cluster-ip-range', \
             'fd00:1::/108', --secure-port=8443, --service-node-port-range=31000-31999, --token=secret";
        let own = pod("kube-system", arguments);
        let kept = &own.spec.as_ref().expect("a spec").containers[0].command;
        assert!(kept.iter().all(|text| !text.contains("secret")), "{kept:?}");
        let found = ControlPlane::read(&[&own], &[]);
        let ranges: Vec<String> = found
            .service_ranges
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(ranges, ["10.96.0.0/12", "fd00:1::/108"]);
        assert_eq!(found.node_ports, Some(31000..=31999));
        let servers: Vec<String> = found.api_servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.10:8443"]);
    }

    #[test]
    fn a_pod_of_another_namespace_is_not_believed() {
        let other = pod("shop", "--service-cluster-ip-range=0.0.0.0/0");
        assert_eq!(ControlPlane::read(&[&other], &[]), ControlPlane::default());
    }

    #[test]
    fn without_its_pods_the_api_server_is_on_the_nodes_that_are_marked_for_it() {
        let node = |text: &str| -> core::Node { serde_yaml::from_str(text).expect("a node") };
        let addresses = "status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: ExternalIP, address: 203.0.113.1}]}";
        let marked = node(&format!(
            "metadata: {{name: cp, labels: {{node-role.kubernetes.io/control-plane: ''}}}}\n{addresses}"
        ));
        let worker = node(&format!("metadata: {{name: n1}}\n{addresses}"));
        let of = |node| ControlPlane::read(&[], &[node]).api_servers;
        assert_eq!(
            of(&marked),
            BTreeSet::from(["192.0.2.1:6443".parse().expect("a socket")])
        );
        assert!(of(&worker).is_empty());
    }
}
