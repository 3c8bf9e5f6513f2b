//! Sets of captures: order, damage, what is no capture.

use nanoseg_net::SECOND;

use super::*;
use nanoseg_flow::testing::frames::*;
use nanoseg_flow::{AddressEpochs, FlowConfig, FlowTable, NoListeners};
use std::path::{Path, PathBuf};

/// Frames of one byte, which identifies their origin.
fn one_byte(times: &[i64], mark: u8) -> Vec<u8> {
    let byte = [mark];
    pcap(times.iter().map(|time| (time * SECOND, &byte[..])))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read(paths: &[PathBuf]) -> (Vec<(i64, u8)>, CaptureSummary) {
    let mut frames = Vec::new();
    let set = CaptureSet::open(paths).unwrap();
    let summary = set
        .for_each(
            |frame| frames.push((frame.time.nanos() / SECOND, frame.data[0])),
            |_| {},
        )
        .unwrap();
    (frames, summary)
}

#[test]
fn captures_are_merged_by_time_whatever_order_they_are_given_in() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(folder.path(), "a.pcap", &one_byte(&[1, 4, 5], b'a'));
    let b = write(folder.path(), "b", &one_byte(&[1, 2, 6], b'b'));
    let expected = [
        (1, b'a'),
        (1, b'b'),
        (2, b'b'),
        (4, b'a'),
        (5, b'a'),
        (6, b'b'),
    ];
    assert_eq!(read(&[a.clone(), b.clone()]).0, expected);
    assert_eq!(read(&[b.clone(), a.clone()]).0, expected);
    assert_eq!(
        read(&[b, a, folder.path().to_path_buf()]).0,
        expected,
        "each file once"
    );
}

#[test]
fn more_captures_than_may_be_open_at_once_are_merged_too() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..600i64 {
        // Written one after another, each overlapping the next.
        write(
            folder.path(),
            &format!("{i:03}"),
            &one_byte(&[i, i + 1], (i % 251) as u8),
        );
    }
    let (frames, summary) = read(&[folder.path().to_path_buf()]);
    assert_eq!(
        (frames.len(), summary.captures, summary.packets),
        (1200, 600, 1200)
    );
    assert!(frames.is_sorted_by_key(|(time, _)| *time));
}

#[test]
fn in_a_folder_what_is_no_capture_is_skipped_with_its_reason_and_named_it_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "deep/er/capture", &one_byte(&[1], b'x'));
    let notes = write(
        folder.path(),
        "notes.txt",
        b"these are only some notes on the capture",
    );
    let (frames, summary) = read(&[folder.path().to_path_buf()]);
    assert_eq!((frames.len(), summary.skipped_files.len()), (1, 1));
    assert!(summary.skipped_files[0].reason.contains("it is text"));
    let error = CaptureSet::open(std::slice::from_ref(&notes))
        .err()
        .unwrap();
    assert!(matches!(error, ObserveError::NotACapture { path, .. } if path == notes));
}

#[test]
fn a_capture_that_was_cut_yields_everything_before_the_cut_and_a_finding() {
    let frames = [(SECOND, &b"one"[..]), (2 * SECOND, b"two")];
    for whole in [pcap(frames), pcapng(frames)] {
        let mut seen = 0;
        let summary = read_capture_bytes(&whole[..whole.len() - 5], |_| seen += 1).unwrap();
        assert_eq!(
            (seen, summary.troubles[0].kind),
            (1, TroubleKind::Truncated)
        );
        assert_eq!(summary.findings()[0].code.name(), "truncated-capture");
        let summary = read_capture_bytes(&whole, |_| {}).unwrap();
        assert!(summary.troubles.is_empty() && summary.packets == 2);
    }
}

#[test]
fn a_damaged_record_ends_a_capture_with_a_finding() {
    let mut bytes = one_byte(&[1, 2], b'x');
    let second = bytes.len() - 17;
    bytes[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let summary = read_capture_bytes(&bytes, |_| {}).unwrap();
    assert_eq!(
        (summary.packets, summary.troubles[0].kind),
        (1, TroubleKind::Damaged)
    );
}

#[test]
fn any_cut_of_a_capture_is_read_without_harm() {
    let frames = tcp_exchange(at("10.0.0.1:4000"), at("10.0.0.2:80"), 1, b"a", b"b");
    let timed = || {
        (0..)
            .zip(&frames)
            .map(|(i, frame)| (i * SECOND, frame.as_slice()))
    };
    for whole in [pcap(timed()), pcapng(timed())] {
        for cut in 0..whole.len() {
            let _ = read_capture_bytes(&whole[..cut], |_| {});
        }
    }
}

#[test]
fn two_threads_give_what_one_gives() {
    let folder = tempfile::tempdir().unwrap();
    let mut frames = Vec::new();
    for i in 0..3000u32 {
        let client = at(&format!("10.0.0.1:{}", 1000 + i));
        frames.extend(tcp_exchange(client, at("10.0.0.2:80"), i * 77, b"a", b"b"));
    }
    let timed = (0..)
        .zip(&frames)
        .map(|(i, frame)| (i * SECOND / 1000, frame.as_slice()));
    let path = write(folder.path(), "c.pcap", &pcap(timed));
    let table = || FlowTable::new(NoListeners, AddressEpochs::default(), FlowConfig::default());
    let (mut one, mut two) = (table(), table());
    CaptureSet::open(std::slice::from_ref(&path))
        .unwrap()
        .for_each(
            |frame| {
                let decoded =
                    nanoseg_flow::decode(frame.link, frame.data, frame.original_length, frame.time);
                one.ingest(&decoded.unwrap());
            },
            |_| {},
        )
        .unwrap();
    let (summary, skips) = CaptureSet::open(&[path])
        .unwrap()
        .feed(&mut two, |_| {})
        .unwrap();
    assert_eq!((summary.packets, skips.total()), (24_000, 0));
    let (one, two) = (one.finish(), two.finish());
    assert_eq!(one.records, two.records);
    assert_eq!(one.counters, two.counters);
}
