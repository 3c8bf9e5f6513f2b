use super::*;
use crate::{
    ActivityWindows, Aggregate, Instance, Observations, Opening, PeerLabel, PeerLabels, PodLabel,
    Verdict, stand_in_address,
};
use nanoseg_net::Protocol;

/// The receiver's clock.
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOW + secs)
}

/// A connection that began and ended so many seconds from now.
fn call(first: i64, last: i64) -> FlowRecord {
    let mut windows = ActivityWindows::at(at(first));
    windows.mark(at(last));
    FlowRecord {
        client: [10, 0, 0, 1].into(),
        server: [10, 0, 0, 2].into(),
        port: 80,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        labels: None,
        observers: Default::default(),
        told: None,
        connections: 1,
        datagrams: 0,
        bytes_to_server: 1,
        bytes_to_client: 1,
        first: at(first),
        last: at(last),
        windows,
    }
}

fn batch(sequence: u64, span: (i64, i64), records: Vec<FlowRecord>) -> FlowBatch {
    FlowBatch {
        node: "n1".into(),
        instance: Instance([7; 16]),
        sequence: (sequence, sequence),
        span: (at(span.0), at(span.1)),
        seen: Observations {
            records: records
                .into_iter()
                .map(|record| (Source::Conntrack, record))
                .collect(),
            ..Observations::default()
        },
    }
}

/// A receiver that stores every batch.
#[derive(Default)]
struct Receiver(Admission);

impl Receiver {
    fn take(&mut self, batch: FlowBatch, now: i64) -> FlowBatch {
        let mut done = Progresses::new();
        let admitted = self.0.admit(batch, Teller::Agent, at(now), &mut done);
        self.0.settle(done);
        admitted
    }
}

fn only(batch: &FlowBatch) -> &FlowRecord {
    assert_eq!(batch.seen.records.len(), 1, "{:?}", batch.seen);
    &batch.seen.records[0].1
}

#[test]
fn what_is_told_in_order_keeps_its_times_and_has_the_receivers_beside_them() {
    let mut receiver = Receiver::default();
    let first = receiver.take(batch(1, (-30, 0), vec![call(-20, -10)]), 1);
    let expected = Told {
        first: at(1),
        last: at(-10),
    };
    assert_eq!(only(&first).told, Some(expected));
    assert_eq!(only(&first).windows, call(-20, -10).windows);
    assert_eq!(first.seen.losses, BTreeMap::new());
    // Many records of one time come in several batches, and a source waits for the end of what it saw.
    for sequence in 2..4 {
        let more = receiver.take(batch(sequence, (-30, 0), vec![call(-20, -10)]), 2);
        assert_eq!(only(&more).told.map(|told| told.last), Some(at(-10)));
    }
    let later = receiver.take(batch(4, (0, 30), vec![call(-60, -5)]), 31);
    assert_eq!(only(&later).told.map(|told| told.last), Some(at(-5)));
    let mut all = Aggregate::default();
    all.apply(first);
    let again = receiver.take(batch(5, (30, 60), vec![call(-20, 40)]), 60);
    all.apply(again);
    let (_, record) = all.records().next().expect("a record");
    let both = Told {
        first: at(1),
        last: at(40),
    };
    assert_eq!(record.told, Some(both), "known since it was told first");
}

#[test]
fn what_a_spool_kept_while_nobody_took_it_is_believed_at_its_own_time() {
    let mut receiver = Receiver::default();
    receiver.take(batch(1, (-7230, -7200), vec![call(-7210, -7205)]), -7200);
    // Two hours without a connection, then all of it at once.
    for minute in 0..120 {
        let begin = -7200 + minute * 60;
        let late = batch(
            2 + minute as u64,
            (begin, begin + 60),
            vec![call(begin + 10, begin + 20)],
        );
        let late = receiver.take(late, 0);
        assert_eq!(only(&late).told.map(|told| told.last), Some(at(begin + 20)));
        assert_eq!(only(&late).windows, call(begin + 10, begin + 20).windows);
        assert!(late.seen.losses.is_empty());
        assert_eq!(late.span, (at(begin), at(begin + 60)));
    }
}

