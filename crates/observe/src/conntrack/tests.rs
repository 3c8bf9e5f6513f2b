//! The rules of the tracker, one by one.

mod kernel;

use super::event::{Counter, Event, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, Kind, Status, Tuple};
use super::timeouts::Timeouts;
use super::tracker::{DumpReason, Moment, Tracker};
use nanoseg_flow::{
    Collector, CollectorLimits, FlowRecord, Loss, Observations, Opening, OtherKind, Verdict,
};
use nanoseg_net::{Protocol, Timestamp};

const UNREPLIED: u32 = 0x8;
const REPLIED: u32 = 0xa;
const ASSURED: u32 = 0xe;

fn tuple(source: &str, destination: &str) -> Tuple {
    Tuple {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

/// A connection from 10.0.0.1:`port` to 10.0.0.2:80.
fn event(protocol: u8, port: u16) -> Event {
    let client = format!("10.0.0.1:{port}");
    Event {
        kind: Kind::New,
        protocol,
        original: tuple(&client, "10.0.0.2:80"),
        reply: tuple("10.0.0.2:80", &client),
        status: Status(UNREPLIED),
        state: (protocol != IPPROTO_UDP).then_some(1),
        liberal: false,
        counters: None,
        started: None,
        timeout: None,
        id: u32::from(port),
        zone: 0,
    }
}

fn tcp(port: u16) -> Event {
    event(IPPROTO_TCP, port)
}

impl Event {
    fn now(self, kind: Kind, state: Option<u8>, status: u32) -> Event {
        Event {
            kind,
            state,
            status: Status(status),
            ..self
        }
    }

    fn established(self) -> Event {
        let state = if self.protocol == IPPROTO_SCTP { 4 } else { 3 };
        self.now(Kind::Update, Some(state), ASSURED)
    }

    /// It carried so many packets and bytes, to and fro.
    fn carried(self, to: (u64, u64), fro: (u64, u64)) -> Event {
        let counters = [to, fro].map(|(packets, bytes)| Counter { packets, bytes });
        Event {
            counters: Some(counters),
            ..self
        }
    }
}

/// A tracker and a clock that the node's is an hour ahead of.
struct Bench {
    tracker: Tracker,
    seconds: i64,
}

impl Bench {
    fn new() -> Self {
        Bench::with_room(1000)
    }

    fn with_room(max: usize) -> Self {
        let collector = Collector::new(CollectorLimits::default());
        let start = Timestamp::from_secs(1000);
        Bench {
            tracker: Tracker::new(max, collector, start, Timeouts::default()),
            seconds: 1000,
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: Timestamp::from_secs(self.seconds),
            wall: Timestamp::from_secs(self.seconds + 3600),
        }
    }

    fn see(&mut self, event: Event) {
        self.tracker.ingest(&event, self.moment());
    }

    fn wait(&mut self, seconds: i64) {
        self.seconds += seconds;
        self.tracker.report_unanswered(self.moment());
    }

    fn dump(&mut self, reason: DumpReason, listed: &[Event]) {
        let now = self.moment().now;
        self.tracker.begin_dump(reason, now);
        for event in listed {
            self.see(Event {
                kind: Kind::Dumped,
                ..*event
            });
        }
        self.tracker.end_dump(true);
    }

    fn take(&mut self) -> Observations {
        self.tracker.take(|time| time.plus_secs(3600))
    }

    fn records(&mut self) -> Vec<FlowRecord> {
        let slice = self.take();
        assert!(slice.losses.is_empty(), "{:?}", slice.losses);
        slice
            .records
            .into_iter()
            .map(|(_, record)| record)
            .collect()
    }

    /// The only record: verdict, connections, and bytes in both directions.
    fn only(&mut self) -> (Verdict, u64, [u64; 2]) {
        let records = self.records();
        let [record] = &records[..] else {
            panic!("{records:#?}");
        };
        let bytes = [record.bytes_to_server, record.bytes_to_client];
        (record.verdict, record.connections, bytes)
    }
}

#[test]
fn a_handshake_is_reported_at_once_and_its_bytes_at_the_end() {
    let mut bench = Bench::new();
    bench.see(tcp(40000));
    bench.see(tcp(40000).established());
    let records = bench.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].opening, Opening::Handshake);
    assert_eq!(
        (records[0].client_port, records[0].via, records[0].seen_as),
        (None, None, None)
    );
    assert_eq!(
        records[0].first,
        Timestamp::from_secs(4600),
        "by the node's clock"
    );
    bench.wait(200);
    let end = tcp(40000).now(Kind::Destroy, Some(7), ASSURED);
    bench.see(end.carried((10, 10 * 52 + 8 + 1000), (8, 8 * 52 + 8 + 700)));
    let records = bench.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].connections, 0, "counted before");
    assert_eq!(
        (records[0].bytes_to_server, records[0].bytes_to_client),
        (1000, 700)
    );
    assert_eq!(records[0].first, Timestamp::from_secs(4600));
    assert_eq!(
        records[0].last,
        Timestamp::from_secs(4600 + 80),
        "TIME_WAIT is no traffic"
    );
    assert_eq!(bench.tracker.held(), 0);
}

