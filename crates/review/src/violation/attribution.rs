//! Whether it is certain yet who the two ends of a connection are, and who they turn out to be
//! (rule: judge-late-rather-than-wrong).

use nanoseg_evaluate::Evaluation;
use nanoseg_flow::Verdict;
use nanoseg_graph::{Edge, Graph, Peer, Requiring, Unattributed, UnattributedReason};
use nanoseg_inventory::{Inventory, Nearness, Owner, WorkloadId, may_be_of_cluster};
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Packets of a pod that is gone, and attempts to reach it, come for so many seconds at most: connection tracking keeps
/// what closes for 120 s (`nf_conntrack_tcp_timeout_time_wait`, `…_udp_timeout_stream`), clients try again after 120 s
/// (gRPC connection backoff) an address that they looked up 30 s before (CoreDNS `ttl`).
/// Before: [`LONGEST_WAIT`].
const NEARNESS: Nearness = Nearness {
    after: 300,
    before: LONGEST_WAIT,
};

/// For so many seconds nobody is judged whom the inventory does not name yet. The kubelet sees a sandbox within a second
/// (`genericPlegRelistPeriod`), tries a sync again after up to 15 s (`backOffPeriod` 10 s, jitter 0.5), and a status
/// that the API server did not take again after 10 s (`syncPeriod` of its status manager): these are several rounds.
pub(super) const GRACE: i64 = 60;

/// For so many seconds while a pod of the same node has no address yet: the kubelet writes a pod's status only before it
/// begins a sync, and pulling the image of the second container is part of the sync that started the first
/// (kubernetes/kubernetes#25231; minutes in #39113). Also beyond what makes a kubelet unhealthy (PLEG, 3 minutes; with
/// events 10).
pub(super) const LONGEST_WAIT: i64 = 600;

/// A pod that went within so many seconds before the traffic may have left its address to another one.
const LEFT_WITHIN: i64 = 120;

/// Whether the ends of a connection are certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attributed {
    /// Nothing that is still to come changes who they are.
    Certain,
    /// An end may get another owner once the kubelet has published it.
    Unsettled,
    /// The same, and a pod of the node that saw it has no address yet.
    AddressAwaited,
}

impl Attributed {
    /// How long to wait before it is judged, in seconds.
    pub(super) fn wait(self) -> i64 {
        match self {
            Attributed::Certain => 0,
            Attributed::Unsettled => GRACE,
            Attributed::AddressAwaited => LONGEST_WAIT,
        }
    }
}

/// One attempt: the addresses of a connection, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub client: IpAddr,
    pub server: IpAddr,
    pub at: Timestamp,
}

impl Sample {
    /// The latest of the edge's samples.
    pub(super) fn of(edge: &Edge) -> Option<Sample> {
        let latest = edge.evidence.iter().max_by_key(|one| one.first)?;
        Some(Sample {
            client: latest.client,
            server: latest.server,
            at: latest.first,
        })
    }
}

/// The two ends of an attempt as they are known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    pub client: Peer,
    pub server: Peer,
}

impl Revised {
    /// Returns the ends if they are other ones than were taken for them.
    pub(super) fn of(
        sample: &Sample,
        (client, server): (&Peer, &Peer),
        inventory: &Inventory,
    ) -> Option<Revised> {
        let now = |address: IpAddr, was: &Peer| {
            owner(address, sample.at, inventory).unwrap_or_else(|| was.clone())
        };
        let revised = Revised {
            client: now(sample.client, client),
            server: now(sample.server, server),
        };
        let is_same = revised.client == *client && revised.server == *server;
        (!is_same).then_some(revised)
    }
}

/// Who had an address for certain, where that is a pod or a node.
fn owner(address: IpAddr, at: Timestamp, inventory: &Inventory) -> Option<Peer> {
    let node = |name: &str| Peer::Node(name.to_owned());
    match inventory.resolve(address, at) {
        Owner::Pod(index) => {
            let pod = inventory.pods.get(index)?;
            if pod.host_network {
                pod.node.as_deref().map(node)
            } else {
                Some(Peer::Workload(pod.workload.clone()))
            }
        }
        Owner::Node(index) => Some(node(&inventory.nodes.get(index)?.name)),
        Owner::Service(_) | Owner::Uncertain(_) | Owner::Unknown | Owner::Outside => None,
    }
}

/// Who somebody without a name may be: pods that just went or came, and those behind a Service without endpoints.
pub(super) struct Neighbours<'a> {
    graph: &'a Graph,
    inventory: &'a Inventory,
    awaiting: OnceCell<BTreeSet<&'a str>>,
}

impl<'a> Neighbours<'a> {
    pub fn new(graph: &'a Graph, inventory: &'a Inventory) -> Self {
        Neighbours {
            graph,
            inventory,
            awaiting: OnceCell::new(),
        }
    }

