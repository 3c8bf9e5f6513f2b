//! Parses bytes into objects: one or more documents of YAML or JSON, each a single object or a list.

use super::add::{Broken, Why, add};
use super::error::ClusterError;
use super::field_lines::FieldLines;
use super::kinds::{append, taken_at};
use super::large::read_list;
use super::nesting::{MAX_FLOW_DEPTH, is_nested_too_deep};
use super::tree::{Budget, OVER_BUDGET, Tree, key_text};
use super::{EXTRA_VALUES, MAX_BYTES};
use crate::inventory::Objects;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The number of objects from lists and of single objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub lists: usize,
    pub singles: usize,
    /// Documents that are not Kubernetes objects.
    pub without_kind: usize,
}

/// Reads all documents of `bytes` (YAML or JSON; several JSON documents may follow each other) into `objects`.
/// Objects of kinds that are not used are counted in [`Objects::skipped`], lists in [`Objects::snapshots`].
///
/// # Errors
/// A syntax error, a document without a kind, an object of a known kind with a field of the wrong type, or YAML
/// whose aliases expand too far. `name` is the file's name in the error. After an error `objects` contains the
/// objects that were read before it.
pub fn parse_objects(
    bytes: &[u8],
    name: &str,
    objects: &mut Objects,
) -> Result<Counts, ClusterError> {
    let file = || name.to_owned();
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ClusterError::TooLarge { file: file() });
    }
    let counts = parse_documents(bytes, name, true, objects)?;
    if counts == Counts::default() {
        return Err(ClusterError::Empty { file: file() });
    }
    Ok(counts)
}

/// Reads a YAML sequence of objects, each with its kind. Returns nothing if any of it is wrong, or if an alias
/// makes it larger than it is written.
pub(super) fn read_items(text: &str) -> Option<Objects> {
    let budget = Budget::new(text.len());
    let mut sink = Sink::default();
    let list = ItemList {
        budget: &budget,
        sink: &mut sink,
    };
    list.deserialize(serde_yaml::Deserializer::from_str(text))
        .ok()?;
    let items = sink.items?;
    items.without_kind.is_empty().then_some(items.read)
}

/// As [`parse_objects`]. If `strict` is false, documents without a kind are counted and not refused, and an
/// empty text is not an error either.
pub(super) fn parse_documents(
    bytes: &[u8],
    name: &str,
    strict: bool,
    objects: &mut Objects,
) -> Result<Counts, ClusterError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some((read, counts)) = read_list(bytes) {
        append(objects, read);
        return Ok(counts);
    }
    parse_long_way(bytes, name, strict, objects)
}

/// As [`parse_documents`], for YAML and JSON.
pub(super) fn parse_long_way(
    bytes: &[u8],
    name: &str,
    strict: bool,
    objects: &mut Objects,
) -> Result<Counts, ClusterError> {
    let mut reader = Reader {
        name,
        text: bytes,
        strict,
        objects,
        counts: Counts::default(),
        document: 0,
    };
    let looks_like_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    if looks_like_json && serde_json_accepts(bytes) {
        reader.json(bytes)?;
    } else {
        reader.yaml(bytes)?;
    }
    Ok(reader.counts)
}

/// Returns true if the first document is JSON. YAML's flow style may begin with a brace as well.
fn serde_json_accepts(bytes: &[u8]) -> bool {
    let mut documents =
        serde_json::Deserializer::from_slice(bytes).into_iter::<serde::de::IgnoredAny>();
    matches!(documents.next(), Some(Ok(_)))
}

struct Reader<'a> {
    name: &'a str,
    text: &'a [u8],
    strict: bool,
    objects: &'a mut Objects,
    counts: Counts,
    /// The number of the current document, from 1.
    document: usize,
}

