//! One test per rule of docs/design.md that connections must keep.

use super::*;
use crate::testing::frames::*;
use crate::{ConnectionReport, LinkType, NoListeners, Opening, Verdict, decode};
use crate::{ConnectionSink, FlowRecord, FlowResult, FlowTable};
use nanoseg_net::{SECOND, Timestamp};
use std::net::IpAddr;

const MS: i64 = 1_000_000;

/// Frames with their times in nanoseconds.
type Traffic = Vec<(i64, Vec<u8>)>;

/// Frames a millisecond apart.
fn from(start: i64, frames: Vec<Vec<u8>>) -> Traffic {
    (0..).map(|i| start + i * MS).zip(frames).collect()
}

fn feed<L: Listeners, S: ConnectionSink>(table: &mut FlowTable<L, S>, traffic: &Traffic) {
    for (time, frame) in traffic {
        let length = frame.len() as u32;
        let time = Timestamp::from_nanos(*time);
        if let Ok(decoded) = decode(LinkType::ETHERNET, frame, length, time) {
            table.ingest(&decoded);
        }
    }
}

fn connections(traffic: &Traffic) -> Vec<ConnectionReport> {
    let limits = FlowConfig::default();
    let mut table = FlowTable::with_sink(NoListeners, AddressEpochs::default(), limits, Vec::new());
    feed(&mut table, traffic);
    table.into_sink().0
}

fn records(traffic: &Traffic) -> FlowResult {
    let mut table = FlowTable::new(NoListeners, AddressEpochs::default(), FlowConfig::default());
    feed(&mut table, traffic);
    table.finish()
}

/// `client > server protocol verdict`, for comparing.
fn short(traffic: &Traffic) -> Vec<String> {
    let mut list: Vec<_> = connections(traffic)
        .iter()
        .map(|c| {
            format!(
                "{} > {} {:?} {:?}",
                c.client, c.server, c.verdict, c.opening
            )
        })
        .collect();
    list.sort();
    list
}

const CLIENT: &str = "10.0.0.9:40000";
const SERVER: &str = "10.0.0.1:30500";

fn exchange(isn: u32) -> Vec<Vec<u8>> {
    tcp_exchange(
        at(CLIENT),
        at(SERVER),
        isn,
        b"request",
        b"a longer response",
    )
}

#[test]
fn the_syn_decides_who_opened_it_whatever_the_ports() {
    let one = format!("{CLIENT} > {SERVER} Established Handshake");
    assert_eq!(short(&from(0, exchange(1))), [one.as_str()]);
    let turned = tcp_exchange(at(SERVER), at(CLIENT), 1, b"x", b"y");
    assert_eq!(
        short(&from(0, turned)),
        [format!("{SERVER} > {CLIENT} Established Handshake")]
    );
    assert_eq!(
        short(&from(0, exchange(1)[1..].to_vec())),
        [one],
        "the SYN-ACK does without"
    );
}

#[test]
fn bytes_are_counted_once_in_each_direction() {
    let mut frames = exchange(u32::MAX - 3);
    // Retransmitted request, and everything captured twice.
    frames.insert(5, frames[3].clone());
    let doubled = frames.iter().flat_map(|f| [f.clone(), f.clone()]).collect();
    let all = connections(&from(0, doubled));
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].bytes_to_server, all[0].bytes_to_client), (7, 17));
}

#[test]
fn a_connection_from_before_the_capture_is_left_undecided_unless_a_listener_is_known() {
    struct Knows(SocketAddr);
    impl Listeners for Knows {
        fn listens(&self, address: IpAddr, protocol: Protocol, port: u16, _: Timestamp) -> bool {
            protocol == Protocol::Tcp && SocketAddr::new(address, port) == self.0
        }
    }
    let traffic = from(0, exchange(1)[3..5].to_vec());
    let all = connections(&traffic);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].opening, Opening::Undecided, "in address order");
    assert!(all[0].mid_stream && all[0].verdict == Verdict::Established);
    let limits = FlowConfig::default();
    let mut table = FlowTable::with_sink(
        Knows(at(SERVER)),
        AddressEpochs::default(),
        limits,
        Vec::new(),
    );
    feed(&mut table, &traffic);
    let (all, _) = table.into_sink();
    assert_eq!(
        (all[0].client, all[0].opening),
        (at(CLIENT), Opening::Listener)
    );
}

