//! Violations: connections that were attempted although the policies in force do not allow them.

mod attribution;
mod kind;
mod ledger;
mod pending;
#[cfg(test)]
mod tests;

pub use attribution::{Attributed, Sample};
pub use kind::{PeerKind, ViolationKind};
pub use ledger::{Noted, Recorded, ViolationLedger};
pub use pending::{PendingViolation, PendingViolations};

use super::{Denial, denials, subset};
use attribution::Neighbours;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{EvaluateError, Evaluation, HostNetwork};
use nanoseg_flow::Verdict;
use nanoseg_graph::{Edge, EdgeKey, Graph, Peer, Requirement, Requiring, ServiceEnforcements};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Direction, Protocol, Timestamp};
use nanoseg_record::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Traffic that an approved policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
    /// The verdicts of all attempts. `established` means that the policy is not enforced, or was not enforced then.
    pub verdicts: BTreeMap<Verdict, u64>,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The number of attempts over all time.
    pub connections: u64,
    /// The requirement that a policy would have to allow. Its `edge` is [`Requiring::NOT_TAUGHT`].
    pub requirement: Requirement,
    /// Is true if a proposal to allow it may be made: the server is known to listen there, or somebody outside answered
    /// this client, and both ends are known (rule: never-answered-is-not-proposed). What only a scanner tries is no edge
    /// at all (rule: scan-teaches-nothing).
    pub may_be_proposed: bool,
    /// The end whose policy denies it: the server's, if both do.
    pub denied_at: Direction,
    /// Whether the two ends are known for certain yet (rule: judge-late-rather-than-wrong).
    pub attributed: Attributed,
    /// One of the attempts.
    pub sample: Option<Sample>,
}

impl Violation {
    /// The connection, as the record has it. The evidence of the proposal that would allow it has the same,
    /// [`super::resources::EvidenceLine::connection`], so that a report finds the answer.
    pub fn connection(&self) -> Connection {
        Connection {
            client: self.client.to_string(),
            server: self.server.to_string(),
            protocol: self.protocol,
            port: self.port,
        }
    }

    /// The key of its edge.
    pub fn key(&self) -> EdgeKey {
        let ends = (self.client.clone(), self.server.clone());
        (ends.0, ends.1, self.protocol, self.port)
    }
}

/// Returns the violations of the policies of `managed`, in the order of the graph's edges. A connection with several
/// requirements (a pod that calls a node port appears as itself or as a node) is returned once for each that is
/// denied. Traffic of somebody without a name is none if it is that of a pod that just went or came and is allowed
/// (rule: judge-late-rather-than-wrong).
///
/// `enforcement`: where the network plugin checks connections through Services.
/// `enforced` are all policies in force, also those of others. Only traffic since the policy of the workload was
/// applied (`since`) counts; a workload without such a time has no violations.
///
/// # Errors
/// Returns an error if the API server would refuse a policy.
pub fn violations(
    graph: &Graph,
    inventory: &Inventory,
    enforcement: &ServiceEnforcements,
    enforced: &[NetworkPolicy],
    managed: &BTreeSet<WorkloadId>,
    since: &BTreeMap<WorkloadId, Timestamp>,
) -> Result<Vec<Violation>, EvaluateError> {
    // The evaluation is built only if there is something to evaluate.
    let suspects = suspects(graph, managed, since);
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let neighbours = Neighbours::new(graph, inventory);
    let evaluation = evaluation_around(&suspects, &neighbours, inventory, enforced)?;
    let requiring = Requiring {
        graph,
        inventory,
        enforcement,
    };
    let listeners = KnownListeners::build(graph, inventory);
    let mut found = Vec::new();
    for suspect in suspects {
        let Suspect {
            client,
            server,
            edge,
            ..
        } = suspect;
        let needed = requiring.of(client, server, edge, Requiring::NOT_TAUGHT);
        let denied = suspect.denied(&needed, &evaluation);
        if denied.is_empty() || neighbours.explain(client, server, edge, &requiring, &evaluation) {
            continue;
        }
        let attributed = neighbours.attributed(client, server, edge);
        let may_be_proposed = listeners.may_be_proposed(client, server, edge);
        for (requirement, denied_at) in denied {
            found.push(Violation {
                client: client.clone(),
                server: server.clone(),
                protocol: edge.protocol,
                port: edge.port,
                verdicts: edge.verdicts.clone(),
                first: edge.first.unwrap_or_default(),
                last: edge.believed_last().unwrap_or_default(),
                connections: edge.connections(),
                requirement,
                may_be_proposed,
                denied_at,
                attributed,
                sample: Sample::of(edge),
            });
        }
    }
    Ok(found)
}

