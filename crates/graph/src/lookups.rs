//! Name lookups that were not seen: a client that called a Service by its cluster address must have looked it up at
//! some time (rule: dns-not-observed).

use super::edge::{Edge, Lesson};
use super::edge_key::{EdgeKey, Edges};
use super::findings::list;
use super::implied_edges::is_answered;
use super::peer::Peer;
use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};

/// For whom the lookups that were not seen are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImpliedLookups {
    Never,
    /// Clients whose connections to Services began before the observation: so did their lookups.
    #[default]
    LongLived,
    /// All clients that called Services.
    Always,
}

/// A server port at which DNS was spoken.
type Resolver = (Peer, u16);

/// The Service of the API server: clients know its address from their environment (`KUBERNETES_SERVICE_HOST`).
const API_SERVER: &str = "default/kubernetes:";

/// What was seen of a client.
#[derive(Default)]
struct Client {
    /// The Services that it called.
    services: BTreeSet<String>,
    /// One of these connections began before the observation.
    long_lived: bool,
    dns: bool,
}

/// Reports the clients whose lookups were not seen, and adds the edges that are implied for them.
pub(super) fn imply(edges: &mut Edges, implied: ImpliedLookups) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut added: Vec<(EdgeKey, Edge)> = Vec::new();
    for (id, client) in clients(edges) {
        if client.dns || client.services.is_empty() {
            continue;
        }
        let resolvers = resolvers_of_neighbours(&id, edges);
        let is_implied = match implied {
            ImpliedLookups::Never => false,
            ImpliedLookups::LongLived => client.long_lived,
            ImpliedLookups::Always => true,
        };
        let names: BTreeSet<String> = resolvers
            .keys()
            .map(|(peer, port)| format!("{peer} {port}"))
            .collect();
        let names = list(&names);
        let what = match (resolvers.is_empty(), is_implied) {
            (true, _) => "no neighbour's either".to_owned(),
            (false, true) => format!("the resolver of its neighbours is allowed ({names})"),
            (false, false) => format!("its neighbours use {names}, which is not allowed for it"),
        };
        let message = format!(
            "called {}, but none of its DNS traffic was seen; {what}",
            list(&client.services)
        );
        findings.push(Finding::new(Code::DnsNotObserved, id.to_string(), message));
        if is_implied {
            for ((server, port), edge) in resolvers {
                for protocol in [Protocol::Udp, Protocol::Tcp] {
                    let key = (Peer::Workload(id.clone()), server.clone(), protocol, port);
                    added.push((key, implied_edge(&edge, protocol)));
                }
            }
        }
    }
    for (key, edge) in added {
        let known = edges.entry(key).or_insert_with(|| edge.clone());
        if !known.lesson.teaches() {
            known.lesson = edge.lesson;
        }
    }
    findings
}

/// All workloads that are clients.
fn clients(edges: &Edges) -> BTreeMap<WorkloadId, Client> {
    let mut clients: BTreeMap<WorkloadId, Client> = BTreeMap::new();
    for ((client, ..), edge) in edges {
        let Some(id) = client.workload() else {
            continue;
        };
        let known = match clients.get_mut(id) {
            Some(known) => known,
            None => clients.entry(id.clone()).or_default(),
        };
        known.dns |= edge.tally.dns;
        // A node port is called at a node's address, which is no name of the cluster's DNS.
        if edge.lesson == Lesson::Learned && edge.node_ports.is_empty() {
            let services = edge.services.iter();
            let called = services.filter(|name| !name.starts_with(API_SERVER));
            let before = known.services.len();
            known.services.extend(called.cloned());
            known.long_lived |= edge.inferred && known.services.len() > before;
        }
    }
    clients
}

/// The resolvers that other workloads of the namespace use, else those of any namespace; of each the edge of one
/// of its clients.
fn resolvers_of_neighbours(id: &WorkloadId, edges: &Edges) -> BTreeMap<Resolver, Edge> {
    let used = |near: &dyn Fn(&WorkloadId) -> bool| -> BTreeMap<Resolver, Edge> {
        let all = edges.iter().filter(|((client, _, protocol, _), edge)| {
            *protocol == Protocol::Udp
                && edge.tally.dns
                && is_answered(edge)
                && client
                    .workload()
                    .is_some_and(|client| client != id && near(client))
        });
        // A resolver outside of the cluster is its client's own choice.
        let all = all.filter(|((_, server, ..), _)| !matches!(server, Peer::Outside(_)));
        all.map(|((_, server, _, port), edge)| ((server.clone(), *port), edge.clone()))
            .collect()
    };
    let near = used(&|client| client.namespace == id.namespace);
    if near.is_empty() {
        used(&|_| true)
    } else {
        near
    }
}

fn implied_edge(of_neighbour: &Edge, protocol: Protocol) -> Edge {
    Edge {
        lesson: Lesson::Implied(
            "called Services by their cluster addresses, so it has looked them up".into(),
        ),
        services: of_neighbour.services.clone(),
        service_ports: of_neighbour.service_ports.clone(),
        enforced_from: of_neighbour.enforced_from.clone(),
        ..Edge::new(protocol, of_neighbour.port)
    }
}