#[test]
fn translated_addresses_come_from_both_tuples() {
    let mut bench = Bench::new();
    let call = Event {
        original: tuple("10.0.0.1:40000", "10.96.0.1:80"),
        reply: tuple("10.0.0.2:8080", "192.0.2.1:1024"),
        ..tcp(40000)
    };
    bench.see(call);
    bench.see(call.established());
    let record = &bench.records()[0];
    assert_eq!(
        (record.server.to_string(), record.port),
        ("10.0.0.2".into(), 8080)
    );
    assert_eq!(record.via, Some("10.96.0.1:80".parse().unwrap()));
    assert_eq!(record.seen_as, Some("192.0.2.1".parse().unwrap()));
}

#[test]
fn an_unanswered_syn_is_reported_once_after_three_seconds() {
    let mut bench = Bench::new();
    bench.see(tcp(40000));
    bench.wait(2);
    assert_eq!(bench.records(), []);
    bench.wait(1);
    assert_eq!(bench.only(), (Verdict::Unanswered, 1, [0, 0]));
    bench.wait(120);
    bench.see(tcp(40000).now(Kind::Destroy, Some(1), UNREPLIED));
    assert_eq!(bench.records(), []);
}

#[test]
fn what_is_answered_late_is_established_as_well() {
    let mut bench = Bench::new();
    bench.see(tcp(40000));
    bench.wait(5);
    assert_eq!(bench.only().0, Verdict::Unanswered);
    bench.see(tcp(40000).established());
    assert_eq!(bench.only(), (Verdict::Established, 1, [0, 0]));
}

#[test]
fn a_syn_that_only_a_rst_answered_was_refused() {
    // With counters, with the state only, and with neither as on older kernels.
    let end = |port| tcp(port).now(Kind::Destroy, Some(8), UNREPLIED);
    let ends = [
        end(1).carried((1, 60), (1, 40)),
        end(1),
        Event {
            state: None,
            ..end(1)
        },
    ];
    for end in ends {
        let mut bench = Bench::new();
        bench.see(tcp(1));
        bench.see(end);
        assert_eq!(bench.only().0, Verdict::Refused, "{end:?}");
    }
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.see(end(1).carried((2, 100), (0, 0)));
    assert_eq!(bench.only().0, Verdict::Unanswered, "the client's own RST");
}

#[test]
fn half_open_is_unanswered() {
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.see(tcp(1).now(Kind::Update, Some(2), REPLIED));
    bench.see(tcp(1).now(Kind::Destroy, Some(2), REPLIED));
    assert_eq!(bench.only().0, Verdict::Unanswered);
}

#[test]
fn a_handshake_that_the_client_resets_at_once_is_unanswered() {
    // The kernel kills the entry at the RST: it never was ESTABLISHED.
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.see(tcp(1).now(Kind::Update, Some(2), REPLIED));
    let end = tcp(1).now(Kind::Destroy, Some(8), REPLIED);
    bench.see(end.carried((2, 100), (1, 60)));
    assert_eq!(bench.only().0, Verdict::Unanswered);
    let mut checked = Bench::new();
    checked.see(tcp(1));
    checked.see(tcp(1).established());
    assert_eq!(checked.only().0, Verdict::Established, "a health check");
}

#[test]
fn udp_is_established_by_an_answer_and_else_one_way() {
    let mut bench = Bench::new();
    let [answered, one_way] = [40000, 40001].map(|port| event(IPPROTO_UDP, port));
    bench.see(answered);
    bench.see(answered.now(Kind::Update, None, REPLIED));
    assert_eq!(bench.only(), (Verdict::Established, 1, [0, 0]));
    bench.see(one_way);
    bench.wait(3);
    assert_eq!(bench.only(), (Verdict::OneWay, 1, [0, 0]));
    bench.wait(30);
    let end = one_way.now(Kind::Destroy, None, UNREPLIED);
    bench.see(end.carried((3, 3 * 28 + 90), (0, 0)));
    let records = bench.records();
    assert_eq!((records[0].connections, records[0].datagrams), (0, 3));
    assert_eq!(records[0].bytes_to_server, 90);
}

