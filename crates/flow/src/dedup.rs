//! One connection counts once, however many observers saw it (rule: observers-agree): conntrack and capture of
//! one node, and the nodes of both ends.
//!
//! Observers count independently, so they agree on edges but each has its own count. Per hour the one
//! that counted most is taken as it is; of the others only what goes beyond it counts. Each record names all nodes
//! that saw the connection, also those whose own records are left out.

mod known_legs;

use super::direction::server_by_listener;
use super::{
    AddressEpochs, FlowRecord, Listeners, Observed, Observer, Observers, Opening, Verdict,
};
use known_legs::join_known_legs;
use nanoseg_net::Protocol;
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How far apart two observers may see the same connection, in seconds.
const SAME_TIME_SECONDS: i64 = 10;

/// What the records of one connection have in common, whichever node observed it: the ends and the owners of
/// their addresses (rule: owner-at-that-time), the verdict and the hour. Small differences between the nodes' clocks do not
/// matter when counts are compared hour by hour.
type ConnectionGroup = ([(IpAddr, u32); 2], Protocol, u16, Verdict, i64);

/// The server that was called, with the epoch of its address.
type ServerKey = (IpAddr, u32, Protocol, u16);

/// Returns records that count each connection once, in no particular order.
pub(super) fn deduplicate(
    observed: Vec<Observed>,
    listeners: &impl Listeners,
    epochs: &AddressEpochs,
) -> Vec<FlowRecord> {
    let mut observed: Vec<Observed> = observed
        .into_iter()
        .map(|seen| match decide_by_listeners(&seen.record, listeners) {
            Cow::Borrowed(_) => seen,
            Cow::Owned(record) => Observed { record, ..seen },
        })
        .collect();
    remove_untranslated(&mut observed, epochs);
    join_known_legs(&mut observed, listeners, epochs);
    remove_echoes(&mut observed, epochs);
    let mut groups: BTreeMap<ConnectionGroup, BTreeMap<Observer, Vec<FlowRecord>>> =
        BTreeMap::new();
    for Observed { observer, record } in observed {
        let owned = |address| (address, epochs.epoch(address, record.first));
        let group = (
            [owned(record.client), owned(record.server)],
            record.protocol,
            record.port,
            record.verdict,
            record.first.hour(),
        );
        groups
            .entry(group)
            .or_default()
            .entry(observer)
            .or_default()
            .push(record);
    }
    groups.into_values().flat_map(count_once).collect()
}

/// All nodes that saw the connections of one group.
fn observers_of(by_observer: &BTreeMap<Observer, Vec<FlowRecord>>) -> Observers {
    let mut all: Observers = by_observer.keys().map(|seen| seen.node.clone()).collect();
    for record in by_observer.values().flatten() {
        all.extend(&record.observers);
    }
    all
}

/// Decides the direction by the known listeners, where no handshake showed it (rule: direction-inferred). An agent on
/// a node does not know the listeners; the receiver of its records does.
pub fn decide_by_listeners<'r>(
    record: &'r FlowRecord,
    listeners: &impl Listeners,
) -> Cow<'r, FlowRecord> {
    let open = record.opening == Opening::Undecided
        || record.opening == Opening::FirstPacket && record.protocol == Protocol::Udp;
    let Some(client_port) = record.client_port.filter(|_| open) else {
        return Cow::Borrowed(record);
    };
    let client = SocketAddr::new(record.client, client_port);
    let server = SocketAddr::new(record.server, record.port);
    let by_listener = |ends| server_by_listener(listeners, record.protocol, ends, record.first);
    let called = record.via.unwrap_or(server);
    let decision = by_listener([client, server]).or_else(|| by_listener([client, called]));
    let by_listener = |record| {
        Cow::Owned(FlowRecord {
            opening: Opening::Listener,
            ..record
        })
    };
    match (decision, record.opening) {
        (Some(0), _) => match record.turned() {
            Some(turned) => by_listener(turned),
            None => Cow::Borrowed(record),
        },
        (Some(_), Opening::Undecided) => by_listener(record.clone()),
        _ => Cow::Borrowed(record),
    }
}

