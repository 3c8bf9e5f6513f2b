//! Reads long lists, as `kubectl get … -A` prints them, item by item on several threads. This is a faster way
//! to the result of `parse`, never another result: if a text has another form, or if anything in it is wrong,
//! this module returns nothing, and `parse` reads the whole text and reports the error with its place. Parts of
//! YAML that no room uses are removed before parsing, so only `parse` finds an error in them; in JSON a key that is there
//! twice is seen in NetworkPolicies only.
//!
//! YAML has a line-based reader of its own (`outline`), and serde-saphyr does not replace it, because a parser
//! also reads what is then ignored (`managedFields`, probes, environment), and that is most of a list. A list
//! of 1000 pods, 3.1 MB of which 0.16 MB is used, took serde_yaml 0.34 s whole and 0.02 s without the rest;
//! serde-saphyr 2.1 took 1.0 s and 0.08 s, three to four times as long (medians, both with `opt-level = 2` on a
//! busy machine). The targets of `cargo bench --bench review` (2 s for 5000 workloads, YAML as well as JSON)
//! are too low for either parser without `outline`.

mod json;
mod outline;
mod yaml;

use super::kinds::append;
use super::parse::Counts;
use crate::inventory::{Objects, SnapshotMark};

/// Shorter texts are read without threads: threads would not make them faster.
const LONG: usize = 256 << 10;

/// The text does not have the form that is read here.
#[derive(Debug)]
struct Unusual;

/// The objects of a text that is one long list.
pub fn read_list(bytes: &[u8]) -> Option<(Objects, Counts)> {
    if bytes.len() < LONG {
        None
    } else {
        read(std::str::from_utf8(bytes).ok()?)
    }
}

fn read(text: &str) -> Option<(Objects, Counts)> {
    let objects = if text.trim_ascii_start().starts_with('{') {
        json::read(text)
    } else {
        yaml::read(text)
    };
    let mut objects = objects.ok()?;
    objects.snapshots += 1;
    objects.note_snapshot(SnapshotMark::default());
    let counts = Counts {
        lists: 1,
        ..Counts::default()
    };
    Some((objects, counts))
}

fn joined(shares: Vec<Objects>) -> Objects {
    let mut all = Objects::default();
    for share in shares {
        append(&mut all, share);
    }
    all
}

/// Reads a text in both ways and returns its objects; `None` where the fast way does not accept the text.
///
/// # Panics
/// If the results differ, or if only the fast way accepts the text: tests and the fuzz target `list` look for
/// this. A fuzzer soon writes errors into the parts that the fast way removes, so then the result is `None`
/// too.
#[cfg(any(test, fuzzing))]
pub fn both(text: &str) -> Option<String> {
    let (mut short, counts) = read(text)?;
    // JSON is read into types without a tree, so a key that is there twice is seen in policies only.
    short.remarks.clear();
    let mut long = Objects::default();
    let read = super::parse::parse_long_way(text.as_bytes(), "test", true, &mut long);
    if cfg!(fuzzing) && read.is_err() {
        return None;
    }
    long.remarks.clear();
    assert_eq!(Some(counts), read.ok(), "{text}");
    assert_eq!(format!("{short:?}"), format!("{long:?}"), "{text}");
    Some(format!("{short:?}"))
}

#[cfg(test)]
mod tests;
