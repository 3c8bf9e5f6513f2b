//! YAML: cuts the text between items, which all begin at one column, and reads each piece on its own.

use super::outline::without_noise;
use super::{Unusual, joined};
use crate::cluster::kinds::taken_at;
use crate::cluster::nesting::is_nested_too_deep;
use crate::cluster::parse::read_items;
use crate::cluster::shares::in_shares;
use crate::inventory::Objects;
use crate::inventory::kubernetes::FLAGS;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The approximate size of a piece.
const PIECE: usize = 128 << 10;

/// Returns the objects of a YAML list.
pub fn read(text: &str) -> Result<Objects, Unusual> {
    let list = cut(text).ok_or(Unusual)?;
    let frame = format!("{}{}", list.head, list.tail);
    let frame: Map<String, Value> = parse(&frame)?;
    let kind = frame.get("kind").and_then(Value::as_str).ok_or(Unusual)?;
    // Only `parse` knows the kind of items without one, and no tool prints such lists as YAML.
    if kind != "List" || frame.contains_key("items") {
        return Err(Unusual);
    }
    let read = in_shares(&list.pieces, |piece| {
        let less = without_noise(piece, list.column)?;
        // Of all arguments only a few of the cluster's own components are used.
        let has_flags = FLAGS.iter().any(|flag| piece.contains(flag));
        let text = if has_flags { piece } else { less.as_str() };
        if is_nested_too_deep(text.as_bytes()) {
            return Err(Unusual);
        }
        read_items(text).ok_or(Unusual)
    })?;
    let mut objects = joined(read);
    let taken = taken_at(frame.get("metadata"));
    objects.heartbeat = objects.heartbeat.max(taken);
    Ok(objects)
}

/// Returns the only document; more or fewer are unusual.
fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Unusual> {
    if is_nested_too_deep(text.as_bytes()) {
        return Err(Unusual);
    }
    serde_yaml::from_str(text).map_err(|_| Unusual)
}

/// A list, cut into pieces.
struct Cut<'a> {
    /// The text before `items:`.
    head: &'a str,
    /// The pieces, each of one or more whole items.
    pieces: Vec<&'a str>,
    /// The column of the items' dashes.
    column: usize,
    /// The text after the items.
    tail: &'a str,
}

fn cut(text: &str) -> Option<Cut<'_>> {
    let (head, items) = head(text)?;
    let column = items.len() - items.trim_start_matches(' ').len();
    let begin = format!("\n{}- ", " ".repeat(column));
    if !items.get(column..)?.starts_with("- ") {
        return None;
    }
    // No part of an item is indented less than its dash or has its column, so such a line ends the list.
    let last = items.rfind(&begin).map_or(0, |at| at + 1);
    let mut end = last;
    for line in items.get(last..)?.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if end > last && indent <= column && !line.trim_ascii().is_empty() {
            break;
        }
        end += line.len();
    }
    let (items, tail) = items.split_at_checked(end)?;
    let mut pieces = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let from = (PIECE.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at))?;
        let found = rest.get(from..).and_then(|later| later.find(&begin));
        let length = found.map_or(rest.len(), |at| from + at + 1);
        let (piece, after) = rest.split_at_checked(length)?;
        pieces.push(piece);
        rest = after;
    }
    Some(Cut {
        head,
        pieces,
        column,
        tail,
    })
}

/// Returns the text before the line `items:` and the text after that line. Before it, only the few lines that
/// kubectl writes there are accepted: any other text could be one in which the line `items:` is not a key.
fn head(text: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line == "items:\n" {
            return Some((text.get(..at)?, text.get(at + line.len()..)?));
        }
        let simple = |value: &str| {
            value
                .trim_ascii_end()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric())
        };
        let known = line == "---\n"
            || line.strip_prefix("apiVersion: ").is_some_and(simple)
            || line.strip_prefix("kind: ").is_some_and(simple);
        if !known {
            return None;
        }
        at += line.len();
    }
    None
}
