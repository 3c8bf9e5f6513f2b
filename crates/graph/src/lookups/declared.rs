//! The resolvers that the objects of the cluster declare for a workload: those of its pods' own spec, and the cluster's
//! DNS. Whom they stand for is attributed as if one of its pods had asked them.

use super::super::attribute::Attribution;
use super::super::build::{EdgesByKey, add_record};
use super::super::edge::Edge;
use super::super::peer::Peer;
use super::Resolver;
use nanoseg_flow::{ActivityWindows, FlowRecord, Opening, Verdict};
use nanoseg_inventory::{Inventory, Pod, WorkloadId};
use nanoseg_net::{Protocol, Timestamp};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The port of every resolver that a `resolv.conf` can name.
const DNS_PORT: u16 = 53;
/// Where NodeLocal DNSCache answers unless its manifest was changed (the Kubernetes documentation, "Using NodeLocal
/// DNSCache in Kubernetes Clusters").
const NODE_LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));
const NODE_LOCAL_LABEL: (&str, &str) = ("k8s-app", "node-local-dns");

/// Whom a workload's pods ask for names (`dnsPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// The cluster's DNS: `ClusterFirst` and `ClusterFirstWithHostNet`.
    Cluster,
    /// Whom its node asks: `Default`.
    Node,
    /// Only those that `dnsConfig` names: `None`.
    Own,
}

impl Asks {
    pub fn of(id: &WorkloadId, inventory: &Inventory) -> Asks {
        current_pod(id, inventory).map_or(Asks::Cluster, Asks::of_pod)
    }

    fn of_pod(pod: &Pod) -> Asks {
        let own = &pod.own_resolvers;
        match (own.of_node, own.without_cluster) {
            (true, _) => Asks::Node,
            (false, true) => Asks::Own,
            (false, false) => Asks::Cluster,
        }
    }
}

/// What is declared for one workload, each resolver with an edge to it.
pub(super) struct Declared {
    pub asks: Asks,
    /// Those that its spec names, beside others or alone.
    pub own: BTreeMap<Resolver, Edge>,
    /// The cluster's, if it asks them.
    pub of_cluster: BTreeMap<Resolver, Edge>,
}

pub(super) fn declared_of(id: &WorkloadId, attribution: &Attribution<'_>) -> Declared {
    let inventory = attribution.inventory;
    let Some(pod) = current_pod(id, inventory) else {
        return Declared {
            asks: Asks::Cluster,
            own: BTreeMap::new(),
            of_cluster: BTreeMap::new(),
        };
    };
    let asks = Asks::of_pod(pod);
    let of_cluster = if asks == Asks::Cluster {
        cluster_resolvers(attribution)
    } else {
        Vec::new()
    };
    let own = pod.own_resolvers.addresses.iter().copied();
    Declared {
        asks,
        own: asked(pod, own, attribution),
        of_cluster: asked(pod, of_cluster, attribution),
    }
}

/// A pod of the workload that has an address, the latest one.
fn current_pod<'i>(id: &WorkloadId, inventory: &'i Inventory) -> Option<&'i Pod> {
    let workload = inventory.workloads.get(id)?;
    let pods = workload.pods.iter().filter_map(|i| inventory.pods.get(*i));
    let with_address = pods.filter(|pod| !pod.template && !pod.addresses.is_empty());
    with_address.max_by_key(|pod| (pod.owned.until.is_none(), pod.owned.from))
}

/// The cluster addresses of the Services of the cluster's DNS, and the address of the cache on the nodes.
fn cluster_resolvers(attribution: &Attribution<'_>) -> Vec<IpAddr> {
    let inventory = attribution.inventory;
    let services = inventory.services.iter();
    let of_dns = services.filter(|service| attribution.is_cluster_dns_service(service));
    let mut addresses: Vec<IpAddr> = of_dns.flat_map(|one| one.cluster_ips.clone()).collect();
    let (key, value) = NODE_LOCAL_LABEL;
    let is_cache =
        |pod: &Pod| pod.host_network && pod.labels.get(key).is_some_and(|known| known == value);
    if inventory.pods.iter().any(is_cache) {
        addresses.push(NODE_LOCAL);
    }
    addresses
}

/// The edges from the pod to these resolvers, by the server and port that stand behind each.
fn asked(
    pod: &Pod,
    resolvers: impl IntoIterator<Item = IpAddr>,
    attribution: &Attribution<'_>,
) -> BTreeMap<Resolver, Edge> {
    let at = pod.network_up.or(pod.owned.from).unwrap_or_default();
    let mut by_key = EdgesByKey::default();
    for resolver in resolvers {
        // Only within one family anybody can ask.
        let client = pod
            .addresses
            .iter()
            .find(|a| a.is_ipv4() == resolver.is_ipv4());
        if let Some(client) = client {
            let record = query(*client, resolver, at);
            let attributed = attribution.attribute(&record);
            add_record(&mut by_key, &record, &attributed, attribution);
        }
    }
    let named = by_key.into_iter().map(|((_, server, _, port), edge)| {
        let server = attribution.peer(server);
        ((server, port), edge)
    });
    named
        .filter(|((server, _), _)| !matches!(server, Peer::Unattributed(_)))
        .collect()
}

/// An answered query.
fn query(client: IpAddr, server: IpAddr, at: Timestamp) -> FlowRecord {
    FlowRecord {
        client,
        server,
        port: DNS_PORT,
        protocol: Protocol::Udp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::FirstPacket,
        labels: None,
        observers: Default::default(),
        told: None,
        connections: 0,
        datagrams: 0,
        bytes_to_server: 0,
        bytes_to_client: 0,
        first: at,
        last: at,
        windows: ActivityWindows::default(),
    }
}

/// The workloads behind headless Services, which are called at their pods' addresses, each with one Service's name.
pub(super) fn behind_headless(inventory: &Inventory) -> BTreeMap<&WorkloadId, String> {
    let headless = inventory
        .services
        .iter()
        .filter(|service| service.cluster_ips.is_empty());
    let endpoints = headless.flat_map(|service| {
        let name = format!("{}/{}", service.namespace, service.name);
        let ports = service.ports.iter().flat_map(|port| &port.endpoints);
        // What another namespace's Service says of a pod is no fact about it (rule: foreign-endpoint).
        let pods = ports
            .filter(|endpoint| endpoint.own)
            .filter_map(|endpoint| endpoint.pod);
        pods.map(move |pod| (pod, name.clone()))
    });
    let named =
        endpoints.filter_map(|(pod, name)| Some((&inventory.pods.get(pod)?.workload, name)));
    named.collect()
}
