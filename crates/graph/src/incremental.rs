//! The current graph, updated with new records between two full builds.
//!
//! New records of known edges cost their attribution only. For an edge that is new, or for which they add
//! a fact of another kind (a verdict, a Service), all records between the same addresses are read again.
//! So edges and lessons are known at once; until the next full build
//! - counts and times of known edges stay as they were,
//! - an edge stays that another observer's records remove (one leg of a translated connection),
//! - connections stay out whose direction nothing decides but other connections,
//! - one-way datagrams do not teach that come from several pods of a workload, one from each.

use super::attribute::{Attribution, PeerKey, Tables};
use super::build::{Assembled, EdgesByKey, RawGraph, add_record, assemble, is_loopback};
use super::edge::{Edge, Lesson};
use super::edge_key::{EdgeKey, Edges};
use super::history::History;
use super::peer::Peer;
use super::{
    Built, Graph, GraphOptions, InventoryListeners, address_epochs, findings, implied_edges,
    lookups, port_scan,
};
use nanoseg_finding::Finding;
use nanoseg_flow::{
    AddressEpochs, Aggregate, FlowConfig, FlowRecord, FlowResult, Opening, Standing, Views,
    decide_by_listeners, standing,
};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Protocol;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A graph, with the state that is needed to add to it.
pub struct IncrementalGraph {
    inventory: Arc<Inventory>,
    tables: Arc<Tables>,
    epochs: AddressEpochs,
    options: GraphOptions,
    edges: Edges,
    /// The clients of each server, with protocol and port.
    callers: FxHashMap<Peer, BTreeSet<(Peer, Protocol, u16)>>,
    names: BTreeMap<IpAddr, BTreeSet<String>>,
    scans: port_scan::AttemptsByPeer,
}

/// What new records add to the graph.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// Client and server of the records.
    pub ends: BTreeSet<(IpAddr, IpAddr)>,
    /// The edges that are new, or for which the records add a fact of another kind.
    pub edges: BTreeSet<EdgeKey>,
    /// Records whose direction only a full build can decide.
    pub undecided: usize,
}

/// What an update changed.
#[derive(Debug, Clone, Default)]
pub struct GraphChange {
    /// Workloads with an edge that changed.
    pub touched: BTreeSet<WorkloadId>,
    /// All edges of these workloads.
    pub graph: Graph,
    /// What an operator must know of these edges.
    pub findings: Vec<Finding>,
    /// A client turned out to be a scanner: only a full build removes its edges.
    pub new_scanner: bool,
}

impl IncrementalGraph {
    /// Builds the graph of `records` and of the history before them.
    pub fn build(
        history: &History,
        records: &Aggregate,
        inventory: Arc<Inventory>,
        options: GraphOptions,
    ) -> (IncrementalGraph, Built) {
        let attribution = Attribution::build(&inventory);
        let epochs = address_epochs(&inventory);
        let seen = result(records, &inventory, &epochs);
        let Assembled {
            built,
            edges,
            scans,
        } = assemble(history, &seen, &attribution, options);
        let mut callers: FxHashMap<Peer, BTreeSet<_>> = FxHashMap::default();
        for (client, server, protocol, port) in edges.keys() {
            let known = callers.entry(server.clone()).or_default();
            known.insert((client.clone(), *protocol, *port));
        }
        let incremental = IncrementalGraph {
            tables: attribution.tables(),
            names: built.graph.names.clone(),
            inventory: inventory.clone(),
            epochs,
            options,
            edges,
            callers,
            scans,
        };
        (incremental, built)
    }

