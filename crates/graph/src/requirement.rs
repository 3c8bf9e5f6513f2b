//! What a network plugin must let through for the edges of `O`: the common ground of `policy`, which
//! writes rules for it, and `evaluate`, which judges the rules by it.

use super::{Edge, Graph, Peer, Unattributed};
use nanoseg_inventory::{Inventory, Service, WorkloadId};
use nanoseg_net::{AddressSet, Protocol};
use nanoseg_plugin::{EnforcedPorts, SeenClient};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One end of a requirement, as NetworkPolicy can name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Pods of a workload, to be named by labels.
    Workload(WorkloadId),
    /// Addresses that pods do not have (outside, nodes, API server), to be named by ipBlocks.
    Addresses(BTreeSet<IpAddr>),
    /// All addresses of ranges: who may call a public entry that is open to anywhere.
    Ranges(AddressSet),
}

/// Connections that must be allowed: from `client` to `port` of `server`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Requirement {
    pub client: End,
    pub server: End,
    pub protocol: Protocol,
    pub port: u16,
    /// What a person reads beside the rule: the server's or client's name where the end is a set of
    /// addresses (a DNS name with the address, `API server`, `node n1`, `any node (NodePort)`).
    pub label: Option<String>,
    /// The addresses are outside ones: they may be summarised to CIDRs (rule: outside-address-blocks).
    pub outside: bool,
    /// Index of the edge in [`super::Graph::taught`].
    pub edge: usize,
}

/// On which ports connections through Services are checked, where an operator says it.
///
/// One network plugin serves a whole cluster, so its profile is mostly all there is ([`nanoseg_plugin::Behaviour`]); an
/// operator can say otherwise for all namespaces, or for one (`spec.serviceEnforcement` of its Segmentation).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceEnforcements {
    /// Of all namespaces that are not in `namespaces`; `None`: as the cluster's network plugin does.
    pub default: Option<EnforcedPorts>,
    pub namespaces: BTreeMap<String, EnforcedPorts>,
}

impl ServiceEnforcements {
    /// Returns on which ports a connection between the two peers is checked: on both if that is so for the namespace of
    /// one of them. The default, else what the `plugin` does, counts for a workload whose namespace has no setting, and
    /// where neither peer is a workload.
    pub fn between(&self, client: &Peer, server: &Peer, plugin: EnforcedPorts) -> EnforcedPorts {
        let default = self.default.unwrap_or(plugin);
        let of = |peer: &Peer| {
            let namespace = &peer.workload()?.namespace;
            Some(self.namespaces.get(namespace).copied().unwrap_or(default))
        };
        of(client).max(of(server)).unwrap_or(default)
    }
}

impl From<EnforcedPorts> for ServiceEnforcements {
    /// The same in every namespace.
    fn from(default: EnforcedPorts) -> Self {
        ServiceEnforcements {
            default: Some(default),
            namespaces: BTreeMap::new(),
        }
    }
}

/// Lists the requirements of all edges of `O`, in the order of [`Graph::taught`].
pub fn requirements(
    graph: &Graph,
    inventory: &Inventory,
    enforcement: &ServiceEnforcements,
) -> Vec<Requirement> {
    let requiring = Requiring {
        graph,
        inventory,
        enforcement,
    };
    let taught = graph.taught().into_iter().enumerate();
    let mut all: Vec<Requirement> = taught
        .flat_map(|(index, (client, server, edge))| requiring.of(client, server, edge, index))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What the requirements of an edge depend on beside it.
#[derive(Debug, Clone, Copy)]
pub struct Requiring<'a> {
    /// For the names of outside addresses.
    pub graph: &'a Graph,
    pub inventory: &'a Inventory,
    pub enforcement: &'a ServiceEnforcements,
}

impl Requiring<'_> {
    /// For an edge that is not of `O`: it has no place in [`Graph::taught`].
    pub const NOT_TAUGHT: usize = usize::MAX;

    /// What would have to be allowed for one edge, whether it teaches or not. `index` becomes
    /// [`Requirement::edge`].
    pub fn of(&self, client: &Peer, server: &Peer, edge: &Edge, index: usize) -> Vec<Requirement> {
        let (graph, inventory) = (self.graph, self.inventory);
        let one = |client: NamedEnd, server: NamedEnd, port: u16| Requirement {
            label: server.label.or(client.label),
            outside: client.outside || server.outside,
            client: client.end,
            server: server.end,
            protocol: edge.protocol,
            port,
            edge: index,
        };
        let mut all = Vec::new();
        let from = client_ends(client, edge, graph, inventory);
        let to = end_of(server, graph, inventory);
        for from in &from {
            all.push(one(from.clone(), to.clone(), edge.port));
        }
        let behaviour = inventory.network_plugin.behaviour();
        if self.enforcement.between(client, server, behaviour.ports) == EnforcedPorts::Either {
            for port in edge.service_ports.iter().filter(|port| **port != edge.port) {
                all.extend(from.iter().map(|from| one(from.clone(), to.clone(), *port)));
            }
        }
        // The plugin sees the Service's own address when the packet leaves the client.
        if behaviour.ip_block.service_addresses && client.workload().is_some() {
            for (service, port) in service_addresses(edge, inventory) {
                all.push(one(end_of(client, graph, inventory), service, port));
            }
        }
        // To the node port of another node the packet leaves untranslated.
        for port in &edge.node_ports {
            let nodes = any_node(inventory.node_addresses(), edge);
            all.push(one(end_of(client, graph, inventory), nodes, *port));
        }
        all
    }
}

