//! An agent speaks for its node (rule: agent-speaks-for-its-node): of what it tells, only what has an end there counts.
//! The rest is set aside before records are put together: it is no edge and teaches nothing.

use super::silence::{Silence, Views, silence_of};
use super::{FlowRecord, Listeners, Observed, Observers, Verdict};
use nanoseg_net::{Protocol, Timestamp};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Connections named in one summary.
const SAMPLES: usize = 5;

/// Whether a node's agent may tell of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// An end is a pod or an address of the node, or neither is anybody's.
    Own,
    /// Nobody is known for certain to have one of the ends: it may be the node's. Nothing follows from the record.
    Uncertain,
    /// The ends are these other nodes' or nobody's.
    Foreign(Observers),
}

/// What one node's agent told of connections of other nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutOfBounds {
    pub connections: u64,
    pub records: u64,
    pub last: Timestamp,
    /// Some of the connections: client and server.
    pub samples: BTreeSet<(IpAddr, SocketAddr, Protocol)>,
}

impl OutOfBounds {
    fn note(&mut self, record: &FlowRecord) {
        self.connections = self.connections.saturating_add(record.connections);
        self.records += 1;
        self.last = self.last.max(record.last);
        let server = SocketAddr::new(record.server, record.port);
        self.samples
            .insert((record.client, server, record.protocol));
        if self.samples.len() > SAMPLES {
            self.samples.pop_last();
        }
    }
}

/// The ends of a connection, as it was called or where it arrived.
type Ends = (IpAddr, SocketAddr, Protocol);

/// Removes what agents told that does not count. Returns what of it is out of bounds, by node: not what the agent of an
/// end's own node saw as well (the node passed it on), or may still tell of.
pub(super) fn set_aside(
    observed: &mut Vec<Observed>,
    listeners: &impl Listeners,
    views: &Views,
) -> BTreeMap<Arc<str>, OutOfBounds> {
    let mut foreign: Vec<(Observed, Observers)> = Vec::new();
    let mut kept = Vec::with_capacity(observed.len());
    for seen in observed.drain(..) {
        match standing(&seen.observer.node, &seen.record, listeners) {
            Standing::Own => kept.push(seen),
            Standing::Uncertain => {}
            Standing::Foreign(owners) => foreign.push((seen, owners)),
        }
    }
    *observed = kept;
    if foreign.is_empty() {
        return BTreeMap::new();
    }
    let told_by_owners = told_by(observed, &foreign);
    let now = views
        .values()
        .filter_map(|view| Some(view.range()?.1))
        .max();
    let mut out_of_bounds: BTreeMap<Arc<str>, OutOfBounds> = BTreeMap::new();
    for (seen, owners) in foreign {
        let times = (seen.record.first, seen.record.last);
        let is_told = |owner: &Arc<str>| {
            let mut ends = all_ends(&seen.record);
            ends.any(|ends| told_by_owners.contains(&(owner.clone(), ends)))
        };
        let silence = |owner: &Arc<str>| silence_of(owner, times, views, now.unwrap_or(times.1));
        let may_be_told = owners.iter().any(|one| silence(one) == Silence::UnderWay);
        // Of a node that is down, a switch floods to all others what is sent to it, and nobody answers.
        let is_flooded = !is_answered(&seen.record)
            && owners
                .iter()
                .all(|one| silence(one) == Silence::NotObserved);
        if !owners.iter().any(is_told) && !may_be_told && !is_flooded {
            let node = seen.observer.node.clone();
            out_of_bounds.entry(node).or_default().note(&seen.record);
        }
    }
    out_of_bounds
}

/// What an agent may tell. What nobody told, and what is in files, is the operator's to judge.
pub fn standing(node: &str, record: &FlowRecord, listeners: &impl Listeners) -> Standing {
    if record.told.is_none() || node.is_empty() {
        return Standing::Own;
    }
    listeners.standing(node, record)
}

fn is_answered(record: &FlowRecord) -> bool {
    match record.verdict {
        Verdict::Established | Verdict::Refused | Verdict::Dropped => true,
        Verdict::OneWay | Verdict::Unanswered => false,
    }
}

/// The connections that owners of foreign ends told of, among those in question.
fn told_by(
    observed: &[Observed],
    foreign: &[(Observed, Observers)],
) -> FxHashSet<(Arc<str>, Ends)> {
    let questions: FxHashSet<Ends> = foreign
        .iter()
        .flat_map(|(seen, _)| all_ends(&seen.record))
        .collect();
    let told = observed.iter().flat_map(|seen| {
        let node = &seen.observer.node;
        all_ends(&seen.record).map(move |ends| (node.clone(), ends))
    });
    told.filter(|(_, ends)| questions.contains(ends)).collect()
}

/// As it arrived and as it was called, by the client's own address and by the one in whose place it was seen, and the other
/// way round where nothing shows who opened it. A node before the translation and one after it tell of different ends.
fn all_ends(record: &FlowRecord) -> impl Iterator<Item = Ends> + use<> {
    let (client, server, protocol) = (record.client, record.server, record.protocol);
    let arrived = SocketAddr::new(server, record.port);
    let (called, seen_as) = (record.via, record.seen_as);
    let turned = record
        .client_port
        .map(|port| (server, SocketAddr::new(client, port), protocol));
    let servers = move || [Some(arrived), called].into_iter().flatten();
    let clients = [Some(client), seen_as].into_iter().flatten();
    let pairs = clients.flat_map(move |client| servers().map(move |to| (client, to, protocol)));
    pairs.chain(turned)
}
