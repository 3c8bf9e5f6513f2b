use super::*;
use nanoseg_flow::{OtherKind, PeerLabel};
use proptest::prelude::*;

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
    ]
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (address(), any::<u16>()).prop_map(SocketAddr::from)
}

fn label() -> impl Strategy<Value = PeerLabel> {
    prop_oneof![
        (".*", ".*").prop_map(
            |(namespace, name)| PeerLabel::Pod(nanoseg_flow::PodLabel::named(namespace, name))
        ),
        (".*", ".*", ".*").prop_map(|(namespace, kind, name)| PeerLabel::Workload {
            namespace,
            kind,
            name
        }),
        prop::sample::select(vec![
            PeerLabel::Host,
            PeerLabel::RemoteNode,
            PeerLabel::ApiServer,
            PeerLabel::World
        ]),
    ]
}

fn labels() -> impl Strategy<Value = PeerLabels> {
    let side = || prop::option::of(label());
    (side(), side(), prop::option::of((".*", ".*"))).prop_map(|(client, server, service)| {
        PeerLabels {
            client,
            server,
            service,
        }
    })
}

fn record() -> impl Strategy<Value = FlowRecord> {
    let ends = (
        address(),
        address(),
        any::<u16>(),
        prop::sample::select(Protocol::ALL.to_vec()),
    );
    let rest = (
        prop::option::of(socket()),
        prop::option::of(address()),
        prop::option::of(any::<u16>()),
        prop::option::of(labels()),
    );
    let words = (
        prop::sample::select(vec![
            Verdict::Established,
            Verdict::OneWay,
            Verdict::Unanswered,
            Verdict::Refused,
            Verdict::Dropped,
        ]),
        prop::sample::select(vec![
            Opening::Handshake,
            Opening::FirstPacket,
            Opening::Listener,
            Opening::Undecided,
        ]),
    );
    let times = (
        any::<i64>(),
        any::<i64>(),
        prop::collection::vec(any::<i64>(), 0..5),
    );
    (ends, rest, words, any::<[u64; 4]>(), times).prop_map(
        |((client, server, port, protocol), rest, words, counts, (a, b, active))| {
            let mut windows = ActivityWindows::default();
            for at in active {
                windows.mark(Timestamp::from_nanos(at));
            }
            FlowRecord {
                observers: Default::default(),
                told: None,
                client,
                server,
                port,
                protocol,
                via: rest.0,
                seen_as: rest.1,
                client_port: rest.2,
                verdict: words.0,
                opening: words.1,
                labels: rest.3.map(Arc::new),
                connections: counts[0],
                datagrams: counts[1],
                bytes_to_server: counts[2],
                bytes_to_client: counts[3],
                first: Timestamp::from_nanos(a.min(b)),
                last: Timestamp::from_nanos(a.max(b)),
                windows,
            }
        },
    )
}

fn name() -> impl Strategy<Value = (IpAddr, NameEntry)> {
    let by = prop_oneof![
        Just(NamedBy::Unknown),
        Just(NamedBy::Source),
        address().prop_map(NamedBy::Resolver),
    ];
    (address(), address(), ".*", by, any::<i64>(), any::<i64>()).prop_map(
        |(address, client, name, by, from, until)| {
            let entry = NameEntry {
                name: name.into(),
                client,
                by,
                from: Timestamp::from_nanos(from),
                until: Timestamp::from_nanos(until),
            };
            (address, entry)
        },
    )
}

/// The observations that the lines contain.
fn read_back(text: &str) -> Observations {
    let mut slice = Observations::default();
    for line in text.lines() {
        match parse_line(line).unwrap() {
            ParsedLine::Flow(seen) => {
                assert_eq!(&*seen.observer.node, "node-1");
                slice.records.push((seen.observer.source, seen.record));
            }
            ParsedLine::Name(address, entry) => slice.names.push((address, entry)),
            ParsedLine::Other(traffic) => slice.other.push(traffic),
            ParsedLine::Scan(scan) => slice.scans.push(scan),
            ParsedLine::Loss(loss, count) => slice.lose(loss, count),
        }
    }
    slice
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_again_without_any_difference(
        records in prop::collection::vec((prop::sample::select(Source::ALL.to_vec()), record()), 0..4),
        names in prop::collection::vec(name(), 0..3),
        scans in prop::collection::vec((prop::option::of(address()), any::<u64>(), socket(), any::<i64>()), 0..3),
        other in prop::collection::vec((address(), address(), any::<u8>(), any::<u64>()), 0..3),
        losses in prop::collection::btree_map(prop::sample::select(Loss::ALL.to_vec()), 1u64.., 0..4),
    ) {
        let slice = Observations {
            records,
            names,
            scans: scans.into_iter().map(|(client, connections, socket, at)| ScanSummary {
                client,
                connections,
                addresses: 3,
                ports: 4,
                samples: vec![(socket, Protocol::Sctp)],
                first: Timestamp::from_nanos(at),
                last: Timestamp::from_nanos(at),
            }).collect(),
            other: other.into_iter().map(|(source, destination, kind, packets)| OtherTraffic {
                source,
                destination,
                kind: match kind {
                    0..80 => OtherKind::Icmp,
                    80..160 => OtherKind::Group(Protocol::Udp),
                    number => OtherKind::Protocol(number),
                },
                packets,
            }).collect(),
            losses,
            // A file may come from anywhere: what a node says of itself is not in it.
            ..Observations::default()
        };
        let text = write_slice(&"node-1".into(), &slice);
        prop_assert_eq!(read_back(&text), slice);
    }
}

#[test]
fn the_least_that_must_be_there_is_who_called_whom_on_what_and_when() {
    let text =
        r#"{"client":"10.0.0.1","server":"10.0.0.2","port":80,"protocol":"tcp","time":1767225600}"#;
    let Ok(ParsedLine::Flow(seen)) = parse_line(text) else {
        panic!("no flow")
    };
    assert_eq!(seen.record.verdict, Verdict::Established);
    assert_eq!(seen.record.opening, Opening::Handshake);
    assert_eq!(seen.record.connections, 1);
    assert_eq!(seen.record.last, seen.record.first);
    assert_eq!(seen.record.windows, ActivityWindows::at(seen.record.first));
    assert_eq!(seen.observer.source, Source::FlowLog);
}

#[test]
fn a_line_that_is_wrong_says_what_about_it() {
    let wrong = [
        (
            r#"{"client":"10.0.0.1","server":"10.0.0.2","protocol":"TCP","time":1}"#,
            "no port",
        ),
        (
            r#"{"client":"10.0.0.1","server":"10.0.0.2","port":1,"protocol":"TCP"}"#,
            "no first",
        ),
        (
            r#"{"client":"x","server":"10.0.0.2","port":1,"protocol":"TCP","time":1}"#,
            "invalid IP",
        ),
        (
            r#"{"client":"10.0.0.1","server":"10.0.0.2","port":1,"protocol":"ICMP","time":1}"#,
            "none of TCP",
        ),
        (
            r#"{"client":"10.0.0.1","server":"10.0.0.2","port":1,"protocol":"TCP","time":1,"verdct":"dropped"}"#,
            "verdct",
        ),
        (
            r#"{"client":"10.0.0.1","server":"10.0.0.2","port":1,"protocol":"TCP","time":1,"windows":{"scale":200,"base":1,"bits":"1"}}"#,
            "windows",
        ),
        (r#"{"loss":"nothing"}"#, "no loss"),
        ("{", "EOF"),
    ];
    for (text, reason) in wrong {
        let error = parse_line(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!error.contains("column"), "{error}");
    }
}