#[test]
fn an_sctp_init_is_judged_as_a_syn_is() {
    let sctp = |port| Event {
        state: Some(2),
        ..event(IPPROTO_SCTP, port)
    };
    let mut bench = Bench::new();
    bench.see(sctp(1));
    bench.see(sctp(1).now(Kind::Update, Some(2), REPLIED));
    assert_eq!(bench.records(), []);
    bench.see(sctp(1).established());
    assert_eq!(bench.only().0, Verdict::Established);
    bench.see(sctp(2));
    bench.see(sctp(2).now(Kind::Destroy, Some(1), REPLIED));
    assert_eq!(bench.only().0, Verdict::Refused);
    bench.see(sctp(3));
    bench.wait(3);
    assert_eq!(bench.only().0, Verdict::Unanswered);
}

#[test]
fn what_may_be_an_answer_keeps_its_port() {
    let mut bench = Bench::new();
    let answer = Event {
        original: tuple("10.0.0.9:53", "10.0.0.1:40000"),
        reply: tuple("10.0.0.1:40000", "10.0.0.9:53"),
        ..event(IPPROTO_UDP, 1)
    };
    bench.see(answer);
    bench.wait(3);
    let record = &bench.records()[0];
    assert_eq!(
        (record.client_port, record.opening),
        (Some(53), Opening::FirstPacket)
    );
}

#[test]
fn what_is_older_than_the_agent_keeps_its_port_and_begins_now() {
    let mut bench = Bench::new();
    bench.seconds = 1005;
    let closing = tcp(2).now(Kind::Dumped, Some(7), ASSURED);
    bench.dump(DumpReason::Start, &[tcp(1).established(), closing, tcp(3)]);
    bench.wait(3);
    let records = bench.records();
    let found: Vec<_> = records
        .iter()
        .map(|r| (r.verdict, r.client_port, r.opening))
        .collect();
    assert_eq!(
        found,
        [
            (Verdict::Established, Some(1), Opening::Handshake),
            (Verdict::Established, Some(2), Opening::Handshake),
            (Verdict::Unanswered, Some(3), Opening::Handshake),
        ]
    );
    assert_eq!(records[0].first, Timestamp::from_secs(4605));
}

#[test]
fn a_new_connection_that_the_first_dump_lists_too_is_not_older() {
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.dump(DumpReason::Start, &[tcp(1).established()]);
    let records = bench.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].client_port, None);
}

#[test]
fn what_was_picked_up_in_the_middle_is_in_the_order_of_addresses() {
    let mut bench = Bench::new();
    let picked = Event {
        original: tuple("10.0.0.9:8080", "10.0.0.1:40000"),
        reply: tuple("10.0.0.1:40000", "10.0.0.9:8080"),
        state: Some(3),
        liberal: true,
        ..tcp(1)
    };
    bench.see(picked);
    bench.see(picked.now(Kind::Update, None, REPLIED));
    bench.see(
        picked
            .now(Kind::Destroy, Some(7), ASSURED)
            .carried((1, 52 + 70), (1, 52 + 5)),
    );
    let record = &bench.records()[0];
    assert_eq!(
        (record.client.to_string(), record.client_port),
        ("10.0.0.1".into(), Some(40000))
    );
    assert_eq!((record.port, record.opening), (8080, Opening::Undecided));
    assert_eq!((record.bytes_to_client, record.bytes_to_server), (70, 5));
    // A lone segment of a connection that ended long ago means nothing.
    bench.see(Event { id: 2, ..picked });
    bench.wait(10);
    bench.see(Event {
        id: 2,
        ..picked.now(Kind::Destroy, Some(8), UNREPLIED)
    });
    assert_eq!(bench.records(), []);
    assert_eq!(bench.tracker.tally.strays, 1);
}

