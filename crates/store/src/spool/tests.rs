use super::testing::{TestCodec, batch, batch_of, record};
use super::*;
use nanoseg_flow::{Aggregate, FlowRecord, Verdict};
use std::fs;

fn small(disk_bytes: u64) -> SpoolLimits {
    SpoolLimits {
        disk_bytes,
        memory_bytes: 48 << 10,
        merge_bytes: 16 << 10,
        ..SpoolLimits::default()
    }
}

fn open(path: &Path, limits: SpoolLimits) -> Spool<TestCodec> {
    Spool::open(path, TestCodec, limits).expect("a spool")
}

/// Everything that comes out, in order, acknowledged as it comes.
fn drain(spool: &mut Spool<TestCodec>) -> Vec<FlowBatch> {
    let mut all = Vec::new();
    while let Some((key, content)) = spool.hand_out() {
        all.push(TestCodec.decode(&content).expect("a batch"));
        assert!(spool.acknowledged(key));
    }
    assert!(spool.is_empty());
    all
}

fn sequences(batches: &[FlowBatch]) -> Vec<(u8, u64, u64)> {
    batches
        .iter()
        .map(|b| (b.instance.0[0], b.sequence.0, b.sequence.1))
        .collect()
}

fn files(path: &Path, ending: &str) -> usize {
    fs::read_dir(path)
        .expect("the folder")
        .filter(|e| {
            let name = e.as_ref().expect("an entry").file_name();
            name.to_string_lossy().ends_with(ending)
        })
        .count()
}

#[test]
fn batches_come_in_order_and_those_of_earlier_runs_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut first = open(dir.path(), SpoolLimits::default());
    for sequence in 1..=20 {
        first.push(&batch_of(9, sequence, vec![record(1, 80, 0)]));
    }
    // Out of order on purpose: 3 is acknowledged, 1 and 2 never were.
    let out: Vec<_> = std::iter::from_fn(|| first.hand_out()).collect();
    assert_eq!(out.len(), 8, "no more than eight are out");
    assert!(first.acknowledged(out[2].0));
    assert!(!first.acknowledged(out[2].0), "once");
    drop(first);
    let mut second = open(dir.path(), SpoolLimits::default());
    second.push(&batch_of(1, 1, vec![record(1, 80, 0)]));
    let expected: Vec<_> = (1..=20)
        .filter(|n| *n != 3)
        .map(|n| (9, n, n))
        .chain([(1, 1, 1)])
        .collect();
    assert_eq!(sequences(&drain(&mut second)), expected);
    assert_eq!(files(dir.path(), ".batch"), 0);
}

#[test]
fn two_agents_cannot_share_a_spool() {
    let dir = tempfile::tempdir().expect("a folder");
    let _first = open(dir.path(), SpoolLimits::default());
    let second = Spool::open(dir.path(), TestCodec, SpoolLimits::default());
    assert!(matches!(second.err(), Some(SpoolError::Locked { .. })));
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_with_a_remedy() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let spool = Spool::open(&file.path().join("x"), TestCodec, SpoolLimits::default());
    let text = spool.err().expect("an error").to_string();
    assert!(text.contains("give --spool a folder"), "{text}");
}

#[test]
fn damaged_files_are_put_aside_and_counted_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut spool = open(dir.path(), SpoolLimits::default());
    for sequence in 1..=5 {
        spool.push(&batch(sequence, vec![record(1, 80, 0)]));
    }
    drop(spool);
    let mut paths: Vec<_> = fs::read_dir(dir.path())
        .expect("the folder")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "batch"))
        .collect();
    paths.sort();
    let whole = fs::read(&paths[0]).expect("a file");
    fs::write(&paths[0], &whole[..whole.len() - 1]).expect("truncated");
    fs::write(&paths[1], [&whole[..20], b"!", &whole[21..]].concat()).expect("changed");
    fs::write(&paths[2], b"").expect("emptied");
    fs::write(dir.path().join("x.tmp"), b"half").expect("a remnant");
    let mut spool = open(dir.path(), SpoolLimits::default());
    assert_eq!(sequences(&drain(&mut spool)), [(1, 4, 4), (1, 5, 5)]);
    assert_eq!(spool.take_losses()[&Loss::SpoolDamaged], 3);
    assert_eq!(files(dir.path(), ".damaged"), 3);
    assert_eq!(files(dir.path(), ".tmp"), 0);
}