    /// The workloads that the peer may be.
    pub fn of(&self, peer: &Peer, edge: &Edge) -> BTreeSet<&'a WorkloadId> {
        let times = edge.first.zip(edge.last).unwrap_or_default();
        match peer {
            Peer::Unattributed(who) => match service_of(who, self.inventory) {
                Some(service) => self.inventory.selected_by(service),
                None => self.near(who.address, times, edge),
            },
            Peer::Outside(address) if may_be_of_cluster(*address) => {
                self.near(*address, times, edge)
            }
            Peer::Outside(address) => self.inventory.near(*address, times, NEARNESS),
            Peer::Workload(_) | Peer::Node(_) | Peer::ApiServer => BTreeSet::new(),
        }
    }

    /// The pods that had the address just before or after, else those that were over on a node that saw the traffic before
    /// anybody knew their address.
    fn near(
        &self,
        address: IpAddr,
        times: (Timestamp, Timestamp),
        edge: &Edge,
    ) -> BTreeSet<&'a WorkloadId> {
        let near = self.inventory.near(address, times, NEARNESS);
        if !near.is_empty() || self.inventory.in_service_range(address) {
            return near;
        }
        let saw = |node: &str| edge.observers.contains(node);
        self.inventory.never_addressed(saw, times, NEARNESS)
    }

    /// Returns true if the connection is allowed to whoever its ends may be.
    pub fn explain(
        &self,
        client: &Peer,
        server: &Peer,
        edge: &Edge,
        requiring: &Requiring<'_>,
        evaluation: &Evaluation,
    ) -> bool {
        if self.is_answer(client, server, edge) {
            return true;
        }
        let or_itself = |peer: &Peer| -> Vec<Peer> {
            let near = self.of(peer, edge);
            let near: Vec<Peer> = near.into_iter().cloned().map(Peer::Workload).collect();
            if near.is_empty() {
                vec![peer.clone()]
            } else {
                near
            }
        };
        let (clients, servers) = (or_itself(client), or_itself(server));
        if clients.as_slice() == std::slice::from_ref(client)
            && servers.as_slice() == std::slice::from_ref(server)
        {
            return false;
        }
        let is_allowed = |from: &Peer, to: &Peer| {
            let edges = self.known_as(to, server, from, edge);
            edges.into_iter().any(|edge| {
                let needed = requiring.of(from, to, edge, Requiring::NOT_TAUGHT);
                needed.iter().all(|r| evaluation.blocked(r).is_empty())
            })
        };
        clients
            .iter()
            .any(|from| servers.iter().any(|to| is_allowed(from, to)))
    }

    /// The edges that tell on which port `to` is called where `server` was called: where a Service without endpoints
    /// was, its own port says nothing of theirs.
    fn known_as<'e>(&self, to: &Peer, server: &Peer, from: &Peer, edge: &'e Edge) -> Vec<&'e Edge>
    where
        'a: 'e,
    {
        let service = match server {
            Peer::Unattributed(who) => service_of(who, self.inventory),
            _ => None,
        };
        let Some(service) = service else {
            return vec![edge];
        };
        let name = format!("{}/{}:", service.namespace, service.name);
        let edges = self.graph.edges_of(from).into_iter();
        let of_service = edges.filter(|(client, server, edge)| {
            *client == from
                && *server == to
                && edge.services.iter().any(|one| one.starts_with(&name))
        });
        of_service.map(|(_, _, edge)| edge).collect()
    }

    /// Returns true if no packet shows who opened it, and the other end is known to call this one: it is perhaps the
    /// answer, seen from the middle by an agent or a plugin that was started again (rule: direction-inferred).
    fn is_answer(&self, client: &Peer, server: &Peer, edge: &Edge) -> bool {
        let mut verdicts = edge.verdicts.keys();
        let only_answered = verdicts.all(|v| matches!(v, Verdict::Established | Verdict::OneWay));
        edge.inferred
            && only_answered
            && self.graph.edges_of(server).iter().any(|(from, to, other)| {
                *from == server
                    && *to == client
                    && other.protocol == edge.protocol
                    && other.lesson.teaches()
                    && !other.inferred
            })
    }

    /// Whether it is certain who both ends are.
    pub fn attributed(&self, client: &Peer, server: &Peer, edge: &Edge) -> Attributed {
        let ends = [client, server];
        ends.map(|peer| self.end(peer, edge))
            .into_iter()
            .max()
            .unwrap_or(Attributed::Unsettled)
    }

    fn end(&self, peer: &Peer, edge: &Edge) -> Attributed {
        let unsettled = |address: IpAddr| {
            if self.is_awaited(address, edge) {
                Attributed::AddressAwaited
            } else {
                Attributed::Unsettled
            }
        };
        match peer {
            Peer::Workload(id) => {
                let last = edge.believed_last().unwrap_or_default();
                let since = last.plus_secs(-LEFT_WITHIN);
                if self.inventory.has_pod_leaving(id, since) {
                    Attributed::Unsettled
                } else {
                    Attributed::Certain
                }
            }
            Peer::Unattributed(who) => unsettled(who.address),
            Peer::Outside(address) if may_be_of_cluster(*address) => unsettled(*address),
            Peer::Outside(_) | Peer::Node(_) | Peer::ApiServer => Attributed::Certain,
        }
    }

    /// Returns true if a pod has no address yet on a node whose agent saw the traffic; on any, where none is known.
    fn is_awaited(&self, address: IpAddr, edge: &Edge) -> bool {
        if self.inventory.in_service_range(address) {
            return false;
        }
        let awaiting = self
            .awaiting
            .get_or_init(|| self.inventory.nodes_awaiting_addresses());
        match edge.observers.len() {
            0 => !awaiting.is_empty(),
            _ => edge.observers.iter().any(|node| awaiting.contains(&**node)),
        }
    }
}

/// The Service that was called, where nothing is known to stand behind it.
fn service_of<'i>(
    who: &Unattributed,
    inventory: &'i Inventory,
) -> Option<&'i nanoseg_inventory::Service> {
    match who.reason {
        UnattributedReason::ServiceWithoutEndpoints => inventory.service_with(who.address),
        _ => None,
    }
}
