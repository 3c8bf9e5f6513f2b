//! The workloads that are directly reachable from the internet, without another workload between.

use nanoseg_flow::Verdict;
use nanoseg_graph::{Graph, Peer, is_private};
use nanoseg_inventory::{Inventory, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a workload counts as reachable from outside of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// A load balancer, external address or node port of this Service (`namespace/name`).
    Service(String),
    /// A container port that is mapped to a port of its node (`hostPort`).
    HostPort(u16),
    /// A public address connected to it and got an answer.
    Seen,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exposure::Service(name) => write!(f, "Service {name}"),
            Exposure::HostPort(port) => write!(f, "host port {port}"),
            Exposure::Seen => f.write_str("called from public addresses"),
        }
    }
}

/// Returns all workloads that are reachable from outside, with the reasons. What is in front of a node or load
/// balancer (a firewall, a private network) is not known here, so each counts as open to the internet. Workloads on
/// the host network count if a connection to them was observed.
pub fn exposed(inventory: &Inventory, graph: &Graph) -> BTreeMap<WorkloadId, BTreeSet<Exposure>> {
    let mut found: BTreeMap<WorkloadId, BTreeSet<Exposure>> = BTreeMap::new();
    for service in &inventory.services {
        let name = format!("{}/{}", service.namespace, service.name);
        let ports = service.ports.iter();
        let open =
            ports.filter(|port| port.node_port.is_some() || !service.external_ips.is_empty());
        for endpoint in open.flat_map(|port| &port.endpoints) {
            if let Some(pod) = endpoint.pod.and_then(|pod| inventory.pods.get(pod)) {
                let own = found.entry(pod.workload.clone()).or_default();
                own.insert(Exposure::Service(name.clone()));
            }
        }
    }
    for workload in inventory.workloads.values() {
        for port in workload.containers.iter().flat_map(|one| &one.host_ports) {
            let own = found.entry(workload.id.clone()).or_default();
            own.insert(Exposure::HostPort(*port));
        }
    }
    for (client, server, edge) in graph.edges() {
        let (Peer::Outside(address), Peer::Workload(id)) = (client, server) else {
            continue;
        };
        if !is_private(*address) && edge.verdicts.contains_key(&Verdict::Established) {
            found.entry(id.clone()).or_default().insert(Exposure::Seen);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{inventory, workload};
    use super::*;
    use nanoseg_graph::Edge;
    use nanoseg_inventory::{Service, ServiceEndpoint, ServicePort};
    use nanoseg_net::Protocol;
    use std::net::IpAddr;

    fn service(node_port: Option<u16>, external: &[&str], pod: usize) -> Service {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        Service {
            namespace: "shop".into(),
            name: "web".into(),
            cluster_ips: vec![address("10.96.0.9")],
            external_ips: external.iter().map(|text| address(text)).collect(),
            claimed_ips: Vec::new(),
            ports: vec![ServicePort {
                name: None,
                protocol: Protocol::Tcp,
                port: 80,
                node_port,
                endpoints: vec![ServiceEndpoint {
                    address: address("10.1.0.1"),
                    port: 8080,
                    pod: Some(pod),
                    own: true,
                }],
            }],
            endpoint_source: Default::default(),
            selector: Default::default(),
            external_local: false,
        }
    }

    fn reasons(inventory: &Inventory, graph: &Graph) -> Vec<String> {
        let found = exposed(inventory, graph);
        let words = |(id, why): (&WorkloadId, &BTreeSet<Exposure>)| {
            let why: Vec<String> = why.iter().map(ToString::to_string).collect();
            format!("{id}: {}", why.join(", "))
        };
        found.iter().map(words).collect()
    }

    #[test]
    fn node_ports_and_load_balancers_expose_the_pods_behind_them() {
        let mut cluster = inventory([workload("shop/web", "web"), workload("shop/db", "db")]);
        cluster.services = vec![service(None, &[], 0)];
        assert!(
            reasons(&cluster, &Graph::default()).is_empty(),
            "inside only"
        );
        for exposing in [
            service(Some(30080), &[], 0),
            service(None, &["192.0.2.1"], 0),
        ] {
            cluster.services = vec![exposing];
            assert_eq!(
                reasons(&cluster, &Graph::default()),
                ["shop/web: Service shop/web"]
            );
        }
    }

    #[test]
    fn a_host_port_exposes() {
        let mut web = workload("shop/web", "web");
        web.containers[0].host_ports = BTreeSet::from([443]);
        let cluster = inventory([web]);
        assert_eq!(
            reasons(&cluster, &Graph::default()),
            ["shop/web: host port 443"]
        );
    }

    #[test]
    fn an_answered_call_from_a_public_address_exposes_and_no_other_does() {
        let cluster = inventory([workload("shop/web", "web")]);
        let server = Peer::Workload(cluster.workloads.keys().next().expect("one").clone());
        let graph = |address: &str, verdict| {
            let mut graph = Graph::default();
            let mut edge = Edge::new(Protocol::Tcp, 443);
            edge.verdicts.insert(verdict, 1);
            let client = Peer::Outside(address.parse().expect("an address"));
            graph.add_edge(&client, &server, edge);
            graph
        };
        let seen = |address, verdict| reasons(&cluster, &graph(address, verdict)).len();
        assert_eq!(seen("203.0.113.7", Verdict::Established), 1);
        assert_eq!(seen("203.0.113.7", Verdict::Refused), 0);
        assert_eq!(seen("10.9.9.9", Verdict::Established), 0);
    }
}
