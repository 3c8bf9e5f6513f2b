//! What each node saw, apart, of the events that Relay passes on (rule: relay-speaks-for-its-nodes).

use super::super::counters::{HubbleCounters, add};
use super::super::events::EventCollector;
use super::super::flow::HubbleFlow;
use super::super::json::{HubbleLine, HubbleLineError, NodeName};
use super::super::receiver::Event;
use super::super::scope::{OneCluster, strip_names};
use super::super::table::HubbleLimits;
use crate::{LiveError, Urgency};
use nanoseg_flow::{CollectorLimits, Loss, Observations};
use nanoseg_net::{SECOND, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As many nodes as Kubernetes supports. What others see is counted as lost.
const MAX_NODES: usize = 5_000;
/// Connections held at once for all nodes together, about 500 bytes each: 64 MiB.
const MAX_CONNECTIONS: usize = 1 << 17;
/// Records of all nodes together that wait to be taken, about 250 bytes each: 16 MiB.
const MAX_RECORDS: usize = 1 << 16;
/// However many nodes there are, each holds so many.
const LEAST_CONNECTIONS: usize = 64;
/// How long a node may be silent until it is said that it saw nothing, in nanoseconds.
const SILENCE: i64 = 30 * SECOND;
/// After so long out of sight a node is forgotten, in nanoseconds.
const GONE: i64 = 600 * SECOND;

/// What one node saw.
#[derive(Debug)]
pub struct NodeObservations {
    pub node: Arc<str>,
    /// From when until when Relay told what it sees.
    pub span: (Timestamp, Timestamp),
    pub seen: Observations,
}

/// The nodes of which Relay told, each by itself.
#[derive(Debug)]
pub(super) struct NodeEvents {
    counters: Arc<HubbleCounters>,
    cluster: OneCluster,
    nodes: BTreeMap<Arc<str>, Node>,
}

/// A node of which Relay told.
#[derive(Debug)]
struct Node {
    seen: EventCollector,
    /// Since when what it saw is to be told.
    since: Timestamp,
    /// When Relay lost sight of it; `None` while it sees it.
    left: Option<Timestamp>,
}

impl Node {
    fn new(now: Timestamp) -> Node {
        let records = CollectorLimits {
            max_records: 1 << 13,
            max_known_edges: 1 << 10,
            ..CollectorLimits::default()
        };
        Node {
            seen: EventCollector::new(HubbleLimits::default(), records),
            since: now,
            left: None,
        }
    }

    /// Relay sees it.
    fn enter(&mut self, now: Timestamp) {
        if self.left.take().is_some() {
            self.since = now;
        }
    }

    /// Relay lost sight of it.
    fn leave(&mut self, now: Timestamp) {
        self.left = self.left.or(Some(now));
    }

    /// What it saw since the last call, if there is anything to tell.
    fn take(&mut self, name: &Arc<str>, now: Timestamp, last: bool) -> Option<NodeObservations> {
        let until = self.left.unwrap_or(now);
        let seen = self.seen.take();
        let is_due = match self.left {
            Some(_) => self.since < until,
            None => last || until.since(self.since) >= SILENCE,
        };
        if seen.is_empty() && !is_due {
            return None;
        }
        let since = std::mem::replace(&mut self.since, until);
        Some(NodeObservations {
            node: Arc::clone(name),
            span: (since.min(until), until),
            seen,
        })
    }
}

impl NodeEvents {
    /// Counts on in `counters`. `cluster`: the one whose nodes count.
    pub fn new(cluster: Option<String>, counters: Arc<HubbleCounters>) -> Self {
        NodeEvents {
            counters,
            cluster: OneCluster::new(cluster),
            nodes: BTreeMap::new(),
        }
    }

    /// Reports what is settled.
    pub fn settle(&mut self, now: Timestamp) {
        let nodes = self.nodes.values_mut();
        nodes.for_each(|node| node.seen.settle(now));
    }

    /// Returns true if a node, or all together, have no room for more records.
    pub fn is_full(&self) -> bool {
        let waiting: usize = self.nodes.values().map(|node| node.seen.len()).sum();
        waiting >= MAX_RECORDS || self.nodes.values().any(|node| node.seen.is_full())
    }

    /// How soon what was seen should be taken.
    pub fn urgency(&self) -> Urgency {
        if self.is_full() {
            return Urgency::Full;
        }
        let urgencies = self.nodes.values().map(|node| node.seen.urgency());
        urgencies.max().unwrap_or(Urgency::None)
    }

    /// Removes and returns what each node saw since the last call. A node that saw nothing is left out for half a minute.
    /// `last`: nothing more is taken.
    pub fn take(&mut self, now: Timestamp, last: bool) -> Vec<NodeObservations> {
        let mut taken = Vec::new();
        self.nodes.retain(|name, node| {
            let is_gone = node.left.is_some_and(|left| now.since(left) >= GONE);
            if last || is_gone {
                node.seen.finish();
            }
            taken.extend(node.take(name, now, last));
            !is_gone
        });
        taken
    }

    /// Processes one event.
    ///
    /// # Errors
    /// If nothing more can come, or Relay tells of two clusters.
    pub fn ingest(&mut self, event: Event, now: Timestamp) -> Result<(), LiveError> {
        let counters = Arc::clone(&self.counters);
        match event {
            Event::Line(Ok(HubbleLine::Flow(flow))) => self.ingest_flow(flow, now)?,
            Event::Line(Ok(HubbleLine::Lost { count, node })) => {
                add(&counters.lost, count);
                self.lose(node.as_ref(), Loss::LogLost, count, now)?;
            }
            Event::Line(Ok(HubbleLine::Nodes { nodes, seen })) => {
                add(&counters.skipped, 1);
                for node in &nodes {
                    self.note_state(node, seen, now)?;
                }
            }
            Event::Line(Ok(HubbleLine::Skipped(_))) => add(&counters.skipped, 1),
            Event::Line(Err(HubbleLineError::Incomplete(_))) => {
                add(&counters.incomplete, 1);
                self.lose(None, Loss::FlowIncomplete, 1, now)?;
            }
            Event::Line(Err(HubbleLineError::Malformed(_))) | Event::NoLine => {
                add(&counters.malformed, 1);
                self.lose(None, Loss::LineMalformed, 1, now)?;
            }
            // What Relay still has of the time until it is reached again comes then; what it has no more is not known.
            Event::Broken => self.nodes.values_mut().for_each(|node| node.leave(now)),
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn ingest_flow(&mut self, mut flow: Box<HubbleFlow>, now: Timestamp) -> Result<(), LiveError> {
        let Some(name) = flow.node.clone() else {
            add(&self.counters.incomplete, 1);
            return self.lose(None, Loss::FlowIncomplete, 1, now);
        };
        let name = NodeName {
            cluster: flow.cluster.clone(),
            name,
        };
        strip_names(&mut flow);
        let Some(node) = self.node(&name, now)? else {
            add(&self.counters.of_others, 1);
            return Ok(());
        };
        node.enter(now);
        node.seen.ingest(&flow, now);
        self.counters.note_fate(flow.fate);
        Ok(())
    }

    fn note_state(
        &mut self,
        name: &NodeName,
        is_seen: bool,
        now: Timestamp,
    ) -> Result<(), LiveError> {
        if !is_seen && !self.nodes.contains_key(name.name.as_str()) {
            return Ok(());
        }
        if let Some(node) = self.node(name, now)? {
            if is_seen {
                node.enter(now);
            } else {
                node.leave(now);
            }
        }
        Ok(())
    }

    /// Counts a loss of a node; without its name, any of them may have it.
    fn lose(
        &mut self,
        node: Option<&NodeName>,
        loss: Loss,
        count: u64,
        now: Timestamp,
    ) -> Result<(), LiveError> {
        match node {
            Some(name) => {
                if let Some(node) = self.node(name, now)? {
                    node.seen.lose(loss, count);
                }
            }
            None => {
                let nodes = self.nodes.values_mut();
                nodes.for_each(|node| node.seen.lose(loss, count));
            }
        }
        Ok(())
    }

    /// The node, in view from now on if it was not known. `None` if it does not count.
    fn node(&mut self, name: &NodeName, now: Timestamp) -> Result<Option<&mut Node>, LiveError> {
        if !self.cluster.admits(name.cluster.as_deref())? {
            return Ok(None);
        }
        if !self.nodes.contains_key(name.name.as_str()) {
            if self.nodes.len() >= MAX_NODES {
                add(&self.counters.lost, 1);
                return Ok(None);
            }
            self.nodes.insert(name.name.as_str().into(), Node::new(now));
            self.share_room();
        }
        Ok(self.nodes.get_mut(name.name.as_str()))
    }

    /// Divides the room for connections among the nodes.
    fn share_room(&mut self) {
        let max_connections = (MAX_CONNECTIONS / self.nodes.len().max(1)).max(LEAST_CONNECTIONS);
        let limits = HubbleLimits { max_connections };
        let nodes = self.nodes.values_mut();
        nodes.for_each(|node| node.seen.set_limits(limits));
    }
}

#[cfg(test)]
mod tests;
