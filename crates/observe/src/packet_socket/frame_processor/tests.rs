//! What a node reports of packets that no policy can express.

use super::*;
use crate::{CaptureSettings, Clock};
use nanoseg_flow::testing::frames::*;
use nanoseg_flow::{FlowConfig, FlowTable, OtherKind, OtherTraffic};

/// ICMP, ICMPv6 and ESP between pods, and multicast; and what is no traffic of pods: a neighbour solicitation.
fn packets() -> Vec<Vec<u8>> {
    let (a, b) = (at("10.0.0.1:0"), at("10.0.0.2:0"));
    let (a6, b6) = (at("[fd00::1]:0"), at("[fd00::2]:0"));
    let body = |kind: u8| [kind, 0, 0, 0, 0, 0, 0, 0];
    vec![
        ip_packet(ip(a, b), 1, &body(8)),
        ip_packet(ip(b, a), 1, &body(0)),
        ip_packet(ip(a, b), 50, &body(9)),
        ip_packet(ip(a, b), 50, &body(9)),
        ip_packet(ip(a6, b6), 58, &body(128)),
        ip_packet(ip(a6, b6), 50, &body(9)),
        ip_packet(ip(a6, b6), 58, &body(135)),
        udp_packet(ip(at("10.0.0.1:5353"), at("224.0.0.251:5353")), b"?"),
    ]
}

fn ring_frame(data: &[u8]) -> RingFrame<'_> {
    RingFrame {
        time: Timestamp::from_secs(1_800_000_000),
        protocol: if data[0] >> 4 == 4 { 0x0800 } else { 0x86dd },
        kind: 0,
        interface: 2,
        length: data.len() as u32,
        data,
    }
}

fn live(packets: &[Vec<u8>]) -> (Vec<OtherTraffic>, u64) {
    let settings = CaptureSettings::default();
    let mut processor = FrameProcessor::new(settings, Clock::start(), 0);
    for data in packets {
        processor.take_frame(&ring_frame(data));
    }
    processor.finish();
    let seen = processor.take();
    let sampled = seen.losses.get(&Loss::CaptureSampled).copied();
    (seen.other, sampled.unwrap_or(0))
}

#[test]
fn live_capture_reports_what_no_policy_can_express_as_a_capture_file_does() {
    let mut offline = FlowTable::new(NoListeners, AddressEpochs::default(), FlowConfig::default());
    for data in packets() {
        let frame = ethernet_ip(&data);
        let at = Timestamp::from_secs(1_800_000_000);
        if let Ok(decoded) = decode(LinkType::ETHERNET, &frame, frame.len() as u32, at) {
            offline.ingest(&decoded);
        }
    }
    let expected = offline.finish().other;
    assert_eq!(live(&packets()), (expected.clone(), 0));
    let kinds: Vec<OtherKind> = expected.iter().map(|other| other.kind).collect();
    assert!(kinds.contains(&OtherKind::Protocol(50)) && kinds.contains(&OtherKind::Icmp));
    assert_eq!(expected.iter().map(|other| other.packets).sum::<u64>(), 7);
}

#[test]
fn a_flood_of_pings_is_thinned_and_what_is_left_out_is_counted() {
    let ping = &packets()[0];
    let mut processor = FrameProcessor::new(CaptureSettings::default(), Clock::start(), 0);
    let turn = Duration::from_millis(500);
    for _ in 0..4000 {
        processor.take_frame(&ring_frame(ping));
    }
    assert!(processor.turn(turn, 0), "another part from now on");
    assert_eq!((processor.other_shift(), processor.udp_shift()), (4, 0));
    processor.take_frame(&ring_frame(ping));
    let losses = processor.take().losses;
    assert_eq!(losses.get(&Loss::CaptureSampled), Some(&15));
}
