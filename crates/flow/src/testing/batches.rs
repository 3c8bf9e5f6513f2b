//! Any batches: few addresses, ports and times, so that records often meet.

use crate::{
    ActivityWindows, FlowBatch, FlowRecord, Instance, Loss, NameEntry, NamedBy, Observations,
    Opening, OtherKind, OtherTraffic, PeerLabel, PeerLabels, PodLabel, ScanSummary, Source,
    Verdict,
};
use nanoseg_net::{Protocol, Timestamp};
use proptest::prelude::*;
use proptest::{collection::vec, option, sample::select};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const ADDRESSES: [&str; 5] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.1.0.1",
    "fd00::1",
    "64:ff9b::a00:1",
];

fn address() -> impl Strategy<Value = IpAddr> {
    select(&ADDRESSES[..]).prop_map(|text| text.parse().expect("an address"))
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (address(), select(&[0, 80, 65535][..])).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(&Protocol::ALL[..])
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        20 => (0i64..30_000).prop_map(|ms| Timestamp::from_nanos(1_700_000_000_000_000_000 + ms * 1_000_000)),
        1 => select(vec![Timestamp::MIN, Timestamp::MAX, Timestamp::from_nanos(-1)]),
    ]
}

fn label() -> impl Strategy<Value = PeerLabel> {
    let text = || select(&["", "shop", "wéb"][..]).prop_map(str::to_owned);
    prop_oneof![
        (text(), text())
            .prop_map(|(namespace, name)| PeerLabel::Pod(PodLabel::named(namespace, name))),
        (text(), text(), text()).prop_map(|(namespace, kind, name)| PeerLabel::Workload {
            namespace,
            kind,
            name
        }),
        select(
            &[
                PeerLabel::Host,
                PeerLabel::RemoteNode,
                PeerLabel::ApiServer,
                PeerLabel::World
            ][..]
        ),
    ]
}

fn labels() -> impl Strategy<Value = Arc<PeerLabels>> {
    let service = select(vec![None, Some(("shop".to_owned(), "web".to_owned()))]);
    (option::of(label()), option::of(label()), service).prop_map(|(client, server, service)| {
        Arc::new(PeerLabels {
            client,
            server,
            service,
        })
    })
}

/// Any flow record.
pub fn record() -> impl Strategy<Value = FlowRecord> {
    let ends = (
        address(),
        address(),
        select(&[1, 80, 65535][..]),
        protocol(),
    );
    let translated = (
        option::weighted(0.2, socket()),
        option::weighted(0.2, address()),
        option::weighted(0.3, select(&[0, 40000, 65535][..])),
        option::weighted(0.2, labels()),
    );
    let verdicts = [
        Verdict::Established,
        Verdict::OneWay,
        Verdict::Unanswered,
        Verdict::Refused,
        Verdict::Dropped,
    ];
    let openings = [
        Opening::Handshake,
        Opening::FirstPacket,
        Opening::Listener,
        Opening::Undecided,
    ];
    let how = (select(verdicts.to_vec()), select(openings.to_vec()));
    let counts = (0u64..3, 0u64..1000, 0u64..1 << 40, 0u64..1 << 40);
    (ends, translated, how, counts, vec(time(), 1..4)).prop_map(
        |(ends, translated, how, counts, mut times)| {
            times.sort();
            let mut windows = ActivityWindows::default();
            times.iter().for_each(|at| windows.mark(*at));
            FlowRecord {
                observers: Default::default(),
                told: None,
                client: ends.0,
                server: ends.1,
                port: ends.2,
                protocol: ends.3,
                via: translated.0,
                seen_as: translated.1,
                client_port: translated.2,
                labels: translated.3,
                verdict: how.0,
                opening: how.1,
                connections: counts.0,
                datagrams: counts.1,
                bytes_to_server: counts.2,
                bytes_to_client: counts.3,
                first: times[0],
                last: times[times.len() - 1],
                windows,
            }
        },
    )
}

fn scan() -> impl Strategy<Value = ScanSummary> {
    let samples = vec((socket(), protocol()), 0..4);
    (
        option::of(address()),
        0u64..1000,
        0usize..1000,
        0usize..1000,
        samples,
        time(),
        time(),
    )
        .prop_map(
            |(client, connections, addresses, ports, samples, first, last)| ScanSummary {
                client,
                connections,
                addresses,
                ports,
                samples,
                first,
                last,
            },
        )
}

fn name() -> impl Strategy<Value = (IpAddr, NameEntry)> {
    let name = select(&["example.org", "", "ünïcode"][..]);
    let by = prop_oneof![
        Just(NamedBy::Unknown),
        Just(NamedBy::Source),
        address().prop_map(NamedBy::Resolver),
    ];
    let all = (address(), name, address(), by, time(), time());
    all.prop_map(|(address, name, client, by, from, until)| {
        let entry = NameEntry {
            name: name.into(),
            client,
            by,
            from,
            until,
        };
        (address, entry)
    })
}

fn other() -> impl Strategy<Value = OtherTraffic> {
    let kind = prop_oneof![
        protocol().prop_map(OtherKind::Group),
        Just(OtherKind::Icmp),
        select(&[0u8, 47, 255][..]).prop_map(OtherKind::Protocol),
    ];
    (address(), address(), kind, 0u64..1000).prop_map(|(source, destination, kind, packets)| {
        OtherTraffic {
            source,
            destination,
            kind,
            packets,
        }
    })
}

fn slice() -> impl Strategy<Value = Observations> {
    let records = vec((select(&Source::ALL[..]), record()), 0..8);
    let losses = proptest::collection::btree_map(select(Loss::ALL), 0u64..1000, 0..3);
    let addresses = proptest::collection::btree_set(address(), 0..3);
    (
        records,
        vec(scan(), 0..3),
        vec(name(), 0..3),
        vec(other(), 0..3),
        losses,
        addresses,
    )
        .prop_map(
            |(records, scans, names, other, losses, node_addresses)| Observations {
                records,
                scans,
                names,
                other,
                losses,
                node_addresses,
            },
        )
}

/// Batches of three agents, each with its own numbers counted from 1 without gaps.
pub fn batches() -> impl Strategy<Value = Vec<FlowBatch>> {
    vec((0u8..3, 1u64..3, slice(), time(), time()), 1..12).prop_map(|list| {
        let mut next = [1u64; 3];
        list.into_iter()
            .map(|(agent, numbers, seen, from, until)| {
                let first = next[usize::from(agent)];
                next[usize::from(agent)] += numbers;
                FlowBatch {
                    node: format!("node-{agent}").into(),
                    instance: Instance([agent; 16]),
                    sequence: (first, first + numbers - 1),
                    span: (from, until),
                    seen,
                }
            })
            .collect()
    })
}

/// Batches, and an order in which they come, with any of them any number of times but each at least once.
pub fn deliveries() -> impl Strategy<Value = (Vec<FlowBatch>, Vec<usize>)> {
    batches().prop_flat_map(|batches| {
        let all: Vec<usize> = (0..batches.len()).collect();
        let again = vec(0..batches.len(), 0..10);
        (Just(batches), again).prop_flat_map(move |(batches, again)| {
            let order: Vec<usize> = all.iter().copied().chain(again).collect();
            (Just(batches), Just(order).prop_shuffle())
        })
    })
}