#[test]
fn of_damaged_files_only_the_newest_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut spool = open(dir.path(), SpoolLimits::default());
    for sequence in 1..=40 {
        spool.push(&batch(sequence, vec![]));
    }
    for entry in fs::read_dir(dir.path()).expect("the folder").flatten() {
        if entry.path().extension().is_some_and(|e| e == "batch") {
            fs::write(entry.path(), b"rubbish").expect("damaged");
        }
    }
    assert!(spool.hand_out().is_none());
    assert_eq!(spool.take_losses()[&Loss::SpoolDamaged], 40);
    assert_eq!(files(dir.path(), ".damaged"), 16);
}

#[test]
fn a_batch_that_no_receiver_accepts_is_put_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut spool = open(dir.path(), SpoolLimits::default());
    spool.push(&batch(1, vec![]));
    let (key, _) = spool.hand_out().expect("a batch");
    assert!(spool.refused(key));
    assert!(spool.is_empty());
    assert_eq!(files(dir.path(), ".refused"), 1);
    drop(spool);
    assert!(open(dir.path(), SpoolLimits::default()).is_empty());
}

#[test]
fn a_full_spool_merges_what_was_never_out_and_loses_no_count() {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = small(160 << 10);
    let mut spool = open(dir.path(), limits);
    let mut truth = Aggregate::default();
    for sequence in 1..=200 {
        let one = batch(
            sequence,
            vec![record(1, 80, 0), record(2, 80, sequence as i64)],
        );
        spool.push(&one);
        truth.apply(one);
        assert!(spool.state().disk_bytes <= limits.disk_bytes);
        if sequence == 10 {
            assert_eq!(std::iter::from_fn(|| spool.hand_out()).count(), 8);
        }
    }
    drop(spool);
    let mut spool = open(dir.path(), limits);
    let mut received = Aggregate::default();
    for batch in drain(&mut spool) {
        assert_eq!(received.apply(batch), nanoseg_flow::Applied::New);
    }
    let counts = |all: &Aggregate| -> Vec<FlowRecord> {
        all.records()
            .map(|(_, r)| FlowRecord {
                windows: Default::default(),
                bytes_to_client: 0,
                bytes_to_server: 0,
                last: r.first,
                ..r.clone()
            })
            .collect()
    };
    assert_eq!(counts(&received), counts(&truth));
    assert!(received.losses()[&Loss::CountersMerged] > 100);
    assert!(!received.losses().contains_key(&Loss::RecordDropped));
}

#[test]
fn ten_times_the_bound_of_distinct_records_stays_within_it_and_all_that_is_lost_is_counted() {
    for on_disk in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let limits = small(96 << 10);
        let mut spool = if on_disk {
            open(dir.path(), limits)
        } else {
            Spool::in_memory(TestCodec, limits)
        };
        let bound = if on_disk {
            limits.disk_bytes
        } else {
            limits.memory_bytes
        };
        let (mut pushed, mut bytes) = (0, 0);
        let mut sequence = 0;
        while bytes < 10 * bound {
            sequence += 1;
            let one: Vec<_> = (0..100)
                .map(|n| FlowRecord {
                    verdict: if n % 2 == 0 {
                        Verdict::Refused
                    } else {
                        Verdict::Established
                    },
                    ..record(sequence as u32 * 100 + n, 80, 0)
                })
                .collect();
            pushed += one.len() as u64;
            let one = batch(sequence, one);
            bytes += TestCodec.encode(&one).len() as u64;
            spool.push(&one);
            let state = spool.state();
            assert!(state.disk_bytes <= limits.disk_bytes, "{state:?}");
            assert!(state.memory_bytes <= limits.memory_bytes, "{state:?}");
        }
        let mut received = Aggregate::default();
        for batch in drain(&mut spool) {
            received.apply(batch);
        }
        let arrived = received.records().count() as u64;
        assert!(arrived > 0);
        assert_eq!(arrived + received.losses()[&Loss::RecordDropped], pushed);
    }
}