/// Removes records of connections that were seen before their translation: a pod called a node port of
/// another node. That node saw the same client call the same address and port, and the translation.
fn remove_untranslated(observed: &mut Vec<Observed>, epochs: &AddressEpochs) {
    let way = |record: &FlowRecord, called| {
        let owner = epochs.epoch(record.client, record.first);
        (
            record.client,
            owner,
            record.protocol,
            called,
            record.verdict,
        )
    };
    let translated: FxHashMap<_, FxHashSet<Arc<str>>> = observed
        .iter()
        .filter_map(|seen| Some((way(&seen.record, seen.record.via?), &seen.observer.node)))
        .fold(FxHashMap::default(), |mut all, (way, node)| {
            all.entry(way)
                .or_insert_with(FxHashSet::default)
                .insert(node.clone());
            all
        });
    let mut removed: FxHashMap<_, Observers> = FxHashMap::default();
    observed.retain(|Observed { observer, record }| {
        let way = way(record, SocketAddr::new(record.server, record.port));
        let nodes = translated.get(&way);
        let is_kept =
            record.via.is_some() || nodes.is_none_or(|all| all.iter().all(|n| *n == observer.node));
        if !is_kept {
            let nodes = removed.entry(way).or_default();
            nodes.extend(&Observers::one(&observer.node));
        }
        is_kept
    });
    if removed.is_empty() {
        return;
    }
    // Who saw it before the translation saw the connection.
    for record in observed.iter_mut().map(|seen| &mut seen.record) {
        if let Some(nodes) = record.via.and_then(|via| removed.get(&way(record, via))) {
            record.observers.extend(nodes);
        }
    }
}

/// Removes records that are only the other side of a translated connection: one node saw the client's own
/// address and that it was shown under the node's; the server's node saw the connection come from that
/// node. It is no echo if the first node itself saw connections that begin with its own address.
fn remove_echoes(observed: &mut Vec<Observed>, epochs: &AddressEpochs) {
    let called = |record: &FlowRecord| called(record, epochs);
    let mut translated: FxHashMap<(IpAddr, ServerKey), FxHashSet<Arc<str>>> = FxHashMap::default();
    for Observed { observer, record } in &*observed {
        if let Some(seen_as) = record.seen_as {
            translated
                .entry((seen_as, called(record)))
                .or_default()
                .insert(observer.node.clone());
        }
    }
    if translated.is_empty() {
        return;
    }
    let own: FxHashSet<(Arc<str>, IpAddr, ServerKey)> = observed
        .iter()
        .filter(|seen| translated.contains_key(&(seen.record.client, called(&seen.record))))
        .map(|seen| {
            (
                seen.observer.node.clone(),
                seen.record.client,
                called(&seen.record),
            )
        })
        .collect();
    let mut removed: FxHashMap<(IpAddr, ServerKey), Observers> = FxHashMap::default();
    observed.retain(|Observed { observer, record }| {
        let way = (record.client, called(record));
        let Some(nodes) = translated.get(&way) else {
            return true;
        };
        let explains = |node: &Arc<str>| {
            *node != observer.node && !own.contains(&(node.clone(), record.client, called(record)))
        };
        let is_echo = nodes.iter().any(explains);
        if is_echo {
            let nodes = removed.entry(way).or_default();
            nodes.extend(&Observers::one(&observer.node));
        }
        !is_echo
    });
    // Who saw the other side of the translation saw the connection.
    for record in observed.iter_mut().map(|seen| &mut seen.record) {
        let seen_as = record.seen_as.filter(|_| !removed.is_empty());
        if let Some(nodes) = seen_as.and_then(|seen| removed.get(&(seen, called(record)))) {
            record.observers.extend(nodes);
        }
    }
}

fn called(record: &FlowRecord, epochs: &AddressEpochs) -> ServerKey {
    let owner = epochs.epoch(record.server, record.first);
    (record.server, owner, record.protocol, record.port)
}

/// Keeps the records of the observer that counted most as they are, and of the others what they saw
/// beyond.
fn count_once(mut by_observer: BTreeMap<Observer, Vec<FlowRecord>>) -> Vec<FlowRecord> {
    by_observer
        .values_mut()
        .for_each(|records| count_reseen_once(records));
    let observers = observers_of(&by_observer);
    for record in by_observer.values_mut().flatten() {
        record.observers.clone_from(&observers);
    }
    if by_observer.len() == 1 {
        return by_observer.into_values().flatten().collect();
    }
    // What the client called is known on its own node only, and it allows everything behind it.
    let worth = |records: &[FlowRecord]| {
        let informed = records
            .iter()
            .any(|r| r.via.is_some() || r.labels.is_some());
        let bytes = records
            .iter()
            .flat_map(|r| [r.bytes_to_server, r.bytes_to_client])
            .fold(0, u64::saturating_add);
        (informed, Count::of(records), bytes)
    };
    let mut best: Option<(&Observer, _)> = None;
    for (observer, records) in &by_observer {
        let worth = worth(records);
        if best.as_ref().is_none_or(|(_, most)| worth > *most) {
            best = Some((observer, worth));
        }
    }
    let Some(mut kept) = best
        .map(|(observer, _)| observer.clone())
        .and_then(|observer| by_observer.remove(&observer))
    else {
        return Vec::new();
    };
    let mut counted = Count::of(&kept);
    for records in by_observer.into_values() {
        let beyond = Count::of(&records).beyond(counted);
        counted = counted.plus(beyond);
        kept.extend(records_beyond(records, &kept, beyond));
    }
    kept
}