impl Reader<'_> {
    fn yaml(&mut self, bytes: &[u8]) -> Result<(), ClusterError> {
        if is_nested_too_deep(bytes) {
            return Err(ClusterError::Hostile {
                file: self.name.to_owned(),
                document: 1,
                problem: format!("brackets nest deeper than {MAX_FLOW_DEPTH}"),
            });
        }
        let budget = Budget::new(bytes.len().saturating_add(EXTRA_VALUES));
        for document in serde_yaml::Deserializer::from_slice(bytes) {
            self.document += 1;
            let mut sink = Sink::default();
            let seed = Document {
                budget: &budget,
                sink: &mut sink,
            };
            let read = seed.deserialize(document);
            self.finish(read.map_err(|error| error.to_string()), sink)?;
        }
        Ok(())
    }

    fn json(&mut self, bytes: &[u8]) -> Result<(), ClusterError> {
        let budget = Budget::new(bytes.len().saturating_add(EXTRA_VALUES));
        let mut json = serde_json::Deserializer::from_slice(bytes);
        loop {
            self.document += 1;
            let mut sink = Sink::default();
            let seed = Document {
                budget: &budget,
                sink: &mut sink,
            };
            let read = seed.deserialize(&mut json);
            if let Err(error) = &read
                && error.is_eof()
                && !sink.started
            {
                return Ok(());
            }
            self.finish(read.map_err(|error| error.to_string()), sink)?;
        }
    }

    /// The error for an object, with its line.
    fn broken(&self, broken: &Broken) -> ClusterError {
        let text = std::str::from_utf8(self.text).unwrap_or_default();
        let lines = FieldLines::of(text, self.document, &broken.object_path());
        let line = match &broken.why {
            Why::DuplicateKey(_) => lines.duplicate().map(|(_, line)| line),
            _ => lines.line(&broken.path()),
        };
        ClusterError::Object {
            at: match line {
                Some(line) => format!("{}:{line}", self.name),
                None => self.name.to_owned(),
            },
            document: self.document,
            object: broken.object.clone(),
            problem: broken.why.to_string(),
        }
    }

    fn finish(&mut self, read: Result<(), String>, sink: Sink) -> Result<(), ClusterError> {
        let (file, document) = (self.name.to_owned(), self.document);
        if let Some(broken) = sink.broken {
            return Err(self.broken(&broken));
        }
        if let Err(problem) = read {
            let limits = [
                OVER_BUDGET,
                "recursion limit exceeded",
                "repetition limit exceeded",
            ];
            return Err(if limits.iter().any(|limit| problem.contains(limit)) {
                ClusterError::Hostile {
                    file,
                    document,
                    problem,
                }
            } else {
                ClusterError::Syntax {
                    file,
                    document,
                    problem,
                }
            });
        }
        match sink.tree {
            Value::Null => Ok(()),
            Value::Object(map) if map.get("kind").is_some_and(Value::is_string) => {
                self.object(map, sink.items, sink.duplicate)
            }
            _ if self.strict => Err(ClusterError::NoKind { file, document }),
            _ => {
                self.counts.without_kind += 1;
                Ok(())
            }
        }
    }

    /// Reads a document: a list with its items, or one object.
    fn object(
        &mut self,
        mut map: Map<String, Value>,
        items: Option<Items>,
        duplicate: Option<String>,
    ) -> Result<(), ClusterError> {
        let kind = map
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let Some(items) = items.filter(|_| kind.ends_with("List")) else {
            self.counts.singles += 1;
            return add(Value::Object(map), "", "", duplicate, self.objects)
                .map_err(|broken| self.broken(&broken));
        };
        self.counts.lists += 1;
        self.objects.snapshots += 1;
        let mark = self.objects.mark();
        append(self.objects, items.read);
        // Items of a typed list have no `kind`.
        let version = map.remove("apiVersion").unwrap_or_default();
        let version = version.as_str().unwrap_or_default();
        let item_kind = kind.strip_suffix("List").unwrap_or_default();
        for one in items.without_kind {
            add(one.tree, item_kind, version, one.duplicate, self.objects).map_err(|broken| {
                self.broken(&Broken {
                    item: Some(one.index),
                    ..broken
                })
            })?;
        }
        let taken = taken_at(map.get("metadata"));
        self.objects.heartbeat = self.objects.heartbeat.max(taken);
        self.objects.note_snapshot(mark);
        Ok(())
    }
}

/// The result of reading a document.
#[derive(Default)]
struct Sink {
    /// The document without `items`.
    tree: Value,
    items: Option<Items>,
    /// True if anything of the document was read.
    started: bool,
    /// The object that is wrong.
    broken: Option<Broken>,
    /// A key outside of items that a mapping of the document has twice.
    duplicate: Option<String>,
}

/// The items of a list. Items with a kind are converted to their type at once, so that the tree of a long list
/// is never in memory.
#[derive(Default)]
struct Items {
    read: Objects,
    without_kind: Vec<WithoutKind>,
}

/// An item of a list whose kind is that of the list.
struct WithoutKind {
    index: usize,
    tree: Value,
    duplicate: Option<String>,
}

/// Reads one document.
struct Document<'a> {
    budget: &'a Budget,
    sink: &'a mut Sink,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.sink.started = true;
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(Tree(self.budget))? {
            let key = key_text(key);
            if key == "items" {
                let items = ItemList {
                    budget: self.budget,
                    sink: self.sink,
                };
                entries.next_value_seed(items)?;
            } else {
                let value = entries.next_value_seed(Tree(self.budget))?;
                if map.contains_key(&key) {
                    self.budget.note_duplicate(&key);
                }
                map.insert(key, value);
            }
            self.sink.duplicate = self.sink.duplicate.take().or(self.budget.take_duplicate());
        }
        self.sink.tree = Value::Object(map);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.sink.started = true;
        self.sink.tree = Tree(self.budget).visit_seq(items)?;
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.sink.started = true;
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(value.into())
    }
}

impl Document<'_> {
    fn scalar<E>(self, value: Value) -> Result<(), E> {
        self.sink.started = true;
        self.sink.tree = if value.is_null() {
            Value::Bool(false)
        } else {
            value
        };
        Ok(())
    }
}

/// Reads the `items` of a list.
struct ItemList<'a> {
    budget: &'a Budget,
    sink: &'a mut Sink,
}

impl<'de> DeserializeSeed<'de> for ItemList<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.sink.items.get_or_insert_default();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let items = self.sink.items.get_or_insert_default();
        let mut index = 0;
        while let Some(tree) = list.next_element_seed(Tree(self.budget))? {
            let duplicate = self.budget.take_duplicate();
            if tree.get("kind").is_none_or(Value::is_null) {
                items.without_kind.push(WithoutKind {
                    index,
                    tree,
                    duplicate,
                });
            } else if let Err(broken) = add(tree, "", "", duplicate, &mut items.read) {
                let error = A::Error::custom(&broken.why);
                self.sink.broken = Some(Broken {
                    item: Some(index),
                    ..broken
                });
                return Err(error);
            }
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        // A field `items` of another kind.
        Tree(self.budget).visit_map(entries).map(drop)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
