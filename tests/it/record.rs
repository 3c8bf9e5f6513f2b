//! `nanoseg record`: the commands of an auditor on an export, and on the store of a running controller.

use nanoseg::net::Timestamp;
use nanoseg::record::{Action, Actor, Chain, Entry, Head, to_line};
use nanoseg::store::{Commit, ReviewStore};
use std::fs;
use std::path::Path;
use std::process::Command;

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn nanoseg(folder: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .arg("record")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("nanoseg runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Run {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Returns a record of five lines, and its head as `record verify` prints it.
fn record() -> (Vec<String>, String) {
    let mut chain = Chain::default();
    let lines = (0..5).map(|number| {
        let namespace = if number < 3 { "shop" } else { "other" };
        let object = format!("NetworkPolicy/nanoseg-{number}");
        let entry = Entry::new(Action::Applied, Actor::Controller, namespace, &object);
        let entry = entry.with_reason("because".into());
        to_line(&chain.append(entry, Timestamp::from_secs(number)))
    });
    let lines = lines.collect();
    let Head { sequence, digest } = chain.head().clone();
    (lines, format!("{sequence}:{digest}"))
}

fn write(folder: &Path, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.join("record.jsonl"), text).expect("a file");
}

#[test]
fn verify_reports_the_entry_that_was_changed_or_is_missing() {
    let folder = folder();
    let (lines, head) = record();
    let verify =
        |more: &[&str]| nanoseg(folder.path(), &[&["verify", "record.jsonl"], more].concat());
    write(folder.path(), &lines);
    let intact = verify(&["--head", &head]);
    assert_eq!(intact.stdout, format!("intact: 5 entries, head {head}\n"));
    assert_eq!(intact.code, Some(0));

    let mut changed = lines.clone();
    changed[1] = changed[1].replace("because", "BECAUSE");
    write(folder.path(), &changed);
    let found = verify(&[]);
    assert_eq!(found.stdout, "entry 2 was changed\n");
    assert_eq!(found.code, Some(1));

    let mut removed = lines.clone();
    removed.remove(2);
    write(folder.path(), &removed);
    assert_eq!(verify(&[]).stdout, "entry 3 is missing at its place\n");

    fs::write(folder.path().join("record.jsonl"), "no record\n").expect("a file");
    assert_eq!(verify(&[]).code, Some(1));
}

#[test]
fn verify_finds_every_changed_removed_repeated_or_moved_line() {
    let folder = folder();
    let (lines, head) = record();
    for at in 0..lines.len() {
        let mut altered = Vec::new();
        let mut with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = lines.clone();
            change(&mut lines);
            altered.push(lines);
        };
        with(&|lines| lines[at] = lines[at].replace("because", "becausE"));
        with(&|lines| {
            lines.remove(at);
        });
        with(&|lines| lines.insert(at, lines[at].clone()));
        for other in at + 1..lines.len() {
            with(&|lines| lines.swap(at, other));
        }
        for lines in altered {
            write(folder.path(), &lines);
            let found = nanoseg(folder.path(), &["verify", "record.jsonl", "--head", &head]);
            assert_eq!(found.code, Some(1), "line {at}: {}", found.stdout);
        }
    }
}

#[test]
fn a_cut_end_and_a_rewritten_record_are_found_only_with_a_kept_head() {
    let folder = folder();
    let (lines, head) = record();
    let verify =
        |more: &[&str]| nanoseg(folder.path(), &[&["verify", "record.jsonl"], more].concat());
    write(folder.path(), &lines[..4]);
    let alone = verify(&[]);
    assert_eq!(alone.code, Some(0), "nothing says that there was more");
    let cut = verify(&["--head", &head]);
    assert_eq!(cut.code, Some(1));
    assert_eq!(
        cut.stdout,
        "entry 5 and what was after it is missing at the end, up to 5 at least\n"
    );
    let anew = format!("5:sha256:{}", "0".repeat(64));
    write(folder.path(), &lines);
    assert_eq!(verify(&["--head", &anew]).code, Some(1));
    // An older head is part of the record, so it can still be used.
    write(folder.path(), &lines[..3]);
    let older = verify(&[]).stdout;
    let older = older.rsplit(' ').next().expect("a head").trim();
    write(folder.path(), &lines);
    assert_eq!(verify(&["--head", older]).code, Some(0));
    assert_eq!(verify(&["--head", "5"]).code, Some(2));
}

