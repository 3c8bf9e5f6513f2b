//! A document as a tree of values. It is built value by value, so that reading can stop in between.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess};
use serde::de::{VariantAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// The beginning of the error for an exhausted [`Budget`].
pub const OVER_BUDGET: &str = "more values than the input can hold";

/// The number of values that a document may still have.
#[derive(Debug)]
pub struct Budget {
    values: Cell<usize>,
    /// A key that a mapping had twice.
    duplicate: RefCell<Option<String>>,
}

impl Budget {
    pub fn new(values: usize) -> Self {
        Budget {
            values: Cell::new(values),
            duplicate: RefCell::default(),
        }
    }

    /// Keeps the first key that is there twice. A YAML merge key may be.
    pub fn note_duplicate(&self, key: &str) {
        if key != "<<" {
            self.duplicate
                .borrow_mut()
                .get_or_insert_with(|| key.to_owned());
        }
    }

    /// The first key that was there twice since the last call.
    pub fn take_duplicate(&self) -> Option<String> {
        self.duplicate.borrow_mut().take()
    }

    fn take<E: Error>(&self) -> Result<(), E> {
        let left = self.values.get().checked_sub(1);
        self.values.set(left.ok_or_else(|| E::custom(OVER_BUDGET))?);
        Ok(())
    }
}

/// Reads one value. Keys of mappings become text and tags are dropped: Kubernetes uses neither other keys nor
/// tags.
#[derive(Clone, Copy)]
pub struct Tree<'a>(pub &'a Budget);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML or JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let value = entries.next_value_seed(self)?;
            match map.entry(key_text(key)) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => {
                    self.0.note_duplicate(entry.key());
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (_tag, value) = tagged.variant_seed(self)?;
        value.newtype_variant_seed(self)
    }
}

/// Returns a mapping's key as text.
pub fn key_text(key: Value) -> String {
    match key {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
