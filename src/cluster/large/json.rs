//! JSON: finds the texts of the items first, then reads each into its type without a tree in between.

use super::{Unusual, joined};
use crate::cluster::add::{add, skip};
use crate::cluster::kinds::{Typed, parse_object, taken_at};
use crate::cluster::shares::in_shares;
use crate::cluster::tree::{Budget, Tree};
use crate::inventory::Objects;
use crate::inventory::kubernetes::Json;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::Value;

/// How many items one thread reads at a time.
const ITEMS: usize = 64;

/// Whitespace as defined by RFC 8259.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A list without its items.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonFrame<'a> {
    /// The `items` that are left in it: none.
    #[serde(rename = "items")]
    _items: [(); 0],
    kind: &'a str,
    api_version: &'a str,
    #[serde(default)]
    metadata: Value,
}

/// The fields that determine the type of an item.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow)]
    kind: Option<&'a str>,
    #[serde(borrow)]
    api_version: Option<&'a str>,
}

/// Returns the objects of a JSON list.
pub fn read(text: &str) -> Result<Objects, Unusual> {
    let (begin, end, items) = json_items(text).ok_or(Unusual)?;
    let frame = [text.get(..begin), text.get(end..)].map(Option::unwrap_or_default);
    let frame = frame.concat();
    let list: JsonFrame = serde_json::from_str(&frame).map_err(|_| Unusual)?;
    let item_kind = list.kind.strip_suffix("List").ok_or(Unusual)?;
    let shares: Vec<&[&str]> = items.chunks(ITEMS).collect();
    let read = in_shares(&shares, |share| {
        let mut objects = Objects::default();
        for item in *share {
            json_item(item, item_kind, list.api_version, &mut objects)?;
        }
        Ok(objects)
    })?;
    let mut objects = joined(read);
    objects.heartbeat = objects.heartbeat.max(taken_at(Some(&list.metadata)));
    Ok(objects)
}

/// Returns the values of the first array named `items`, and the range of its text. The rest of the text shows
/// whether it is the list's own array.
fn json_items(text: &str) -> Option<(usize, usize, Vec<&str>)> {
    let key = "\"items\"";
    let rest = text.get(text.find(key)? + key.len()..)?;
    let rest = rest
        .trim_start_matches(SPACE)
        .strip_prefix(':')?
        .trim_start_matches(SPACE);
    let mut rest = rest.strip_prefix('[')?.trim_start_matches(SPACE);
    let (begin, mut items) = (text.len() - rest.len(), Vec::new());
    loop {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (item, after) = rest.split_at_checked(values.byte_offset())?;
        items.push(item);
        rest = after.trim_start_matches(SPACE);
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start_matches(SPACE),
            None => break,
        }
    }
    Some((begin, text.len() - rest.len(), items))
}

/// Items of a `List` have a kind, those of a `PodList` have none. `parse` reads a list in which both occur.
fn json_item(
    item: &str,
    item_kind: &str,
    version: &str,
    objects: &mut Objects,
) -> Result<(), Unusual> {
    let head: Head = serde_json::from_str(item).map_err(|_| Unusual)?;
    let (kind, version) = match (head.kind, item_kind) {
        (None, "") => return Err(Unusual),
        (None, kind) => (kind, version),
        (Some(kind), "") if !kind.is_empty() => (kind, head.api_version.unwrap_or_default()),
        (Some(_), _) => return Err(Unusual),
    };
    if kind == "NetworkPolicy" {
        // Its keys are checked, which needs a tree.
        let budget = Budget::new(item.len());
        let mut text = serde_json::Deserializer::from_str(item);
        let tree = Tree(&budget).deserialize(&mut text).map_err(|_| Unusual)?;
        return add(tree, kind, version, budget.take_duplicate(), objects).map_err(|_| Unusual);
    }
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    match parse_object(kind, group, Json::Text(item), objects) {
        Ok(Typed::Read) => Ok(()),
        Ok(Typed::Skipped) if kind != "List" => {
            skip(kind, group, objects);
            Ok(())
        }
        // For example an older version of the group, which k8s-openapi does not accept as its own.
        Ok(Typed::Skipped) | Err(_) => {
            let tree: Value = serde_json::from_str(item).map_err(|_| Unusual)?;
            add(tree, kind, version, None, objects).map_err(|_| Unusual)
        }
    }
}