#[derive(Clone)]
struct NamedEnd {
    end: End,
    label: Option<String>,
    outside: bool,
}

/// The client as the plugin sees it: itself, or where it is masqueraded both itself and any node. Which of them depends on
/// where the plugin filters and on where the pod runs: most filter before masquerading, so the node that was entered sees
/// the client itself in front of its own pods, and every other node sees that node (rule: node-port-from-any-node). A
/// node, and what runs on it, is one of these addresses anyway.
fn client_ends(client: &Peer, edge: &Edge, graph: &Graph, inventory: &Inventory) -> Vec<NamedEnd> {
    let own = || end_of(client, graph, inventory);
    if edge.enforced_from.is_empty() {
        return vec![own()];
    }
    let nodes = any_node(edge.enforced_from.clone(), edge);
    let seen = inventory.network_plugin.behaviour().masquerade;
    match (client, seen) {
        (Peer::Node(_), _) | (_, SeenClient::Node) => vec![nodes],
        (_, SeenClient::Client) => vec![own()],
        (
            Peer::Workload(_) | Peer::ApiServer | Peer::Outside(_) | Peer::Unattributed(_),
            SeenClient::Either,
        ) => vec![own(), nodes],
    }
}

/// The cluster addresses of the Services through which an edge was called, with the port that was called.
fn service_addresses(edge: &Edge, inventory: &Inventory) -> Vec<(NamedEnd, u16)> {
    let named = |service: &Service| format!("{}/{}", service.namespace, service.name);
    let called = edge.services.iter().filter_map(|text| {
        let (name, _) = text.rsplit_once(':')?;
        let mut services = inventory.services.iter();
        services.find(|service| named(service) == name)
    });
    let ends = called.flat_map(|service| {
        let ports = service.ports.iter().filter(|port| {
            port.protocol == edge.protocol && edge.service_ports.contains(&port.port)
        });
        let addresses: BTreeSet<IpAddr> = service.cluster_ips.iter().copied().collect();
        let end = NamedEnd {
            end: End::Addresses(addresses),
            label: Some(format!("Service {}", named(service))),
            outside: false,
        };
        ports.map(move |port| (end.clone(), port.port))
    });
    ends.filter(|(end, _)| end.end != End::Addresses(BTreeSet::new()))
        .collect()
}

fn any_node(addresses: BTreeSet<IpAddr>, edge: &Edge) -> NamedEnd {
    let services: Vec<&str> = edge.services.iter().map(String::as_str).collect();
    let label = match services.as_slice() {
        [] => "any node".into(),
        services => format!("any node, for {}", services.join(", ")),
    };
    NamedEnd {
        end: End::Addresses(addresses),
        label: Some(label),
        outside: false,
    }
}

fn end_of(peer: &Peer, graph: &Graph, inventory: &Inventory) -> NamedEnd {
    let addresses = |set: BTreeSet<IpAddr>, label: Option<String>, outside: bool| NamedEnd {
        end: End::Addresses(set),
        label,
        outside,
    };
    match peer {
        Peer::Workload(id) => NamedEnd {
            end: End::Workload(id.clone()),
            label: None,
            outside: false,
        },
        Peer::ApiServer => {
            let set = inventory
                .api_server
                .iter()
                .map(|endpoint| endpoint.ip())
                .collect();
            addresses(set, Some("API server".into()), false)
        }
        Peer::Node(name) => {
            let node = inventory.nodes.iter().find(|node| node.name == *name);
            let set = node.map(|node| node.addresses.clone()).unwrap_or_default();
            addresses(set, Some(format!("node {name}")), false)
        }
        Peer::Outside(address) | Peer::Unattributed(Unattributed { address, .. }) => {
            let label = graph.named_address(address);
            addresses(BTreeSet::from([*address]), label, true)
        }
    }
}
