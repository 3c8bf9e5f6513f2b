//! What passes the filter, packet by packet.

use super::interpreter::{TestPacket, run};
use super::*;
use nanoseg_flow::testing::frames::*;
use proptest::prelude::*;

/// Neither in a sample by identification nor in one at random.
const UNLUCKY: u32 = u32::MAX;

fn settings() -> FilterSettings {
    FilterSettings {
        interfaces: InterfaceFilter::Except(vec![]),
        dns_ports: vec![53, 5353],
        udp_shift: 0,
        other_shift: 0,
    }
}

fn program(settings: &FilterSettings) -> Vec<Instruction> {
    let program = build_filter(settings).expect("a program");
    assert!(program.len() <= 4096, "{}", program.len());
    program
}

/// An IP packet as a cooked socket shows it.
fn seen(data: Vec<u8>) -> TestPacket {
    let protocol = if data[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    TestPacket {
        data,
        protocol,
        interface: 2,
        random: UNLUCKY,
    }
}

fn taken(seen: &TestPacket) -> u32 {
    run(&program(&settings()), seen)
}

const ENDS: [(&str, &str); 2] = [
    ("10.0.0.1:40000", "10.0.0.2:80"),
    ("[fd00::1]:40000", "[fd00::2]:80"),
];

fn pair(ends: (&str, &str)) -> Ip {
    ip(at(ends.0), at(ends.1)).id(1)
}

fn tcp_of(ip: Ip, flags: u8) -> Vec<u8> {
    tcp_packet(ip, tcp(flags, 7, 7))
}

#[test]
fn what_opens_closes_or_refuses_tcp_passes_and_the_rest_is_sampled() {
    for ends in ENDS {
        for flags in [SYN, SYN | ACK, FIN | ACK, RST, RST | ACK] {
            assert_eq!(taken(&seen(tcp_of(pair(ends), flags))), SNAP, "{flags}");
        }
        assert_eq!(taken(&seen(tcp_of(pair(ends), ACK | PSH))), 0);
        let lucky = TestPacket {
            random: 0x1280,
            ..seen(tcp_of(pair(ends).id(0), ACK))
        };
        assert_eq!(taken(&lucky), SNAP);
    }
    let chosen = (0..=u16::MAX)
        .filter(|id| taken(&seen(tcp_of(pair(ENDS[0]).id(*id), ACK))) > 0)
        .count();
    assert_eq!(chosen, 65536 / 128, "the same ones on every interface");
}

#[test]
fn questions_and_answers_of_dns_over_tcp_pass_whole() {
    for ends in [
        ("10.0.0.1:40000", "10.0.0.2:53"),
        ("[fd00::1]:53", "[fd00::2]:40000"),
    ] {
        assert_eq!(taken(&seen(tcp_of(pair(ends), ACK | PSH))), SNAP_DNS);
    }
}

#[test]
fn options_are_skipped_and_later_fragments_and_rubbish_are_not_taken() {
    let mut packet = tcp_of(pair(ENDS[0]), SYN);
    // Four bytes of options between header and segment.
    packet.splice(20..20, [1, 1, 1, 0]);
    packet[0] = 0x46;
    assert_eq!(taken(&seen(packet.clone())), SNAP);
    packet[7] = 1;
    assert_eq!(taken(&seen(packet)), 0, "a later fragment");
    let mut arp = seen(tcp_of(pair(ENDS[0]), SYN));
    arp.protocol = 0x0806;
    assert_eq!(taken(&arp), 0);
    let short = seen(tcp_of(pair(ENDS[0]), SYN)[..25].to_vec());
    assert_eq!(taken(&short), 0);
}

#[test]
fn a_tag_that_is_left_in_the_packet_is_looked_behind() {
    for ends in ENDS {
        let inner = seen(tcp_of(pair(ends), SYN));
        let mut data = vec![0, 7];
        data.extend(inner.protocol.to_be_bytes());
        data.extend(&inner.data);
        let tagged = TestPacket {
            data,
            protocol: 0x8100,
            ..inner
        };
        assert_eq!(taken(&tagged), SNAP);
        let mut bulk = tagged.clone();
        let flags = bulk.data.len() - 20 + 13;
        let flags = if bulk.data[flags] == SYN {
            flags
        } else {
            4 + 20 + 13
        };
        bulk.data[flags] = ACK;
        assert_eq!(taken(&bulk), 0);
    }
}

#[test]
fn udp_passes_dns_whole_and_overlays_not_at_all() {
    let datagram = |from: &str, to: &str| seen(udp_packet(ip(at(from), at(to)), b"payload"));
    for (host, peer) in [("10.0.0.1", "10.0.0.2"), ("[fd00::1]", "[fd00::2]")] {
        let way = |from: u16, to: u16| {
            taken(&datagram(
                &format!("{host}:{from}"),
                &format!("{peer}:{to}"),
            ))
        };
        assert_eq!(way(53, 40000), SNAP_DNS);
        assert_eq!(way(5353, 5353), SNAP_DNS);
        assert_eq!(
            way(40000, 53),
            SNAP_DNS,
            "an answer counts with its question"
        );
        assert_eq!(way(40000, 8125), SNAP);
        for carrier in [4789, 8472, 6081] {
            assert_eq!(way(40000, carrier), 0, "{carrier}");
        }
    }
}

#[test]
fn under_load_udp_is_sampled_and_dns_is_not() {
    let thin = program(&FilterSettings {
        udp_shift: 3,
        ..settings()
    });
    let datagram = |port: &str| {
        let to = at(&format!("10.0.0.2:{port}"));
        seen(udp_packet(ip(at("10.0.0.1:40000"), to), b"x"))
    };
    let passed = |port: &str| {
        (0..64)
            .filter(|random| {
                let seen = TestPacket {
                    random: *random,
                    ..datagram(port)
                };
                run(&thin, &seen) > 0
            })
            .count()
    };
    assert_eq!(passed("8125"), 8);
    assert_eq!(passed("53"), 64);
}

/// An ICMP message of this kind, or with `protocol` any other packet.
fn other(ends: (&str, &str), protocol: u8, kind: u8) -> TestPacket {
    seen(ip_packet(
        pair(ends),
        protocol,
        &[kind, 0, 0, 0, 0, 0, 0, 0],
    ))
}

/// Echo requests and replies, ESP, AH's neighbour VRRP and a protocol without a name.
const INEXPRESSIBLE: [(usize, u8, u8); 8] = [
    (0, 1, 8),
    (0, 1, 0),
    (0, 50, 0),
    (0, 112, 0),
    (1, 58, 128),
    (1, 58, 129),
    (1, 50, 0),
    (1, 253, 0),
];

#[test]
fn what_no_policy_can_express_passes_and_unreachable_always() {
    let original = udp_packet(pair(ENDS[0]), b"x");
    let sender = "10.0.0.2".parse().expect("an address");
    let frame = port_unreachable(sender, &original);
    assert_eq!(taken(&seen(frame[14..].to_vec())), SNAP);
    assert_eq!(taken(&other(ENDS[1], 58, 1)), SNAP, "unreachable");
    for (family, protocol, kind) in INEXPRESSIBLE {
        assert_eq!(
            taken(&other(ENDS[family], protocol, kind)),
            SNAP,
            "{protocol}"
        );
    }
    for kind in [135, 136, 143, 130] {
        assert_eq!(taken(&other(ENDS[1], 58, kind)), 0, "{kind}");
    }
    for protocol in [2, 4, 41, 47] {
        assert_eq!(taken(&other(ENDS[0], protocol, 0)), 0, "{protocol}");
    }
}

#[test]
fn under_load_what_no_policy_can_express_is_sampled_and_nothing_else_is() {
    let thin = program(&FilterSettings {
        other_shift: 3,
        ..settings()
    });
    let passed = |packet: &TestPacket| {
        let with = |random| TestPacket {
            random,
            ..packet.clone()
        };
        (0..64)
            .filter(|random| run(&thin, &with(*random)) > 0)
            .count()
    };
    for (family, protocol, kind) in INEXPRESSIBLE {
        assert_eq!(
            passed(&other(ENDS[family], protocol, kind)),
            8,
            "{protocol}"
        );
    }
    assert_eq!(passed(&other(ENDS[1], 58, 1)), 64, "unreachable");
    assert_eq!(passed(&seen(tcp_of(pair(ENDS[0]), SYN))), 64);
    assert_eq!(passed(&seen(udp_packet(pair(ENDS[0]), b"x"))), 64);
}

#[test]
fn sctp_passes_where_associations_open_and_close() {
    for ends in ENDS {
        let chunk = |kind: u8| {
            let mut body = vec![0; 12];
            body.extend([kind, 0, 0, 4]);
            taken(&seen(ip_packet(pair(ends), 132, &body)))
        };
        for kind in [1, 2, 6, 7, 8, 10, 14] {
            assert_eq!(chunk(kind), SNAP, "{kind}");
        }
        assert_eq!(chunk(0), 0);
    }
}

#[test]
fn extension_headers_are_left_to_the_decoder_but_for_later_fragments() {
    let with = |next: u8, header: [u8; 8]| {
        let mut packet = tcp_of(pair(ENDS[1]), ACK);
        packet[6] = next;
        packet.splice(40..40, header);
        taken(&seen(packet))
    };
    assert_eq!(with(0, [6, 0, 0, 0, 0, 0, 0, 0]), SNAP);
    assert_eq!(
        with(44, [6, 0, 0, 1, 0, 0, 0, 9]),
        SNAP,
        "the first fragment"
    );
    assert_eq!(with(44, [6, 0, 0, 9, 0, 0, 0, 9]), 0, "a later one");
}

proptest! {
    #[test]
    fn interfaces_are_found_however_many_there_are(
        list in prop::collection::btree_set(1u32..2000, 0..300),
        interface in 0u32..2001,
    ) {
        let packet = TestPacket { interface, ..seen(tcp_of(pair(ENDS[0]), SYN)) };
        let listed = list.contains(&interface);
        let list: Vec<u32> = list.into_iter().collect();
        let takes = |interfaces| {
            run(&program(&FilterSettings { interfaces, ..settings() }), &packet) > 0
        };
        prop_assert_eq!(takes(InterfaceFilter::Only(list.clone())), listed);
        prop_assert_eq!(takes(InterfaceFilter::Except(list)), !listed);
    }

    #[test]
    fn any_packet_comes_to_an_end(
        data in prop::collection::vec(any::<u8>(), 0..120),
        protocol in prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x88a8, 0]),
        random: u32,
    ) {
        let taken = taken(&TestPacket { data, protocol, interface: 1, random });
        prop_assert!([0, SNAP, SNAP_DNS].contains(&taken));
    }
}
