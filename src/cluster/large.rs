//! Long lists, as `kubectl get … -A` prints them, read item by item on several threads. It is a shorter way to
//! what `parse` finds, never another answer: where a text is not quite of that form, or anything in it is
//! wrong, there is no answer from here, and `parse` reads the whole of it and says where the error is.

use super::kinds::{Typed, append, parse_object};
use super::parse::{Counts, add, skip};
use super::shares::in_shares;
use crate::inventory::Objects;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Shorter texts are read as fast without threads.
const LONG: usize = 256 << 10;

/// How many items of a JSON list one thread reads at a time.
const ITEMS: usize = 64;

/// Something is not of the form that is read here.
pub struct Unusual;

/// The objects of a text that is one long list.
pub fn read_list(bytes: &[u8]) -> Option<(Objects, Counts)> {
    if bytes.len() < LONG {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let mut objects = match text.trim_start().starts_with('{') {
        true => read_json(text).ok()?,
        false => return None,
    };
    objects.snapshots += 1;
    let counts = Counts {
        lists: 1,
        ..Counts::default()
    };
    Some((objects, counts))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonList<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    kind: &'a str,
    api_version: &'a str,
}

/// What tells the type of an item.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow)]
    kind: Option<&'a str>,
    #[serde(borrow)]
    api_version: Option<&'a str>,
}

fn read_json(text: &str) -> Result<Objects, Unusual> {
    let list: JsonList = serde_json::from_str(text).map_err(|_| Unusual)?;
    let item_kind = list.kind.strip_suffix("List").ok_or(Unusual)?;
    let shares: Vec<&[&RawValue]> = list.items.chunks(ITEMS).collect();
    let read = in_shares(&shares, |share| {
        let mut objects = Objects::default();
        for item in *share {
            json_item(item.get(), item_kind, list.api_version, &mut objects)?;
        }
        Ok(objects)
    })?;
    Ok(joined(read))
}

fn joined(shares: Vec<Objects>) -> Objects {
    let mut all = Objects::default();
    for share in shares {
        append(&mut all, share);
    }
    all
}

/// Items of a `List` have a kind, those of a `PodList` have none; where they are mixed, `parse` keeps them apart.
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
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    match parse_object(
        kind,
        group,
        &mut serde_json::Deserializer::from_str(item),
        objects,
    ) {
        Ok(Typed::Read) => Ok(()),
        Ok(Typed::Skipped) if kind != "List" => {
            skip(kind, group, objects);
            Ok(())
        }
        // Such as an older version of the group, which k8s-openapi refuses to take for its own.
        Ok(Typed::Skipped) | Err(_) => {
            let tree: Value = serde_json::from_str(item).map_err(|_| Unusual)?;
            add(tree, kind, version, objects).map_err(|_| Unusual)
        }
    }
}
