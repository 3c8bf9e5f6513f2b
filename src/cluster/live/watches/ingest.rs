//! The only code of a watch that is compiled once for each kind: it converts a dynamic object to the kind's own
//! type and puts it into the cache. Lists, watches and pauses (`follow`) use dynamic objects only.

use super::cache::Cache;
use super::kinds::{Kind, Watched};
use crate::inventory::kubernetes::{FromJson, Json};
use kube::api::DynamicObject;
use kube::{Api, Client, Resource};
use serde_json::{Map, Value};

/// One kind, for `follow`.
#[derive(Clone, Copy)]
pub struct Ingest {
    pub kind: Kind,
    /// All objects of the kind.
    pub api: fn(&Client) -> Api<DynamicObject>,
    /// The place to read one name from: one namespace, so that the API server reads one key instead of all.
    pub probe: fn(&Client) -> Api<DynamicObject>,
    /// Begins a list.
    pub list: fn() -> Box<dyn Listing>,
    /// Records an object, new or changed.
    pub put: fn(&Cache, DynamicObject) -> Result<(), String>,
    /// Records that an object is gone.
    pub remove: fn(&Cache, DynamicObject) -> Result<(), String>,
}

/// The objects of a list, page by page: unused fields of a page are dropped before the next page is read.
pub trait Listing: Send {
    /// # Errors
    /// Returns the object that has a field of the wrong type.
    fn add(&mut self, page: Vec<DynamicObject>) -> Result<(), String>;

    /// Replaces the content of the cache by the list.
    fn finish(self: Box<Self>, cache: &Cache);
}

struct ListOf<K>(Vec<K>);

impl<K: Watched> Listing for ListOf<K> {
    fn add(&mut self, page: Vec<DynamicObject>) -> Result<(), String> {
        for object in page {
            self.0.push(trimmed(object)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, cache: &Cache) {
        cache.replace(self.0);
    }
}

impl Ingest {
    pub fn of<K: Watched>(probe: fn(&Client) -> Api<DynamicObject>) -> Ingest {
        Ingest {
            kind: K::KIND,
            api: everywhere::<K>,
            probe,
            list: || Box::new(ListOf::<K>(Vec::new())),
            put: |cache, object| trimmed::<K>(object).map(|object| cache.put(object)),
            remove: |cache, object| trimmed::<K>(object).map(|last| cache.remove(last)),
        }
    }
}

pub fn everywhere<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &kube::core::ApiResource::erase::<K>(&()))
}

pub fn in_default<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    let resource = kube::core::ApiResource::erase::<K>(&());
    Api::namespaced_with(client.clone(), "default", &resource)
}

/// Returns the trimmed object in the kind's own type.
fn trimmed<K: Watched>(object: DynamicObject) -> Result<K, String> {
    let name = [&object.metadata.namespace, &object.metadata.name];
    let [namespace, name] = name.map(|part| part.clone().unwrap_or_default());
    let mut object: K =
        typed(object).map_err(|error| format!("{} {namespace}/{name}: {error}", K::KIND))?;
    object.trim();
    Ok(object)
}

/// Returns the object in the kind's own type.
///
/// # Errors
/// A field of it has the wrong type.
pub fn typed<K>(object: DynamicObject) -> Result<K, serde_json::Error>
where
    K: Resource<DynamicType = ()> + FromJson,
{
    let DynamicObject { metadata, data, .. } = object;
    let mut fields = match data {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    // Custom resources require `metadata`; the real one already has its type, and replaces this one.
    fields.insert("metadata".to_owned(), Value::Object(Map::new()));
    let mut object = K::from_json(Json::Value(Value::Object(fields)))?;
    *object.meta_mut() = metadata;
    Ok(object)
}
