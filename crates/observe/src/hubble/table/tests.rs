use super::super::{HubbleLine, parse_line};
use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn events(name: &str) -> Vec<HubbleFlow> {
    let path = format!(
        "{}/../../tests/data/flows/hubble/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let flow = |line| match parse_line(line).unwrap() {
        HubbleLine::Flow(flow) => *flow,
        other => panic!("{other:?}"),
    };
    text.lines().map(flow).collect()
}

fn connections(events: &[HubbleFlow]) -> Vec<ConnectionReport> {
    let (mut table, mut out) = (HubbleTable::new(HubbleLimits::default()), Vec::new());
    for event in events {
        table.ingest(event, event.time, &mut out);
    }
    table.end_all(&mut out);
    out
}

type Edge = (String, String, String, u16);

/// The edges of the plain parsing, each packet on its own.
fn plain(name: &str) -> BTreeSet<Edge> {
    let path = format!(
        "{}/../../tests/data/flows/hubble/{name}.edges.tsv",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let edge = |line: &str| {
        let f: Vec<&str> = line.split('\t').collect();
        (f[0].into(), f[1].into(), f[2].into(), f[3].parse().unwrap())
    };
    text.lines().skip(1).map(edge).collect()
}

fn label(label: Option<&PeerLabel>, end: SocketAddr) -> String {
    match label {
        Some(PeerLabel::Pod(pod)) => format!("{}/{}", pod.namespace, pod.name),
        Some(PeerLabel::Host) => "reserved:host".into(),
        Some(PeerLabel::RemoteNode) => "reserved:remote-node".into(),
        Some(PeerLabel::World) => "reserved:world".into(),
        _ => end.ip().to_string(),
    }
}

fn edges(connections: &[ConnectionReport]) -> BTreeMap<Edge, BTreeSet<Verdict>> {
    let mut edges: BTreeMap<Edge, BTreeSet<Verdict>> = BTreeMap::new();
    for c in connections {
        let labels = c.labels.as_deref().unwrap();
        let edge = (
            label(labels.client.as_ref(), c.client),
            label(labels.server.as_ref(), c.server),
            c.protocol.to_string(),
            c.server.port(),
        );
        edges.entry(edge).or_default().insert(c.verdict);
    }
    edges
}

#[test]
fn the_ten_flows_of_an_old_version_give_the_edges_of_the_plain_parsing() {
    let found = edges(&connections(&events("basic-sample-10-flows.json")));
    assert_eq!(
        found.keys().cloned().collect::<BTreeSet<_>>(),
        plain("basic-sample-10-flows.json")
    );
    assert!(
        found
            .values()
            .all(|v| *v == BTreeSet::from([Verdict::Established]))
    );
}

#[test]
fn the_dns_flows_give_the_edges_of_the_plain_parsing_and_the_names() {
    let events = events("basic-sample-330-dns-flows.json");
    let found = edges(&connections(&events));
    let expected = plain("basic-sample-330-dns-flows.json");
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let mut table = HubbleTable::new(HubbleLimits::default());
    for event in &events {
        table.ingest(event, event.time, &mut Vec::new());
    }
    let (names, lost) = table.take_names();
    assert!(!names.is_empty());
    assert_eq!(lost, 0);
}

/// What the plain parsing of the TCP flows has, and what is found instead; each with the reason.
const CORRECTED: [(&str, Option<&str>); 10] = [
    // What leaves a node (TO_OVERLAY) has no is_reply: three packets of servers were taken for calls to
    // ephemeral ports. The same connections' other packets say who had opened them.
    (
        "bookinfo/ratings-v1-b6994bb9-jgqxb reserved:remote-node 58634",
        None,
    ),
    (
        "bookinfo/ratings-v1-b6994bb9-jgqxb reserved:remote-node 58950",
        None,
    ),
    (
        "jaeger/jaeger-default-6f5845c4b7-7r5r6 kube-system/otelcol-hubble-collector-2t8z4 39472",
        None,
    ),
    // Cilium's proxy calls on from its node's address with the labels of its caller. Labels name
    // no pod: the address stands here, or, if another event has it, that it is the node's.
    (
        "k8s:app=productpage bookinfo/details-v1-79f774bdb9-m4j4k 9080",
        Some("10.244.0.148 bookinfo/details-v1-79f774bdb9-m4j4k 9080"),
    ),
    (
        "k8s:app=productpage bookinfo/reviews-v1-545db77b95-j2n72 9080",
        Some("10.244.0.148 bookinfo/reviews-v1-545db77b95-j2n72 9080"),
    ),
    (
        "k8s:app=productpage bookinfo/reviews-v3-84779c7bbc-6x8gl 9080",
        Some("10.244.0.148 bookinfo/reviews-v3-84779c7bbc-6x8gl 9080"),
    ),
    (
        "k8s:app=productpage bookinfo/reviews-v2-7bf8c9648f-r7bs2 9080",
        Some("reserved:host bookinfo/reviews-v2-7bf8c9648f-r7bs2 9080"),
    ),
    (
        "k8s:app=ratings bookinfo/productpage-v1-6b746f74dc-9rcxx 9080",
        Some("reserved:host bookinfo/productpage-v1-6b746f74dc-9rcxx 9080"),
    ),
    // A pod of another node, of which this one knew labels or only the node: its address decides later.
    (
        "k8s:app=reviews bookinfo/ratings-v1-b6994bb9-jgqxb 9080",
        Some("reserved:remote-node bookinfo/ratings-v1-b6994bb9-jgqxb 9080"),
    ),
    // Cilium's health endpoint is a part of its node.
    (
        "reserved:remote-node reserved:health 4240",
        Some("reserved:remote-node reserved:remote-node 4240"),
    ),
];

#[test]
fn the_tcp_flows_differ_from_the_plain_parsing_only_where_that_is_wrong() {
    let text = |edge: &Edge| {
        let client = edge.0.split('|').next().unwrap();
        format!("{client} {} {}", edge.1, edge.3)
    };
    let found = edges(&connections(&events("basic-sample-400-tcp-flows.json")));
    let found: BTreeSet<String> = found.keys().map(text).collect();
    let mut expected: BTreeSet<String> = plain("basic-sample-400-tcp-flows.json")
        .iter()
        .map(text)
        .collect();
    for (there, here) in CORRECTED {
        assert!(expected.remove(there), "{there}");
        expected.extend(here.map(str::to_owned));
    }
    assert_eq!(found, expected);
}

#[test]
fn the_order_of_events_changes_neither_edges_nor_verdicts() {
    for name in [
        "basic-sample-10-flows.json",
        "basic-sample-400-tcp-flows.json",
    ] {
        let mut events = events(name);
        let forward = edges(&connections(&events));
        events.sort_by_key(|event| std::cmp::Reverse(event.time));
        // Read backwards, a SYN comes after its FIN and begins another connection: verdicts may be more.
        let backward = edges(&connections(&events));
        assert_eq!(
            forward.keys().collect::<Vec<_>>(),
            backward.keys().collect::<Vec<_>>()
        );
    }
}

/// One event as JSON: source, destination and the rest of the flow.
fn event(source: &str, destination: &str, rest: &str) -> HubbleFlow {
    let ends = [source, destination].map(|end| end.parse::<SocketAddr>().unwrap());
    let [from, to] = ends.map(|end| end.ip());
    let (ports, rest) = rest.split_once(' ').unwrap();
    let ports = ports
        .replace("SPORT", &ends[0].port().to_string())
        .replace("DPORT", &ends[1].port().to_string());
    let text = format!(
        r#"{{"time":"2026-01-01T00:00:00Z","ip":{{"source":"{from}","destination":"{to}"}},"l4":{ports}{rest}}}"#
    );
    match parse_line(&text).unwrap_or_else(|error| panic!("{error}: {text}")) {
        HubbleLine::Flow(flow) => *flow,
        other => panic!("{other:?}"),
    }
}

fn tcp(source: &str, destination: &str, flags: &str, verdict: &str) -> HubbleFlow {
    let flags: Vec<String> = flags
        .split('+')
        .map(|flag| format!("\"{flag}\":true"))
        .collect();
    let l4 = format!(
        r#"{{"TCP":{{"source_port":SPORT,"destination_port":DPORT,"flags":{{{}}}}}}} ,"verdict":{verdict}"#,
        flags.join(",")
    );
    event(source, destination, &l4)
}

const CLIENT: &str = "10.0.0.9:40000";
const SERVER: &str = "10.0.0.1:80";

#[test]
fn each_way_a_connection_can_go_has_its_verdict() {
    let to = |flags, verdict| tcp(CLIENT, SERVER, flags, verdict);
    let from = |flags| tcp(SERVER, CLIENT, flags, "\"FORWARDED\"");
    let forwarded = "\"FORWARDED\"";
    let cases: Vec<(Vec<HubbleFlow>, Option<Verdict>)> = vec![
        (
            vec![to("SYN", forwarded), from("SYN+ACK")],
            Some(Verdict::Established),
        ),
        (vec![to("SYN", forwarded)], Some(Verdict::Unanswered)),
        (
            vec![to("SYN", "1"), from("RST+ACK")],
            Some(Verdict::Refused),
        ),
        (vec![to("SYN", "\"DROPPED\"")], Some(Verdict::Dropped)),
        (vec![to("SYN", "2")], Some(Verdict::Dropped)),
        (
            vec![to("SYN", forwarded), to("SYN", "\"DROPPED\"")],
            Some(Verdict::Dropped),
        ),
        (
            vec![to("SYN", "\"AUDIT\""), from("SYN+ACK")],
            Some(Verdict::Established),
        ),
        (
            vec![to("SYN", "\"REDIRECTED\""), to("ACK", forwarded)],
            Some(Verdict::Established),
        ),
        (vec![to("ACK+FIN", forwarded)], Some(Verdict::Established)),
        (vec![from("RST")], None),
        // A probe; and a health check of which Cilium left out the acknowledgment.
        (
            vec![to("SYN", forwarded), from("SYN+ACK"), to("RST", forwarded)],
            Some(Verdict::Unanswered),
        ),
        (
            vec![
                to("SYN", forwarded),
                from("SYN+ACK"),
                to("RST+ACK", forwarded),
            ],
            Some(Verdict::Established),
        ),
        (
            vec![
                to("SYN", forwarded),
                from("SYN+ACK"),
                to("ACK+PSH", forwarded),
                to("RST", forwarded),
            ],
            Some(Verdict::Established),
        ),
    ];
    for (events, verdict) in cases {
        let found = connections(&events);
        assert_eq!(found.first().map(|c| c.verdict), verdict, "{events:?}");
        let handshake = events
            .iter()
            .any(|e| matches!(e.layer4, Layer4::Tcp(Some(f)) if f.syn()));
        if handshake {
            assert_eq!(found[0].client, CLIENT.parse().unwrap());
            assert_eq!(found[0].opening, Opening::Handshake);
        } else if let Some(one) = found.first() {
            assert_eq!(one.opening, Opening::Undecided);
            assert!(one.mid_stream, "keeps the client's port");
        }
    }
}

/// A SYN that went no further, with the rest of its event.
fn dropped(rest: &str) -> HubbleFlow {
    let l4 = r#"{"TCP":{"source_port":SPORT,"destination_port":DPORT,"flags":{"SYN":true}}} "#;
    event(CLIENT, SERVER, &format!("{l4}{rest}"))
}

#[test]
fn only_drops_by_a_policy_are_denied_and_others_are_attempts_without_an_answer() {
    let policy = [
        r#","verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED","drop_reason":133"#,
        r#","verdict":"DROPPED","dropReasonDesc":"POLICY_DENY""#,
        r#","verdict":2,"drop_reason_desc":181"#,
        r#","verdict":"DROPPED","drop_reason":133"#,
        r#","verdict":"DROPPED","event_type":{"type":1,"sub_type":133}"#,
        r#","verdict":"DROPPED","event_type":{"type":5,"sub_type":1},"drop_reason_desc":"POLICY_DENIED""#,
        // An exporter may leave the reason out.
        r#","verdict":"DROPPED","drop_reason_desc":"DROP_REASON_UNKNOWN","event_type":{"type":5}"#,
    ];
    let others = [
        r#","verdict":"DROPPED","drop_reason_desc":"STALE_OR_UNROUTABLE_IP""#,
        r#","verdict":"DROPPED","drop_reason":151"#,
        r#","verdict":"DROPPED","eventType":{"type":1,"subType":155}"#,
        r#","verdict":"DROPPED","drop_reason_desc":"AUTH_REQUIRED""#,
        r#","verdict":"DROPPED","drop_reason_desc":"A_REASON_OF_A_LATER_VERSION""#,
        r#","verdict":"ERROR""#,
    ];
    let all = policy.map(|rest| (rest, Verdict::Dropped)).into_iter();
    for (rest, verdict) in all.chain(others.map(|rest| (rest, Verdict::Unanswered))) {
        let found = connections(&[dropped(rest)]);
        assert_eq!(found[0].verdict, verdict, "{rest}");
        assert_eq!(found[0].client, CLIENT.parse().unwrap(), "{rest}");
    }
    let lost = others[0].replace("SYN", "");
    let then = connections(&[
        dropped(&lost),
        tcp(CLIENT, SERVER, "SYN", "1"),
        tcp(SERVER, CLIENT, "SYN+ACK", "1"),
    ]);
    assert_eq!(then[0].verdict, Verdict::Established, "it was tried again");
}

#[test]
fn a_datagram_that_only_got_lost_is_no_traffic_and_one_of_many_changes_nothing() {
    let datagram = |rest: &str| {
        let l4 = r#"{"UDP":{"source_port":SPORT,"destination_port":DPORT}} "#;
        event(CLIENT, SERVER, &format!("{l4}{rest}"))
    };
    let lost = datagram(r#","verdict":"DROPPED","drop_reason_desc":"CT_MAP_INSERTION_FAILED""#);
    let sent = datagram(r#","verdict":"FORWARDED""#);
    let only_lost = connections(std::slice::from_ref(&lost));
    assert_eq!(only_lost[0].verdict, Verdict::Unanswered);
    assert_eq!(connections(&[sent, lost])[0].verdict, Verdict::OneWay);
}

#[test]
fn what_audit_mode_lets_pass_is_a_conversation_and_is_told_apart() {
    let audited = tcp(CLIENT, SERVER, "SYN", "\"AUDIT\"");
    assert_eq!(audited.fate, PacketFate::Audited);
    let answered = connections(&[audited, tcp(SERVER, CLIENT, "SYN+ACK", "1")]);
    assert_eq!(answered[0].verdict, Verdict::Established);
}

#[test]
fn a_missing_reply_flag_means_a_request_only_where_the_version_has_no_better_one() {
    let seen = |rest: &str| {
        let l4 = r#"{"UDP":{"sourcePort":SPORT,"destinationPort":DPORT}} "#;
        event(CLIENT, SERVER, &format!("{l4},\"verdict\":1{rest}"))
    };
    let at = r#","eventType":{"type":4},"traceObservationPoint":101"#;
    assert_eq!(
        seen(&format!("{at},\"isReply\":true")).reply,
        ReplyFlag::Reply
    );
    assert_eq!(
        seen(&format!("{at},\"reply\":true")).reply,
        ReplyFlag::Reply
    );
    assert_eq!(seen(at).reply, ReplyFlag::Absent);
    assert_eq!(seen("").reply, ReplyFlag::Unknown);
    let old = connections(&[seen(at)]);
    assert!(!old[0].mid_stream);
    let other = event(
        "10.0.0.9:1",
        "10.0.0.2:53",
        r#"{"UDP":{"source_port":SPORT,"destination_port":DPORT}} ,"is_reply":false"#,
    );
    let new = connections(&[seen(at), other]);
    let undecided = new
        .iter()
        .find(|c| c.server.port() == 80 || c.client.port() == 80);
    assert!(undecided.unwrap().mid_stream, "nobody knew");
}

#[test]
fn a_full_table_tells_what_it_has_and_counts_it() {
    let mut table = HubbleTable::new(HubbleLimits { max_connections: 2 });
    let mut out = Vec::new();
    for port in 1..=5 {
        let flow = tcp(&format!("10.0.0.9:{port}"), SERVER, "SYN", "1");
        table.ingest(&flow, flow.time, &mut out);
    }
    assert_eq!((out.len(), table.take_evicted()), (3, 3));
    table.end_all(&mut out);
    assert_eq!(out.len(), 5);
}

#[test]
fn a_connection_that_goes_on_is_counted_once() {
    let (mut table, mut out) = (HubbleTable::new(HubbleLimits::default()), Vec::new());
    for flags in ["SYN", "ACK", "ACK"] {
        let flow = tcp(CLIENT, SERVER, flags, "1");
        table.ingest(&flow, flow.time, &mut out);
        table.settle(flow.time, &mut out);
    }
    let counted: Vec<bool> = out.iter().map(|c| c.counted).collect();
    assert_eq!(counted, [false, true], "the SYN alone waits for what comes");
}
