//! What is reported of connections while they go on.

use super::super::connection::Connection;
use crate::testing::frames::*;
use crate::{
    AddressEpochs, ConnectionReport, ConnectionTable, FlowConfig, LinkType, NoListeners, Opening,
    OtherKind, Verdict, decode,
};
use nanoseg_net::{SECOND, Timestamp};
use proptest::prelude::*;

const MS: i64 = 1_000_000;
const CLIENT: &str = "10.0.0.9:40000";
const SERVER: &str = "10.0.0.1:30500";

struct Table(ConnectionTable<NoListeners>);

impl Table {
    fn new() -> Self {
        let limits = FlowConfig {
            sampled: true,
            ..FlowConfig::default()
        };
        Table(ConnectionTable::new(
            NoListeners,
            AddressEpochs::default(),
            limits,
        ))
    }

    fn see(&mut self, nanos: i64, frame: &[u8]) {
        let (length, time) = (frame.len() as u32, Timestamp::from_nanos(nanos));
        let decoded = decode(LinkType::ETHERNET, frame, length, time).expect("a packet");
        self.0.ingest(&decoded);
    }

    fn reports_at(&mut self, nanos: i64) -> Vec<ConnectionReport> {
        self.0.report_ongoing(Timestamp::from_nanos(nanos));
        self.0.ended().drain(..).collect()
    }

    fn rest(&mut self) -> Vec<ConnectionReport> {
        self.0.end_all();
        self.0.ended().drain(..).collect()
    }
}

fn shown(reports: &[ConnectionReport]) -> Vec<(Verdict, bool, u64, u64)> {
    reports
        .iter()
        .map(|r| (r.verdict, r.counted, r.bytes_to_server, r.bytes_to_client))
        .collect()
}

/// SYN, SYN-ACK, ACK, request, answer: still open.
fn opened() -> Vec<Vec<u8>> {
    tcp_exchange(at(CLIENT), at(SERVER), 1, b"request", b"a longer response")[..5].to_vec()
}

fn tcp_of(from: &str, to: &str, flags: u8, sequence: u32, ack: u32) -> Vec<u8> {
    tcp_frame(ip(at(from), at(to)), tcp(flags, sequence, ack))
}

#[test]
fn a_connection_that_goes_on_is_counted_once_and_only_what_is_new_is_told_again() {
    let mut table = Table::new();
    for (number, frame) in (0..).zip(opened()) {
        table.see(number * MS, &frame);
    }
    assert!(table.reports_at(100 * MS).is_empty(), "legs may come yet");
    let first = table.reports_at(SECOND);
    assert_eq!(shown(&first), [(Verdict::Established, false, 7, 17)]);
    assert!(table.reports_at(20 * SECOND).is_empty(), "nothing new");
    // The segments between were left out of the sample.
    table.see(21 * SECOND, &tcp_of(CLIENT, SERVER, ACK, 2 + 1007, 19));
    assert_eq!(
        shown(&table.reports_at(22 * SECOND)),
        [(Verdict::Established, true, 1000, 0)]
    );
    table.see(
        23 * SECOND,
        &tcp_of(CLIENT, SERVER, FIN | ACK, 2 + 1009, 19),
    );
    let rest = table.rest();
    assert_eq!(shown(&rest), [(Verdict::Established, true, 2, 0)]);
    assert_eq!(rest[0].first, first[0].first);
    assert_eq!(table.0.counters().connections, 1);
}

#[test]
fn what_is_not_answered_is_told_after_three_seconds_and_again_if_it_is_answered_after_all() {
    let mut table = Table::new();
    table.see(0, &opened()[0]);
    assert!(table.reports_at(2 * SECOND).is_empty());
    assert_eq!(
        shown(&table.reports_at(3 * SECOND)),
        [(Verdict::Unanswered, false, 0, 0)]
    );
    table.see(4 * SECOND, &opened()[0]);
    assert!(table.reports_at(5 * SECOND).is_empty(), "a repeated SYN");
    table.see(6 * SECOND, &opened()[1]);
    assert_eq!(
        shown(&table.reports_at(7 * SECOND)),
        [(Verdict::Established, false, 0, 0)]
    );
    assert!(table.rest().is_empty());
}

#[test]
fn udp_is_one_way_until_it_is_answered() {
    let mut table = Table::new();
    let (there, back) = (ip(at(CLIENT), at(SERVER)), ip(at(SERVER), at(CLIENT)));
    table.see(0, &udp_frame(there.id(1), b"12345"));
    let reports_made = table.reports_at(4 * SECOND);
    assert_eq!(shown(&reports_made), [(Verdict::OneWay, false, 5, 0)]);
    assert_eq!(reports_made[0].datagrams, 1);
    table.see(5 * SECOND, &udp_frame(back.id(2), b"123"));
    let reports_made = table.reports_at(6 * SECOND);
    assert_eq!(shown(&reports_made), [(Verdict::Established, false, 0, 3)]);
    assert_eq!(reports_made[0].datagrams, 0);
}