#[test]
fn a_long_silent_connection_keeps_its_direction_and_is_no_new_one() {
    let mut traffic = from(0, exchange(1)[..5].to_vec());
    traffic.extend(from(
        3600 * SECOND,
        vec![
            tcp_frame(
                ip(at(SERVER), at(CLIENT)),
                Tcp {
                    payload: b"later",
                    ..tcp(ACK, 2000, 9)
                },
            ),
            tcp_frame(
                ip(at(CLIENT), at(SERVER)),
                Tcp {
                    payload: b"answer",
                    ..tcp(ACK, 9, 2005)
                },
            ),
        ],
    ));
    let result = records(&traffic);
    assert_eq!(result.records.len(), 1, "{:?}", result.records);
    let record = &result.records[0];
    assert_eq!(
        (record.client, record.port, record.connections),
        (at(CLIENT).ip(), 30500, 1)
    );
    assert_eq!((record.bytes_to_server, record.bytes_to_client), (13, 22));
}

#[test]
fn what_never_answers_or_refuses_is_never_established() {
    let (c, s) = (at(CLIENT), at(SERVER));
    let syn = tcp_frame(ip(c, s), tcp(SYN, 5, 0));
    let verdict = |frames: Vec<Vec<u8>>| connections(&from(0, frames))[0].verdict;
    assert_eq!(verdict(vec![syn.clone(), syn.clone()]), Verdict::Unanswered);
    let rst = tcp_frame(ip(s, c), tcp(RST | ACK, 0, 6));
    assert_eq!(verdict(vec![syn.clone(), rst]), Verdict::Refused);
    let icmp = port_unreachable(s.ip(), &tcp_packet(ip(c, s), tcp(SYN, 5, 0)));
    assert_eq!(verdict(vec![syn.clone(), icmp]), Verdict::Refused);
}

/// The verdict of frames that came through the whole capture or, as on a node, through a sample of it.
fn verdict_of(frames: &[Vec<u8>], sampled: bool) -> Verdict {
    let config = FlowConfig {
        sampled,
        ..FlowConfig::default()
    };
    let epochs = AddressEpochs::default();
    let mut table = FlowTable::with_sink(NoListeners, epochs, config, Vec::new());
    feed(&mut table, &from(0, frames.to_vec()));
    table.into_sink().0[0].verdict
}

#[test]
fn a_handshake_that_the_client_resets_at_once_is_a_probe_and_not_answered() {
    let (c, s) = (at(CLIENT), at(SERVER));
    let from_client = |flags, sequence, ack| tcp_frame(ip(c, s), tcp(flags, sequence, ack));
    let syn = from_client(SYN, 5, 0);
    let answer = tcp_frame(ip(s, c), tcp(SYN | ACK, 9, 6));
    let ack = from_client(ACK, 6, 10);
    // What a kernel sends for a SYN-ACK that no socket of it asked for.
    let probe = [syn.clone(), answer.clone(), from_client(RST, 6, 0)];
    for sampled in [false, true] {
        assert_eq!(verdict_of(&probe, sampled), Verdict::Unanswered);
        assert_eq!(verdict_of(&probe[..2], sampled), Verdict::Established);
    }
    let doubled: Vec<_> = probe.iter().flat_map(|f| [f.clone(), f.clone()]).collect();
    assert_eq!(verdict_of(&doubled, false), Verdict::Unanswered);
    let without_syn = &probe[1..];
    assert_eq!(verdict_of(without_syn, false), Verdict::Unanswered);
    // A health check: connected, and then aborted. A sample leaves out the acknowledgment.
    let abort = from_client(RST | ACK, 6, 10);
    let checked = [syn.clone(), answer.clone(), ack, abort.clone()];
    assert_eq!(verdict_of(&checked, false), Verdict::Established);
    let part = [syn.clone(), answer.clone(), abort];
    assert_eq!(verdict_of(&part, true), Verdict::Established);
    assert_eq!(verdict_of(&part, false), Verdict::Unanswered);
    // Data went before the reset, seen or not.
    let later = [syn, answer, from_client(RST, 600, 0)];
    for sampled in [false, true] {
        assert_eq!(verdict_of(&later, sampled), Verdict::Established);
    }
}