    /// What `records` add to the graph.
    pub fn delta(&self, records: &[FlowRecord]) -> Delta {
        let attribution = Attribution::with(&self.inventory, self.tables.clone());
        let listeners = InventoryListeners(&self.inventory);
        let mut delta = Delta::default();
        let records: Vec<Cow<'_, FlowRecord>> = records
            .iter()
            .map(|record| decide_by_listeners(record, &listeners))
            .filter(|record| record.client != record.server || record.via.is_some())
            .filter(|record| !is_loopback(record))
            .filter(|record| counts(record, &listeners))
            .collect();
        let mut edges_by_key = EdgesByKey::default();
        for record in &records {
            if record.opening == Opening::Undecided && record.client_port.is_some() {
                delta.undecided += 1;
            } else {
                let attributed = attribution.attribute(record);
                add_record(&mut edges_by_key, record, &attributed, &attribution);
            }
        }
        let is_new = |key: &EdgeKey, edge: &Edge| {
            let known = self.edges.get(key);
            known.is_none_or(|known| !known.covers(edge))
        };
        let mut unknown: BTreeSet<(PeerKey, PeerKey, Protocol, u16)> = BTreeSet::new();
        for (edge_key, edge) in &edges_by_key {
            let (client, server, protocol, port) = *edge_key;
            let (client, server) = (attribution.peer(client), attribution.peer(server));
            let key = (client, server, protocol, port);
            if is_new(&key, edge) {
                unknown.insert(*edge_key);
                delta.edges.insert(key);
            }
        }
        if !unknown.is_empty() {
            for record in &records {
                let attributed = attribution.attribute(record);
                let mut targets = attributed.targets.iter();
                let is_unknown = targets.any(|target| {
                    let key = (attributed.client, target.peer, record.protocol, target.port);
                    unknown.contains(&key)
                });
                if is_unknown {
                    delta.ends.insert((record.client, record.server));
                }
            }
        }
        delta
    }

    /// Applies the delta. `records` are all records between its ends and those that may explain them;
    /// `history` counts too: one datagram of an hour that was folded and one of now are two. `views`: when each node's
    /// agent observed.
    pub fn learn(
        &mut self,
        delta: &Delta,
        history: &History,
        records: &Aggregate,
        views: &Views,
    ) -> GraphChange {
        let inventory = self.inventory.clone();
        let attribution = Attribution::with(&inventory, self.tables.clone());
        let seen = result(records, &self.inventory, &self.epochs);
        let mut raw = RawGraph::of(&seen, &attribution);
        for key in &delta.edges {
            history.add_one_to(&mut raw.edges, key, &attribution);
        }
        let scanners = self.scans.widen(raw.scans);
        let mut touched = BTreeSet::new();
        let mut new_scanner = false;
        for key in &delta.edges {
            let Some(edge) = raw.edges.remove(key) else {
                continue;
            };
            if port_scan::is_of_scan(&scanners, &key.0, &edge) {
                new_scanner |= self.has_unanswered_edges(&key.0);
                continue;
            }
            for key in self.add(key, &edge) {
                let ends = [&key.0, &key.1].into_iter();
                touched.extend(ends.filter_map(|peer| peer.workload()).cloned());
            }
        }
        for (address, names) in raw.names {
            self.names.entry(address).or_default().extend(names);
        }
        for key in self.renew_lookups(&attribution, views) {
            let ends = [&key.0, &key.1].into_iter();
            touched.extend(ends.filter_map(|peer| peer.workload()).cloned());
        }
        let graph = self.part(&touched);
        GraphChange {
            findings: findings::of_edges(&graph, &self.inventory),
            touched,
            graph,
            new_scanner,
        }
    }

    /// Decides anew for whom name lookups are implied (rule: dns-not-observed): who was seen to ask needs none implied any
    /// more, and shows its neighbours whom they ask. Returns the edges that changed.
    fn renew_lookups(&mut self, attribution: &Attribution<'_>, views: &Views) -> BTreeSet<EdgeKey> {
        let implied = self.options.implied_lookups;
        let changed = lookups::renew(&mut self.edges, implied, attribution, views);
        for key in &changed {
            let callers = self.callers.entry(key.1.clone()).or_default();
            callers.insert((key.0.clone(), key.2, key.3));
            let over_udp = (key.0.clone(), key.1.clone(), Protocol::Udp, key.3);
            let Some(edge) = self
                .edges
                .get(&over_udp)
                .filter(|_| self.options.implied_dns)
            else {
                continue;
            };
            // What was implied for one reason may be for the other now.
            let mut few = Edges::from([(over_udp, edge.clone())]);
            let over_tcp = (key.0.clone(), key.1.clone(), Protocol::Tcp, key.3);
            few.extend(
                self.edges
                    .get(&over_tcp)
                    .cloned()
                    .map(|edge| (over_tcp, edge)),
            );
            implied_edges::add_dns_over_tcp(&mut few);
            self.edges.extend(few);
        }
        changed
    }