#[test]
fn what_may_be_an_answer_keeps_both_ports_so_that_a_listener_can_turn_it() {
    let mut table = Table::new();
    table.see(
        0,
        &udp_frame(ip(at("10.0.0.1:8125"), at("10.0.0.9:40000")), b"answer"),
    );
    table.see(
        0,
        &udp_frame(ip(at("10.0.0.8:40000"), at("10.0.0.1:8125")), b"question"),
    );
    let mut reports_made = table.rest();
    reports_made.sort_by_key(|report| report.client);
    let kept: Vec<bool> = reports_made
        .iter()
        .map(|report| report.mid_stream)
        .collect();
    assert_eq!(kept, [true, false]);
}

#[test]
fn a_lone_segment_of_an_older_connection_proves_nothing_and_two_prove_it() {
    let mut table = Table::new();
    let data = |from, to| {
        let segment = Tcp {
            payload: b"data",
            ..tcp(ACK, 100, 200)
        };
        tcp_frame(ip(at(from), at(to)), segment)
    };
    table.see(0, &data(CLIENT, SERVER));
    assert!(table.reports_at(10 * SECOND).is_empty());
    table.see(300 * SECOND, &data(SERVER, CLIENT));
    let reports_made = table.reports_at(301 * SECOND);
    assert_eq!(reports_made.len(), 1);
    assert_eq!(
        (
            reports_made[0].verdict,
            reports_made[0].opening,
            reports_made[0].mid_stream
        ),
        (Verdict::Established, Opening::Undecided, true)
    );
    let mut other = Table::new();
    other.see(0, &data(CLIENT, SERVER));
    assert!(other.rest().is_empty());
    assert_eq!(other.0.counters().stray_segments, 1);
}

#[test]
fn an_open_connection_outlives_hours_of_silence_and_a_closed_one_ends_without_packets() {
    let mut table = Table::new();
    for frame in opened() {
        table.see(0, &frame);
    }
    table.reports_at(SECOND);
    assert!(table.reports_at(3 * 3600 * SECOND).is_empty());
    assert_eq!(table.0.len(), 1);
    let at = 3 * 3600 * SECOND + 1;
    table.see(at, &tcp_of(SERVER, CLIENT, RST, 19, 0));
    table.reports_at(at + 5 * SECOND);
    assert_eq!(table.0.len(), 0);
}

#[test]
fn names_and_other_traffic_are_taken_window_by_window() {
    let mut table = Table::new();
    let answer = dns_answer("shop.example", &["192.0.2.1".parse().expect("an address")]);
    let frame = udp_frame(ip(at("10.0.0.1:53"), at(CLIENT)), &answer);
    let mut question = answer.clone();
    question[2] &= 0x7f;
    table.see(0, &udp_frame(ip(at(CLIENT), at("10.0.0.1:53")), &question));
    table.see(0, &frame);
    assert_eq!(table.0.take_names().0.len(), 1);
    table.see(SECOND, &frame);
    assert!(table.0.take_names().0.is_empty(), "known and still valid");
    table.see(
        2 * SECOND,
        &udp_frame(ip(at(CLIENT), at("224.0.0.9:5000")), b"x"),
    );
    let (other, lost) = table.0.take_other();
    assert_eq!((other.len(), lost), (1, 0));
    assert!(matches!(other[0].kind, OtherKind::Group(_)));
    assert!(table.0.take_other().0.is_empty());
}

#[test]
fn a_connection_is_no_bigger_for_being_reported_live() {
    assert!(size_of::<Connection>() <= 168);
}

/// What reports come to in all: connections that were counted, bytes each way, datagrams.
fn sums(reports: &[ConnectionReport]) -> (usize, u64, u64, u64) {
    let sum = |what: fn(&ConnectionReport) -> u64| reports.iter().map(what).sum();
    (
        reports.iter().filter(|report| !report.counted).count(),
        sum(|report| report.bytes_to_server),
        sum(|report| report.bytes_to_client),
        sum(|report| report.datagrams),
    )
}

proptest! {
    #[test]
    fn however_often_reports_are_made_they_come_to_the_same(
        steps in prop::collection::vec((0usize..5, 0u16..4, 0i64..8), 1..60),
        reports_made in prop::collection::vec(any::<bool>(), 60),
    ) {
        let (mut often, mut once) = (Table::new(), Table::new());
        let mut reports = Vec::new();
        let mut now = 0;
        for ((step, client, seconds), report_now) in steps.into_iter().zip(reports_made) {
            now += seconds * SECOND;
            let client = format!("10.0.0.9:{}", 40_000 + client);
            let frame = match step {
                // UDP whose answer is there at once: it has one verdict only.
                0 => vec![
                    udp_frame(ip(at(&client), at(SERVER)).id(now as u16), b"ask"),
                    udp_frame(ip(at(SERVER), at(&client)).id(now as u16), b"answer"),
                ],
                more => {
                    let frames = tcp_exchange(at(&client), at(SERVER), 1, b"request", b"answer");
                    frames[..2 + 2 * more - 2].to_vec()
                }
            };
            for frame in frame {
                often.see(now, &frame);
                once.see(now, &frame);
                now += MS;
            }
            if report_now {
                reports.extend(often.reports_at(now + SECOND));
                now += SECOND;
            }
        }
        reports.extend(often.rest());
        let whole = once.rest();
        prop_assert_eq!(sums(&reports), sums(&whole));
        prop_assert!(whole.iter().all(|report| !report.counted));
    }
}