/// Connections without a handshake are identified by their client's port, so one that an agent found
/// again counts once. Beside connections that were seen to begin they count nothing: an agent that was
/// restarted finds in the kernel's table what it had counted before.
fn count_reseen_once(records: &mut [FlowRecord]) {
    let seen_to_begin = records.iter().any(|record| record.client_port.is_none());
    let mut known = FxHashSet::default();
    for record in records {
        if let Some(port) = record.client_port
            && (seen_to_begin || record.connections > 0 && !known.insert(port))
        {
            record.connections = 0;
        }
    }
}

/// What observers of the same connections are compared by; the first field decides first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    connections: u64,
    /// Datagrams without an answer: their number decides whether they teach (rule: one-way-udp).
    datagrams: u64,
}

impl Count {
    fn of(records: &[FlowRecord]) -> Count {
        let none = Count {
            connections: 0,
            datagrams: 0,
        };
        records.iter().fold(none, |sum, record| {
            sum.plus(Count {
                connections: record.connections,
                datagrams: record.one_way_datagrams(),
            })
        })
    }

    fn plus(self, other: Count) -> Count {
        Count {
            connections: self.connections.saturating_add(other.connections),
            datagrams: self.datagrams.saturating_add(other.datagrams),
        }
    }

    /// How much each count exceeds that of `other`; 0 where it does not.
    fn beyond(self, other: Count) -> Count {
        Count {
            connections: self.connections.saturating_sub(other.connections),
            datagrams: self.datagrams.saturating_sub(other.datagrams),
        }
    }

    /// Removes up to a record's counts and returns what was removed.
    fn take(&mut self, record: &FlowRecord) -> Count {
        let datagrams = self.datagrams.min(record.one_way_datagrams());
        let mut connections = self.connections.min(record.connections);
        if record.verdict == Verdict::OneWay {
            // Each connection counts as at least one datagram.
            connections = connections.min(datagrams);
        }
        self.connections -= connections;
        self.datagrams -= datagrams;
        Count {
            connections,
            datagrams,
        }
    }
}

/// The records of another time or of other translations than those in `kept`; their counts add up to
/// `beyond`.
fn records_beyond(
    records: Vec<FlowRecord>,
    kept: &[FlowRecord],
    mut beyond: Count,
) -> Vec<FlowRecord> {
    // Who an observer says that the ends are is nothing that another one knows.
    let is_same_path = |a: &FlowRecord, b: &FlowRecord| {
        (a.via.is_none() || a.via == b.via)
            && (a.seen_as.is_none() || a.seen_as == b.seen_as)
            && (a.labels.is_none() || a.labels == b.labels)
    };
    let mut by_time: BTreeMap<i64, Vec<&FlowRecord>> = BTreeMap::new();
    for known in kept {
        by_time.entry(known.began()).or_default().push(known);
    }
    let is_known = |record: &FlowRecord| {
        let near = record.began().saturating_sub(SAME_TIME_SECONDS)
            ..=record.began().saturating_add(SAME_TIME_SECONDS);
        let mut near = by_time.range(near).flat_map(|(_, known)| known);
        near.any(|known| is_same_path(record, known))
    };
    let mut new = Vec::new();
    for record in records.into_iter().rev() {
        let count = beyond.take(&record);
        if count.connections > 0 || count.datagrams > 0 || !is_known(&record) {
            let counts_all = u64::from(count.connections > 0);
            let part = FlowRecord {
                connections: count.connections,
                datagrams: match record.verdict {
                    Verdict::OneWay => count.datagrams,
                    _ => record.datagrams * counts_all,
                },
                bytes_to_server: record.bytes_to_server * counts_all,
                bytes_to_client: record.bytes_to_client * counts_all,
                ..record
            };
            new.push(part);
        }
    }
    new
}

#[cfg(test)]
mod tests;
