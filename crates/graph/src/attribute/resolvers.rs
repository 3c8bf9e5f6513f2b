//! Who is a resolver, so that its answers are names (rule: dns-names-outside-addresses). Any pod can send answers that
//! look like DNS; what an address is called is said by the cluster's resolvers, and to a client by those of its spec.

use super::Attribution;
use super::dns_servers::{DNS_PORT, is_dns_name, is_resolver};
use nanoseg_flow::{NameEntry, NameTrust, NamedBy};
use nanoseg_inventory::{Owner, Pod, Service};
use nanoseg_net::{Protocol, Timestamp};
use std::net::IpAddr;

/// Namespaces of the cluster's own resolvers. Others have labels and Services of the same names as they like.
const NAMESPACES: [&str; 2] = ["kube-system", "openshift-dns"];

impl Attribution<'_> {
    /// Who may be told this name.
    pub fn name_trust(&self, entry: &NameEntry) -> NameTrust {
        let resolver = match entry.by {
            NamedBy::Unknown => return NameTrust::None,
            NamedBy::Source => return NameTrust::All,
            NamedBy::Resolver(address) => address,
        };
        let at = entry.from;
        // NodeLocal DNSCache and the resolvers of clouds: such an address never leaves its node (RFC 3927).
        if self.is_cluster_resolver(resolver, at) || is_link_local(resolver) {
            return NameTrust::All;
        }
        match self.inventory.resolve(entry.client, at) {
            // Whom the cluster's resolver asks in turn.
            Owner::Pod(index) if is_cluster_dns(&self.inventory.pods[index]) => NameTrust::All,
            Owner::Pod(index) => self.own_resolver(&self.inventory.pods[index], resolver, at),
            Owner::Node(_) if self.is_beyond_pods(resolver, at) => NameTrust::Asker,
            _ => NameTrust::None,
        }
    }

    fn own_resolver(&self, pod: &Pod, resolver: IpAddr, at: Timestamp) -> NameTrust {
        let own = &pod.own_resolvers;
        if own.addresses.contains(&resolver) || (own.of_node && self.is_beyond_pods(resolver, at)) {
            NameTrust::Asker
        } else {
            NameTrust::None
        }
    }

    /// Returns true for a Service of the cluster's DNS.
    pub fn is_cluster_dns_service(&self, service: &Service) -> bool {
        let mut addresses = service.cluster_ips.iter();
        addresses.any(|address| is_cluster_service(service, *address))
    }

    /// The Service of the cluster's DNS, or a pod of it.
    fn is_cluster_resolver(&self, address: IpAddr, at: Timestamp) -> bool {
        match self.inventory.resolve(address, at) {
            Owner::Service(index) => is_cluster_service(&self.inventory.services[index], address),
            Owner::Pod(index) => is_cluster_dns(&self.inventory.pods[index]),
            _ => false,
        }
    }

    /// A resolver of nodes: outside of the cluster, or on a node, where no pod has put itself at its port.
    fn is_beyond_pods(&self, address: IpAddr, at: Timestamp) -> bool {
        let is_pods = [Protocol::Udp, Protocol::Tcp]
            .into_iter()
            .any(|protocol| self.host_port_at(address, DNS_PORT, protocol, at).is_some());
        match self.inventory.resolve(address, at) {
            Owner::Outside => true,
            Owner::Node(_) => !is_pods,
            _ => false,
        }
    }
}

fn is_cluster_dns(pod: &Pod) -> bool {
    let speaks = pod
        .ports
        .iter()
        .any(|port| port.name.as_deref().is_some_and(is_dns_name));
    NAMESPACES.contains(&pod.namespace.as_str()) && (is_resolver(pod) || speaks)
}

fn is_cluster_service(service: &Service, address: IpAddr) -> bool {
    let speaks = service
        .ports
        .iter()
        .any(|port| port.port == DNS_PORT || port.name.as_deref().is_some_and(is_dns_name));
    NAMESPACES.contains(&service.namespace.as_str())
        && speaks
        && service.cluster_ips.contains(&address)
}

/// An address of every node by itself: NodeLocal DNSCache, resolvers and metadata services of clouds (RFC 3927).
pub(in super::super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
