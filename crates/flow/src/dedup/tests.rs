use super::*;
use crate::{ActivityWindows, NoListeners, PeerLabel, PeerLabels, PodLabel, Source};
use nanoseg_net::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const START: i64 = 1_700_000_000;

fn seen(node: &str, source: Source, client: &str, server: &str, connections: u64) -> Observed {
    let server: SocketAddr = server.parse().unwrap();
    let at = Timestamp::from_secs(START);
    Observed {
        observer: Observer {
            node: node.into(),
            source,
        },
        record: FlowRecord {
            client: client.parse().unwrap(),
            server: server.ip(),
            port: server.port(),
            protocol: Protocol::Tcp,
            via: None,
            seen_as: None,
            client_port: None,
            verdict: Verdict::Established,
            opening: Opening::Handshake,
            labels: None,
            observers: Observers::default(),
            told: None,
            connections,
            datagrams: 0,
            bytes_to_server: 10 * connections,
            bytes_to_client: 20 * connections,
            first: at,
            last: at,
            windows: ActivityWindows::at(at),
        },
    }
}

/// The record as these nodes saw it.
fn by(nodes: &[&str], seen: &Observed) -> FlowRecord {
    FlowRecord {
        observers: nodes.iter().map(|node| Arc::from(*node)).collect(),
        ..seen.record.clone()
    }
}

fn connections(records: &[FlowRecord]) -> u64 {
    Count::of(records).connections
}

fn counts(records: &[FlowRecord]) -> (u64, u64) {
    let bytes = records.iter().map(|r| r.bytes_to_server).sum();
    (connections(records), bytes)
}

#[test]
fn what_two_observers_saw_counts_once() {
    let one = seen("a", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 3);
    for (node, source) in [("b", Source::Conntrack), ("a", Source::Capture)] {
        let other = seen(node, source, "10.0.0.1", "10.0.0.2:80", 3);
        let agreed = deduplicate(
            vec![one.clone(), other],
            &NoListeners,
            &AddressEpochs::default(),
        );
        assert_eq!(agreed, [by(&["a", node], &one)]);
    }
}

#[test]
fn what_one_observer_saw_beyond_another_counts_too() {
    let few = seen("a", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 3);
    let many = seen("b", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 5);
    let agreed = deduplicate(
        vec![few.clone(), many],
        &NoListeners,
        &AddressEpochs::default(),
    );
    assert_eq!(
        counts(&agreed),
        (5, 50),
        "the observer with the most connections counts"
    );
    let mut informed = few;
    informed.record.via = Some("10.96.0.1:80".parse().unwrap());
    let many = seen("b", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 5);
    let agreed = deduplicate(
        vec![informed, many],
        &NoListeners,
        &AddressEpochs::default(),
    );
    assert_eq!(
        connections(&agreed),
        5,
        "3 of the informed one and 2 beyond"
    );
}

proptest! {
    /// Who saw fewer takes nothing from who saw more, and what both saw does not add up.
    #[test]
    fn one_way_datagrams_are_those_of_the_observer_who_saw_most(
        counts in vec((select(vec!["a", "b", "c"]), 0u64..3, 0u64..4, 0i64..3600, any::<bool>()), 1..8),
    ) {
        let observed = counts.into_iter().map(|(node, connections, datagrams, at, informed)| {
            let mut seen = seen(node, Source::Conntrack, "10.0.0.1", "10.0.0.2:514", connections);
            seen.record.first = Timestamp::from_secs((START / 3600) * 3600 + at);
            seen.record.verdict = Verdict::OneWay;
            seen.record.protocol = Protocol::Udp;
            seen.record.datagrams = datagrams;
            seen.record.via = informed.then(|| "10.96.0.1:514".parse().unwrap());
            seen
        });
        let observed: Vec<Observed> = observed.collect();
        let mut by_observer: BTreeMap<&Observer, u64> = BTreeMap::new();
        for seen in &observed {
            *by_observer.entry(&seen.observer).or_default() += seen.record.one_way_datagrams();
        }
        let most = by_observer.into_values().max();
        let agreed = deduplicate(observed.clone(), &NoListeners, &AddressEpochs::default());
        prop_assert_eq!(Some(Count::of(&agreed).datagrams), most);
    }
}