#[test]
fn who_told_of_a_time_cannot_tell_of_it_again_as_if_it_were_new() {
    let mut receiver = Receiver::default();
    receiver.take(batch(1, (-60, 0), Vec::new()), 0);
    let back = [
        // A batch of an earlier time, one that begins earlier, and one whose record is earlier than itself.
        (batch(2, (-3600, -3500), vec![call(-3550, -3540)]), 10),
        (batch(3, (-3600, 10), vec![call(-3550, -3540)]), 10),
        (batch(4, (10, 20), vec![call(-3550, -3540)]), 20),
        (batch(5, (20, 21), vec![call(-DAY, -3540)]), 21),
    ];
    for (batch, now) in back {
        let sequence = batch.sequence.0;
        let taken = receiver.take(batch, now);
        let told = only(&taken).told.expect("a time");
        assert_eq!((told.first, told.last), (at(now), at(now)), "{sequence}");
        assert_eq!(only(&taken).believed_first(), at(now), "{sequence}");
        let windows = only(&taken).windows;
        assert_eq!(
            windows,
            ActivityWindows::at(at(now)),
            "{sequence}: a sample of now"
        );
    }
}

#[test]
fn an_old_connection_that_goes_on_is_active_now_and_not_for_all_its_life_at_once() {
    let mut receiver = Receiver::default();
    let mut long = call(-3 * DAY, -1);
    for hour in 0..72 {
        long.windows.mark(at(-3600 * hour));
    }
    let taken = receiver.take(batch(1, (-10, 0), vec![long]), 0);
    let record = only(&taken);
    assert_eq!((record.first, record.last), (at(-3 * DAY), at(-1)));
    let (from, _) = record.windows.span_secs().expect("a window");
    assert!(from >= NOW - 10 - LATE - 4096, "{from}");
    assert_eq!(record.told.map(|told| told.first), Some(at(0)));
}

#[test]
fn times_that_no_spool_explains_and_those_ahead_of_the_clock_are_refused_and_counted() {
    let mut receiver = Receiver::default();
    let reach = SPOOL_REACH;
    let records = vec![
        call(-reach - 100, -reach - 50),
        call(AHEAD + 1, AHEAD + 2),
        call(5, 4),
        call(0, 3600),
        call(-reach - DAY, 0),
    ];
    let taken = receiver.take(batch(1, (-2 * reach, 2 * DAY), records), 0);
    assert_eq!(taken.seen.losses, [(Loss::TimeRefused, 3)].into());
    assert_eq!(
        taken.span,
        (at(-reach), at(AHEAD)),
        "no view of other times"
    );
    let kept: Vec<(i64, i64)> = taken
        .seen
        .records
        .iter()
        .map(|(_, one)| (one.first.secs_since(at(0)), one.last.secs_since(at(0))))
        .collect();
    let hour = Timestamp::from_hour(at(-reach).hour() + 1).secs_since(at(0));
    assert_eq!(kept, [(0, AHEAD), (hour, 0)]);
    // A clock that is ahead of all others makes no view, and does not make the next batches late.
    let ahead = receiver.take(batch(2, (DAY, 2 * DAY), Vec::new()), 0);
    assert!(ahead.span.0 > ahead.span.1);
    let mut all = Aggregate::default();
    all.apply(ahead);
    assert!(all.views().is_empty());
}

#[test]
fn names_and_kinds_of_source_that_no_agent_has_are_refused_and_counted() {
    let named = Arc::new(PeerLabels {
        server: Some(PeerLabel::Pod(PodLabel::named("shop", "db"))),
        ..PeerLabels::default()
    });
    let claims = FlowRecord {
        labels: Some(named),
        ..call(-5, -4)
    };
    let stand_in = FlowRecord {
        server: stand_in_address("shop/db"),
        ..call(-5, -4)
    };
    let mut forged = batch(1, (-10, 0), vec![claims, stand_in, call(-5, -4)]);
    forged.seen.records.push((Source::FlowLog, call(-5, -4)));
    let taken = Receiver::default().take(forged, 0);
    let expected = [(Loss::SourceRefused, 1), (Loss::ClaimRefused, 2)];
    assert_eq!(taken.seen.losses, expected.into());
    only(&taken);
}