#[test]
fn a_reset_handshake_is_one_probe_on_both_legs() {
    let (front, back) = (leg(CLIENT, "10.96.0.7:80", 0), leg(CLIENT, SERVER, 1));
    let reset = |server, ttl| tcp_frame(ip(at(CLIENT), at(server)).ttl(ttl), tcp(RST, 2, 0));
    let resets = [reset("10.96.0.7:80", 64), reset(SERVER, 63)];
    let [first, second] = [front, back].map(|leg| leg[..2].to_vec());
    let mut frames: Vec<_> = first
        .into_iter()
        .zip(second)
        .flat_map(<[_; 2]>::from)
        .collect();
    frames.extend(resets);
    let all = connections(&from(0, frames));
    assert_eq!((all.len(), all[0].verdict), (1, Verdict::Unanswered));
}

#[test]
fn one_side_alone_is_established_only_if_its_acknowledgments_show_the_other_s_data() {
    let mut frames = exchange(1);
    let client_only: Vec<_> = [0, 2, 3, 5, 7]
        .map(|i| std::mem::take(&mut frames[i]))
        .to_vec();
    assert_eq!(
        connections(&from(0, client_only.clone()))[0].verdict,
        Verdict::Established
    );
    let silent = client_only[..3].to_vec();
    assert_eq!(
        connections(&from(0, silent))[0].verdict,
        Verdict::Unanswered
    );
}

#[test]
fn late_packets_after_a_close_create_nothing() {
    let mut traffic = from(0, exchange(1));
    let late = exchange(1)[5..].to_vec();
    traffic.extend(from(SECOND, late.clone()));
    traffic.extend(from(100 * SECOND, late));
    let rst = tcp_frame(ip(at(SERVER), at(CLIENT)), tcp(RST, 9, 0));
    traffic.extend(from(200 * SECOND, vec![rst]));
    assert_eq!(short(&traffic).len(), 1);
    assert_eq!(records(&traffic).counters.stray_segments, 4);
}

#[test]
fn a_port_used_again_is_a_new_connection_and_a_repeated_syn_is_not() {
    let mut traffic = from(0, exchange(1));
    traffic.extend(from(SECOND, exchange(77_777)));
    assert_eq!(records(&traffic).records[0].connections, 2);
    let syn = exchange(1)[0].clone();
    let mut repeated = from(0, vec![syn.clone()]);
    repeated.extend([1, 3, 7, 15, 31, 63].map(|s| (s * SECOND, syn.clone())));
    assert_eq!(connections(&repeated).len(), 1);
}

#[test]
fn a_syn_that_comes_late_opens_nothing_new() {
    let mut frames = exchange(1);
    frames.swap(0, 1);
    let line = format!("{CLIENT} > {SERVER} Established Handshake");
    assert_eq!(short(&from(0, frames.clone())), [line.as_str()]);
    frames.swap(1, 3);
    assert_eq!(short(&from(0, frames)), [line]);
}

/// The frames of one connection with other addresses, as address translation makes them.
fn leg(client: &str, server: &str, ttl_back: u8) -> Vec<Vec<u8>> {
    let frames = tcp_exchange(at(client), at(server), 1, b"request", b"a longer response");
    frames
        .into_iter()
        .map(|mut frame| {
            frame[14 + 8] -= ttl_back;
            frame
        })
        .collect()
}

fn interleaved(legs: [Vec<Vec<u8>>; 2]) -> Traffic {
    let [one, two] = legs;
    let frames = one.into_iter().zip(two).enumerate();
    // Replies pass the server's leg first.
    from(
        0,
        frames
            .flat_map(|(i, (a, b))| {
                if [1, 4, 6].contains(&i) {
                    [b, a]
                } else {
                    [a, b]
                }
            })
            .collect(),
    )
}

#[test]
fn a_call_through_a_service_is_one_connection_to_the_pod() {
    for ttl in [0, 1] {
        let traffic = interleaved([
            leg(CLIENT, "10.96.0.7:80", 0),
            leg(CLIENT, "10.0.0.1:8080", ttl),
        ]);
        let result = records(&traffic);
        assert_eq!(result.records.len(), 1);
        let record = &result.records[0];
        assert_eq!(
            (record.client, record.server, record.port),
            (at(CLIENT).ip(), at(SERVER).ip(), 8080)
        );
        assert_eq!(
            (record.via, record.seen_as),
            (Some(at("10.96.0.7:80")), None)
        );
        assert_eq!(
            (
                record.connections,
                record.bytes_to_server,
                record.bytes_to_client
            ),
            (1, 7, 17)
        );
        assert_eq!(result.counters.legs, 1);
    }
}