#[test]
fn the_store_of_a_running_controller_is_read_and_not_changed() {
    let folder = folder();
    let path = folder.path().join("nanoseg.sqlite");
    let (lines, head) = record();
    let mut at_work = ReviewStore::open(&path).expect("a store");
    let numbered = |range: std::ops::Range<usize>| Commit {
        record_lines: range.map(|n| (n as u64 + 1, lines[n].clone())).collect(),
        ..Commit::default()
    };
    at_work.commit(&numbered(0..3)).expect("written");
    let verify = || nanoseg(folder.path(), &["verify", "nanoseg.sqlite"]);
    let early = verify();
    assert!(
        early.stdout.starts_with("intact: 3 entries, head 3:"),
        "{} {}",
        early.stdout,
        early.stderr
    );
    at_work.commit(&numbered(3..5)).expect("written after that");
    assert_eq!(verify().stdout, format!("intact: 5 entries, head {head}\n"));
    let export = nanoseg(folder.path(), &["show", "nanoseg.sqlite", "-o", "json"]);
    assert_eq!(
        export.stdout.lines().collect::<Vec<_>>(),
        lines.iter().map(String::as_str).collect::<Vec<_>>()
    );

    // Somebody with the file and sqlite3 removes the triggers, and then a line.
    let by_hand = rusqlite::Connection::open(&path).expect("the file");
    let refused = by_hand.execute("DELETE FROM record WHERE sequence = 2", []);
    assert!(refused.is_err(), "the record is guarded");
    by_hand
        .execute_batch("DROP TRIGGER record_is_never_cut; DELETE FROM record WHERE sequence = 2;")
        .expect("whoever owns the file can do that");
    let found = verify();
    assert_eq!(found.stdout, "entry 2 is missing at its place\n");
    assert_eq!(found.code, Some(1));

    let nothing = nanoseg(folder.path(), &["verify", "other.sqlite"]);
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.stderr.contains("other.sqlite"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn show_prints_a_table_and_the_exact_lines() {
    let folder = folder();
    let (lines, _) = record();
    write(folder.path(), &lines);
    let show = |more: &[&str]| {
        let found = nanoseg(folder.path(), &[&["show", "record.jsonl"], more].concat());
        assert_eq!(found.code, Some(0), "{}", found.stderr);
        found.stdout
    };
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(show(&["-o", "json"]), text);
    let table = show(&["--namespace", "other", "--since", "1970-01-01T00:00:04Z"]);
    let table: Vec<&str> = table.lines().collect();
    assert_eq!(table.len(), 2, "{table:?}");
    assert!(table[1].contains("applied") && table[1].contains("NetworkPolicy/nanoseg-4"));
}

#[test]
fn a_part_of_a_record_is_verified_from_the_line_before_it() {
    let folder = folder();
    let (lines, head) = record();
    let digest = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["digest"].as_str().expect("a digest").to_owned()
    };
    let after = format!("2:{}", digest(&lines[1]));
    write(folder.path(), &lines[2..]);
    let verify =
        |more: &[&str]| nanoseg(folder.path(), &[&["verify", "record.jsonl"], more].concat());
    let whole = verify(&[]);
    assert_eq!(whole.code, Some(1), "{}", whole.stdout);
    let part = verify(&["--after", &after, "--head", &head]);
    let intact = format!("intact: 3 entries, after {after}, head {head}\n");
    assert_eq!((part.code, part.stdout), (Some(0), intact));
    let other = after.replacen("sha256:", "sha256:0", 1);
    let other = &other[..other.len() - 1];
    let wrong = verify(&["--after", other]);
    assert_eq!(wrong.stdout, "entry 2 was changed\n");
    assert_eq!(wrong.code, Some(1));
    let earlier = format!("1:{}", digest(&lines[0]));
    let missing = verify(&["--after", &after, "--head", &earlier]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    assert!(
        missing.stderr.contains("begins with entry 3"),
        "{}",
        missing.stderr
    );
}

#[test]
fn an_empty_record_is_not_intact() {
    let folder = folder();
    for text in ["", "\n"] {
        fs::write(folder.path().join("record.jsonl"), text).expect("a file");
        let run = nanoseg(folder.path(), &["verify", "record.jsonl"]);
        assert_eq!(run.code, Some(1), "{}", run.stdout);
        assert!(!run.stdout.contains("intact"), "{}", run.stdout);
    }
    fs::write(folder.path().join("record.jsonl"), "").expect("a file");
    let run = nanoseg(folder.path(), &["verify", "record.jsonl"]);
    assert_eq!(run.stdout, "empty: no entries\n");
    // The store of a controller that has recorded nothing.
    ReviewStore::open(&folder.path().join("empty.sqlite")).expect("a store");
    let run = nanoseg(folder.path(), &["verify", "empty.sqlite"]);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
}