/// The edges with traffic since the policy of a workload of ours was applied.
fn suspects<'g>(
    graph: &'g Graph,
    managed: &BTreeSet<WorkloadId>,
    since: &BTreeMap<WorkloadId, Timestamp>,
) -> Vec<Suspect<'g>> {
    let concerned = |peer: &Peer, last: Timestamp| {
        let id = peer.workload().filter(|id| managed.contains(id));
        id.and_then(|id| since.get(id))
            .is_some_and(|at| last >= *at)
    };
    let edges = graph.edges().into_iter();
    let suspects = edges.filter_map(|(client, server, edge)| {
        // Who tells of it cannot move it before the policy (rule: told-by-the-receivers-clock).
        let last = edge.believed_last().filter(|_| edge.connections() > 0)?;
        let (at_client, at_server) = (concerned(client, last), concerned(server, last));
        (at_client || at_server).then_some(Suspect {
            client,
            server,
            edge,
            at_client,
            at_server,
        })
    });
    suspects.collect()
}

/// What the policies in force allow the ends of the suspects, and whoever these may be.
fn evaluation_around(
    suspects: &[Suspect<'_>],
    neighbours: &Neighbours<'_>,
    inventory: &Inventory,
    enforced: &[NetworkPolicy],
) -> Result<Evaluation, EvaluateError> {
    let mut peers: BTreeSet<&WorkloadId> = BTreeSet::new();
    for suspect in suspects {
        for peer in [suspect.client, suspect.server] {
            peers.extend(peer.workload());
            peers.extend(neighbours.of(peer, suspect.edge));
        }
    }
    let small = subset::of_workloads(inventory, &peers);
    let selecting = subset::policies_selecting(enforced, &small);
    Evaluation::new(&small, selecting.iter().copied(), HostNetwork::Exact)
}

/// Returns the requirements of connections of `managed` workloads that were attempted, never succeeded, and are
/// allowed by all policies at both ends: somebody approved them, so they stay allowed although none was observed to
/// work yet.
///
/// # Errors
/// Returns an error if the API server would refuse a policy.
pub fn approved_attempts(
    graph: &Graph,
    inventory: &Inventory,
    enforcement: &ServiceEnforcements,
    enforced: &[NetworkPolicy],
    managed: &BTreeSet<WorkloadId>,
) -> Result<Vec<Requirement>, EvaluateError> {
    let is_managed = |peer: &Peer| peer.workload().is_some_and(|id| managed.contains(id));
    let mut edges = graph.edges();
    edges.retain(|(client, server, edge)| {
        let was_tried = !edge.lesson.teaches() && edge.connections() > 0;
        was_tried && (is_managed(client) || is_managed(server))
    });
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let ends = edges
        .iter()
        .flat_map(|(client, server, _)| [*client, *server]);
    let small = subset::of_workloads(inventory, &ends.filter_map(Peer::workload).collect());
    let selecting = subset::policies_selecting(enforced, &small);
    let evaluation = Evaluation::new(&small, selecting.iter().copied(), HostNetwork::Exact)?;
    let requiring = Requiring {
        graph,
        inventory,
        enforcement,
    };
    let listeners = KnownListeners::build(graph, inventory);
    let mut found = Vec::new();
    for (client, server, edge) in edges {
        if listeners.may_be_proposed(client, server, edge) {
            let needed = requiring.of(client, server, edge, Requiring::NOT_TAUGHT);
            found.extend(
                needed
                    .into_iter()
                    .filter(|r| evaluation.blocked(r).is_empty()),
            );
        }
    }
    Ok(found)
}

/// An edge that may be a violation.
struct Suspect<'a> {
    client: &'a Peer,
    server: &'a Peer,
    edge: &'a Edge,
    /// Is true if the client's policy is ours and older than the traffic.
    at_client: bool,
    /// Is true if the server's policy is ours and older than the traffic.
    at_server: bool,
}