    /// Returns true if a client has edges that only a scan made.
    fn has_unanswered_edges(&self, client: &Peer) -> bool {
        self.edges_from(client)
            .any(|(_, edge)| matches!(edge.lesson, Lesson::Ignored(_)))
    }

    /// Adds an edge, and the edges that it implies. Returns the keys of the edges that changed.
    fn add(&mut self, key: &EdgeKey, edge: &Edge) -> Vec<EdgeKey> {
        let known = match self.edges.get(key) {
            // What its neighbours showed of it is no fact of its own.
            Some(known) if lookups::is_only_implied(known) => edge.clone(),
            Some(known) => {
                let mut known = known.clone();
                known.widen(edge, &key.0, &key.1);
                known
            }
            None => edge.clone(),
        };
        let over_tcp = (key.0.clone(), key.1.clone(), Protocol::Tcp, key.3);
        let mut few = Edges::from([(key.clone(), known)]);
        if self.options.implied_dns && key.2 == Protocol::Udp {
            let tcp = self.edges.get(&over_tcp).cloned();
            few.extend(tcp.map(|edge| (over_tcp, edge)));
            implied_edges::add_dns_over_tcp(&mut few);
        }
        let changed: Vec<EdgeKey> = few.keys().cloned().collect();
        for (key, edge) in few {
            let callers = self.callers.entry(key.1.clone()).or_default();
            callers.insert((key.0.clone(), key.2, key.3));
            self.edges.insert(key, edge);
        }
        changed
    }

    /// All edges of some workloads.
    fn part(&self, workloads: &BTreeSet<WorkloadId>) -> Graph {
        let mut edges: BTreeMap<&EdgeKey, &Edge> = BTreeMap::new();
        for id in workloads {
            let peer = Peer::Workload(id.clone());
            edges.extend(self.edges_from(&peer));
            for (client, protocol, port) in self.callers.get(&peer).into_iter().flatten() {
                let key = (client.clone(), peer.clone(), *protocol, *port);
                edges.extend(self.edges.get_key_value(&key));
            }
        }
        let mut graph = Graph::default();
        for ((client, server, ..), edge) in edges {
            for peer in [client, server] {
                if let Peer::Outside(address) = peer
                    && let Some(names) = self.names.get(address)
                {
                    graph.names.insert(*address, names.clone());
                }
            }
            graph.add_edge(client, server, edge.clone());
        }
        graph
    }

    fn edges_from(&self, client: &Peer) -> impl Iterator<Item = (&EdgeKey, &Edge)> + use<'_> {
        let lowest = Peer::Workload(WorkloadId {
            namespace: String::new(),
            name: String::new(),
            kind: String::new(),
        });
        let client = client.clone();
        let edges = self
            .edges
            .range((client.clone(), lowest, Protocol::Tcp, 0)..);
        edges.take_while(move |(key, _)| key.0 == client)
    }

    /// All edges in order of client, server, protocol, port.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        self.edges.iter()
    }
}

/// Returns true if whoever told of it may (rule: agent-speaks-for-its-node).
fn counts(record: &FlowRecord, listeners: &InventoryListeners<'_>) -> bool {
    let mut nodes = record.observers.iter();
    nodes.all(|node| standing(node, record, listeners) == Standing::Own)
}

fn result(records: &Aggregate, inventory: &Inventory, epochs: &AddressEpochs) -> FlowResult {
    let max_failed_targets = FlowConfig::default().max_failed_targets;
    records.result(&InventoryListeners(inventory), epochs, max_failed_targets)
}
