//! The edges, names and scans of earlier hours, without their flow records. The histories of periods merge
//! to the history of the whole time.
//!
//! Exact in any order: which edges there are, what each teaches, and for parts of whole hours their
//! connections and bytes. Not exact: a record that only another hour's records explain (a direction that
//! was undecided, a leg of a translated connection) is judged by its own hour.

use super::attribute::Attribution;
use super::build::RawGraph;
use super::edge::Edge;
use super::edge_key::{EdgeKey, Edges};
use super::peer::Peer;
use super::{InventoryListeners, address_epochs, outside_blocks, port_scan};
use nanoseg_flow::{Aggregate, FlowConfig, Observers};
use nanoseg_inventory::Inventory;
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// How many targets of a scan are kept.
const MAX_FAILED: usize = 1024;

/// Edges, names and scans of some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    edges: Edges,
    /// DNS names under which outside addresses were looked up.
    names: BTreeMap<IpAddr, BTreeSet<String>>,
    scans: BTreeMap<Peer, FoldedScan>,
}

/// The attempts of a scanner; none of them is an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedScan {
    /// The targets that did not answer: the first thousand in order of address.
    pub failed: BTreeSet<SocketAddr>,
    /// The number of attempts beyond those, as far as they were counted.
    pub more: u64,
    pub last: Timestamp,
    /// The nodes whose agents alone tell of it; empty where its own node or several show it.
    #[serde(default, skip_serializing_if = "Observers::is_empty")]
    pub told_by: Observers,
}

impl FoldedScan {
    /// Adds what the same client tried at another time.
    pub fn merge(&mut self, other: &FoldedScan) {
        self.failed.extend(&other.failed);
        self.more = self.more.saturating_add(other.more);
        self.last = self.last.max(other.last);
        if self.told_by.is_empty() || other.told_by.is_empty() {
            self.told_by = Observers::default();
        } else {
            self.told_by.extend(&other.told_by);
        }
        self.cut();
    }

    pub(super) fn bounded(mut self) -> FoldedScan {
        self.cut();
        self
    }

    fn cut(&mut self) {
        while self.failed.len() > MAX_FAILED {
            self.failed.pop_last();
            self.more = self.more.saturating_add(1);
        }
    }
}

impl History {
    /// Folds records into edges, names and scans. Implied edges are no observations, so there are none.
    pub fn fold(records: &Aggregate, inventory: &Inventory) -> History {
        let attribution = Attribution::build(inventory);
        let seen = records.result(
            &InventoryListeners(inventory),
            &address_epochs(inventory),
            FlowConfig::default().max_failed_targets,
        );
        let RawGraph {
            mut edges,
            names,
            scans,
            ..
        } = RawGraph::of(&seen, &attribution);
        let scanners = scans.scanners();
        port_scan::remove_edges(&scanners, &mut edges);
        outside_blocks::bound(&mut edges);
        History {
            edges,
            names,
            scans: scans.fold(&scanners),
        }
    }

    /// Adds what was seen at another time.
    pub fn merge(&mut self, other: &History) {
        for (key, edge) in &other.edges {
            self.add_edge(key, edge);
        }
        for (address, names) in &other.names {
            self.add_names(*address, names.iter().cloned());
        }
        for (client, scan) in &other.scans {
            self.add_scan(client, scan);
        }
    }

    /// Counts outside addresses beyond the bound by their blocks (rule: outside-addresses-are-bounded).
    pub fn bound_outside(&mut self) {
        outside_blocks::bound(&mut self.edges);
    }

    /// Forgets edges and scans that were last seen before `before`, and beyond `most` edges those that were seen longest
    /// ago; with the edges go the names of their addresses.
    pub fn forget(&mut self, before: Timestamp, most: usize) {
        let last = |edge: &Edge| edge.last.unwrap_or(Timestamp::MIN);
        self.edges.retain(|_, edge| last(edge) >= before);
        self.scans.retain(|_, scan| scan.last >= before);
        let beyond = self.edges.len().saturating_sub(most);
        if beyond > 0 {
            let mut times: Vec<Timestamp> = self.edges.values().map(last).collect();
            let (_, border, _) = times.select_nth_unstable(beyond - 1);
            let border = *border;
            self.edges.retain(|_, edge| last(edge) > border);
        }
        let servers: BTreeSet<&Peer> = self.edges.keys().map(|key| &key.1).collect();
        self.names
            .retain(|address, _| servers.contains(&Peer::Outside(*address)));
    }

    /// Adds one edge.
    pub fn add_edge(&mut self, key: &EdgeKey, edge: &Edge) {
        add(&mut self.edges, key, edge);
    }

    /// Adds names of an outside address.
    pub fn add_names(&mut self, address: IpAddr, names: impl IntoIterator<Item = String>) {
        self.names.entry(address).or_default().extend(names);
    }

    /// Adds the attempts of a scanner.
    pub fn add_scan(&mut self, client: &Peer, scan: &FoldedScan) {
        match self.scans.get_mut(client) {
            Some(known) => known.merge(scan),
            None => {
                self.scans.insert(client.clone(), scan.clone());
            }
        }
    }

    /// All edges in order of client, server, protocol, port.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        self.edges.iter()
    }

    /// One edge.
    pub fn edge(&self, key: &EdgeKey) -> Option<&Edge> {
        self.edges.get(key)
    }

    /// Names of outside addresses.
    pub fn names(&self) -> &BTreeMap<IpAddr, BTreeSet<String>> {
        &self.names
    }

    /// AttemptsByPeer by client.
    pub fn scans(&self) -> &BTreeMap<Peer, FoldedScan> {
        &self.scans
    }

    /// The first and the last time of any edge.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.edges.values().filter_map(|edge| edge.first).min()?;
        let last = self.edges.values().filter_map(|edge| edge.last).max()?;
        Some((first, last))
    }

    /// Returns true if it has neither edges nor names nor scans.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.names.is_empty() && self.scans.is_empty()
    }

    /// Adds the edges whose ends still exist: a policy cannot name others.
    pub(super) fn add_to(&self, edges: &mut Edges, attribution: &Attribution<'_>) {
        let inventory = attribution.inventory;
        let nodes: BTreeSet<&str> = inventory.nodes.iter().map(|n| n.name.as_str()).collect();
        let is_there = |peer: &Peer| match peer {
            Peer::Workload(id) => inventory.workloads.contains_key(id),
            Peer::Node(name) => nodes.contains(name.as_str()),
            Peer::ApiServer | Peer::Outside(_) | Peer::Unattributed(_) => true,
        };
        for key in self.edges.keys() {
            if is_there(&key.0) && is_there(&key.1) {
                self.add_one_to(edges, key, attribution);
            }
        }
    }

    /// Adds the history of one edge, whose ends exist.
    pub(super) fn add_one_to(
        &self,
        edges: &mut Edges,
        key: &EdgeKey,
        attribution: &Attribution<'_>,
    ) {
        let Some(edge) = self.edges.get(key) else {
            return;
        };
        let edge = add(edges, key, edge);
        // The addresses of all nodes as they are now (rule: node-port-from-any-node).
        let now = attribution.sources_now(&edge.enforced_from);
        if !edge.enforced_from.is_empty() && !now.is_empty() {
            edge.enforced_from.clone_from(now);
        }
    }
}

fn add<'e>(edges: &'e mut Edges, key: &EdgeKey, edge: &Edge) -> &'e mut Edge {
    let mut is_new = false;
    let known = edges.entry(key.clone()).or_insert_with(|| {
        is_new = true;
        edge.clone()
    });
    if !is_new {
        known.merge(edge, &key.0, &key.1);
    }
    known
}