#[test]
fn observers_with_different_edges_do_not_take_from_each_other() {
    let one = seen("a", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 3);
    let two = seen("b", Source::Conntrack, "10.0.0.1", "10.0.0.2:81", 3);
    let agreed = deduplicate(vec![one, two], &NoListeners, &AddressEpochs::default());
    assert_eq!(connections(&agreed), 6);
}

#[test]
fn the_service_that_only_the_client_s_node_knows_is_kept() {
    let via: SocketAddr = "10.96.0.1:80".parse().unwrap();
    let mut knows = seen("a", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 2);
    knows.record.via = Some(via);
    let server = seen("b", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 2);
    for order in [[knows.clone(), server.clone()], [server, knows]] {
        let agreed = deduplicate(order.to_vec(), &NoListeners, &AddressEpochs::default());
        assert_eq!(connections(&agreed), 2);
        assert!(
            agreed.iter().all(|record| record.via == Some(via)),
            "{agreed:?}"
        );
    }
}

#[test]
fn what_only_one_observer_says_of_the_ends_is_kept() {
    let called = seen("a", Source::Hubble, "10.0.0.1", "10.0.0.2:80", 3);
    let mut named = seen("b", Source::Hubble, "10.0.0.1", "10.0.0.2:80", 3);
    let labels = Arc::new(PeerLabels {
        client: Some(PeerLabel::Pod(PodLabel::named("shop", "web"))),
        ..PeerLabels::default()
    });
    named.record.labels = Some(labels.clone());
    let mut translated = called.clone();
    translated.record.via = Some("10.96.0.20:80".parse().unwrap());
    let agreed = deduplicate(
        vec![translated, named],
        &NoListeners,
        &AddressEpochs::default(),
    );
    assert_eq!(connections(&agreed), 3);
    let kept: Vec<_> = agreed.iter().filter_map(|r| r.labels.clone()).collect();
    assert_eq!(kept, [labels]);
    assert!(agreed.iter().any(|record| record.via.is_some()));
}

#[test]
fn the_echo_of_a_masqueraded_connection_is_dropped() {
    let mut client = seen("a", Source::Conntrack, "10.0.0.1", "10.1.0.2:80", 2);
    client.record.seen_as = Some("192.168.0.1".parse().unwrap());
    let echo = seen("b", Source::Conntrack, "192.168.0.1", "10.1.0.2:80", 2);
    let agreed = deduplicate(
        vec![client.clone(), echo.clone()],
        &NoListeners,
        &AddressEpochs::default(),
    );
    assert_eq!(agreed, [by(&["a", "b"], &client)]);
    // The node itself calls the same server: its own agent has seen that.
    let own = seen("a", Source::Conntrack, "192.168.0.1", "10.1.0.2:80", 1);
    let agreed = deduplicate(
        vec![client, echo, own],
        &NoListeners,
        &AddressEpochs::default(),
    );
    let from_node = |record: &&FlowRecord| record.client.to_string() == "192.168.0.1";
    assert!(agreed.iter().filter(from_node).count() > 0, "{agreed:?}");
}

#[test]
fn a_call_of_another_node_s_node_port_counts_where_it_was_translated() {
    let before = seen("a", Source::Conntrack, "10.0.0.1", "192.168.0.2:30080", 12);
    let mut after = seen("b", Source::Conntrack, "10.0.0.1", "10.1.0.2:8080", 12);
    after.record.via = Some("192.168.0.2:30080".parse().unwrap());
    let agreed = deduplicate(
        vec![before.clone(), after.clone()],
        &NoListeners,
        &AddressEpochs::default(),
    );
    assert_eq!(agreed, [by(&["a", "b"], &after)]);
    // Somebody else's call is not explained by it.
    let other = seen("a", Source::Conntrack, "10.0.0.9", "192.168.0.2:30080", 1);
    let agreed = deduplicate(
        vec![before, after, other.clone()],
        &NoListeners,
        &AddressEpochs::default(),
    );
    assert!(
        agreed.contains(&by(&["a"], &other)) && agreed.len() == 2,
        "{agreed:?}"
    );
}

