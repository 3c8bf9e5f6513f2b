//! Messages that a kernel sent: Linux 6.18 on x86-64, with counters and timestamps on.

use super::{Bench, tuple};
use crate::conntrack::event::{Event, Kind};
use crate::conntrack::netlink::Messages;
use crate::conntrack::parse::parse_event;
use crate::conntrack::replay_conntrack;
use nanoseg_flow::{Loss, OtherKind, Verdict};

const EVENTS: &[u8] = include_bytes!("../../../../../tests/data/conntrack/events.bin");
const DUMP: &[u8] = include_bytes!("../../../../../tests/data/conntrack/dump.bin");

fn parsed(data: &[u8], dumped: bool) -> Vec<Event> {
    let events = Messages::of(data).map(|message| parse_event(&message.unwrap(), dumped).unwrap());
    events.flatten().collect()
}

#[test]
fn messages_of_a_real_kernel_are_read() {
    let events = parsed(EVENTS, false);
    let kinds: Vec<_> = events
        .iter()
        .map(|e| (e.kind, e.protocol, e.state))
        .collect();
    let new_and_updates = [1, 2, 3, 4, 6, 7].map(|state| {
        let kind = if state == 1 { Kind::New } else { Kind::Update };
        (kind, 6, Some(state))
    });
    assert_eq!(kinds[..6], new_and_updates, "{kinds:?}");
    let call = events[2];
    assert_eq!(call.original, tuple("10.77.1.2:45678", "10.96.0.10:80"));
    assert_eq!(call.reply, tuple("10.77.2.2:8080", "10.77.2.1:45678"));
    assert!(call.status.seen_reply() && call.status.assured() && !call.liberal);

    let refused = events[7];
    assert_eq!((refused.kind, refused.state), (Kind::Destroy, Some(8)));
    assert!(!refused.status.seen_reply());
    assert_eq!(refused.counters.map(|[_, reply]| reply.packets), Some(1));
    assert!(
        refused
            .started
            .is_some_and(|at| at > 1_700_000_000_000_000_000)
    );
    let v6 = events[9];
    assert_eq!(v6.original, tuple("[fd77:1::2]:45679", "[fd77:2::2]:7"));
    assert!(events.iter().any(|e| e.protocol == 1), "ICMP");

    let dumped = parsed(DUMP, true);
    assert_eq!(dumped.len(), 1);
    assert_eq!(dumped[0].kind, Kind::Dumped);
    assert_eq!((dumped[0].id, dumped[0].state), (call.id, Some(3)));
    assert!(dumped[0].counters.is_some());
}

#[test]
fn messages_of_a_real_kernel_become_records() {
    let mut bench = Bench::new();
    for event in parsed(EVENTS, false) {
        bench.see(event);
    }
    let slice = bench.take();
    let records: Vec<_> = slice
        .records
        .iter()
        .map(|(_, r)| {
            let bytes = [r.bytes_to_server, r.bytes_to_client];
            let server = std::net::SocketAddr::new(r.server, r.port).to_string();
            (server, r.verdict, r.connections, r.datagrams, bytes)
        })
        .collect();
    let expected =
        |server: &str, verdict, datagrams, bytes| (server.to_owned(), verdict, 1, datagrams, bytes);
    assert_eq!(
        records,
        [
            expected("10.77.2.2:7", Verdict::Refused, 0, [0, 0]),
            expected("10.77.2.2:8080", Verdict::Established, 0, [100, 50]),
            expected("[fd77:2::2]:7", Verdict::Refused, 0, [0, 0]),
            expected("[fd77:2::2]:53", Verdict::Established, 1, [8, 7]),
        ]
    );
    assert_eq!(slice.other.len(), 1);
    assert_eq!(slice.other[0].kind, OtherKind::Icmp);
}

#[test]
fn any_cut_or_flip_of_real_messages_is_survived_and_what_cannot_be_read_is_counted() {
    for data in [EVENTS, DUMP] {
        for end in 0..data.len() {
            replay_conntrack(&data[..end]);
        }
        for at in 0..data.len() {
            for flip in [0x01, 0xff] {
                let mut damaged = data.to_vec();
                damaged[at] ^= flip;
                replay_conntrack(&damaged);
            }
        }
    }
    let cut = replay_conntrack(&DUMP[..100]);
    assert_eq!(cut.losses.get(&Loss::ConntrackMalformed), Some(&2));
}
