//! One connection counts once, however many observers saw it (rule: observers-agree): conntrack and capture of
//! one node, and the nodes of both ends.
//!
//! Observers count independently, so they agree on edges but each has its own count. Per hour the one
//! that tells most is taken at its word; of the others only what goes beyond it counts.

use super::direction::server_by_listener;
use super::{AddressEpochs, FlowRecord, Listeners, Observed, Observer, Opening, Verdict};
use nanoseg_net::Protocol;
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How far apart two observers may see the same, in seconds.
const APART: i64 = 10;

/// Where records of several observers may be of the same connections: the ends, and who owned their
/// addresses then (rule: owner-at-that-time), the verdict, the hour: small differences between the nodes' clocks do not
/// matter when counts are compared hour by hour.
type Meeting = ([(IpAddr, u32); 2], Protocol, u16, Verdict, i64);

/// Which server was called, and whose address that was then.
type Called = (IpAddr, u32, Protocol, u16);

/// The records with each connection counted once, in no particular order of observers.
pub(super) fn agree(
    observed: Vec<Observed>,
    listeners: &impl Listeners,
    epochs: &AddressEpochs,
) -> Vec<FlowRecord> {
    let mut observed: Vec<Observed> = observed
        .into_iter()
        .map(|seen| match decided(&seen.record, listeners) {
            Cow::Borrowed(_) => seen,
            Cow::Owned(record) => Observed { record, ..seen },
        })
        .collect();
    remove_untranslated(&mut observed, epochs);
    remove_echoes(&mut observed, epochs);
    let mut meetings: BTreeMap<Meeting, BTreeMap<Observer, Vec<FlowRecord>>> = BTreeMap::new();
    for Observed { observer, record } in observed {
        let owned = |address| (address, epochs.epoch(address, record.first));
        let meeting = (
            [owned(record.client), owned(record.server)],
            record.protocol,
            record.port,
            record.verdict,
            record.first.hour(),
        );
        meetings
            .entry(meeting)
            .or_default()
            .entry(observer)
            .or_default()
            .push(record);
    }
    meetings.into_values().flat_map(count_once).collect()
}

/// The record with its server decided by what is known to listen, where no handshake showed it. On a
/// node nobody knows listeners; here they are known (rule: direction-inferred).
pub fn decided<'r>(record: &'r FlowRecord, listeners: &impl Listeners) -> Cow<'r, FlowRecord> {
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

/// Leaves out what was seen on its way to where it was translated: a node port of another node, called by a
/// pod. That node saw the same client call the same address and port, and where it went on to.
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
    observed.retain(|Observed { observer, record }| {
        let called = SocketAddr::new(record.server, record.port);
        let nodes = translated.get(&way(record, called));
        record.via.is_some() || nodes.is_none_or(|all| all.iter().all(|n| *n == observer.node))
    });
}

/// Leaves out what only is the other side of a translated connection: one node saw the client's own
/// address and that it was shown under the node's; the server's node saw the connection come from that
/// node. It is no echo if the first node itself saw connections that begin with its own address.
fn remove_echoes(observed: &mut Vec<Observed>, epochs: &AddressEpochs) {
    let called = |record: &FlowRecord| called(record, epochs);
    let mut translated: FxHashMap<(IpAddr, Called), FxHashSet<Arc<str>>> = FxHashMap::default();
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
    let own: FxHashSet<(Arc<str>, IpAddr, Called)> = observed
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
    observed.retain(|Observed { observer, record }| {
        let Some(nodes) = translated.get(&(record.client, called(record))) else {
            return true;
        };
        let explains = |node: &Arc<str>| {
            *node != observer.node && !own.contains(&(node.clone(), record.client, called(record)))
        };
        !nodes.iter().any(explains)
    });
}

fn called(record: &FlowRecord, epochs: &AddressEpochs) -> Called {
    let owner = epochs.epoch(record.server, record.first);
    (record.server, owner, record.protocol, record.port)
}

/// Of the observers of the same connections: the records of the one that tells most as they are, and of
/// the others what they saw beyond.
fn count_once(mut by_observer: BTreeMap<Observer, Vec<FlowRecord>>) -> Vec<FlowRecord> {
    by_observer
        .values_mut()
        .for_each(|records| count_again(records));
    if by_observer.len() == 1 {
        return by_observer.into_values().flatten().collect();
    }
    // What the client had called is known on its own node only, and it opens all that stands behind it.
    let worth = |records: &[FlowRecord]| {
        let informed = records
            .iter()
            .any(|r| r.via.is_some() || r.claims.is_some());
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
        kept.extend(what_is_new(records, &kept, beyond));
    }
    kept
}

/// Connections without a handshake are told by their client's port, so one that an agent found again
/// counts once. Beside connections that were seen to begin they count nothing: an agent that was started
/// again finds in the kernel's table what it had counted before.
fn count_again(records: &mut [FlowRecord]) {
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

/// What observers of the same are compared by, the first thing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    connections: u64,
    /// Those without an answer, since it depends on their number whether they teach (rule: one-way-udp).
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

    /// Of each what is more than in `other`.
    fn beyond(self, other: Count) -> Count {
        Count {
            connections: self.connections.saturating_sub(other.connections),
            datagrams: self.datagrams.saturating_sub(other.datagrams),
        }
    }

    /// Takes as much of a record's count out as there is.
    fn take(&mut self, record: &FlowRecord) -> Count {
        let datagrams = self.datagrams.min(record.one_way_datagrams());
        let mut connections = self.connections.min(record.connections);
        if record.verdict == Verdict::OneWay {
            // Each of them would stand for a datagram.
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

/// Those of `records` that tell of another time or another way than `kept`, with `beyond` as their
/// count in all.
fn what_is_new(
    records: Vec<FlowRecord>,
    kept: &[FlowRecord],
    mut beyond: Count,
) -> Vec<FlowRecord> {
    let tells_the_same = |a: &FlowRecord, b: &FlowRecord| {
        (a.via.is_none() || a.via == b.via) && (a.seen_as.is_none() || a.seen_as == b.seen_as)
    };
    let mut by_time: BTreeMap<i64, Vec<&FlowRecord>> = BTreeMap::new();
    for known in kept {
        by_time.entry(known.began()).or_default().push(known);
    }
    let is_known = |record: &FlowRecord| {
        let near = record.began().saturating_sub(APART)..=record.began().saturating_add(APART);
        let mut near = by_time.range(near).flat_map(|(_, known)| known);
        near.any(|known| tells_the_same(record, known))
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
