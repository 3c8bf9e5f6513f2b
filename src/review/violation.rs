//! Violations: connections that were tried although the policies in force do not allow them.

use super::narrow;
use crate::evaluate::{BlockedBy, EvaluateError, Evaluation, HostNetwork};
use crate::flow::Verdict;
use crate::graph::{Edge, Graph, Peer, Requirement, Requiring, ServiceEnforcement};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::{Protocol, Timestamp};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::{BTreeMap, BTreeSet};

/// Traffic that an approved policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
    /// How it went, over all time; `established` among them says that the policy is not enforced, or was
    /// not then.
    pub verdicts: BTreeMap<Verdict, u64>,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Attempts over all time.
    pub connections: u64,
    /// What would have to be allowed. Its `edge` is [`Requiring::NOT_TAUGHT`].
    pub requirement: Requirement,
    /// Whether an operator is to be asked to allow it: the server is known to listen there, and both
    /// ends are known. What only a scanner tries is no edge at all (rule: scan-teaches-nothing).
    pub may_be_proposed: bool,
}

impl Violation {
    /// In words, as the record has it: `client → server port/protocol`. The evidence of the proposal that would
    /// allow it has the same, [`super::resources::EvidenceLine::connection`], so that a report finds the answer.
    pub fn connection(&self) -> String {
        format!(
            "{} → {} {}/{}",
            self.client, self.server, self.port, self.protocol
        )
    }
}

/// The violations of the policies of `managed`, in the order of the graph's edges. A connection that has
/// several requirements (a pod that calls a node port is seen as itself or as a node) is there once for
/// each that is denied.
///
/// `enforced` are all policies in force, also those of others. Only traffic that is not older than when
/// the policy of the workload concerned was applied, `since`, counts; a workload without such a time has
/// no violations.
///
/// # Errors
/// A policy that the API server would refuse.
pub fn violations(
    graph: &Graph,
    inventory: &Inventory,
    enforced: &[NetworkPolicy],
    managed: &BTreeSet<WorkloadId>,
    since: &BTreeMap<WorkloadId, Timestamp>,
) -> Result<Vec<Violation>, EvaluateError> {
    let concerned = |peer: &Peer, last: Timestamp| {
        let id = peer.workload().filter(|id| managed.contains(id));
        id.and_then(|id| since.get(id))
            .is_some_and(|at| last >= *at)
    };
    // What it takes to judge is built only where there is something to judge.
    let edges: Vec<Suspect<'_>> = graph
        .edges()
        .into_iter()
        .filter_map(|(client, server, edge)| {
            let last = edge.last.filter(|_| edge.connections() > 0)?;
            let (at_client, at_server) = (concerned(client, last), concerned(server, last));
            (at_client || at_server).then_some(Suspect {
                client,
                server,
                edge,
                at_client,
                at_server,
            })
        })
        .collect();
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let ends = edges.iter().flat_map(|s| [s.client, s.server]);
    let small = narrow::with_workloads(inventory, &ends.filter_map(Peer::workload).collect());
    let selecting = narrow::selecting(enforced, &small);
    let evaluation = Evaluation::new(&small, selecting.iter().copied(), HostNetwork::Exact)?;
    let requiring = Requiring {
        graph,
        inventory,
        enforcement: ServiceEnforcement::AfterTranslation,
    };
    let listeners = Listening::build(graph, inventory);
    let mut found = Vec::new();
    for suspect in edges {
        let Suspect {
            client,
            server,
            edge,
            ..
        } = suspect;
        let asked = requiring.of(client, server, edge, Requiring::NOT_TAUGHT);
        for requirement in asked
            .into_iter()
            .filter(|r| suspect.is_denied(r, &evaluation))
        {
            found.push(Violation {
                client: client.clone(),
                server: server.clone(),
                protocol: edge.protocol,
                port: edge.port,
                verdicts: edge.verdicts.clone(),
                first: edge.first.unwrap_or_default(),
                last: edge.last.unwrap_or_default(),
                connections: edge.connections(),
                requirement,
                may_be_proposed: listeners.may_be_proposed(client, server, edge),
            });
        }
    }
    Ok(found)
}

/// What was tried and never answered, and is allowed nevertheless, at one of the `managed` ends and everywhere:
/// somebody approved it, so it stays allowed although nothing of it was observed to work yet.
///
/// # Errors
/// A policy that the API server would refuse.
pub fn approved_attempts(
    graph: &Graph,
    inventory: &Inventory,
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
    let small = narrow::with_workloads(inventory, &ends.filter_map(Peer::workload).collect());
    let selecting = narrow::selecting(enforced, &small);
    let evaluation = Evaluation::new(&small, selecting.iter().copied(), HostNetwork::Exact)?;
    let requiring = Requiring {
        graph,
        inventory,
        enforcement: ServiceEnforcement::AfterTranslation,
    };
    let listeners = Listening::build(graph, inventory);
    let mut found = Vec::new();
    for (client, server, edge) in edges {
        if listeners.may_be_proposed(client, server, edge) {
            let asked = requiring.of(client, server, edge, Requiring::NOT_TAUGHT);
            found.extend(
                asked
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
    /// The client's policy is ours, and older than the traffic.
    at_client: bool,
    at_server: bool,
}

impl Suspect<'_> {
    /// Whether the policies at an end that is ours deny it.
    fn is_denied(&self, requirement: &Requirement, evaluation: &Evaluation) -> bool {
        let blocked = evaluation.blocked(requirement);
        blocked.iter().any(|blocked| match blocked.by {
            BlockedBy::Egress(_) => self.at_client,
            BlockedBy::Ingress(_) => self.at_server,
            BlockedBy::UnknownWorkload(_) => false,
        })
    }
}

/// Where workloads are known to listen.
struct Listening<'a>(BTreeSet<(&'a WorkloadId, Protocol, u16)>);

impl<'a> Listening<'a> {
    /// Declared container ports, endpoints of Services, and servers that answered.
    fn build(graph: &'a Graph, inventory: &'a Inventory) -> Self {
        let mut known = BTreeSet::new();
        for pod in &inventory.pods {
            let ports = pod.ports.iter();
            known.extend(ports.map(|port| (&pod.workload, port.protocol, port.number)));
        }
        for port in inventory.services.iter().flat_map(|service| &service.ports) {
            for endpoint in &port.endpoints {
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
        Listening(known)
    }

    fn may_be_proposed(&self, client: &Peer, server: &Peer, edge: &Edge) -> bool {
        let listens = match server {
            Peer::Workload(id) => self.0.contains(&(id, edge.protocol, edge.port)),
            Peer::ApiServer | Peer::Node(_) | Peer::Outside(_) => true,
            Peer::UnknownPod(_) => false,
        };
        listens && !matches!(client, Peer::UnknownPod(_))
    }
}

#[cfg(test)]
mod tests;