#[test]
fn dumps_report_what_long_connections_carried_and_the_end_reports_the_rest() {
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.see(tcp(1).established());
    let volume = |to: u64, fro: u64| ((10, 528 + to), (10, 528 + fro));
    let carried = |event: Event, (to, fro)| event.carried(to, fro);
    bench.dump(
        DumpReason::Refresh,
        &[carried(tcp(1).established(), volume(100, 50))],
    );
    assert_eq!(bench.only(), (Verdict::Established, 1, [100, 50]));
    bench.dump(
        DumpReason::Refresh,
        &[carried(tcp(1).established(), volume(100, 50))],
    );
    assert_eq!(bench.records(), [], "nothing new");
    bench.wait(60);
    let end = tcp(1).now(Kind::Destroy, Some(7), ASSURED);
    bench.see(carried(end, volume(150, 60)));
    assert_eq!(bench.only(), (Verdict::Established, 0, [50, 10]));
}

#[test]
fn after_lost_events_the_dump_reports_only_what_is_not_known() {
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.see(tcp(1).established());
    bench.see(tcp(2));
    assert_eq!(bench.only().1, 1);
    let all = [1, 2, 3].map(|port| tcp(port).established());
    bench.dump(DumpReason::Overrun, &all);
    let records = bench.records();
    assert_eq!(records.iter().map(|r| r.connections).sum::<u64>(), 2);
    assert!(
        records.iter().all(|r| r.client_port.is_none()),
        "{records:#?}"
    );
    bench.dump(DumpReason::Overrun, &all);
    assert_eq!(bench.records(), []);
}

#[test]
fn an_end_without_a_beginning_counts_by_what_it_says() {
    let mut bench = Bench::new();
    bench.wait(100);
    // By the node's clock it began 40 s ago.
    let started = (1000 + 3600 + 100 - 40) * 1_000_000_000;
    let end = |port| Event {
        started: Some(started),
        ..tcp(port).now(Kind::Destroy, Some(8), ASSURED)
    };
    bench.see(end(1));
    let records = bench.records();
    assert_eq!(
        (records[0].verdict, records[0].connections),
        (Verdict::Established, 1)
    );
    assert_eq!(records[0].first, Timestamp::from_secs(4660));
    assert_eq!(
        records[0].client_port,
        Some(1),
        "nothing was lost: it is older"
    );
    bench.dump(DumpReason::Overrun, &[]);
    bench.see(end(2));
    assert_eq!(
        bench.records()[0].client_port,
        None,
        "its beginning may have been lost"
    );
}

#[test]
fn what_ends_while_a_dump_goes_on_is_not_taken_for_new() {
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.see(tcp(1).established());
    bench
        .tracker
        .begin_dump(DumpReason::Refresh, bench.moment().now);
    bench.see(tcp(1).now(Kind::Destroy, Some(7), ASSURED));
    bench.see(tcp(1).established().now(Kind::Dumped, Some(3), ASSURED));
    bench.tracker.end_dump(true);
    assert_eq!(bench.only().1, 1);
    assert_eq!(bench.tracker.held(), 0);
}

#[test]
fn what_two_dumps_do_not_list_is_forgotten() {
    let mut bench = Bench::new();
    bench.see(tcp(1));
    bench.see(tcp(2));
    bench.dump(DumpReason::Refresh, &[tcp(2)]);
    assert_eq!(
        bench.tracker.held(),
        2,
        "the kernel may have missed it once"
    );
    bench
        .tracker
        .begin_dump(DumpReason::Refresh, bench.moment().now);
    bench.tracker.end_dump(false);
    assert_eq!(bench.tracker.held(), 2, "an incomplete dump is ignored");
    bench.dump(DumpReason::Refresh, &[tcp(2)]);
    assert_eq!(bench.tracker.held(), 1);
}

#[test]
fn without_room_the_end_is_a_connection_of_its_own_and_that_is_counted() {
    let mut bench = Bench::with_room(1);
    bench.see(tcp(1));
    bench.see(tcp(2));
    bench.see(tcp(2).now(Kind::Destroy, Some(7), ASSURED));
    let all = [1, 3].map(|port| tcp(port).established());
    bench.dump(DumpReason::Refresh, &all);
    bench.dump(DumpReason::Refresh, &all);
    let slice = bench.take();
    assert_eq!(slice.losses.get(&Loss::ConntrackForgotten), Some(&1));
    let counts: u64 = slice.records.iter().map(|(_, r)| r.connections).sum();
    assert_eq!(
        counts, 2,
        "1 from the dump, 2 from its end; 3 is reported at its end"
    );
}