impl Suspect<'_> {
    /// Returns what the policies of the ends that are ours deny, each requirement once, with that end: the server's, if
    /// both do.
    fn denied(
        &self,
        needed: &[Requirement],
        evaluation: &Evaluation,
    ) -> BTreeMap<Requirement, Direction> {
        let answered = self.edge.verdicts.keys();
        let mut answered = answered.filter(|v| matches!(v, Verdict::Established | Verdict::OneWay));
        let mut all = denials(needed, answered.next().is_some(), evaluation);
        all.retain(|denial| match denial.at {
            Direction::Egress => self.at_client,
            Direction::Ingress => self.at_server,
        });
        let mut denied = BTreeMap::new();
        for Denial {
            requirement, at, ..
        } in all
        {
            let known = denied.entry(requirement).or_insert(at);
            *known = at.min(*known);
        }
        denied
    }
}

/// The ports on which servers of the cluster are known to listen.
struct KnownListeners<'a> {
    workloads: BTreeSet<(&'a WorkloadId, Protocol, u16)>,
    /// Of pods on the host network, by node.
    nodes: BTreeSet<(&'a str, Protocol, u16)>,
    api_server: BTreeSet<u16>,
}

impl<'a> KnownListeners<'a> {
    /// Declared container ports, endpoints of Services, and servers that answered.
    fn build(graph: &'a Graph, inventory: &'a Inventory) -> Self {
        let mut known = BTreeSet::new();
        for pod in &inventory.pods {
            let ports = pod.ports.iter();
            known.extend(ports.map(|port| (&pod.workload, port.protocol, port.number)));
        }
        for port in inventory.services.iter().flat_map(|service| &service.ports) {
            // What another namespace's Service says of a pod is no fact about it (rule: foreign-endpoint).
            for endpoint in port.endpoints.iter().filter(|endpoint| endpoint.own) {
                if let Some(pod) = endpoint.pod.and_then(|index| inventory.pods.get(index)) {
                    known.insert((&pod.workload, port.protocol, endpoint.port));
                }
            }
        }
        for (_, server, edge) in graph.edges() {
            if let Some(id) = server.workload().filter(|_| edge.lesson.teaches()) {
                known.insert((id, edge.protocol, edge.port));
            }
        }
        let on_nodes = inventory.pods.iter().filter(|pod| pod.host_network);
        let nodes = on_nodes.flat_map(|pod| {
            let node = pod.node.as_deref();
            let ports = pod.ports.iter();
            ports.filter_map(move |port| Some((node?, port.protocol, port.number)))
        });
        KnownListeners {
            workloads: known,
            nodes: nodes.collect(),
            api_server: inventory.api_server.iter().map(SocketAddr::port).collect(),
        }
    }

    fn may_be_proposed(&self, client: &Peer, server: &Peer, edge: &Edge) -> bool {
        let (protocol, port) = (edge.protocol, edge.port);
        let listens = match server {
            Peer::Workload(id) => self.workloads.contains(&(id, protocol, port)),
            Peer::Node(name) => {
                edge.lesson.teaches() || self.nodes.contains(&(name, protocol, port))
            }
            Peer::ApiServer => edge.lesson.teaches() || self.api_server.contains(&port),
            // Nothing declares who listens outside of the cluster: only an answer shows it, and only to who got it. The
            // metadata service that answered one client is no reason to let another one in.
            Peer::Outside(_) => edge.lesson.teaches(),
            Peer::Unattributed(_) => false,
        };
        listens && !matches!(client, Peer::Unattributed(_))
    }
}
