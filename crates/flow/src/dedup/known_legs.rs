//! Datagrams before and after a translation that their observer did not know (rule: copies-are-proven): an agent keeps
//! both legs, and the receiver of its records knows the Service between them. Both lead to the same edge; this is
//! about their counts.

use super::{Count, FlowRecord, Listeners, Observed, Observer, Observers};
use crate::{AddressEpochs, AddressKind, Verdict};
use nanoseg_net::Protocol;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Pairs of legs compared for one client and hour. What is beyond counts twice.
const MAX_PAIRS: usize = 1 << 16;

/// What both legs have in common: the client with the epoch of its address, verdict and hour.
type ClientHour = (IpAddr, u32, Verdict, i64);

/// The records of one client and hour, by their places in the list.
#[derive(Default)]
struct Legs {
    /// To what is translated: a Service, or a node's port.
    called: BTreeMap<SocketAddr, Vec<usize>>,
    /// To what may stand behind it.
    arrived: BTreeMap<SocketAddr, Vec<usize>>,
}

/// Makes one record of both legs: the one that arrived, called through the other. What was called more often than
/// it arrived stays for the rest.
pub(super) fn join_known_legs(
    observed: &mut Vec<Observed>,
    listeners: &impl Listeners,
    epochs: &AddressEpochs,
) {
    let mut whole = FxHashSet::default();
    for legs in legs(observed, listeners, epochs).into_values() {
        let pairs = legs.called.iter().flat_map(|called| {
            let arrived = legs.arrived.iter();
            arrived.map(move |arrived| (called, arrived))
        });
        let mut free: BTreeMap<&SocketAddr, Count> = BTreeMap::new();
        for ((called, fronts), (arrived, backs)) in pairs.take(MAX_PAIRS) {
            let Some(at) = fronts.first().map(|front| observed[*front].record.first) else {
                continue;
            };
            let known = listeners.translation(Protocol::Udp, *called, *arrived, at);
            let is_through =
                |back: &usize| observed[*back].record.via.is_none_or(|via| via == *called);
            let backs: Vec<usize> = backs.iter().copied().filter(is_through).collect();
            if known.is_none() || backs.is_empty() {
                continue;
            }
            let free = free
                .entry(arrived)
                .or_insert_with(|| most(observed, &backs));
            for front in fronts {
                let record = &mut observed[*front].record;
                let taken = free.take(record);
                record.connections -= taken.connections;
                if record.verdict == Verdict::OneWay {
                    record.datagrams = record.datagrams.saturating_sub(taken.datagrams);
                }
                if record.connections == 0 {
                    whole.insert(*front);
                }
            }
            let callers = fronts.iter().map(|front| &observed[*front].observer.node);
            let callers: Observers = callers.cloned().collect();
            for back in backs {
                observed[back].record.via = Some(*called);
                observed[back].record.observers.extend(&callers);
            }
        }
    }
    let mut place = 0..;
    observed.retain(|_| place.next().is_none_or(|place| !whole.contains(&place)));
}

/// The datagrams that may be legs, by client and hour.
fn legs(
    observed: &[Observed],
    listeners: &impl Listeners,
    epochs: &AddressEpochs,
) -> FxHashMap<ClientHour, Legs> {
    let mut all: FxHashMap<ClientHour, Legs> = FxHashMap::default();
    for (place, Observed { record, .. }) in observed.iter().enumerate() {
        let server = SocketAddr::new(record.server, record.port);
        let (protocol, at) = (record.protocol, record.first);
        if protocol != Protocol::Udp
            || record.client_port.is_some()
            || !listeners.listens(record.server, protocol, record.port, at)
        {
            continue;
        }
        let owner = epochs.epoch(record.client, at);
        let legs = all
            .entry((record.client, owner, record.verdict, at.hour()))
            .or_default();
        let kind = listeners.kind(record.server, at);
        if record.via.is_none() && matches!(kind, Some(AddressKind::Service | AddressKind::Node)) {
            legs.called.entry(server).or_default().push(place);
        }
        if kind != Some(AddressKind::Service) {
            legs.arrived.entry(server).or_default().push(place);
        }
    }
    all.retain(|_, legs| !legs.called.is_empty() && !legs.arrived.is_empty());
    all
}