#[test]
fn the_node_s_own_traffic_is_left_out_and_groups_are_no_connections() {
    let mut bench = Bench::new();
    bench.see(Event {
        original: tuple("127.0.0.1:1", "127.0.0.1:2"),
        reply: tuple("127.0.0.1:2", "127.0.0.1:1"),
        ..tcp(1)
    });
    bench.see(Event {
        original: tuple("[::1]:1", "[::1]:2"),
        reply: tuple("[::1]:2", "[::1]:1"),
        ..tcp(2)
    });
    for group in ["255.255.255.255:67", "224.0.0.251:5353"] {
        bench.see(Event {
            original: tuple("10.0.0.1:68", group),
            reply: tuple(group, "10.0.0.1:68"),
            ..event(IPPROTO_UDP, 3)
        });
    }
    bench.see(event(47, 0));
    let slice = bench.take();
    assert_eq!((slice.records.len(), bench.tracker.held()), (0, 0));
    let kinds: Vec<_> = slice.other.iter().map(|o| (o.kind, o.packets)).collect();
    let group = OtherKind::Group(Protocol::Udp);
    assert_eq!(
        kinds,
        [(OtherKind::Protocol(47), 1), (group, 1), (group, 1)]
    );
}

/// As a dump lists it, with so many seconds left.
fn left(event: Event, seconds: u32) -> Event {
    Event {
        timeout: Some(seconds),
        ..event
    }
}

#[test]
fn an_entry_from_before_the_agent_is_reported_at_the_time_of_its_last_use() {
    let mut bench = Bench::new();
    let entry = tcp(40000).established();
    bench.dump(DumpReason::Start, &[left(entry, 432_000 - 90)]);
    let records = bench.records();
    assert_eq!(records.len(), 1);
    let used = Timestamp::from_secs(1000 + 3600 - 89);
    assert_eq!((records[0].first, records[0].last), (used, used));
    assert_eq!(records[0].client_port, Some(40000));
}

#[test]
fn an_old_entry_that_is_not_in_use_is_not_reported_until_it_is_used() {
    let mut bench = Bench::new();
    let entry = tcp(40000).established();
    bench.dump(DumpReason::Start, &[left(entry, 432_000 - 86_400)]);
    bench.wait(60);
    bench.dump(DumpReason::Refresh, &[left(entry, 432_000 - 86_460)]);
    assert_eq!(bench.records(), []);
    bench.wait(60);
    bench.dump(DumpReason::Refresh, &[left(entry, 432_000 - 10)]);
    let records = bench.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].first, Timestamp::from_secs(1111 + 3600));
    assert_eq!(records[0].connections, 1);
}

#[test]
fn an_old_entry_that_ends_by_its_timeout_is_not_reported_and_one_that_is_closed_is() {
    for (state, expected) in [(3, 0), (8, 1)] {
        let mut bench = Bench::new();
        let entry = tcp(40000).established();
        bench.dump(DumpReason::Start, &[left(entry, 432_000 - 86_400)]);
        bench.wait(30);
        bench.see(Event {
            kind: Kind::Destroy,
            state: Some(state),
            timeout: None,
            ..entry
        });
        let records = bench.records();
        assert_eq!(records.len(), expected, "state {state}");
        // CLOSE lasts 10 s: it was in use 20 s after the start.
        let used = Timestamp::from_secs(1020 + 3600);
        assert!(records.iter().all(|record| record.first == used));
    }
}

#[test]
fn a_pooled_connection_is_seen_in_every_window_also_where_the_kernel_counts_no_bytes() {
    let mut bench = Bench::new();
    bench.see(tcp(40000));
    bench.see(tcp(40000).established());
    let open = |left: u32| Event {
        timeout: Some(left),
        ..tcp(40000).established()
    };
    let mut windows = nanoseg_flow::ActivityWindows::default();
    let mut connections = 0;
    for _ in 0..5 {
        bench.wait(60);
        // A keepalive came a second ago.
        bench.dump(DumpReason::Refresh, &[open(432_000 - 1)]);
        for record in bench.records() {
            windows.merge(&record.windows);
            connections += record.connections;
        }
    }
    assert_eq!(connections, 1, "counted once");
    let seconds = windows.span_secs().expect("windows");
    assert!(
        seconds.1 - seconds.0 >= 300,
        "all five minutes: {seconds:?}"
    );
    assert!(windows.count_at(3) >= 37, "{}", windows.count_at(3));
    // Nothing came since: that it is still listed shows nothing.
    bench.wait(60);
    bench.dump(DumpReason::Refresh, &[open(432_000 - 90)]);
    assert!(bench.records().is_empty());
}