#[test]
fn a_call_through_a_node_port_keeps_the_outside_client() {
    let legs = [
        leg("198.51.100.7:50000", "10.0.1.1:30080", 0),
        leg("10.0.1.1:61000", SERVER, 1),
    ];
    let all = connections(&interleaved(legs));
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].client, all[0].server),
        (at("198.51.100.7:50000"), at(SERVER))
    );
    assert_eq!(all[0].via, Some(at("10.0.1.1:30080")));
    assert_eq!(all[0].seen_as, Some(at("10.0.1.1:61000")));
}

#[test]
fn a_reply_seen_on_one_leg_only_establishes_the_whole_connection() {
    let (front, back) = (leg(CLIENT, "10.96.0.7:80", 0), leg(CLIENT, SERVER, 1));
    let traffic = from(0, vec![front[0].clone(), back[0].clone(), back[1].clone()]);
    let all = connections(&traffic);
    assert_eq!((all.len(), all[0].verdict), (1, Verdict::Established));
}

#[test]
fn the_leg_nearer_to_the_client_is_told_by_hops_and_not_by_the_captures_clocks() {
    let (front, back) = (leg(CLIENT, "10.96.0.7:80", 0), leg(CLIENT, SERVER, 2));
    let mut traffic = from(0, back);
    traffic.extend(from(MS / 2, front));
    traffic.sort_by_key(|(time, _)| *time);
    assert_eq!(connections(&traffic)[0].server, at(SERVER));
}

#[test]
fn legs_of_a_connection_from_before_the_capture_are_joined_too() {
    let legs = [leg(CLIENT, "10.96.0.7:80", 0), leg(CLIENT, SERVER, 1)];
    let traffic = interleaved(legs.map(|leg| leg[3..5].to_vec()));
    assert_eq!(connections(&traffic).len(), 1);
}

#[test]
fn a_scanner_s_probes_and_a_proxy_s_connections_are_no_legs() {
    // A scanner sends the same sequence number from the same port everywhere.
    let probe =
        |target: &str, id| tcp_frame(ip(at(CLIENT), at(target)).id(id), tcp(SYN, 123_456, 0));
    let probes = vec![
        probe("10.0.0.1:80", 1),
        probe("10.0.0.2:80", 2),
        probe("10.0.0.1:81", 3),
    ];
    assert_eq!(connections(&from(0, probes)).len(), 3);
    let mut proxied = exchange(1);
    proxied.extend(tcp_exchange(
        at("10.0.0.1:50000"),
        at("10.0.0.3:80"),
        2,
        b"request",
        b"r",
    ));
    assert_eq!(connections(&from(0, proxied)).len(), 2);
    // A resolver asks two servers the same thing at once.
    let ask = |server: &str| udp_frame(ip(at(CLIENT), at(server)), b"the same question");
    let asked = vec![ask("10.0.0.1:53"), ask("10.0.0.2:53")];
    assert_eq!(connections(&from(0, asked)).len(), 2);
}

#[test]
fn copies_in_an_overlay_and_in_a_tagged_link_count_once() {
    let outer = ip(at("192.168.0.1:5555"), at("192.168.0.2:4789"));
    let geneve_outer = ip(at("192.168.0.1:5555"), at("192.168.0.2:6081"));
    let frames = exchange(1)
        .iter()
        .flat_map(|f| {
            [
                f.clone(),
                vxlan(f, outer),
                geneve(f, geneve_outer),
                tagged(f, 5),
            ]
        })
        .collect();
    let result = records(&from(0, frames));
    assert_eq!(result.records.len(), 1);
    assert_eq!(
        (
            result.records[0].connections,
            result.records[0].bytes_to_client
        ),
        (1, 17)
    );
}

#[test]
fn the_same_ports_in_two_vlans_are_two_connections() {
    let frames = exchange(1)
        .iter()
        .flat_map(|f| [tagged(f, 5), tagged(f, 6)])
        .collect();
    assert_eq!(connections(&from(0, frames)).len(), 2);
}

#[test]
fn udp_is_established_by_an_answer_refused_by_icmp_and_else_one_way() {
    let (c, s) = (at("10.0.0.9:40000"), at("10.0.0.1:8125"));
    let there = udp_frame(ip(c, s).id(7), b"metric");
    let back = udp_frame(ip(s, c).id(8), b"ok");
    let icmp = port_unreachable(s.ip(), &udp_packet(ip(c, s).id(7), b"metric"));
    let verdict = |frames: Vec<Vec<u8>>| connections(&from(0, frames))[0].verdict;
    assert_eq!(verdict(vec![there.clone()]), Verdict::OneWay);
    assert_eq!(
        verdict(vec![there.clone(), back.clone()]),
        Verdict::Established
    );
    assert_eq!(verdict(vec![there.clone(), icmp.clone()]), Verdict::Refused);
    assert_eq!(verdict(vec![there, back, icmp]), Verdict::Established);
}