#[test]
fn failed_connections_go_before_established_ones() {
    let mut spool = Spool::in_memory(TestCodec, small(1 << 20));
    for sequence in 1..=60 {
        let verdict = match sequence % 2 {
            0 => Verdict::Refused,
            _ => Verdict::Established,
        };
        let records = (0..40)
            .map(|n| FlowRecord {
                verdict,
                ..record(sequence as u32 * 100 + n, 80, 0)
            })
            .collect();
        spool.push(&batch(sequence, records));
    }
    let mut received = Aggregate::default();
    for batch in drain(&mut spool) {
        received.apply(batch);
    }
    let kept = |verdict| {
        received
            .records()
            .filter(|(_, r)| r.verdict == verdict)
            .count()
    };
    assert_eq!(kept(Verdict::Established), 30 * 40);
    assert!(kept(Verdict::Refused) < 30 * 40);
}

#[test]
fn a_crash_between_merging_and_removing_leaves_each_batch_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut folder = Folder::open(dir.path()).expect("a folder");
    let name = |order, first, last| BatchName {
        order,
        instance: Instance([1; 16]),
        sequence: (first, last),
    };
    for (order, first, last) in [
        (0, 1, 1),
        (1, 2, 4),
        (1, 2, 2),
        (2, 3, 3),
        (3, 4, 4),
        (4, 5, 5),
    ] {
        let mut content = batch(first, vec![]);
        content.sequence = (first, last);
        folder
            .write(&name(order, first, last), &TestCodec.encode(&content))
            .expect("written");
    }
    drop(folder);
    let mut spool = open(dir.path(), SpoolLimits::default());
    assert_eq!(
        sequences(&drain(&mut spool)),
        [(1, 1, 1), (1, 2, 4), (1, 5, 5)]
    );
}

/// A file system of its own that is gone with this value; `None` where that is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(dir.path())
            .output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(dir));
        }
        assert!(
            std::env::var_os("NANOSEG_REQUIRE_ALL").is_none(),
            "a tmpfs cannot be mounted"
        );
        eprintln!("skipped: needs root to mount a tmpfs");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .output();
    }
}

#[test]
fn a_full_disk_keeps_batches_in_memory_and_they_are_written_when_it_has_room_again() {
    let Some(disk) = SmallDisk::mount(64 << 10) else {
        return;
    };
    let path = disk.0.path().join("spool");
    let mut spool = open(&path, SpoolLimits::default());
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 40 << 10]).expect("ballast");
    let mut pushed = 0;
    while spool.state().failing.is_none() {
        pushed += 1;
        assert!(pushed < 50, "the disk never got full");
        spool.push(&batch(pushed, vec![record(1, 80, 0)]));
    }
    for _ in 0..5 {
        pushed += 1;
        spool.push(&batch(pushed, vec![record(1, 80, 0)]));
    }
    let state = spool.state();
    assert!(state.failing.expect("a reason").contains("No space left"));
    assert!(state.memory_bytes > 0);
    assert_eq!(spool.take_losses()[&Loss::SpoolFailed], 6);
    assert_eq!(files(&path, ".tmp"), 0);
    fs::remove_file(ballast).expect("room");
    spool.retry();
    let state = spool.state();
    assert_eq!((state.memory_bytes, state.failing), (0, None));
    drop(spool);
    let mut spool = open(&path, SpoolLimits::default());
    let expected: Vec<_> = (1..=pushed).map(|n| (1, n, n)).collect();
    assert_eq!(sequences(&drain(&mut spool)), expected);
}

#[test]
fn a_disk_that_stays_full_keeps_memory_within_its_bound() {
    let Some(disk) = SmallDisk::mount(64 << 10) else {
        return;
    };
    let limits = small(1 << 20);
    let mut spool = open(&disk.0.path().join("spool"), limits);
    let (mut pushed, mut received) = (0, Aggregate::default());
    for sequence in 1..=100 {
        let records: Vec<_> = (0..100)
            .map(|n| record(sequence * 100 + n, 80, 0))
            .collect();
        pushed += records.len() as u64;
        spool.push(&batch(sequence.into(), records));
        assert!(spool.state().memory_bytes <= limits.memory_bytes);
    }
    for batch in drain(&mut spool) {
        received.apply(batch);
    }
    let arrived = received.records().count() as u64;
    assert_eq!(arrived + received.losses()[&Loss::RecordDropped], pushed);
}
