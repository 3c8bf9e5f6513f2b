//! Long lists, as `kubectl get … -A` prints them, read item by item on several threads. It is a shorter way to
//! what `parse` finds, never another one: where a text is not quite of that form, or anything that is read of it is
//! wrong, nothing comes from here, and `parse` reads the whole of it and says where the error is. Of YAML, what nobody
//! reads is left out before it is parsed: an error within that is found by `parse` only.

mod json;
mod outline;
mod yaml;

use super::kinds::append;
use super::parse::Counts;
use crate::inventory::Objects;

/// Shorter texts are read as fast without threads.
const LONG: usize = 256 << 10;

/// Something is not of the form that is read here.
#[derive(Debug)]
struct Unusual;

/// The objects of a text that is one long list.
pub fn read_list(bytes: &[u8]) -> Option<(Objects, Counts)> {
    match bytes.len() < LONG {
        true => None,
        false => read(std::str::from_utf8(bytes).ok()?),
    }
}

fn read(text: &str) -> Option<(Objects, Counts)> {
    let objects = match text.trim_ascii_start().starts_with('{') {
        true => json::read(text),
        false => yaml::read(text),
    };
    let mut objects = objects.ok()?;
    objects.snapshots += 1;
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

/// The objects of both ways; `None` where the short one does not take the text.
///
/// # Panics
/// If they are not the same, or only the short one takes the text: what tests and the fuzz target `list` look for.
/// A fuzzer soon writes errors into what the short way leaves out, so there the second is `None` too.
#[cfg(any(test, fuzzing))]
pub fn both(text: &str) -> Option<String> {
    let (short, counts) = read(text)?;
    let mut long = Objects::default();
    let read = super::parse::parse_long_way(text.as_bytes(), "test", true, &mut long);
    if cfg!(fuzzing) && read.is_err() {
        return None;
    }
    assert_eq!(Some(counts), read.ok(), "{text}");
    assert_eq!(format!("{short:?}"), format!("{long:?}"), "{text}");
    Some(format!("{short:?}"))
}

#[cfg(test)]
mod tests;
