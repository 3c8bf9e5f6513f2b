//! Name lookups that were not seen: a client that called somebody by a name must have looked it up at some time
//! (rule: dns-not-observed). The next pod of it looks it up again, so the resolver is allowed unseen.

mod declared;

use super::attribute::{Attribution, is_link_local};
use super::edge::{Edge, Lesson};
use super::edge_key::{EdgeKey, Edges};
use super::implied_edges::is_answered;
use super::lesson::decide;
use super::listing::list;
use super::peer::Peer;
use declared::{Asks, Declared, declared_of};
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::Views;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Protocol;
use std::collections::{BTreeMap, BTreeSet};

/// For whom the lookups that were not seen are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImpliedLookups {
    Never,
    /// Clients that may have looked up before the observation: their connections to Services began before it, or one of
    /// their pods began while no agent observed its node.
    #[default]
    LongLived,
    /// All clients that called Services.
    Always,
}

/// A server port at which DNS was spoken.
type Resolver = (Peer, u16);

/// The Service of the API server: clients know its address from their environment (`KUBERNETES_SERVICE_HOST`).
const API_SERVER: &str = "default/kubernetes:";

/// Why an edge is implied.
const LOOKED_UP: &str = "called Services by their cluster addresses, so it has looked them up";

/// What was seen of a client.
#[derive(Default)]
struct Client {
    /// What it called that has a name: Services, and where its start was not seen, others too.
    called: BTreeSet<String>,
    /// One of these connections began before the observation.
    long_lived: bool,
    dns: bool,
}

/// Reports the clients whose lookups were not seen, and adds the edges that are implied for them. `views`: when each
/// node's agent observed; empty without agents.
pub(super) fn imply(
    edges: &mut Edges,
    implied: ImpliedLookups,
    attribution: &Attribution<'_>,
    views: &Views,
) -> Vec<Finding> {
    let inventory = attribution.inventory;
    let unseen = starts_unseen(inventory, views);
    let asked = asked_resolvers(edges);
    let mut findings = Vec::new();
    let mut added: Vec<(EdgeKey, Edge)> = Vec::new();
    for (id, client) in clients(edges, &unseen, inventory) {
        if client.dns || client.called.is_empty() {
            continue;
        }
        let declared = declared_of(&id, attribution);
        let resolvers = resolvers_for(&id, &asked, &declared, inventory);
        let is_implied = match implied {
            ImpliedLookups::Never => false,
            ImpliedLookups::LongLived => client.long_lived,
            ImpliedLookups::Always => true,
        };
        let names: BTreeSet<String> = resolvers
            .found
            .keys()
            .map(|(peer, port)| format!("{peer} {port}"))
            .collect();
        let names = list(&names);
        let whose = resolvers.whose;
        let what = match (resolvers.found.is_empty(), is_implied) {
            (true, _) => resolvers.none_found().to_owned(),
            (false, true) => format!("the resolver of {whose} is allowed ({names})"),
            (false, false) if whose == NEIGHBOURS => {
                format!("its neighbours use {names}, which is not allowed for it")
            }
            (false, false) => {
                format!("the resolver of {whose} is {names}, which is not allowed for it")
            }
        };
        let message = format!(
            "called {}, but none of its DNS traffic was seen; {what}",
            list(&client.called)
        );
        findings.push(Finding::new(Code::DnsNotObserved, id.to_string(), message));
        if is_implied {
            for ((server, port), edge) in resolvers.found {
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

/// Decides anew for whom lookups are implied, after edges were added. Returns the edges that came, went or changed.
pub(super) fn renew(
    edges: &mut Edges,
    implied: ImpliedLookups,
    attribution: &Attribution<'_>,
    views: &Views,
) -> BTreeSet<EdgeKey> {
    let before = of_lookups(edges);
    for key in before.keys() {
        let Some(edge) = edges.get_mut(key) else {
            continue;
        };
        if edge.verdicts.is_empty() {
            edges.remove(key);
        } else {
            edge.lesson = decide(&key.0, &key.1, edge);
        }
    }
    imply(edges, implied, attribution, views);
    let after = of_lookups(edges);
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(*key) != after.get(*key))
        .cloned()
        .collect()
}

/// Returns true if nothing is known of the edge but that its client must have looked up.
pub(super) fn is_only_implied(edge: &Edge) -> bool {
    is_of_lookups(edge) && edge.verdicts.is_empty()
}

fn is_of_lookups(edge: &Edge) -> bool {
    matches!(&edge.lesson, Lesson::Implied(reason) if reason == LOOKED_UP)
}

fn of_lookups(edges: &Edges) -> Edges {
    let implied = edges.iter().filter(|(_, edge)| is_of_lookups(edge));
    implied.map(|(k, e)| (k.clone(), e.clone())).collect()
}

/// The workloads with a pod that began while no agent observed its node: what it looked up then was not seen.
fn starts_unseen<'i>(inventory: &'i Inventory, views: &Views) -> BTreeSet<&'i WorkloadId> {
    if views.is_empty() {
        return BTreeSet::new();
    }
    let unseen = inventory.pods.iter().filter(|pod| {
        let view = pod.node.as_deref().and_then(|node| views.get(node));
        let is_seen = |begin| view.is_some_and(|view| view.overlaps(begin, begin));
        !pod.template && pod.owned.from.is_some_and(|begin| !is_seen(begin))
    });
    unseen.map(|pod| &pod.workload).collect()
}

const NEIGHBOURS: &str = "its neighbours";

/// Resolvers that a client probably asks, each with an edge to it.
struct Resolvers {
    found: BTreeMap<Resolver, Edge>,
    /// Whose they are, in words.
    whose: &'static str,
    asks: Asks,
}

impl Resolvers {
    fn none_found(&self) -> &'static str {
        match self.asks {
            Asks::Cluster => "no neighbour's either",
            Asks::Node => {
                "it asks whom its node asks, and no neighbour that does so was seen to ask; allow that resolver by hand"
            }
            Asks::Own => "the resolver that its spec names is nobody who can be named",
        }
    }
}

