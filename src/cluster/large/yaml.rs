//! YAML: the text is cut between items, which all begin at one column, and each piece is read by itself.

use super::outline::without_noise;
use super::{Unusual, joined};
use crate::cluster::nesting::is_nested_too_deep;
use crate::cluster::parse::read_items;
use crate::cluster::shares::in_shares;
use crate::inventory::Objects;
use serde::Deserialize;
use serde_json::{Map, Value};

/// About how long a piece is.
const PIECE: usize = 128 << 10;

/// The objects of a YAML list.
pub fn read(text: &str) -> Result<Objects, Unusual> {
    let list = cut(text).ok_or(Unusual)?;
    let frame = format!("{}{}", list.head, list.tail);
    let frame: Map<String, Value> = parse(&frame)?;
    let kind = frame.get("kind").and_then(Value::as_str).ok_or(Unusual)?;
    // What items without a kind are, `parse` tells; nobody prints them as YAML.
    if kind != "List" || frame.contains_key("items") {
        return Err(Unusual);
    }
    let read = in_shares(&list.pieces, |piece| {
        let text = without_noise(piece, list.column)?;
        if is_nested_too_deep(text.as_bytes()) {
            return Err(Unusual);
        }
        read_items(&text).ok_or(Unusual)
    })?;
    Ok(joined(read))
}

/// One document, else it is unusual.
fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Unusual> {
    if is_nested_too_deep(text.as_bytes()) {
        return Err(Unusual);
    }
    serde_yaml::from_str(text).map_err(|_| Unusual)
}

/// A list, cut.
struct Cut<'a> {
    /// What stands before `items:`.
    head: &'a str,
    /// Whole items, some in each.
    pieces: Vec<&'a str>,
    /// Where the dashes of the items stand.
    column: usize,
    /// What comes after the items.
    tail: &'a str,
}

fn cut(text: &str) -> Option<Cut<'_>> {
    let (head, items) = head(text)?;
    let column = items.len() - items.trim_start_matches(' ').len();
    let begin = format!("\n{}- ", " ".repeat(column));
    if !items.get(column..)?.starts_with("- ") {
        return None;
    }
    // Nothing that belongs to an item stands as far left as its dash, so what does ends the list.
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

/// What stands before the line `items:`, and what comes after it. Only the little that kubectl writes there is
/// taken: anything more could be text in which that line is no key.
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
