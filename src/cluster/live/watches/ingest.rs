//! The only code of a watch that is compiled once for each kind: it converts a dynamic object to the kind's own
//! type and puts it into the cache. Lists, watches and pauses (`follow`) use dynamic objects only.

use super::cache::Cache;
use super::kinds::{INVENTORY, Kind, Watched};
use super::malformed::Malformed;
use super::salvage::{WrongField, salvage};
use crate::cluster::field_path::FieldPath;
use crate::inventory::is_ours;
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
    pub put: fn(&Cache, DynamicObject),
    /// Records that an object is gone.
    pub remove: fn(&Cache, DynamicObject),
}

/// The objects of a list, page by page: unused fields of a page are dropped before the next page is read.
pub trait Listing: Send {
    fn add(&mut self, page: Vec<DynamicObject>);

    /// Replaces the content of the cache by the list.
    fn finish(self: Box<Self>, cache: &Cache);
}

struct ListOf<K> {
    objects: Vec<K>,
    malformed: Vec<Malformed>,
}

impl<K: Watched> Listing for ListOf<K> {
    fn add(&mut self, page: Vec<DynamicObject>) {
        for object in page {
            let (known, malformed) = read(object);
            self.objects.extend(known);
            self.malformed.extend(malformed);
        }
    }

    fn finish(self: Box<Self>, cache: &Cache) {
        cache.replace(self.objects, self.malformed);
    }
}

impl Ingest {
    pub fn of<K: Watched>(probe: fn(&Client) -> Api<DynamicObject>) -> Ingest {
        Ingest {
            kind: K::KIND,
            api: everywhere::<K>,
            probe,
            list: || {
                Box::new(ListOf::<K> {
                    objects: Vec::new(),
                    malformed: Vec::new(),
                })
            },
            put: |cache, object| {
                let (known, malformed) = read::<K>(object);
                cache.put(known, malformed);
            },
            remove: |cache, object| match read::<K>(object) {
                (Some(last), _) => cache.remove(&super::store::key(&last), Some(last)),
                (None, Some(malformed)) => {
                    cache.remove::<K>(&(malformed.namespace, malformed.name), None);
                }
                (None, None) => {}
            },
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

/// Returns the trimmed object in the kind's own type, or what is wrong with it (rule: malformed-object-is-a-finding).
/// Of a kind that only tells who is there both may be returned: what of it can be read, at least its name, labels and
/// owners.
fn read<K: Watched>(object: DynamicObject) -> (Option<K>, Option<Malformed>) {
    let metadata = object.metadata.clone();
    let (mut known, wrong) = typed_parts::<K>(object);
    let malformed = wrong.map(|wrong| Malformed {
        kind: K::KIND,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone(),
        is_ours: is_ours(&metadata),
        field: wrong.path.to_string(),
        problem: wrong.problem,
    });
    // Half of a policy is another policy, and half of a decision another decision.
    let is_whole = !INVENTORY.contains(&K::KIND) || K::KIND == Kind::NetworkPolicy;
    if is_whole && malformed.is_some() {
        known = None;
    }
    if let Some(known) = &mut known {
        known.trim();
    }
    (known, malformed)
}

/// Returns the object in the kind's own type, as far as it can be read, and what is wrong with it.
pub fn typed_parts<K>(object: DynamicObject) -> (Option<K>, Option<WrongField>)
where
    K: Resource<DynamicType = ()> + FromJson,
{
    let DynamicObject { metadata, data, .. } = object;
    let fields = fields(data);
    let read = |fields: Value| K::from_json(Json::Value(fields));
    let (known, wrong) = match read(fields.clone()) {
        Ok(known) => (Some(known), None),
        Err(error) => {
            let found = salvage(&fields, &|one| {
                read(one.clone()).err().map(|error| error.to_string())
            });
            let (wrong, rest) = found.unwrap_or_else(|| {
                let wrong = WrongField {
                    path: FieldPath::default(),
                    problem: error.to_string(),
                };
                (wrong, None)
            });
            // Its name, labels and owners are known at least.
            let rest = rest.unwrap_or_else(|| fields_of(Map::new()));
            (read(rest).ok(), Some(wrong))
        }
    };
    let known = known.map(|mut known| {
        *known.meta_mut() = metadata;
        known
    });
    (known, wrong)
}

fn fields(data: Value) -> Value {
    fields_of(match data {
        Value::Object(fields) => fields,
        _ => Map::new(),
    })
}

/// Custom resources require `metadata`; the real one already has its type, and replaces this one.
fn fields_of(mut fields: Map<String, Value>) -> Value {
    fields.insert("metadata".to_owned(), Value::Object(Map::new()));
    Value::Object(fields)
}
