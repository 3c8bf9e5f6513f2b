//! Which connection, and of what outcome, one-direction records make.

use super::*;
use proptest::prelude::*;

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:9000";

fn flow(source: &str, destination: &str, second: i64, flags: FlagsSeen) -> Uniflow {
    let first = Timestamp::from_secs(1_772_445_600 + second);
    Uniflow {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: Protocol::Tcp,
        point: "".into(),
        flags,
        blocked: false,
        packets: 5,
        bytes: 500,
        first,
        last: first.plus_secs(1),
        exact: true,
        labels: [None, None],
    }
}

fn ended(flows: &[Uniflow]) -> Vec<ConnectionReport> {
    let mut table = BiflowTable::default();
    let mut reports = Vec::new();
    flows.iter().for_each(|one| table.ingest(one, &mut reports));
    table.end_all(&mut reports);
    reports
}

/// Client, verdict and opening of the one connection.
fn outcome(flows: &[Uniflow]) -> (String, Verdict, Opening) {
    let reports = ended(flows);
    assert_eq!(reports.len(), 1, "{reports:?}");
    let one = &reports[0];
    (one.client.to_string(), one.verdict, one.opening)
}

fn of(verdict: Verdict, opening: Opening) -> (String, Verdict, Opening) {
    (CLIENT.to_owned(), verdict, opening)
}

const FIN: u16 = 1;
const SYN: u16 = 2;
const RST: u16 = 4;
const PSH: u16 = 8;
const ACK: u16 = 16;

#[test]
fn both_directions_are_an_answer_and_one_is_none() {
    let none = FlagsSeen::default();
    let there = flow(CLIENT, SERVER, 0, none);
    let back = flow(SERVER, CLIENT, 0, none);
    let both = [there.clone(), back.clone()];
    assert_eq!(outcome(&both), of(Verdict::Established, Opening::Undecided));
    let one = std::slice::from_ref(&there);
    assert_eq!(outcome(one), of(Verdict::Unanswered, Opening::Undecided));
    let twice = [there.clone(), there.clone()];
    assert_eq!(outcome(&twice).1, Verdict::Unanswered);
    let dropped = Uniflow {
        blocked: true,
        ..there.clone()
    };
    assert_eq!(outcome(std::slice::from_ref(&dropped)).1, Verdict::Dropped);
    assert_eq!(
        outcome(&[there, back, dropped]).1,
        Verdict::Established,
        "late packets of an answered connection are dropped"
    );
}

#[test]
fn flags_tell_who_opened_it_whichever_way_the_exporter_writes_them() {
    let handshake = of(Verdict::Established, Opening::Handshake);
    let pair = |client, server, later| {
        [
            flow(SERVER, CLIENT, later, server),
            flow(CLIENT, SERVER, 0, client),
        ]
    };
    for (client, server, later) in [
        (
            FlagsSeen::of_netobserv(SYN | ACK),
            FlagsSeen::of_netobserv(0x100 | ACK),
            0,
        ),
        (FlagsSeen::of_vpc(SYN | FIN), FlagsSeen::of_vpc(18 | FIN), 0),
        (FlagsSeen::of_vpc(SYN), FlagsSeen::default(), 0),
        (FlagsSeen::default(), FlagsSeen::of_vpc(18), 0),
        (
            FlagsSeen::combined(SYN | ACK | PSH),
            FlagsSeen::combined(SYN | ACK | PSH),
            1,
        ),
    ] {
        assert_eq!(
            outcome(&pair(client, server, later)),
            handshake,
            "{client:?} {server:?}"
        );
    }
    let same = FlagsSeen::combined(SYN | ACK | PSH);
    assert_eq!(
        outcome(&pair(same, same, 0)).2,
        Opening::Undecided,
        "at the same time"
    );
    let going_on = FlagsSeen::combined(ACK | PSH);
    assert_eq!(
        outcome(&pair(going_on, going_on, 1)).2,
        Opening::Undecided,
        "without a SYN"
    );
}

#[test]
fn refusals_and_probes_are_no_answers() {
    let refused = of(Verdict::Refused, Opening::Handshake);
    let pair = |client, server| {
        [
            flow(CLIENT, SERVER, 0, client),
            flow(SERVER, CLIENT, 0, server),
        ]
    };
    for (client, server) in [
        (FlagsSeen::combined(SYN), FlagsSeen::combined(RST | ACK)),
        (FlagsSeen::of_vpc(SYN), FlagsSeen::of_vpc(RST)),
        (FlagsSeen::of_netobserv(SYN), FlagsSeen::of_netobserv(0x400)),
    ] {
        assert_eq!(
            outcome(&pair(client, server)),
            refused,
            "{client:?} {server:?}"
        );
    }
    let probe = |client, server| {
        let mut flows = pair(client, server);
        flows[0].packets = 2;
        outcome(&flows)
    };
    for (client, server) in [
        (
            FlagsSeen::combined(SYN | RST),
            FlagsSeen::combined(SYN | ACK),
        ),
        (FlagsSeen::of_vpc(SYN | RST), FlagsSeen::of_vpc(18)),
        (
            FlagsSeen::of_netobserv(SYN | RST),
            FlagsSeen::of_netobserv(0x100),
        ),
    ] {
        assert_eq!(
            probe(client, server),
            of(Verdict::Unanswered, Opening::Handshake),
            "{client:?} {server:?}"
        );
    }
    let aborted = probe(
        FlagsSeen::of_netobserv(SYN | ACK | RST),
        FlagsSeen::of_netobserv(0x100),
    );
    assert_eq!(aborted.1, Verdict::Established, "confirmed, then reset");
}