/// The resolvers that neighbours of the same kind use, else those that the objects declare; and those that its own spec
/// names.
fn resolvers_for(
    id: &WorkloadId,
    asked: &[AskedResolver],
    declared: &Declared,
    inventory: &Inventory,
) -> Resolvers {
    let asks = declared.asks;
    let mut resolvers = Resolvers {
        found: BTreeMap::new(),
        whose: NEIGHBOURS,
        asks,
    };
    if asks != Asks::Own {
        resolvers.found = resolvers_of_neighbours(id, asked, asks, inventory);
        if resolvers.found.is_empty() && !declared.of_cluster.is_empty() {
            resolvers.whose = "the cluster";
            resolvers.found.clone_from(&declared.of_cluster);
        }
    }
    if !declared.own.is_empty() {
        resolvers.whose = "its own spec";
        resolvers.found.extend(declared.own.clone());
    }
    resolvers
}

/// All workloads that are clients. `unseen` are those of which a start was not seen.
fn clients(
    edges: &Edges,
    unseen: &BTreeSet<&WorkloadId>,
    inventory: &Inventory,
) -> BTreeMap<WorkloadId, Client> {
    let headless = declared::behind_headless(inventory);
    let mut clients: BTreeMap<WorkloadId, Client> = BTreeMap::new();
    for ((client, server, ..), edge) in edges {
        let Some(id) = client.workload() else {
            continue;
        };
        let known = match clients.get_mut(id) {
            Some(known) => known,
            None => clients.entry(id.clone()).or_default(),
        };
        known.dns |= edge.tally.dns && !matches!(edge.lesson, Lesson::Implied(_));
        // A node port is called at a node's address, which is no name of the cluster's DNS.
        if edge.lesson != Lesson::Learned || !edge.node_ports.is_empty() {
            continue;
        }
        let services = edge.services.iter();
        let called = services.filter(|name| !name.starts_with(API_SERVER));
        let before = known.called.len();
        known.called.extend(called.cloned());
        if unseen.contains(id) {
            known.called.extend(name_of(server, &headless));
            known.long_lived |= !known.called.is_empty();
        }
        known.long_lived |= edge.inferred && known.called.len() > before;
    }
    clients
}

/// What is called at an address of its own and has a name all the same: a pod behind a headless Service, somebody
/// outside. Not a link-local address, which no DNS gives (the metadata service).
fn name_of(server: &Peer, headless: &BTreeMap<&WorkloadId, String>) -> Option<String> {
    match server {
        Peer::Workload(id) => headless.get(id).cloned(),
        Peer::Outside(address) if !is_link_local(*address) => Some(server.to_string()),
        _ => None,
    }
}

/// A resolver that a workload was seen to ask, with the edge.
struct AskedResolver {
    client: WorkloadId,
    resolver: Resolver,
    edge: Edge,
}

fn asked_resolvers(edges: &Edges) -> Vec<AskedResolver> {
    let asked = edges.iter().filter(|((_, _, protocol, _), edge)| {
        *protocol == Protocol::Udp && edge.tally.dns && is_answered(edge)
    });
    let of_workloads = asked.filter_map(|((client, server, _, port), edge)| {
        Some(AskedResolver {
            client: client.workload()?.clone(),
            resolver: (server.clone(), *port),
            edge: implied_edge(edge, Protocol::Udp),
        })
    });
    of_workloads.collect()
}

/// The resolvers that other workloads of the namespace use, else those of any namespace; of each the edge of one
/// of its clients. Only neighbours count that ask the same as it does: the cluster, or their nodes.
fn resolvers_of_neighbours(
    id: &WorkloadId,
    asked: &[AskedResolver],
    asks: Asks,
    inventory: &Inventory,
) -> BTreeMap<Resolver, Edge> {
    // A resolver outside of the cluster is its client's own choice, unless it is its node's.
    let counts = |one: &&AskedResolver| match one.resolver.0 {
        Peer::Outside(address) => asks == Asks::Node || is_link_local(address),
        _ => true,
    };
    let used = |near: &dyn Fn(&WorkloadId) -> bool| -> BTreeMap<Resolver, Edge> {
        let all = asked.iter().filter(|one| {
            let client = &one.client;
            client != id && near(client) && Asks::of(client, inventory) == asks
        });
        all.filter(counts)
            .map(|one| (one.resolver.clone(), one.edge.clone()))
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
        lesson: Lesson::Implied(LOOKED_UP.into()),
        services: of_neighbour.services.clone(),
        service_ports: of_neighbour.service_ports.clone(),
        enforced_from: of_neighbour.enforced_from.clone(),
        ..Edge::new(protocol, of_neighbour.port)
    }
}
