//! Captures of which little or nothing is known: packets that cannot be decoded, and packets that were lost.

use super::*;
use nanoseg_finding::Severity;
use nanoseg_flow::testing::frames::*;
use nanoseg_flow::{AddressEpochs, FlowConfig, FlowTable, NoListeners};

/// Blocks of a pcapng file in little-endian order.
#[derive(Default)]
struct PcapNgFile(Vec<u8>);

type Option16<'a> = (u16, &'a [u8]);

impl PcapNgFile {
    fn new() -> PcapNgFile {
        let mut file = PcapNgFile::default();
        let header = [&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        file.block(0x0a0d_0d0a, &header, &[]);
        file
    }

    fn block(&mut self, kind: u32, body: &[u8], options: &[Option16<'_>]) {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        for (code, value) in options {
            body.extend(code.to_le_bytes());
            body.extend((value.len() as u16).to_le_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        let length = (body.len() as u32 + 12).to_le_bytes();
        self.0
            .extend([&kind.to_le_bytes()[..], &length, &body, &length].concat());
    }

    fn interface(&mut self, link: u16, name: &str) {
        let body = [&link.to_le_bytes()[..], &[0; 6]].concat();
        self.block(1, &body, &[(2, name.as_bytes())]);
    }

    fn packet(&mut self, interface: u32, frame: &[u8], options: &[Option16<'_>]) {
        let length = (frame.len() as u32).to_le_bytes();
        let head = [interface.to_le_bytes(), [0; 4], [0; 4], length, length].concat();
        self.block(6, &[head, frame.to_vec()].concat(), options);
    }

    fn statistics(&mut self, interface: u32, options: &[Option16<'_>]) {
        self.block(
            5,
            &[interface.to_le_bytes(), [0; 4], [0; 4]].concat(),
            options,
        );
    }
}

fn exchange() -> Vec<Vec<u8>> {
    tcp_exchange(at("10.0.0.1:1000"), at("10.0.0.2:80"), 7, b"a", b"b")
}

fn read_file(bytes: &[u8]) -> CaptureSummary {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let mut table = FlowTable::new(NoListeners, AddressEpochs::default(), FlowConfig::default());
    let set = CaptureSet::open(&[path]).unwrap();
    let (mut summary, _) = set.feed(&mut table, |_| {}).unwrap();
    summary
        .read
        .iter_mut()
        .for_each(|read| read.name = "file".into());
    summary
}

fn told(summary: &CaptureSummary) -> Vec<String> {
    let findings = summary.findings();
    findings
        .iter()
        .map(|one| format!("{} {} {}", one.code, one.subject, one.message))
        .collect()
}

#[test]
fn a_capture_of_which_nothing_is_decoded_is_an_error_that_names_the_link_type_and_what_helps() {
    let mut file = PcapNgFile::new();
    file.interface(258, "pktap0");
    exchange()
        .iter()
        .for_each(|frame| file.packet(0, frame, &[]));
    let summary = read_file(&file.0);
    assert!(summary.is_undecodable());
    assert_eq!(summary.findings()[0].severity, Severity::Error);
    assert_eq!(
        told(&summary),
        [
            "undecodable-capture file none of its 8 packets could be decoded: interface pktap0 (link type 258, PKTAP): \
          bad-header; capture at the pods' interfaces or with tcpdump -i any"
        ]
    );
}

#[test]
fn an_interface_of_which_a_large_part_is_not_decoded_is_a_warning_beside_the_others() {
    let mut file = PcapNgFile::new();
    file.interface(1, "eth0");
    file.interface(249, "usb0");
    for frame in &exchange() {
        file.packet(0, frame, &[]);
        file.packet(1, frame, &[]);
    }
    let summary = read_file(&file.0);
    assert!(!summary.is_undecodable());
    assert_eq!(
        told(&summary),
        [
            "partly-undecodable-capture file 8 of 8 packets could not be decoded: interface usb0 (link type 249, USB): \
          unsupported-link-type; capture on Ethernet or with tcpdump -i any, or convert the file to Ethernet frames"
        ]
    );
}

#[test]
fn a_few_packets_that_are_not_decoded_and_frames_without_ports_are_no_finding() {
    let mut file = PcapNgFile::new();
    file.interface(1, "eth0");
    for _ in 0..10 {
        exchange()
            .iter()
            .for_each(|frame| file.packet(0, frame, &[]));
    }
    file.packet(0, &[0; 9], &[]);
    let arp = [&[0xff; 12][..], &[0x08, 0x06], &[0; 28]].concat();
    (0..100).for_each(|_| file.packet(0, &arp, &[]));
    assert_eq!(told(&read_file(&file.0)), Vec::<String>::new());
    let mut quiet = PcapNgFile::new();
    quiet.interface(1, "eth0");
    quiet.packet(0, &arp, &[]);
    assert_eq!(told(&read_file(&quiet.0)), Vec::<String>::new(), "only ARP");
}

#[test]
fn a_packet_of_a_packet_tap_is_the_frame_behind_its_header() {
    let mut file = PcapNgFile::new();
    file.interface(258, "pktap0");
    for frame in exchange() {
        let mut header = vec![0u8; 156];
        header[..12].copy_from_slice(&[156, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        header.extend(frame);
        file.packet(0, &header, &[]);
    }
    let summary = read_file(&file.0);
    assert_eq!(summary.read[0].interfaces[0].decoded, 8);
    assert_eq!(told(&summary), Vec::<String>::new());
}

#[test]
fn what_a_capture_says_it_lost_is_a_finding_and_counted_with_the_capture() {
    let mut file = PcapNgFile::new();
    file.interface(1, "eth0");
    file.interface(1, "eth1");
    for frame in &exchange() {
        file.packet(0, frame, &[(4, &3u64.to_le_bytes())]);
        file.packet(1, frame, &[]);
    }
    let number = |value: u64| value.to_le_bytes();
    file.statistics(0, &[(5, &number(4)), (7, &number(5))]);
    // Totals: the later ones count.
    file.statistics(1, &[(4, &number(99)), (5, &number(1))]);
    file.statistics(1, &[(4, &number(900)), (5, &number(2)), (6, &number(30))]);
    let summary = read_file(&file.0);
    assert_eq!(
        summary.read[0].loss(),
        CaptureLoss {
            dropped: 26,
            missing: 22
        }
    );
    assert_eq!(
        told(&summary),
        [
            "observation-loss file interface eth0 (link type 1, Ethernet): 24 packets were dropped and 0 passed the \
             filter and are not in the file, as the capture itself says",
            "observation-loss file interface eth1 (link type 1, Ethernet): 2 packets were dropped and 22 passed the \
             filter and are not in the file, as the capture itself says",
        ]
    );
}

#[test]
fn statistics_without_losses_are_no_finding() {
    let mut file = PcapNgFile::new();
    file.interface(1, "eth0");
    exchange()
        .iter()
        .for_each(|frame| file.packet(0, frame, &[(4, &[0; 8])]));
    file.statistics(
        0,
        &[
            (4, &99u64.to_le_bytes()),
            (5, &[0; 8]),
            (6, &8u64.to_le_bytes()),
        ],
    );
    assert_eq!(told(&read_file(&file.0)), Vec::<String>::new());
}

#[test]
fn an_archive_in_a_folder_of_captures_is_left_out_with_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write(
        "a.zip",
        b"PK\x03\x04........................................",
    );
    write(
        "notes.txt",
        b"only text, longer than the header of a capture is",
    );
    let frames = exchange();
    write(
        "b.pcap",
        &pcap(frames.iter().map(|frame| (0, frame.as_slice()))),
    );
    let set = CaptureSet::open(&[folder.path().to_path_buf()]).unwrap();
    let summary = set.for_each(|_| {}, |_| {}).unwrap();
    assert_eq!(summary.skipped_files.len(), 2);
    let findings = told(&summary);
    assert!(
        findings.len() == 1 && findings[0].ends_with("a.zip was left out: it is a zip archive; unpack it first (unzip), then give the folder"),
        "{findings:?}"
    );
}

proptest::proptest! {
    #[test]
    fn any_options_are_survived(options: Vec<(u16, Vec<u8>)>, statistics: bool, cut in 0usize..200) {
        let mut file = PcapNgFile::new();
        file.interface(1, "eth0");
        let options: Vec<Option16<'_>> = options.iter().map(|(code, value)| (code % 10, &value[..value.len().min(99)])).collect();
        if statistics {
            file.statistics(0, &options);
        } else {
            file.packet(0, &[0; 60], &options);
        }
        let end = file.0.len().saturating_sub(cut);
        let _ = read_capture_bytes(&file.0[..end], |_| {});
    }
}