#[test]
fn the_first_sender_of_udp_is_its_client_unless_its_ports_are_those_of_an_answer() {
    let udp = |source, destination, second| Uniflow {
        protocol: Protocol::Udp,
        ..flow(source, destination, second, FlagsSeen::default())
    };
    let dns = "10.0.0.9:53";
    let both = [udp(dns, CLIENT, 1), udp(CLIENT, dns, 0)];
    assert_eq!(
        outcome(&both),
        of(Verdict::Established, Opening::FirstPacket)
    );
    let one = [udp(CLIENT, dns, 0)];
    assert_eq!(outcome(&one), of(Verdict::OneWay, Opening::FirstPacket));
    let late = [udp(dns, CLIENT, 0), udp(CLIENT, dns, 1)];
    assert_eq!(
        outcome(&late).2,
        Opening::Undecided,
        "the log begins with an answer"
    );
    let windows = both.map(|flow| Uniflow {
        exact: false,
        ..flow
    });
    assert_eq!(outcome(&windows).2, Opening::Undecided, "times of windows");
}

#[test]
fn what_several_agents_saw_counts_once_and_what_comes_much_later_is_another_connection() {
    let there = flow(CLIENT, SERVER, 0, FlagsSeen::default());
    let elsewhere = Uniflow {
        point: "b".into(),
        ..there.clone()
    };
    let back = flow(SERVER, CLIENT, 0, FlagsSeen::default());
    let reports = ended(&[there.clone(), elsewhere, there.clone(), back]);
    assert_eq!(
        (
            reports.len(),
            reports[0].bytes_to_server,
            reports[0].bytes_to_client
        ),
        (1, 1000, 500)
    );
    let later = flow(CLIENT, SERVER, 4000, FlagsSeen::default());
    assert_eq!(ended(&[there, later]).len(), 2);
}

#[test]
fn flags_of_one_direction_may_prove_the_other() {
    let verdict = |flags| ended(&[flow(CLIENT, SERVER, 0, flags)])[0].verdict;
    for proof in [
        FlagsSeen::combined(SYN | ACK | PSH),
        FlagsSeen::combined(ACK | PSH),
        FlagsSeen::of_vpc(SYN | ACK),
        FlagsSeen::of_netobserv(0x100),
    ] {
        assert_eq!(verdict(proof), Verdict::Established, "{proof:?}");
    }
    for none in [
        FlagsSeen::combined(SYN),
        FlagsSeen::combined(SYN | FIN),
        FlagsSeen::combined(ACK),
        FlagsSeen::combined(SYN | ACK | RST),
        FlagsSeen::of_vpc(SYN | FIN),
    ] {
        assert_eq!(verdict(none), Verdict::Unanswered, "{none:?}");
    }
    let accepted = &ended(&[flow(SERVER, CLIENT, 0, FlagsSeen::of_vpc(SYN | ACK))])[0];
    assert_eq!(
        (accepted.client.to_string().as_str(), accepted.opening),
        (CLIENT, Opening::Handshake)
    );
}

#[test]
fn a_log_of_one_direction_is_told() {
    let mut table = BiflowTable::default();
    let talks = flow(CLIENT, SERVER, 0, FlagsSeen::combined(SYN | ACK | PSH));
    table.ingest(&talks, &mut Vec::new());
    let syn = flow("10.0.0.3:1000", SERVER, 0, FlagsSeen::combined(SYN));
    table.ingest(&syn, &mut Vec::new());
    table.end_all(&mut Vec::new());
    assert_eq!(table.take_one_sided(), 1);
}

proptest! {
    #[test]
    fn the_order_of_records_does_not_matter(
        order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(),
        bits in prop::collection::vec(0u16..32, 6),
    ) {
        let flows: Vec<Uniflow> = bits.iter().enumerate().map(|(n, bits)| {
            let (from, to) = if n % 2 == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
            flow(from, to, n as i64, FlagsSeen::combined(*bits))
        }).collect();
        let shuffled: Vec<Uniflow> = order.iter().map(|n| flows[*n].clone()).collect();
        prop_assert_eq!(outcome(&flows), outcome(&shuffled));
    }
}