/// The counts of the observer that saw most of these records.
fn most(observed: &[Observed], places: &[usize]) -> Count {
    let mut by_observer: BTreeMap<&Observer, Vec<FlowRecord>> = BTreeMap::new();
    for place in places {
        let Observed { observer, record } = &observed[*place];
        by_observer
            .entry(observer)
            .or_default()
            .push(record.clone());
    }
    let counts = by_observer.values().map(|records| Count::of(records));
    counts.max().unwrap_or_else(|| Count::of(&[]))
}

#[cfg(test)]
mod tests {
    use super::super::deduplicate;
    use super::*;
    use crate::{ActivityWindows, Opening, Source, Translation};
    use nanoseg_net::Timestamp;

    /// The Service 10.96.0.10:53 with 10.1.0.53:5353 behind it.
    struct Cluster;

    impl Listeners for Cluster {
        fn listens(&self, _: IpAddr, _: Protocol, port: u16, _: Timestamp) -> bool {
            [53, 5353].contains(&port)
        }

        fn translation(
            &self,
            _: Protocol,
            called: SocketAddr,
            arrived: SocketAddr,
            _: Timestamp,
        ) -> Option<Translation> {
            let known =
                called.to_string() == "10.96.0.10:53" && arrived.to_string() == "10.1.0.53:5353";
            known.then_some(Translation::Direct)
        }

        fn kind(&self, address: IpAddr, _: Timestamp) -> Option<AddressKind> {
            let is_service = address.to_string().starts_with("10.96.");
            Some(if is_service {
                AddressKind::Service
            } else {
                AddressKind::Pod
            })
        }
    }

    fn seen(node: &str, server: &str, verdict: Verdict, connections: u64) -> Observed {
        let server: SocketAddr = server.parse().expect("an address and port");
        let at = Timestamp::from_secs(1_800_000_000);
        Observed {
            observer: Observer {
                node: node.into(),
                source: Source::Capture,
            },
            record: FlowRecord {
                client: [10, 1, 1, 1].into(),
                server: server.ip(),
                port: server.port(),
                protocol: Protocol::Udp,
                via: None,
                seen_as: None,
                client_port: None,
                verdict,
                opening: Opening::FirstPacket,
                labels: None,
                observers: Observers::default(),
                told: None,
                connections,
                datagrams: connections,
                bytes_to_server: 10,
                bytes_to_client: 10,
                first: at,
                last: at,
                windows: ActivityWindows::at(at),
            },
        }
    }

    /// Server, what was called, connections and datagrams.
    fn joined(observed: Vec<Observed>) -> Vec<(String, Option<String>, u64, u64)> {
        let mut list: Vec<_> = deduplicate(observed, &Cluster, &AddressEpochs::default())
            .into_iter()
            .map(|record| {
                let server = SocketAddr::new(record.server, record.port).to_string();
                let via = record.via.map(|via| via.to_string());
                (server, via, record.connections, record.datagrams)
            })
            .collect();
        list.sort();
        list
    }

    const SERVICE: &str = "10.96.0.10:53";
    const POD: &str = "10.1.0.53:5353";

    #[test]
    fn both_legs_of_a_datagram_count_once_where_the_service_is_known() {
        let through = |count| (POD.to_owned(), Some(SERVICE.to_owned()), count, count);
        for node in ["a", "b"] {
            let legs = vec![
                seen("a", SERVICE, Verdict::Established, 3),
                seen(node, POD, Verdict::Established, 3),
            ];
            assert_eq!(joined(legs), [through(3)], "the server's node is {node}");
        }
        // One stray datagram is no repeated one (rule: one-way-udp).
        let stray = vec![
            seen("a", SERVICE, Verdict::OneWay, 1),
            seen("a", POD, Verdict::OneWay, 1),
        ];
        assert_eq!(joined(stray), [through(1)]);
    }

    #[test]
    fn what_is_not_known_to_be_a_leg_is_kept() {
        let more = vec![
            seen("a", SERVICE, Verdict::Established, 5),
            seen("b", POD, Verdict::Established, 3),
        ];
        let counts: Vec<u64> = joined(more).iter().map(|one| one.2).collect();
        assert_eq!(counts, [3, 2], "a pod that was not in view");
        for other in ["10.1.0.9:53", "10.1.0.53:53"] {
            let two = vec![
                seen("a", SERVICE, Verdict::Established, 1),
                seen("a", other, Verdict::Established, 1),
            ];
            assert_eq!(joined(two).len(), 2, "{other}");
        }
        let verdicts = vec![
            seen("a", SERVICE, Verdict::OneWay, 1),
            seen("a", POD, Verdict::Established, 1),
        ];
        assert_eq!(joined(verdicts).len(), 2);
    }
}