#[test]
fn datagrams_count_once_per_capture_point_and_again_when_really_sent_again() {
    let (c, s) = (at("10.0.0.9:40000"), at("10.0.0.1:8125"));
    let one = udp_frame(ip(c, s).id(7), b"metric");
    let two = udp_frame(ip(c, s).id(8), b"metric");
    let all = connections(&from(0, vec![one.clone(), one, two.clone(), two]));
    assert_eq!((all[0].datagrams, all[0].bytes_to_server), (2, 12));
}

#[test]
fn a_udp_server_that_speaks_first_after_a_silence_stays_the_server() {
    let (c, s) = (at("10.0.0.9:40000"), at("10.0.0.1:8125"));
    let mut traffic = from(
        0,
        vec![udp_frame(ip(c, s), b"hello"), udp_frame(ip(s, c), b"hi")],
    );
    traffic.extend(from(100 * SECOND, vec![udp_frame(ip(s, c), b"news")]));
    let all = connections(&traffic);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|connection| connection.server == s));
}

#[test]
fn a_udp_conversation_ends_where_an_address_changes_hands() {
    let (c, s) = (at("10.0.0.9:514"), at("10.0.0.1:514"));
    let mut epochs = AddressEpochs::default();
    epochs.add(c.ip(), Timestamp::from_secs(10));
    let mut table = FlowTable::new(NoListeners, epochs, FlowConfig::default());
    let traffic: Traffic = [8, 9, 10, 11]
        .map(|s| s * SECOND)
        .map(|t| (t, udp_frame(ip(c, s).id(t as u16), b"log")))
        .into();
    feed(&mut table, &traffic);
    let result = table.finish();
    assert_eq!(
        result
            .records
            .iter()
            .map(|r| r.datagrams)
            .collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(result.records[1].first, Timestamp::from_secs(10));
}

#[test]
fn sctp_associations_are_opened_by_init() {
    let (c, s) = (at("10.0.0.9:3868"), at("10.0.0.1:3868"));
    let init = sctp_frame(ip(c, s), 0, 1, &[1, 2, 3, 4]);
    let answer = sctp_frame(ip(s, c), 1, 2, &[5, 6, 7, 8]);
    let abort = sctp_frame(ip(s, c), 1, 6, &[]);
    let verdict = |frames: Vec<Vec<u8>>| {
        let all = connections(&from(0, frames));
        (all[0].client, all[0].verdict, all[0].opening)
    };
    assert_eq!(
        verdict(vec![init.clone(), answer]),
        (c, Verdict::Established, Opening::Handshake)
    );
    assert_eq!(verdict(vec![init.clone(), abort]).1, Verdict::Refused);
    assert_eq!(verdict(vec![init.clone()]).1, Verdict::Unanswered);
    let answer = sctp_frame(ip(s, c), 1, 2, &[5, 6, 7, 8]);
    let cookie = sctp_frame(ip(c, s), 2, 10, &[9; 4]);
    let client_abort = sctp_frame(ip(c, s), 2, 6, &[]);
    let probe = vec![init.clone(), answer.clone(), client_abort.clone()];
    assert_eq!(verdict(probe).1, Verdict::Refused, "a probe");
    let aborted = vec![init, answer, cookie, client_abort];
    assert_eq!(verdict(aborted).1, Verdict::Established);
}

#[test]
fn a_full_table_lets_the_longest_idle_go_and_says_so() {
    let limits = FlowConfig {
        max_connections: 100,
        ..FlowConfig::default()
    };
    let mut table = FlowTable::new(NoListeners, AddressEpochs::default(), limits);
    let syn = |i: u16| {
        let client = SocketAddr::new(at(CLIENT).ip(), 1000 + i);
        (
            i64::from(i) * MS,
            tcp_frame(ip(client, at(SERVER)), tcp(SYN, i.into(), 0)),
        )
    };
    feed(&mut table, &(0..1000).map(syn).collect());
    assert!(table.parts().0.slab.len() <= 100);
    let result = table.finish();
    assert_eq!(result.records[0].connections, 1000);
    assert!(result.counters.evicted >= 900);
}

#[test]
fn a_scan_does_not_fill_the_memory_and_is_not_lost() {
    let syns = (0..5000u16).map(|i| {
        let server = SocketAddr::new(at(SERVER).ip(), 1 + i);
        tcp_frame(ip(at(CLIENT), server), tcp(SYN, 7 + u32::from(i), 0))
    });
    let result = records(&from(0, syns.collect()));
    assert_eq!(result.records.len(), 1024);
    assert_eq!(result.scans.len(), 1);
    let (_, scan) = &result.scans[0];
    assert_eq!(
        (scan.connections, scan.addresses, scan.ports),
        (3976, 1, 3976)
    );
}

#[test]
fn what_no_policy_can_express_is_counted_by_who_sent_it() {
    let mdns = udp_frame(ip(at("10.0.0.9:5353"), at("224.0.0.251:5353")), b"?");
    let echo = ethernet_ip(&ip_packet(
        ip(at(CLIENT), at(SERVER)),
        1,
        &[8, 0, 0, 0, 0, 0, 0, 0],
    ));
    let ospf = ethernet_ip(&ip_packet(ip(at(CLIENT), at(SERVER)), 89, &[0; 8]));
    let result = records(&from(0, vec![mdns.clone(), mdns, echo, ospf]));
    assert!(result.records.is_empty());
    let kinds: Vec<_> = result
        .other
        .iter()
        .map(|other| (other.kind, other.packets))
        .collect();
    assert_eq!(
        kinds,
        [
            (OtherKind::Icmp, 1),
            (OtherKind::Protocol(89), 1),
            (OtherKind::Group(Protocol::Udp), 2)
        ]
    );
}

#[test]
fn dns_answers_name_addresses() {
    let web: IpAddr = "192.0.2.7".parse().unwrap();
    let answer = dns_answer("api.example.com", &[web]);
    let frame = udp_frame(ip(at("10.0.0.2:53"), at(CLIENT)), &answer);
    let length = (answer.len() as u16).to_be_bytes();
    let other = dns_answer("tcp.example.com", &[web]);
    let over_tcp = [&length[..], &other].concat();
    let segment = tcp_frame(
        ip(at("10.0.0.2:53"), at(CLIENT)),
        Tcp {
            payload: &over_tcp,
            ..tcp(PSH | ACK, 1, 1)
        },
    );
    let names = records(&from(0, vec![frame.clone(), segment.clone()])).names;
    assert!(names.is_empty(), "nobody asked");
    // A question has neither the flag of an answer nor its records.
    let as_question = |answer: &[u8]| {
        let mut question = answer.to_vec();
        question[2] &= 0x7f;
        question
    };
    let query = udp_frame(ip(at(CLIENT), at("10.0.0.2:53")), &as_question(&answer));
    let over_tcp = [&length[..], &as_question(&other)].concat();
    let query_segment = tcp_frame(
        ip(at(CLIENT), at("10.0.0.2:53")),
        Tcp {
            payload: &over_tcp,
            ..tcp(PSH | ACK, 1, 1)
        },
    );
    let all = vec![query, query_segment, frame, segment];
    let names = records(&from(0, all)).names;
    let found: Vec<_> = names.names_of(web).into_iter().collect();
    assert_eq!(found, ["api.example.com", "tcp.example.com"]);
}

proptest::proptest! {
    /// Whatever traffic: captured twice it gives the same records as captured once.
    #[test]
    fn duplicates_change_nothing(
        exchanges in proptest::collection::vec((0u8..4, 0u8..4, 0u16..6, 0usize..9, 0usize..50), 1..40)
    ) {
        let mut traffic: Traffic = Vec::new();
        for (i, (client, server, port, cut, size)) in exchanges.into_iter().enumerate() {
            let client = at(&format!("10.1.0.{client}:{}", 40000 + i));
            let server = at(&format!("10.2.0.{server}:{}", 8000 + port));
            let isn = (i as u32 + 1).wrapping_mul(0x1234_5671);
            let mut frames = tcp_exchange(client, server, isn, &vec![1; size], b"response");
            frames.truncate(cut);
            traffic.extend(from(i as i64 * 7 * MS / 3, frames));
        }
        traffic.sort();
        let doubled: Traffic = traffic
            .iter()
            .flat_map(|(time, frame)| [(*time, frame.clone()), (time + 20_000, frame.clone())])
            .collect();
        let strip = |result: FlowResult| -> Vec<_> {
            let last = |mut record: FlowRecord| { record.last = record.first; record };
            result.records.into_iter().map(last).collect()
        };
        proptest::prop_assert_eq!(strip(records(&traffic)), strip(records(&doubled)));
    }
}
