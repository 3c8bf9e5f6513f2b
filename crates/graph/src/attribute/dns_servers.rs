//! Which servers speak DNS, by what declares them and not by the number 53 (rule: dns-by-declaration).

use super::PeerKey;
use nanoseg_inventory::{Inventory, Pod};
use nanoseg_net::Protocol;
use rustc_hash::FxHashSet;

/// The number that IANA gives to DNS; a Service with this port is a DNS server, whatever it is called.
pub(super) const DNS_PORT: u16 = 53;
/// Labels by which resolvers of clusters are known: kube-dns and CoreDNS of kubeadm and its like, CoreDNS's Helm
/// chart, NodeLocal DNSCache, OpenShift's DNS operator.
const LABELS: [(&str, &[&str]); 3] = [
    ("k8s-app", &["kube-dns", "coredns", "node-local-dns"]),
    ("app.kubernetes.io/name", &["coredns"]),
    ("dns.operator.openshift.io/daemonset-dns", &["default"]),
];

/// Ports of workloads and nodes at which DNS is spoken.
#[derive(Default)]
pub(super) struct DnsServers {
    ports: FxHashSet<(PeerKey, u16)>,
}

impl DnsServers {
    pub fn build(inventory: &Inventory, pods: &[(u32, Option<u32>)]) -> DnsServers {
        let mut servers = DnsServers::default();
        let key = |index: usize| -> Option<PeerKey> {
            let (workload, node) = *pods.get(index)?;
            if inventory.pods.get(index)?.host_network {
                node.map(PeerKey::Node)
            } else {
                Some(PeerKey::Workload(workload))
            }
        };
        for (index, pod) in inventory.pods.iter().enumerate() {
            let is_resolver = is_resolver(pod);
            // A resolver's other ports (metrics, health) are TCP.
            let spoken = pod.ports.iter().filter(|port| {
                let named = port.name.as_deref().is_some_and(is_dns_name);
                named || (is_resolver && port.protocol == Protocol::Udp)
            });
            let numbers = spoken.map(|port| port.number);
            servers
                .ports
                .extend(numbers.filter_map(|number| Some((key(index)?, number))));
        }
        let ports = inventory.services.iter().flat_map(|service| &service.ports);
        for port in ports {
            if port.port != DNS_PORT && !port.name.as_deref().is_some_and(is_dns_name) {
                continue;
            }
            let behind = port.endpoints.iter().filter(|endpoint| endpoint.own);
            let behind = behind.filter_map(|endpoint| Some((key(endpoint.pod?)?, endpoint.port)));
            servers.ports.extend(behind);
        }
        servers
    }

    /// Returns true if the peer is known to speak DNS at that port.
    pub fn contains(&self, peer: PeerKey, port: u16) -> bool {
        self.ports.contains(&(peer, port))
    }
}

pub(super) fn is_resolver(pod: &Pod) -> bool {
    LABELS.iter().any(|(key, values)| {
        let value = pod.labels.get(*key);
        value.is_some_and(|value| values.contains(&value.as_str()))
    })
}

/// `dns`, `dns-tcp`, `dns-udp`, `dns-local`, `dns-tcp-local`, and the name of IANA.
pub(in super::super) fn is_dns_name(name: &str) -> bool {
    let rest = match name.strip_prefix("dns") {
        Some(rest) => rest,
        None => return name == "domain",
    };
    let words = ["", "tcp", "udp", "local", "default"];
    rest.split('-').all(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::is_dns_name;

    #[test]
    fn names_of_dns_ports_are_known() {
        for name in [
            "dns",
            "dns-tcp",
            "dns-udp",
            "dns-local",
            "dns-tcp-local",
            "domain",
        ] {
            assert!(is_dns_name(name), "{name}");
        }
        for name in [
            "",
            "http",
            "dnsmasq",
            "dns-metrics",
            "metrics-dns",
            "domains",
        ] {
            assert!(!is_dns_name(name), "{name}");
        }
    }
}