struct Listens(SocketAddr);

impl Listeners for Listens {
    fn listens(&self, address: IpAddr, _: Protocol, port: u16, _: Timestamp) -> bool {
        self.0 == SocketAddr::new(address, port)
    }
}

#[test]
fn an_undecided_connection_is_turned_to_its_listener() {
    let mut open = seen("a", Source::Conntrack, "10.0.0.1", "10.0.0.2:40000", 1);
    open.record.opening = Opening::Undecided;
    open.record.client_port = Some(8080);
    let decide = |listener: &str| {
        let agreed = deduplicate(
            vec![open.clone()],
            &Listens(listener.parse().unwrap()),
            &AddressEpochs::default(),
        );
        agreed.into_iter().next().unwrap()
    };
    let turned = decide("10.0.0.1:8080");
    assert_eq!(
        (turned.server.to_string(), turned.port),
        ("10.0.0.1".into(), 8080)
    );
    assert_eq!(
        (turned.client_port, turned.opening),
        (Some(40000), Opening::Listener)
    );
    assert_eq!((turned.bytes_to_server, turned.bytes_to_client), (20, 10));
    let kept = decide("10.0.0.2:40000");
    assert_eq!((kept.port, kept.opening), (40000, Opening::Listener));
    let unknown = decide("10.0.0.3:1");
    assert_eq!(unknown, by(&["a"], &open));
    let mut handshake = open.clone();
    handshake.record.opening = Opening::Handshake;
    let agreed = deduplicate(
        vec![handshake.clone()],
        &Listens("10.0.0.1:8080".parse().unwrap()),
        &AddressEpochs::default(),
    );
    assert_eq!(agreed, [by(&["a"], &handshake)], "a handshake decides");
}

#[test]
fn counts_that_no_traffic_has_are_no_reason_to_stop() {
    let mut huge = seen("a", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 1);
    huge.record.connections = u64::MAX;
    huge.record.bytes_to_server = u64::MAX;
    let mut also = huge.clone();
    also.record.via = Some("10.96.0.1:80".parse().unwrap());
    let mut other = huge.clone();
    other.observer.node = "b".into();
    assert_eq!(
        connections(&deduplicate(
            vec![huge, also, other],
            &NoListeners,
            &AddressEpochs::default()
        )),
        u64::MAX
    );
}

fn observers(records: &[FlowRecord]) -> Vec<String> {
    records.iter().map(|r| r.observers.to_string()).collect()
}

#[test]
fn each_record_names_all_nodes_that_saw_the_connection_also_those_whose_records_are_left_out() {
    let agreed = |seen: Vec<Observed>| {
        observers(&deduplicate(seen, &NoListeners, &AddressEpochs::default()))
    };
    let one = |node| seen(node, Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 3);
    assert_eq!(agreed(vec![one("a"), one("b")]), ["a, b"]);
    assert_eq!(agreed(vec![one("")]), [""], "a file");

    // The pod's node saw the node port, the other node saw it and its translation.
    let called = seen("a", Source::Conntrack, "10.0.0.1", "172.18.0.3:30080", 3);
    let mut arrived = seen("b", Source::Conntrack, "10.0.0.1", "10.0.0.2:80", 3);
    arrived.record.via = Some("172.18.0.3:30080".parse().unwrap());
    arrived.record.seen_as = Some("172.18.0.3".parse().unwrap());
    // The server's node saw the node's address.
    let echo = seen("c", Source::Conntrack, "172.18.0.3", "10.0.0.2:80", 3);
    assert_eq!(agreed(vec![called, arrived, echo]), ["a, b, c"]);

    let failed = |node| {
        let mut failed = one(node);
        failed.record.verdict = Verdict::Unanswered;
        failed
    };
    let mut both = agreed(vec![one("a"), failed("b")]);
    both.sort();
    assert_eq!(
        both,
        ["a", "b"],
        "one says that it was answered, the other that it was not"
    );
}