#[test]
fn relay_tells_what_hubble_saw_by_addresses_and_nothing_else() {
    let named = Arc::new(PeerLabels {
        server: Some(PeerLabel::Pod(PodLabel::named("shop", "db"))),
        ..PeerLabels::default()
    });
    let claims = FlowRecord {
        labels: Some(named),
        ..call(-5, -4)
    };
    let mut told = batch(1, (-10, 0), vec![call(-5, -4)]);
    for (source, record) in [(Source::Hubble, call(-5, -4)), (Source::Hubble, claims)] {
        told.seen.records.push((source, record));
    }
    let admission = Admission::default();
    let taken = admission.admit(told, Teller::Relay, at(0), &mut Progresses::new());
    let expected = [(Loss::SourceRefused, 1), (Loss::ClaimRefused, 1)];
    assert_eq!(taken.seen.losses, expected.into());
    assert_eq!(taken.seen.records[0].0, Source::Hubble);
    only(&taken);
}

#[test]
fn what_relay_tells_of_a_node_takes_no_time_from_the_nodes_own_agent() {
    let admission = Admission::default();
    let mut done = Progresses::new();
    let of_relay = batch(1, (-30, 0), Vec::new());
    admission.admit(of_relay, Teller::Relay, at(0), &mut done);
    let mut settled = admission;
    settled.settle(done);
    let of_agent = batch(2, (-20, -10), vec![call(-18, -15)]);
    let taken = settled.admit(of_agent, Teller::Agent, at(1), &mut Progresses::new());
    let told = only(&taken).told.expect("a time");
    assert_eq!(told.last, at(-15), "its own time, and not when it came");
}

#[test]
fn scans_and_names_keep_to_the_same_times() {
    let scan = |first: i64, last: i64| ScanSummary {
        client: None,
        connections: 1,
        addresses: 1,
        ports: 1,
        samples: Vec::new(),
        first: at(first),
        last: at(last),
    };
    let name = |from: i64, until: i64| NameEntry {
        name: "example.org".into(),
        client: [10, 0, 0, 1].into(),
        by: NamedBy::Resolver([10, 96, 0, 10].into()),
        from: at(from),
        until: at(until),
    };
    let mut told = batch(1, (-10, 0), Vec::new());
    told.seen.scans = vec![
        scan(-DAY, 3 * DAY),
        scan(DAY, DAY),
        scan(-30 * DAY, -20 * DAY),
    ];
    let address = IpAddr::from([192, 0, 2, 1]);
    told.seen.names = vec![
        (address, name(-5, 300)),
        (address, name(-5, 365 * DAY)),
        (address, name(DAY, 2 * DAY)),
    ];
    for by in [NamedBy::Source, NamedBy::Unknown] {
        let entry = NameEntry {
            by,
            ..name(-5, 300)
        };
        told.seen.names.push((address, entry));
    }
    let taken = Receiver::default().take(told, 0);
    assert_eq!(taken.seen.scans, [scan(-DAY, AHEAD)]);
    let until: Vec<i64> = taken
        .seen
        .names
        .iter()
        .map(|(_, entry)| entry.until.secs_since(at(0)))
        .collect();
    assert_eq!(until, [300, AHEAD + LONGEST_NAME]);
    let refused = [(Loss::TimeRefused, 3), (Loss::ClaimRefused, 2)];
    assert_eq!(
        taken.seen.losses,
        refused.into(),
        "who answered is not said"
    );
}

#[test]
fn batches_that_could_not_be_stored_come_again_as_if_for_the_first_time() {
    let receiver = Receiver::default();
    for _ in 0..2 {
        let mut done = Progresses::new();
        let again = batch(1, (-600, -300), vec![call(-500, -400)]);
        let taken = receiver.0.admit(again, Teller::Agent, at(0), &mut done);
        assert_eq!(only(&taken).told.map(|told| told.last), Some(at(-400)));
    }
}
